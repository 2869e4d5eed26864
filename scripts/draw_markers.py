"""Draw the pictures of `docs/how/body.md`: the default body, its joint centres, markers, poses and shapes.

python scripts/draw_markers.py
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes

from biopose_cli.body.markers import MARKER_NAMES, MARKERS
from biopose_cli.body.model import JOINT_NAMES, Body, load_body
from biopose_cli.render.mesh_rasterizer import shade
from biopose_cli.typing import Array

FOLDER = Path("docs/images")
SKIN_COLOR = np.array([0.93, 0.79, 0.70])
DISTANCE = 5.0  # m, of the camera; the projection itself is parallel
# Rows: what points right, down and away in the picture, in the body's axes (x left, y up, z forward).
VIEWS = {
    "front": np.array([[1, 0, 0], [0, -1, 0], [0, 0, -1]]),
    "back": np.array([[-1, 0, 0], [0, -1, 0], [0, 0, 1]]),
    "left": np.array([[0, 0, -1], [0, -1, 0], [-1, 0, 0]]),
    "right": np.array([[0, 0, 1], [0, -1, 0], [1, 0, 0]]),
    "medial": np.array([[0, 0, 1], [0, -1, 0], [1, 0, 0]]),
    "top": np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]),
}
SQUAT = {
    "left_hip": (-95, 0, 5), "right_hip": (-95, 0, -5), "left_knee": (110, 0, 0), "right_knee": (110, 0, 0),
    "left_ankle": (-25, 0, 0), "right_ankle": (-25, 0, 0), "spine1": (20, 0, 0), "spine2": (15, 0, 0),
    "left_shoulder": (0, -80, 0), "right_shoulder": (0, 80, 0),
}  # fmt: skip
STEP = {
    "left_hip": (-35, 0, 0), "right_hip": (15, 0, 0), "left_knee": (10, 0, 0), "right_knee": (45, 0, 0),
    "right_foot": (-25, 0, 0), "right_ankle": (10, 0, 0), "left_shoulder": (25, 0, -75), "right_shoulder": (-25, 0, 75),
    "left_elbow": (0, -30, 0), "right_elbow": (0, 50, 0),
}  # fmt: skip
REACH = {
    "left_collar": (0, 0, 20), "left_shoulder": (0, 0, 60), "right_shoulder": (0, 0, 75), "spine1": (0, 0, -12),
    "right_elbow": (0, 110, 0), "right_hip": (0, 0, -25), "neck": (0, 25, 0),
}  # fmt: skip


def pose_body(body: Body, angles: dict[str, tuple[int, int, int]], betas: torch.Tensor) -> tuple[Array, Array, Array]:
    """Vertices, joints and markers with the joints turned by `angles` (axis-angle, degrees)."""
    body_pose = torch.zeros(1, 23, 3)
    for name, angle in angles.items():
        body_pose[0, JOINT_NAMES.index(name) - 1] = torch.deg2rad(torch.tensor(angle, dtype=torch.float32))
    pose = (body_pose, torch.zeros(1, 3), betas, torch.zeros(1, 3))
    reduced = body.pose(*pose)
    return body.vertices(*pose)[0].numpy(), reduced.joints[0].numpy(), reduced.markers[0].numpy()


def draw(
    axes: Axes, vertices: Array, faces: Array, view: str, window: tuple[Array, float, float], px_per_m: float
) -> tuple[Array, Array]:
    """Draw the surface; `window` is its centre, width and height in m. Returns the map to pixels: matrix, offset."""
    center, width, height = window
    size = round(width * px_per_m), round(height * px_per_m)
    matrix = VIEWS[view] * px_per_m
    offset = np.array([size[0] / 2, size[1] / 2, DISTANCE * px_per_m]) - matrix @ center
    camera = (vertices @ matrix.T + offset) / px_per_m
    brightness = shade(camera[:, :2] * px_per_m, camera, faces, size[1], size[0])
    image = np.where(brightness[..., None] > 0, brightness[..., None] * SKIN_COLOR, 1.0)
    axes.imshow(image, extent=(0, size[0], size[1], 0))
    axes.set(xlim=(0, size[0]), ylim=(size[1], 0))
    axes.axis("off")
    return matrix, offset


def facing_viewer(body: Body, vertices: Array, view: str) -> Array:
    """Whether each marker's skin is turned towards the viewer (M,)."""
    a, b, c = vertices[body.faces].transpose(1, 0, 2)
    normals = np.zeros_like(vertices)
    np.add.at(normals, body.faces.ravel(), np.cross(b - a, c - a).repeat(3, axis=0))
    faces_viewer: Array = normals[body.marker_vertices] @ -VIEWS[view][2] > -0.2 * np.linalg.norm(
        normals[body.marker_vertices], axis=1
    )
    return faces_viewer


def label(axes: Axes, points: Array, names: Sequence[str], color: str, text: bool = True) -> None:
    limits = axes.get_xlim()[1], axes.get_ylim()[0]
    for (x, y), name in zip(points[:, :2], names, strict=True):
        if 0 < x < limits[0] and 0 < y < limits[1]:
            axes.plot(x, y, "o", color=color, markersize=3.5, markeredgecolor="white", markeredgewidth=0.4)
            if text:
                axes.annotate(name, (x, y), (3, 3), textcoords="offset points", fontsize=6, color="black")


