"""Rendered people as the detect stage's network sees them, with the bodies and cameras that made them.

They tell how the detector errs (`keypoint_error_bank.py`), and are a test with exact truth for whatever recovers
bodies. World frame: y up, floor y = 0; camera frame: OpenCV's. m, rad; px count from the image's upper left corner.
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
from biopose_cli.io.atomic import atomic_write
from biopose_cli.progress import Progress
from biopose_cli.render.scene import Camera, look_at
from biopose_cli.synthesis.mocap import INDEX
from biopose_cli.synthesis.pose_sampler import perturb
from biopose_cli.synthesis.rendering import Actor, Render, render_clip
from biopose_cli.synthesis.subjects import random_betas
from biopose_cli.typing import Array

IMAGE_SIZE = 480  # px, side of an image: a person's crop is mostly larger than the network's 256 px
MIN_SCORE = 0.5  # least score of a detection that is kept
_FOCAL_RANGE = (0.75, 1.7)  # of the image's side: phones from wide to tele, and pictures cut out of theirs
_PITCH, _ROLL = (5.0, 12.0), 6.0  # degrees: mean and spread, downwards; spread
_PERSON_FRACTION = (0.35, 0.85)  # how much of the image's side a person takes
_MIN_DISTANCE = 0.5  # m between the camera and the ball around the person
_MIN_HEIGHT = 0.15  # m above the floor: no camera is deeper
_TRUNCATION_PROB, _TRUNCATED_FRACTION = (
    0.1,
    (0.08, 0.3),
)  # share of people who reach out of the image, and how much of them then does
_PERTURBATION_STD = 15.0  # degrees, spread of a change of a joint


@dataclass(frozen=True)
class RenderedDetections:
    """N looks at people.

    Truth: `pose` (N, 24, 3) rotation vectors, the root's in the world, `perturbed` (N) whether its joints were turned
    at random; `betas` (N, 10); `transl` (N, 3), SMPL's, world; `rotation` (N, 3, 3) and `translation` (N, 3): camera =
    rotation @ world + translation; `focal` (N) px, square pixels, principal point in the middle of an image of `size`
    (2) px, width and height; `subject` (N) who moved so. Seen: `roi` (N, 4) where the network looked
    (`geometry/roi.py`); `keypoints` (N, 33, 2) px of the image, with `confidence` (N, 33); `landmarks_3d` (N, 33, 3)
    the network's own guess from the hips' middle, camera axes.
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
        """Some of them, by a mask or by number."""
        rows = {f.name: getattr(self, f.name)[index] for f in fields(RenderedDetections) if f.name != "size"}
        return RenderedDetections(**rows, size=self.size)

    def save(self, path: Path) -> None:
        """Write all arrays to `path` (.npz), atomically."""
        with atomic_write(path) as temporary:
            np.savez_compressed(temporary, **{field.name: getattr(self, field.name) for field in fields(self)})

    @staticmethod
    def load(path: Path) -> RenderedDetections:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            return RenderedDetections(**{field.name: stored[field.name] for field in fields(RenderedDetections)})

    @staticmethod
    def concatenate(parts: Sequence[RenderedDetections]) -> RenderedDetections:
        """Several in one; their images must have one size."""
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
    """Render `count` people and look at them twice, as tracking does; those the network takes for nobody are left out.

    Everybody has a random shape, clothes, room and camera; the result depends on the seed and not on `processes`.

    Parameters
    ----------
    weights_path
        Of the landmark network (`io.assets.ensure`).
    poses
        (P, 24, 3) rotation vectors, world, from which is drawn; `subjects` (P) str.
    perturbed_fraction
        Share of the poses whose joints are turned at random.
    processes
        1 works in this one, without others.
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
    """Renders and looks; what is behind number k depends on the seed and k only."""

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
        """One entry of `RenderedDetections`, or None if the network sees nobody."""
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
    """The numbers of one entry of `RenderedDetections`."""
    gt = {
        "pose": pose,
        "betas": betas,
        "transl": transl,
        "rotation": camera.rotation,
        "translation": camera.translation,
        "focal": camera.matrix[0, 0],
    }
    return {name: np.asarray(value, np.float32) for name, value in (gt | pred).items()}


_worker: list[_Worker] = []  # of a worker process


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
    """A camera held by hand before a person, vertices (V, 3) in the world."""
    focal = IMAGE_SIZE * rng.uniform(*_FOCAL_RANGE)
    heading = rng.uniform(-np.pi, np.pi)
    pitch, roll = np.radians([rng.normal(*_PITCH), rng.normal(0, _ROLL)])
    backward = np.array([np.cos(pitch) * np.sin(heading), np.sin(pitch), np.cos(pitch) * np.cos(heading)])
    center = (vertices.max(0) + vertices.min(0)) / 2
    min_distance = _MIN_DISTANCE + float(np.linalg.norm(vertices - center, axis=1).max())
    target_size = IMAGE_SIZE * rng.uniform(*_PERSON_FRACTION)
    distance = 2 * min_distance
    for _ in range(4):  # the picture is not quite as large as one over the distance
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

    def project(points: Array) -> Array:
        homogeneous = points @ render.camera.matrix.T
        return np.asarray(homogeneous[..., :2] / homogeneous[..., 2:])

    joints, outline = project(render.joints), project(render.vertices)
    hips, shoulders = (joints[[INDEX[f"left_{name}"], INDEX[f"right_{name}"]]].mean(0) for name in ("hip", "shoulder"))
    axis = (shoulders - hips) / max(float(np.linalg.norm(shoulders - hips)), 1e-6)
    return geometry.roi_from_circle(hips, hips + axis * np.linalg.norm(outline - hips, axis=1).max())
