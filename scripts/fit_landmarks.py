"""Measure where BlazePose's landmarks sit on the body, and how far they scatter: biopose_cli/body/data/landmarks.csv.

    python scripts/fit_landmarks.py POSES.npz [--images 600] [--out biopose_cli/body/data/landmarks.csv]

The default body is rendered in the poses of POSES.npz (what `synthesis/motion_library.py` makes of motion capture),
with random shapes, clothes, rooms and cameras, and looked at by the detect stage's network. For every landmark one
point fixed in the frame of the bone that carries it is fitted to the keypoints by robust least squares; left and right
share it, mirrored. What is left is the landmark's noise. Rendered people differ from real ones: `REAL` is added to what
the renders say (docs/how/mesh.md tells how it was found). The same input and seed give the same file.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from biopose_cli.body.kinematics import read_csv
from biopose_cli.detect.blazepose import Landmarker
from biopose_cli.geometry import roi as geometry
from biopose_cli.geometry import so3
from biopose_cli.io import assets
from biopose_cli.progress import NullProgress
from biopose_cli.render.scene import look_at
from biopose_cli.synthesis.rendering import Actor, load_actor, render_images
from biopose_cli.typing import Array

SIZE = 640  # px, side of an image
SHAPE_STD = np.array([1, 1, 1, 0.7, 0.7, 0.7, 0.5, 0.5, 0.5, 0.5])
HUBER_DELTA = 3.0  # px of the crop, from which a residual counts less
# m, (up, forward): how much lower and further forward real people's landmarks sit than the renders'
LANDMARK_BIAS = {"hip": (-0.015, 0.010), "knee": (-0.006, 0.0)}
HEADER = """\
# BlazePose's landmarks on the body: rest position of joint `origin` + (x, y, z) m, turning with joint `carrier`.
# Axes of the T-pose: x to the subject's left, y up, z forward. `sigma`: scatter, px of the network's 256 px crop.
# Landmarks of one `group` deviate together from person to person. Made by scripts/fit_landmarks.py; see docs/how/mesh.md.
"""  # noqa: E501


@dataclass(frozen=True)
class RenderedDetections:
    """N rendered people: joints (N,24,3) and their axes (N,24,3,3), camera frame; the joints at rest (N,24,3) m."""

    joints: Array
    joint_rotations: Array
    rest_joints: Array
    relative_stature: Array  # (N) stature over that of the mean shape
    focal: Array  # (N) px
    crop_size: Array  # (N) px of the network's crop
    keypoints: Array  # (N,33,2) px from the image's centre
    confidence: Array  # (N,33)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("poses", type=Path)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("biopose_cli/body/data/landmarks.csv"))
    options = parser.parse_args()
    paths = assets.ensure(assets.required_assets("heavy"), NullProgress())
    network = Landmarker(paths["heavy"])
    with np.load(options.poses) as stored:
        poses = stored["pose"].astype(np.float64)
    detections = render_and_detect(network, load_actor(), poses, options.images, options.seed)
    rows = read_csv("landmarks.csv")
    for landmark, row in enumerate(rows):
        if row["name"].startswith("right_"):
            continue
        pairs = [(landmark, 1.0)]
        if row["name"].startswith("left_"):
            other = next(i for i, r in enumerate(rows) if r["name"] == row["name"].replace("left_", "right_"))
            pairs.append((other, -1.0))
        start = np.array([float(row[axis]) for axis in "xyz"])
        offset, sigma = fit_offset(detections, rows, pairs, start)
        offset += (0, *LANDMARK_BIAS.get(row["group"], (0, 0)))
        for index, side in pairs:
            rows[index] |= {a: f"{v:.4f}" for a, v in zip("xyz", offset * (side, 1, 1), strict=True)}
            rows[index]["sigma"] = f"{sigma:.2f}"
        print(f"{row['name']:16s} {np.round(1e3 * offset, 1)} mm, scatter {sigma:.2f} px")
    with options.out.open("w", encoding="utf-8", newline="") as file:
        file.write(HEADER)
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def render_and_detect(network: Landmarker, actor: Actor, poses: Array, images: int, seed: int) -> RenderedDetections:
    """Render `images` people and find their landmarks; those the network takes for nobody are left out."""
    rng = np.random.default_rng(seed)
    sampled = poses[rng.integers(len(poses), size=images)]
    betas = SHAPE_STD * rng.normal(size=(images, 10))
    joints = np.stack([actor.joints(p[None], b, np.zeros((1, 3)))[0] for p, b in zip(sampled, betas, strict=True)])
    lowest = joints[..., 1].min(1)
    transl = np.stack([-joints[:, 0, 0], 0.08 - lowest, -joints[:, 0, 2]], -1)
    cameras = []
    for _ in range(images):
        focal, heading, pitch = (
            rng.uniform(0.9, 1.7) * SIZE,
            rng.uniform(-np.pi, np.pi),
            np.radians(rng.normal(4, 10)),
        )
        distance = focal * 2.3 / SIZE * rng.uniform(1.0, 1.5)
        target = np.array([rng.normal(0, 0.1), 0.9 + rng.normal(0, 0.1), 0])
        horizontal = np.cos(pitch) * np.array([np.sin(heading), 0, np.cos(heading)])
        position = target + distance * (horizontal + np.array([0, np.sin(pitch), 0]))
        cameras.append(look_at(position, target, focal, SIZE, SIZE, roll=np.radians(rng.normal(0, 5))))
    mean_height = float(np.ptp(actor.rest_vertices_and_joints(np.zeros(10))[0][:, 1]))
    rows: list[tuple[Array, ...]] = []
    for k, render in enumerate(render_images(actor, sampled, betas, transl, cameras, seed)):
        projected = render.vertices[:, :2] / render.vertices[:, 2:] * render.camera.matrix[0, 0] + SIZE / 2
        hips, shoulders = (
            (render.joints[pair, :2] / render.joints[pair, 2:]).mean(0) * render.camera.matrix[0, 0] + SIZE / 2
            for pair in ([1, 2], [16, 17])
        )
        axis = (shoulders - hips) / np.linalg.norm(shoulders - hips)
        first_pass = network(
            render.image,
            geometry.roi_from_circle(hips, hips + axis * np.linalg.norm(projected - hips, axis=1).max()),
        )
        if first_pass.score < 0.5:
            continue
        pose = network(render.image, first_pass.next_roi)
        vertices, rest_joints = actor.rest_vertices_and_joints(betas[k])
        joint_rotations = global_rotations(so3.axis_angle_to_matrix(sampled[k]), actor.body.parents)
        rows.append(
            (
                render.joints,
                render.camera.rotation @ joint_rotations,
                rest_joints,
                np.ptp(vertices[:, 1]) / mean_height,
                render.camera.matrix[0, 0],
                pose.roi[2],
                pose.keypoints - SIZE / 2,
                pose.confidence,
            )
        )
    return RenderedDetections(*(np.array(values, dtype=np.float64) for values in zip(*rows, strict=True)))


def global_rotations(local: Array, parents: tuple[int, ...]) -> Array:
    """Axes of all joints in the world (24,3,3) from those in their parents'."""
    rotations = local.copy()
    for joint in range(1, len(rotations)):
        rotations[joint] = rotations[parents[joint]] @ local[joint]
    return rotations


