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
from biopose_cli.io.results import Refined
from biopose_cli.progress import Progress
from biopose_cli.settings import Settings
from biopose_cli.typing import Array

GT_FILE = EMBEDDED_CLIP.with_name("walk_truth.npz")
NUM_RUNS = 3


def bench_neurik(frames: int, settings: Settings, progress: Progress) -> dict[str, Any]:
    """Time the stage on the embedded clip's true body, walking back and forth for `frames` frames.

    Returns
    -------
    dict
        `frames`; `first_s`, time of the first call in the process, on 32 frames (imports, loading of network and
        OpenSim); of the median of three calls: `seconds`, `frames_per_s`; `marker_rms_mm`.

    Raises
    ------
    SettingError
        The embedded clip does not exist (an installation without the repository).
    """
    inputs = _gt_inputs(frames)
    progress.start("bench neurik", NUM_RUNS + 1, "runs")
    start = perf_counter()
    stage.run(*_gt_inputs(32), settings)
    first_seconds = perf_counter() - start
    progress.advance()
    times = []
    for _ in range(NUM_RUNS):
        start = perf_counter()
        kinematics = stage.run(*inputs, settings)
        times.append(perf_counter() - start)
        progress.advance()
    seconds = float(np.median(times))
    return {
        "frames": frames,
        "first_s": first_seconds,
        "seconds": seconds,
        "frames_per_s": frames / seconds,
        "marker_rms_mm": float(1000 * np.sqrt(np.nanmean(kinematics.marker_residual**2))),
    }


def _gt_inputs(frames: int) -> tuple[Array, Array, Refined]:
    """Times (T) s, valid frames (T) and the true body: what the stages before would hand on without any error."""
    if not GT_FILE.is_file():
        raise SettingError(f"{GT_FILE} does not exist", "Run this in a clone of the repository")
    with np.load(GT_FILE, allow_pickle=False) as stored:
        gt = {name: stored[name] for name in stored.files}
    forward_frames = np.arange(len(gt["time"]))
    frame_order = np.resize(np.concatenate([forward_frames, forward_frames[-2:0:-1]]), frames)
    camera = gt["camera_rotation"]
    root = load_body().rest_joints(torch.as_tensor(gt["betas"]))[0].numpy()
    orient = Rotation.from_matrix(camera) * Rotation.from_rotvec(gt["pose"][frame_order, 0])
    refined = Refined(
        body_pose=gt["pose"][frame_order, 1:],
        global_orient=orient.as_rotvec(),
        betas=gt["betas"],
        transl=(root + gt["transl"][frame_order]) @ camera.T + gt["camera_translation"] - root,
        query_tokens=np.zeros((frames, 0, 1)),
        reprojection_px=np.zeros(frames),
        rotation_std=np.full((frames, len(ACTIVE_JOINTS), 3), 0.1),
    )
    return np.arange(frames) / 30.0, np.ones(frames, bool), refined
