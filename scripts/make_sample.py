"""Make the sample clip: a recorded walk on the default body, rendered with a known camera, and its true joint angles.

    python scripts/make_sample.py                    # render again from the poses in walk_truth.npz
    python scripts/make_sample.py --motion FOLDER    # first take the poses from FOLDER/cmu_amc.tar.xz
    python scripts/make_sample.py --angles           # only walk_truth.mot, after a change of markers or skeleton

Writes `walk.mp4`, `walk_truth.npz`, `walk_truth.json` and `walk_truth.mot` into `--out` (default: sample_videos/).
The same machine makes the same files every time.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from biopose_cli.body.model import DEFAULT_BODY
from biopose_cli.io.atomic import atomic_write
from biopose_cli.io.video.focal import focal_px
from biopose_cli.render.scene import Camera, look_at
from biopose_cli.synthesis.ground_truth_video import FPS, write_angles, write_video
from biopose_cli.synthesis.motion_library import read_amc_archive, retarget_all
from biopose_cli.synthesis.rendering import Actor, load_actor, render_clip
from biopose_cli.typing import Array

TAKE = "55_04"  # the only walk of its subject, who is held out from training
WIDTH, HEIGHT = 1280, 960
FOCAL_35MM = 26  # mm, a phone's main camera
CAMERA_HEIGHT = 1.3  # m
WALK_CENTER = (-0.3, 4.4)  # m, right of the line of sight and away from the camera: the middle of the walk
OBLIQUE = 52.0  # degrees between the walk and the line of sight
SEED = 17
STATURE = 1.77  # m
SHAPE = (0.0, 1.0, -0.8, 0.6, 0.5, -0.5, 0.4, -0.3, 0.3, 0.2)  # before it is made STATURE tall
QUALITY = 17  # of x264: a lower number is a larger file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--motion", type=Path, help="folder with cmu_amc.tar.xz; default: the poses in walk_truth.npz")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "sample_videos")
    parser.add_argument("--angles", action="store_true", help="write only walk_truth.mot")
    args = parser.parse_args()
    torch.set_num_threads(1)
    actor = load_actor()
    betas = actor.body.betas_for_stature(STATURE, torch.tensor(SHAPE)).numpy().astype(float)
    camera = sample_camera()
    if args.motion is None:
        with np.load(args.out / "walk_truth.npz", allow_pickle=False) as stored:
            pose, transl = stored["pose"].astype(float), stored["transl"].astype(float)
    else:
        pose, transl = load_take(args.motion, actor, betas)
    if not args.angles:
        renders = render_clip(actor, pose, betas, transl, camera, SEED)
        images = (shot.image for shot in renders)
        write_video(args.out / "walk.mp4", images, focal_35mm=FOCAL_35MM, quality=QUALITY)
        write_facts(args.out, actor, pose, betas, transl, camera)
    write_angles(args.out / "walk_truth.mot", actor, pose, betas, transl, camera)


def sample_camera() -> Camera:
    """Level, CAMERA_HEIGHT above the floor, looking along -z; the walk's middle is at the origin."""
    eye = np.array([-WALK_CENTER[0], CAMERA_HEIGHT, WALK_CENTER[1]])
    return look_at(eye, eye - [0, 0, 1], focal_px(FOCAL_35MM, WIDTH, HEIGHT), WIDTH, HEIGHT)


def load_take(folder: Path, actor: Actor, betas: Array) -> tuple[Array, Array]:
    """Poses (T, 24, 3) and translations (T, 3) of the take, turned to walk obliquely towards the camera."""
    body = actor.rest_body(betas)
    subject = TAKE[:2]
    (motion,) = (
        motion for motion in retarget_all(read_amc_archive(folder, f"/{subject}/"), body, FPS) if motion.name == TAKE
    )
    walk = motion.transl[-1] - motion.transl[0]
    rotation = Rotation.from_euler("y", np.radians(OBLIQUE) - np.arctan2(walk[0], walk[2]))
    pelvis = body.joints[0]
    pose, transl = motion.pose.copy(), rotation.apply(motion.transl + pelvis) - pelvis
    pose[:, 0] = (rotation * Rotation.from_rotvec(pose[:, 0])).as_rotvec()
    center = (transl.min(axis=0) + transl.max(axis=0)) / 2
    # As precise as walk_truth.npz, so that drawing from there gives the same files.
    return pose.astype(np.float32).astype(float), (transl - center * [1, 0, 1]).astype(np.float32).astype(float)


def write_facts(folder: Path, actor: Actor, pose: Array, betas: Array, transl: Array, camera: Camera) -> None:
    """All that made the clip: poses in the world (y up, floor y = 0), camera and body; the .json is for reading."""
    with atomic_write(folder / "walk_truth.npz") as temporary:
        np.savez_compressed(
            temporary,
            time=np.arange(len(pose)) / FPS,
            pose=pose.astype(np.float32),
            transl=transl.astype(np.float32),
            betas=betas.astype(np.float32),
            camera_matrix=camera.matrix,
            camera_rotation=camera.rotation,
            camera_translation=camera.translation,
        )
    facts = {
        "motion": f"CMU Graphics Lab Motion Capture Database, take {TAKE}",
        "frames": len(pose),
        "frame_rate": FPS,
        "image_size": [WIDTH, HEIGHT],
        "focal_length_35mm": FOCAL_35MM,
        "focal_px": round(float(camera.matrix[0, 0]), 4),
        "camera_height_m": CAMERA_HEIGHT,
        "camera_pitch_deg": 0.0,
        "camera_roll_deg": 0.0,
        "stature_m": round(float(actor.body.stature(torch.tensor(betas).float())), 4),
        "body_sha256": hashlib.sha256(DEFAULT_BODY.read_bytes()).hexdigest(),
        "betas": [round(float(value), 6) for value in betas],
    }
    with atomic_write(folder / "walk_truth.json") as temporary:
        temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
