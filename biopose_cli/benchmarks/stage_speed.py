"""`biopose bench neurik`: frames/s of the whole neurik stage on a long clip, scaling and solver steps included."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from biopose_cli.benchmarks.run_speed import EMBEDDED_CLIP
from biopose_cli.body.kinematics import ACTIVE_JOINTS
from biopose_cli.body.model import load_body
from biopose_cli.errors import SettingError
from biopose_cli.ik import stage
from biopose_cli.io.results import LANDMARKS, Detection, Refined
from biopose_cli.progress import NullProgress, Progress
from biopose_cli.settings import Settings

TRUTH = EMBEDDED_CLIP.with_name("walk_truth.npz")
REPEATS = 3


def bench_neurik(frames: int, settings: Settings, progress: Progress) -> dict[str, Any]:
    """Time the stage on the embedded clip's true body, walking to and fro for `frames` frames.

    Returns
    -------
    dict
        `frames`; `first_s`, of the first call in the process on 32 frames (imports, loading of network and OpenSim);
        then, of the median of three calls: `seconds`, `frames_per_s`; `marker_rms_mm`.

    Raises
    ------
    SettingError
        The embedded clip is not there (an installation without the repository).
    """
    detection, refined = _clip(frames)
    progress.start("bench neurik", REPEATS + 1, "runs")
    began = perf_counter()
    stage.run(*_clip(32), settings, NullProgress())
    first = perf_counter() - began
    progress.advance()
    times = []
    for _ in range(REPEATS):
        began = perf_counter()
        joints = stage.run(detection, refined, settings, NullProgress())
        times.append(perf_counter() - began)
        progress.advance()
    seconds = float(np.median(times))
    return {
        "frames": frames,
        "first_s": first,
        "seconds": seconds,
        "frames_per_s": frames / seconds,
        "marker_rms_mm": float(1000 * np.sqrt(np.nanmean(joints.marker_residual**2))),
    }


def _clip(frames: int) -> tuple[Detection, Refined]:
    """What the stages before would hand on if they saw the truth."""
    if not TRUTH.is_file():
        raise SettingError(f"there is no {TRUTH}", "Run this in a clone of the repository")
    with np.load(TRUTH, allow_pickle=False) as stored:
        truth = {name: stored[name] for name in stored.files}
    there = np.arange(len(truth["time"]))
    order = np.resize(np.concatenate([there, there[-2:0:-1]]), frames)
    camera = truth["camera_rotation"]
    root = load_body().rest_joints(torch.as_tensor(truth["betas"]))[0].numpy()
    orient = Rotation.from_matrix(camera) * Rotation.from_rotvec(truth["pose"][order, 0])
    refined = Refined(
        body_pose=truth["pose"][order, 1:],
        global_orient=orient.as_rotvec(),
        betas=truth["betas"],
        transl=(root + truth["transl"][order]) @ camera.T + truth["camera_translation"] - root,
        query_tokens=np.zeros((frames, 0, 1)),
        reprojection_px=np.zeros(frames),
        rotation_std=np.full((frames, len(ACTIVE_JOINTS), 3), 0.1),
    )
    return _seen(frames), refined


def _seen(frames: int) -> Detection:
    """A detection of which the stage reads the times and that the person is there."""
    return Detection(
        time=np.arange(frames) / 30.0,
        frame=np.arange(frames),
        image_size=np.array([1280, 960]),
        box=np.zeros((frames, 4)),
        roi=np.zeros((frames, 4)),
        confidence=np.zeros((frames, LANDMARKS)),
        keypoints_2d=np.zeros((frames, LANDMARKS, 2)),
        landmarks_3d=np.zeros((frames, LANDMARKS, 3)),
        visible=np.ones(frames, bool),
        swapped=np.zeros(frames, bool),
        interpolated=np.zeros(frames, bool),
        people_box=np.zeros((1, frames, 4)),
        camera_matrix=np.eye(3),
        dist_coeffs=np.zeros(5),
    )
