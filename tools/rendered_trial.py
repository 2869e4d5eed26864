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
from rendered_clips import MESHES, SIDE, errors

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
AWAY, HEIGHT, FOCAL = 4.0, 1.1, 1.25 * SIDE  # m, m, px
SEED = 3
BENT = {"straight": (-20, 15), "half bent": (30, 70), "bent": (80, 180)}  # degrees


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument(
        "--trial", type=Path, required=True, help="joint angles of somebody on one spot, .mot"
    )
    options.add_argument("--out", type=Path, default=Path("runs/trial"))
    chosen = options.parse_args()
    torch.set_num_threads(1)
    actor = load_actor()
    chosen.out.mkdir(parents=True, exist_ok=True)
    betas = np.random.default_rng(SEED).normal(size=10).clip(-1.5, 1.5)
    pose = poses(read_motion(chosen.trial))
    transl = on_the_spot(actor, pose, betas)
    print("| seen from | mesh | legs | pelvis | " + " | ".join(f"knees {name}" for name in BENT) + " |")
    print("|---|---|---|---|" + "---|" * len(BENT))
    for heading in HEADINGS:
        name = f"{chosen.trial.stem}_{heading}"
        video, truth = (chosen.out / f"{name}{end}" for end in (".mp4", "_truth.mot"))
        camera = phone(pose[0, 0], heading)
        if not (video.exists() and truth.exists()):
            shots = render_clip(actor, pose, betas, transl, camera, 900 + heading)
            write_video(video, (shot.image for shot in shots))
            write_angles(truth, actor, pose, betas, transl, camera)
        for mesh in MESHES:
            mae, rest, tilted = errors(video, truth, chosen.out / mesh, mesh, camera)
            found = read_motion(chosen.out / mesh / name / f"{name}.mot")
            cells = " | ".join(knees(found, read_motion(truth)))
            print(
                f"| {heading} | `--mesh {mesh}` | {mae:.1f} / {rest:.1f} | {tilted:.1f} | {cells} |",
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


def on_the_spot(actor: Actor, pose: Array, betas: Array) -> Array:
    """The translations (T, 3) m with which the ankles' middle stays over one place of the floor, y = 0."""
    nowhere = np.zeros((len(pose), 3))
    ankles = [INDEX["left_ankle"], INDEX["right_ankle"]]
    transl = -actor.joints(pose, betas, nowhere)[:, ankles].mean(1)
    transl[:, 1] = -actor.vertices(pose, betas, nowhere)[..., 1].min(1)
    return np.asarray(transl)


def phone(facing: Array, heading: float) -> Camera:
    """A level camera at a heading (degrees) from where a person whose root is turned by `facing` (3) rad looks."""
    angle = facing[1] + np.radians(heading)
    position = np.array([AWAY * np.sin(angle), HEIGHT, AWAY * np.cos(angle)])
    return look_at(position, np.array([0.0, HEIGHT, 0.0]), FOCAL, SIDE, SIDE, 0.0)


def knees(found: Motion, truth: Motion) -> list[str]:
    """The knees' mean flexion in degrees, true and found, for each of `BENT`."""
    frames = min(len(found.time), len(truth.time))
    flexed, true = (
        np.mean([motion.values[:frames, motion.names.index(f"knee_angle_{side}")] for side in "lr"], axis=0)
        for motion in (found, truth)
    )
    ranges = [(true >= low) & (true < high) for low, high in BENT.values()]
    return [f"{true[some].mean():.0f} -> {flexed[some].mean():.0f}" if some.any() else "" for some in ranges]


if __name__ == "__main__":
    main()