def full_window(vertices: Array, margin: float = 0.06) -> tuple[Array, float, float]:
    low, high = vertices.min(0), vertices.max(0)
    return (low + high) / 2, max(high[0] - low[0], high[2] - low[2]) + margin, high[1] - low[1] + margin


def save(figure: plt.Figure, name: str) -> None:
    figure.savefig(FOLDER / name, dpi=130, bbox_inches="tight", pad_inches=0.05)
    plt.close(figure)


def main() -> None:
    body = load_body()
    mean = torch.zeros(10)
    vertices, joints, markers = pose_body(body, {}, mean)

    figure, panes = plt.subplots(1, 2, figsize=(13, 6.6))
    for axes, view in zip(panes, ("front", "back"), strict=True):
        matrix, offset = draw(axes, vertices, body.faces, view, full_window(vertices), 500)
        visible = facing_viewer(body, vertices, view)
        label(axes, markers[visible] @ matrix.T + offset, np.array(MARKER_NAMES)[visible].tolist(), "crimson")
    figure.tight_layout()
    save(figure, "body_markers.png")

    closeups = {  # view, centre, width, height in m
        "left: left leg": ("left", joints[4], 0.45, 1.15),
        "right: left foot, medial": ("medial", joints[7] + [0, -0.02, 0.06], 0.36, 0.24),
        "left: left foot": ("left", joints[7] + [0, -0.02, 0.06], 0.36, 0.24),
        "top: left hand": ("top", joints[20] + [0.06, 0, 0], 0.40, 0.24),
        "front: left shoulder and elbow": ("front", joints[16] + [0.10, -0.02, 0], 0.52, 0.32),
        "left: trunk and head": ("left", joints[6] + [0, 0.13, 0], 0.45, 1.05),
    }
    figure, panes = plt.subplots(1, len(closeups), figsize=(17, 5.2), width_ratios=[1, 1.6, 1.6, 1.6, 1.6, 1])
    for axes, (title, (view, center, width, height)) in zip(panes, closeups.items(), strict=True):
        visible_vertices = vertices.copy()
        if view == "medial":
            visible_vertices[visible_vertices[:, 0] < 0] = np.nan  # the right leg stands in front
        matrix, offset = draw(axes, visible_vertices, body.faces, view, (center, width, height), 700)
        visible = facing_viewer(body, vertices, view) & (markers[:, 0] > -0.01)
        if "trunk" in title:  # the arm points at the viewer
            visible &= np.array([marker.segment in {"pelvis", "lumbar", "torso", "head"} for marker in MARKERS])
        label(axes, markers[visible] @ matrix.T + offset, np.array(MARKER_NAMES)[visible].tolist(), "crimson")
        axes.set_title(title.partition(": ")[2], fontsize=8)
    figure.tight_layout()
    save(figure, "body_markers_close.png")

    figure, panes = plt.subplots(1, 2, figsize=(12, 6.2))
    for axes, view in zip(panes, ("front", "left"), strict=True):
        matrix, offset = draw(axes, vertices, body.faces, view, full_window(vertices), 450)
        label(axes, joints @ matrix.T + offset, JOINT_NAMES, "navy")
    figure.tight_layout()
    save(figure, "body_joints.png")

    figure, panes = plt.subplots(1, 6, figsize=(15, 4))
    for k, (pose, views) in enumerate(
        ((SQUAT, ("left", "front")), (STEP, ("left", "front")), (REACH, ("front", "back")))
    ):
        v, _, m = pose_body(body, pose, mean)
        for axes, view in zip(panes[2 * k : 2 * k + 2], views, strict=True):
            matrix, offset = draw(axes, v, body.faces, view, (full_window(v)[0], 1.35, 1.95), 300)
            visible = facing_viewer(body, v, view)
            label(
                axes,
                m[visible] @ matrix.T + offset,
                np.array(MARKER_NAMES)[visible].tolist(),
                "crimson",
                text=False,
            )
    figure.tight_layout()
    save(figure, "body_poses.png")

    mass_betas = torch.zeros(10)
    mass_betas[[3, 4]] = torch.tensor([1.5, -2.0])  # the components that carry most of it
    people = {
        "mean": mean,
        "1.30 m": body.betas_for_stature(1.30),
        "1.50 m": body.betas_for_stature(1.50),
        "1.95 m": body.betas_for_stature(1.95),
        "2.10 m": body.betas_for_stature(2.10),
        "light, 1.70 m": body.betas_for_stature(1.70, -mass_betas),
        "heavy, 1.70 m": body.betas_for_stature(1.70, mass_betas),
    }
    figure, panes = plt.subplots(1, len(people), figsize=(16, 4.4))
    relaxed = {"left_shoulder": (0, 0, -65), "right_shoulder": (0, 0, 65)}
    for axes, (title, betas) in zip(panes, people.items(), strict=True):
        v, _, _ = pose_body(body, relaxed, betas)
        center = np.array([0.0, v[:, 1].min() + 1.07, 0.0])
        draw(axes, v, body.faces, "front", (center, 1.1, 2.2), 250)
        axes.set_title(title, fontsize=8)
    figure.tight_layout()
    save(figure, "body_shapes.png")


if __name__ == "__main__":
    main()
