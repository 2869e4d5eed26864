"""Detections of the detect stage's network on rendered people, with the true bodies and cameras.

They measure the detector's errors (`keypoint_error_bank.py`), and serve as a test with exact truth for body recovery.
World frame: y up, floor y = 0; camera frame: OpenCV's. m, rad; px count from the image's upper left corner.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import torch

from biopose_cli.detect.blazepose import Landmarker, LiteRTModel, infer_landmarks
from biopose_cli.geometry import roi as geometry
from biopose_cli.geometry.camera import project
from biopose_cli.io.npz import NpzArrays
from biopose_cli.progress import Progress
from biopose_cli.render.scene import Camera, look_at
from biopose_cli.synthesis.mocap import INDEX
from biopose_cli.synthesis.pose_sampler import perturb
from biopose_cli.synthesis.rendering import Actor, Render, render_clip
from biopose_cli.synthesis.subjects import random_betas
from biopose_cli.typing import Array

IMAGE_SIZE = 480  # px, side of an image: a person's crop is mostly larger than the network's 256 px
MIN_SCORE = 0.5  # detections with a lower score are dropped
_FOCAL_RANGE = (0.75, 1.7)  # of the image's side: phones from wide to tele, and cropped images
# degrees: mean and standard deviation of the downward pitch; standard deviation of the roll
_PITCH, _ROLL = (5.0, 12.0), 6.0
_PERSON_FRACTION = (0.35, 0.85)  # person's size over the image's side
_MIN_DISTANCE = 0.5  # m between the camera and the bounding sphere of the person
_MIN_HEIGHT = 0.15  # m above the floor, of the camera
# fraction of people who are cut off by the image's border, and by how much
_TRUNCATION_PROB, _TRUNCATED_FRACTION = 0.1, (0.08, 0.3)
_PERTURBATION_STD = 15.0  # degrees, standard deviation of a joint's perturbation


@dataclass(frozen=True)
class RenderedDetections(NpzArrays):
    """N looks at people.

    Truth: `pose` (N, 24, 3) rotation vectors, the root's in the world; `perturbed` (N) whether random joint rotations
    were added; `betas` (N, 10); `transl` (N, 3), SMPL's, world; `rotation` (N, 3, 3) and `translation` (N, 3): camera =
    rotation @ world + translation; `focal` (N) px, square pixels, principal point in the middle of an image of `size`
    (2) px, width and height; `subject` (N) source of the motion.

    Predicted: `roi` (N, 4) region of interest of the network (`geometry/roi.py`); `keypoints` (N, 33, 2) px of the
    image, with `confidence` (N, 33); `landmarks_3d` (N, 33, 3) m relative to the hips' midpoint, camera axes.
    """

    pose: Array
    perturbed: Array
    betas: Array
    transl: Array
    rotation: Array
    translation: Array
    focal: Array
    size: Array
    roi: Array
    keypoints: Array
    confidence: Array
    landmarks_3d: Array
    subject: Array

    def __len__(self) -> int:
        return len(self.pose)

    def select(self, index: Array) -> RenderedDetections:
        """The entries at `index`, a mask or indices."""
        rows = {f.name: getattr(self, f.name)[index] for f in fields(RenderedDetections) if f.name != "size"}
        return RenderedDetections(**rows, size=self.size)

    @staticmethod
    def concatenate(parts: Sequence[RenderedDetections]) -> RenderedDetections:
        """Join several into one; their images must have the same size."""
        columns = {
            f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(RenderedDetections)
        }
        return RenderedDetections(**(columns | {"size": parts[0].size}))


def render_and_detect(
    actor: Actor,
    weights_path: Path,
    poses: Array,
    subjects: Array,
    count: int,
    seed: int,
    progress: Progress,
    *,
    perturbed_fraction: float = 0.5,
    processes: int = 1,
) -> RenderedDetections:
    """Render `count` people and run the detector twice on each, as tracking does. Missed people are left out.

    Everybody has a random shape, clothes, room and camera. The result depends on the seed, not on `processes`.

    Parameters
    ----------
    actor : the body
    weights_path : of the landmark network (`io.assets.ensure`)
    poses : (P, 24, 3) rotation vectors, world, to draw from
    subjects : (P) str, subject of each pose
    count : number of people
    seed : of all random choices
    progress : reports the number of finished people
    perturbed_fraction : fraction of the poses with random joint rotations added
    processes : number of worker processes; 1 runs in this process
    """
    progress.start("rendered people", count, "people")
    rows = []
    for row in _make_rows((actor, weights_path, poses, subjects, perturbed_fraction, seed), count, processes):
        rows += [] if row is None else [row]
        progress.advance()
    columns = {f.name: np.array([row[f.name] for row in rows]) for f in fields(RenderedDetections) if f.name != "size"}
    return RenderedDetections(**columns, size=np.array([IMAGE_SIZE, IMAGE_SIZE]))


Row = dict[str, Array | bool | str]


class _Worker:
    """Renders and detects; entry k depends only on the seed and k."""

    def __init__(
        self,
        actor: Actor,
        weights_path: Path,
        poses: Array,
        subjects: Array,
        perturbed_fraction: float,
        seed: int,
    ) -> None:
        self.actor, self.landmark_model, self.landmarker = (
            actor,
            LiteRTModel(weights_path),
            Landmarker(weights_path),
        )
        self.poses, self.subjects, self.perturbed_fraction, self.seed = (
            poses,
            subjects,
            perturbed_fraction,
            seed,
        )

    def make_row(self, number: int) -> Row | None:
        """One entry of `RenderedDetections`, or None if the network detects nobody."""
        rng = np.random.default_rng((self.seed, number))
        chosen = rng.integers(len(self.poses))
        pose = self.poses[chosen].astype(float)
        perturbed = bool(rng.random() < self.perturbed_fraction)
        if perturbed:
            pose = perturb(pose[None], rng, np.full(1, np.radians(_PERTURBATION_STD)))[0]
        betas = random_betas(rng)
        vertices = self.actor.vertices(pose[None], betas, np.zeros((1, 3)))[0]
        center = (vertices.max(0) + vertices.min(0)) / 2
        transl = np.array([rng.uniform(-1, 1) - center[0], -vertices[:, 1].min(), rng.uniform(-1, 1) - center[2]])
        camera = sample_phone_camera(vertices + transl, rng)
        clip_seed = int(rng.integers(2**31))
        (render,) = render_clip(self.actor, pose[None], betas, transl[None], camera, clip_seed)
        gt = gt_roi(render)
        first_pass = infer_landmarks(self.landmark_model, geometry.warp_crop(render.image, gt).astype(np.float32) / 255)
        if first_pass.score < MIN_SCORE:
            return None
        detected = self.landmarker(
            render.image, geometry.roi_from_circle(*geometry.to_image(first_pass.alignment_points, gt))
        )
        if detected.score < MIN_SCORE:
            return None
        pred = {
            "roi": detected.roi,
            "keypoints": detected.keypoints,
            "confidence": detected.confidence,
            "landmarks_3d": detected.landmarks_3d,
        }
        return row_of(pose, betas, transl, camera, pred) | {
            "subject": str(self.subjects[chosen]),
            "perturbed": perturbed,
        }


def row_of(pose: Array, betas: Array, transl: Array, camera: Camera, pred: dict[str, Array]) -> Row:
    """One entry of `RenderedDetections`."""
    gt = {
        "pose": pose,
        "betas": betas,
        "transl": transl,
        "rotation": camera.rotation,
        "translation": camera.translation,
        "focal": camera.matrix[0, 0],
    }
    return {name: np.asarray(value, np.float32) for name, value in (gt | pred).items()}


_worker: list[_Worker] = []  # in a worker process


def _init_worker(*worker_args: object) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _worker[:] = [_Worker(*worker_args)]  # type: ignore[arg-type]


def _make_row_in_worker(number: int) -> Row | None:
    return _worker[0].make_row(number)


def _make_rows(
    worker_args: tuple[Actor, Path, Array, Array, float, int], count: int, processes: int
) -> Iterator[Row | None]:
    if processes == 1:
        yield from map(_Worker(*worker_args).make_row, range(count))
        return
    with ProcessPoolExecutor(processes, get_context("spawn"), initializer=_init_worker, initargs=worker_args) as pool:
        yield from pool.map(_make_row_in_worker, range(count), chunksize=8)


def sample_phone_camera(vertices: Array, rng: np.random.Generator) -> Camera:
    """A random hand-held camera that points at a person with vertices (V, 3), world."""
    focal = IMAGE_SIZE * rng.uniform(*_FOCAL_RANGE)
    heading = rng.uniform(-np.pi, np.pi)
    pitch, roll = np.radians([rng.normal(*_PITCH), rng.normal(0, _ROLL)])
    backward = np.array([np.cos(pitch) * np.sin(heading), np.sin(pitch), np.cos(pitch) * np.cos(heading)])
    center = (vertices.max(0) + vertices.min(0)) / 2
    min_distance = _MIN_DISTANCE + float(np.linalg.norm(vertices - center, axis=1).max())
    target_size = IMAGE_SIZE * rng.uniform(*_PERSON_FRACTION)
    distance = 2 * min_distance
    for _ in range(4):  # the image size is not exactly inverse to the distance
        position = center + distance * backward
        position[1] = max(position[1], _MIN_HEIGHT)
        projected = look_at(position, center, focal, IMAGE_SIZE, IMAGE_SIZE, roll).project(vertices)
        distance = max(min_distance, distance * float(np.ptp(projected, axis=0).max()) / target_size)
    extent = np.ptp(projected, axis=0)
    free_space = np.maximum(IMAGE_SIZE - extent, 0)
    shift = rng.uniform(-0.5, 0.5, 2) * free_space
    if rng.random() < _TRUNCATION_PROB:
        axis, sign = rng.integers(2), rng.choice([-1, 1])
        shift[axis] = sign * (free_space[axis] / 2 + rng.uniform(*_TRUNCATED_FRACTION) * extent[axis])
    shift += IMAGE_SIZE / 2 - (projected.max(0) + projected.min(0)) / 2
    centered_camera = look_at(position, center, focal, IMAGE_SIZE, IMAGE_SIZE, roll)
    view_ray = np.array([*(-shift / focal), 1.0]) @ centered_camera.rotation
    return look_at(position, position + view_ray, focal, IMAGE_SIZE, IMAGE_SIZE, roll)


def gt_roi(render: Render) -> Array:
    """The ROI (4,) that a perfect detector would give."""
    joints, outline = (project(points, render.camera.matrix) for points in (render.joints, render.vertices))
    hips, shoulders = (joints[[INDEX[f"left_{name}"], INDEX[f"right_{name}"]]].mean(0) for name in ("hip", "shoulder"))
    axis = (shoulders - hips) / max(float(np.linalg.norm(shoulders - hips)), 1e-6)
    return geometry.roi_from_circle(hips, hips + axis * np.linalg.norm(outline - hips, axis=1).max())