def fit_offset(
    detections: RenderedDetections, rows: list[dict[str, str]], pairs: list[tuple[int, float]], start: Array
) -> tuple[Array, float]:
    """The offset (3,) m that best explains a landmark's keypoints (or a left and a right one's), and their scatter."""
    offset = start
    scale = 256 / detections.crop_size
    for _ in range(30):
        normal, rhs, errors = np.zeros((3, 3)), np.zeros(3), []
        for landmark, side in pairs:
            parent_joint, origin = int(rows[landmark]["carrier"]), int(rows[landmark]["origin"])
            mirror = detections.relative_stature[:, None, None] * np.diag([side, 1, 1])
            lever = detections.rest_joints[:, origin] - detections.rest_joints[:, parent_joint] + mirror @ offset
            point = detections.joints[:, parent_joint] + np.einsum(
                "nij,nj->ni", detections.joint_rotations[:, parent_joint], lever
            )
            projection_jacobian = np.zeros((len(point), 2, 3))
            projection_jacobian[:, 0, 0] = projection_jacobian[:, 1, 1] = detections.focal / point[:, 2]
            projection_jacobian[:, :, 2] = -point[:, :2] * (detections.focal / point[:, 2] ** 2)[:, None]
            projected = point[:, :2] / point[:, 2:] * detections.focal[:, None]
            residual = (projected - detections.keypoints[:, landmark]) * scale[:, None]
            jacobian = projection_jacobian @ detections.joint_rotations[:, parent_joint] @ mirror * scale[:, None, None]
            weight = detections.confidence[:, landmark] ** 2 / np.sqrt(1 + (residual**2).sum(1) / HUBER_DELTA**2)
            normal += np.einsum("n,nki,nkj->ij", weight, jacobian, jacobian)
            rhs += np.einsum("n,nki,nk->i", weight, jacobian, residual)
            errors.append(np.linalg.norm(residual, axis=1)[detections.confidence[:, landmark] > 0.5])
        if len(pairs) == 1:  # the nose is in the middle
            normal[0], normal[:, 0], normal[0, 0], rhs[0] = 0, 0, 1, 0
        offset = offset - np.linalg.solve(normal, rhs)
    # the median length of a two-dimensional normal error is 1.177 standard deviations
    return offset, float(np.median(np.concatenate(errors)) / 1.177)


if __name__ == "__main__":
    main()
