"""Knees end to end where somebody squats: a recorded trial's motion, rendered from five sides, whose truth is exact.

The trial's joint angles (of the default skeleton's coordinates, which are Rajagopal's) move a body of random shape
whose ankles stay where they are; a level camera films it. The clips are run with `--mesh mqhmr` and `--mesh fit`. The
focal length is given, nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from biopose_cli.benchmarks.markdown import markdown_table
from biopose_cli.benchmarks.rendered_clips import MESHES, SIDE, Clip, angle_errors, render, truth_path
from biopose_cli.errors import MotionFileError
from biopose_cli.io.storage import Motion, read_motion
from biopose_cli.progress import Progress
from biopose_cli.render.scene import Camera, look_at
from biopose_cli.synthesis import joint_motion
from biopose_cli.synthesis.ground_truth_video import FPS
from biopose_cli.synthesis.mocap import INDEX
from biopose_cli.synthesis.pose_sampler import JointSpacePoses
from biopose_cli.synthesis.rendering import Actor, load_actor
from biopose_cli.typing import Array

HEADINGS = (0, 30, 60, 90, 180)  # degrees, of the camera from where the person faces
START, SECONDS = 1.0, 4.0  # s, of the trial
DISTANCE, HEIGHT, FOCAL = 4.0, 1.1, 1.25 * SIDE  # m, m, px
SEED = 3
KNEE_RANGES = {"straight": (-20, 15), "half bent": (30, 70), "bent": (80, 180)}  # degrees


def evaluate(trial: Path, out: Path, progress: Progress) -> dict[str, Any]:
    """Render the trial into `out`, run the clips, and measure the errors; what is there is kept.

    Parameters
    ----------
    trial
        Joint angles of somebody who stays on one spot, at least `START` + `SECONDS` long (.mot).

    Returns
    -------
    dict
        `views`: one entry a heading and mesh, with `heading_deg`, `mesh`, `legs_mae`, `legs_mae_offset_removed`,
        `pelvis_mae` (degrees) and `knees`: by range, `true_deg` and `estimated_deg`, None where the trial has no such
        frame.

    Raises
    ------
    MotionFileError
        The trial cannot be read, is too short, or lacks the knees.
    """
    angles = read_motion(trial)
    if angles.time[-1] < START + SECONDS - 1 / FPS:
        raise MotionFileError(
            f"{trial} ends at {angles.time[-1]:.2f} s", f"Give a trial of {START + SECONDS:g} s or more"
        )
    if missing := {"knee_angle_l", "knee_angle_r"} - set(angles.names):
        raise MotionFileError(f"{trial} lacks {', '.join(sorted(missing))}", "Give angles of Rajagopal's model")
    torch.set_num_threads(1)
    actor = load_actor()
    out.mkdir(parents=True, exist_ok=True)
    betas = np.random.default_rng(SEED).normal(size=10).clip(-1.5, 1.5)
    pose = trial_poses(angles)
    transl = ankles_fixed_transl(actor, pose, betas)
    views = []
    progress.start("rendered trial", len(HEADINGS) * len(MESHES), "runs")
    for heading in HEADINGS:
        clip = Clip(f"{trial.stem}_{heading}", pose, betas, transl, level_camera(pose[0, 0], heading))
        video = render(actor, clip, out, seed=900 + heading)
        for mesh in MESHES:
            errors = angle_errors(video, out / mesh, mesh, clip.camera)
            estimate = read_motion(out / mesh / clip.name / f"{clip.name}.mot")
            knees = knee_flexion(estimate, read_motion(truth_path(video)))
            views.append({"heading_deg": heading, "mesh": mesh} | errors | {"knees": knees})
            progress.advance()
    return {"views": views}


def trial_poses(trial: Motion) -> Array:
    """SMPL poses (T, 24, 3), rad, of the trial's angles at the clips' frame rate."""
    time = START + np.arange(round(SECONDS * FPS)) / FPS
    q = np.zeros((len(time), len(joint_motion.COORDINATES)))
    for column, name in enumerate(joint_motion.COORDINATES):
        if name in trial.names and not name.endswith(("_tx", "_ty", "_tz", "_beta")):
            q[:, column] = np.radians(np.interp(time, trial.time, trial.values[:, trial.names.index(name)]))
    return np.asarray(JointSpacePoses().to_smpl(q), float)


def ankles_fixed_transl(actor: Actor, pose: Array, betas: Array) -> Array:
    """Translations (T, 3), m, that keep the ankles' midpoint over one point of the floor, y = 0."""
    zero_transl = np.zeros((len(pose), 3))
    ankles = [INDEX["left_ankle"], INDEX["right_ankle"]]
    transl = -actor.joints(pose, betas, zero_transl)[:, ankles].mean(1)
    transl[:, 1] = -actor.vertices(pose, betas, zero_transl)[..., 1].min(1)
    return np.asarray(transl)


def level_camera(root_rotation: Array, heading: float) -> Camera:
    """A level camera at `heading` degrees from where a person with this root rotation (3), axis-angle, rad, faces."""
    angle = root_rotation[1] + np.radians(heading)
    position = np.array([DISTANCE * np.sin(angle), HEIGHT, DISTANCE * np.cos(angle)])
    return look_at(position, np.array([0.0, HEIGHT, 0.0]), FOCAL, SIDE, SIDE, 0.0)


def knee_flexion(estimate: Motion, reference: Motion) -> dict[str, dict[str, float] | None]:
    """The knees' mean flexion in degrees, true and estimated, by `KNEE_RANGES`; None where there is no frame."""
    frames = min(len(estimate.time), len(reference.time))
    estimated_flexion, true_flexion = (
        np.mean([motion.values[:frames, motion.names.index(f"knee_angle_{side}")] for side in "lr"], axis=0)
        for motion in (estimate, reference)
    )
    flexion: dict[str, dict[str, float] | None] = {}
    for name, (low, high) in KNEE_RANGES.items():
        inside = (true_flexion >= low) & (true_flexion < high)
        means = (
            {"true_deg": float(true_flexion[inside].mean()), "estimated_deg": float(estimated_flexion[inside].mean())}
            if inside.any()
            else None
        )
        flexion[name] = means
    return flexion


def format_report(report: dict[str, Any]) -> str:
    """A Markdown table, one row a view and mesh."""
    return markdown_table(
        ("seen from", "mesh", "legs", "pelvis", *(f"knees {name}" for name in KNEE_RANGES)),
        [
            (
                str(view["heading_deg"]),
                f"`--mesh {view['mesh']}`",
                f"{view['legs_mae']:.1f} / {view['legs_mae_offset_removed']:.1f}",
                f"{view['pelvis_mae']:.1f}",
                *(
                    f"{knee['true_deg']:.0f} -> {knee['estimated_deg']:.0f}" if knee else ""
                    for knee in view["knees"].values()
                ),
            )
            for view in report["views"]
        ],
    )
