"""Knees end to end where somebody squats: a recorded trial's motion, rendered from five sides, whose truth is exact.

    python tools/rendered_trial.py --trial Squats_0.mot --out runs/squats

The trial's joint angles (a `.mot` in the default skeleton's coordinates, which are Rajagopal's) move a body of random
shape whose ankles stay where they are; a level camera films it. The program runs on the clips with `--mesh mqhmr` and
`--mesh fit`, and is told the focal length and nothing else. Printed: mean absolute errors in degrees (the legs', the
same without each angle's offset, the pelvis's tilt and list), and the knees' mean flexion, true and found, where they
are straight, half bent and bent. What is there is kept.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from rendered_clips import MESHES, SIDE, angle_errors

from biopose_cli.io.storage import Motion, read_motion
from biopose_cli.render.scene import Camera, look_at
from biopose_cli.synthesis import joint_motion
from biopose_cli.synthesis.ground_truth_video import FPS, write_angles, write_video
from biopose_cli.synthesis.mocap import INDEX
from biopose_cli.synthesis.pose_sampler import JointSpacePoses
from biopose_cli.synthesis.rendering import Actor, load_actor, render_clip
from biopose_cli.typing import Array

HEADINGS = (0, 30, 60, 90, 180)  # degrees, of the camera from where the person faces
START, SECONDS = 1.0, 4.0  # of the trial
DISTANCE, HEIGHT, FOCAL = 4.0, 1.1, 1.25 * SIDE  # m, m, px
SEED = 3
KNEE_RANGES = {"straight": (-20, 15), "half bent": (30, 70), "bent": (80, 180)}  # degrees


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--trial", type=Path, required=True, help="joint angles of somebody on one spot, .mot")
    options.add_argument("--out", type=Path, default=Path("runs/trial"))
    args = options.parse_args()
    torch.set_num_threads(1)
    actor = load_actor()
    args.out.mkdir(parents=True, exist_ok=True)
    betas = np.random.default_rng(SEED).normal(size=10).clip(-1.5, 1.5)
    pose = poses(read_motion(args.trial))
    transl = ankles_fixed_transl(actor, pose, betas)
    print("| seen from | mesh | legs | pelvis | " + " | ".join(f"knees {name}" for name in KNEE_RANGES) + " |")
    print("|---|---|---|---|" + "---|" * len(KNEE_RANGES))
    for heading in HEADINGS:
        name = f"{args.trial.stem}_{heading}"
        video, gt_path = (args.out / f"{name}{end}" for end in (".mp4", "_truth.mot"))
        camera = level_camera(pose[0, 0], heading)
        if not (video.exists() and gt_path.exists()):
            renders = render_clip(actor, pose, betas, transl, camera, 900 + heading)
            write_video(video, (shot.image for shot in renders))
            write_angles(gt_path, actor, pose, betas, transl, camera)
        for mesh in MESHES:
            mae, offset_removed, pelvis_error = angle_errors(video, gt_path, args.out / mesh, mesh, camera)
            estimate = read_motion(args.out / mesh / name / f"{name}.mot")
            cells = " | ".join(knee_flexion(estimate, read_motion(gt_path)))
            print(
                f"| {heading} | `--mesh {mesh}` | {mae:.1f} / {offset_removed:.1f} | {pelvis_error:.1f} | {cells} |",
                flush=True,
            )


def poses(trial: Motion) -> Array:
    """(T, 24, 3) rad: SMPL's, of the trial's angles at the clips' rate."""
    time = START + np.arange(round(SECONDS * FPS)) / FPS
    q = np.zeros((len(time), len(joint_motion.COORDINATES)))
    for column, name in enumerate(joint_motion.COORDINATES):
        if name in trial.names and not name.endswith(("_tx", "_ty", "_tz", "_beta")):
            q[:, column] = np.radians(np.interp(time, trial.time, trial.values[:, trial.names.index(name)]))
    return np.asarray(JointSpacePoses().to_smpl(q), float)


def ankles_fixed_transl(actor: Actor, pose: Array, betas: Array) -> Array:
    """The translations (T, 3) m with which the ankles' middle stays over one place of the floor, y = 0."""
    zero_transl = np.zeros((len(pose), 3))
    ankles = [INDEX["left_ankle"], INDEX["right_ankle"]]
    transl = -actor.joints(pose, betas, zero_transl)[:, ankles].mean(1)
    transl[:, 1] = -actor.vertices(pose, betas, zero_transl)[..., 1].min(1)
    return np.asarray(transl)


def level_camera(root_rotation: Array, heading: float) -> Camera:
    """A level camera at a heading (degrees) from where a person whose root is turned by `facing` (3) rad looks."""
    angle = root_rotation[1] + np.radians(heading)
    position = np.array([DISTANCE * np.sin(angle), HEIGHT, DISTANCE * np.cos(angle)])
    return look_at(position, np.array([0.0, HEIGHT, 0.0]), FOCAL, SIDE, SIDE, 0.0)


def knee_flexion(estimate: Motion, reference: Motion) -> list[str]:
    """The knees' mean flexion in degrees, true and found, for each of `BENT`."""
    frames = min(len(estimate.time), len(reference.time))
    estimated_flexion, true_flexion = (
        np.mean([motion.values[:frames, motion.names.index(f"knee_angle_{side}")] for side in "lr"], axis=0)
        for motion in (estimate, reference)
    )
    ranges = [(true_flexion >= low) & (true_flexion < high) for low, high in KNEE_RANGES.values()]
    return [
        f"{true_flexion[in_range].mean():.0f} -> {estimated_flexion[in_range].mean():.0f}" if in_range.any() else ""
        for in_range in ranges
    ]


if __name__ == "__main__":
    main()
