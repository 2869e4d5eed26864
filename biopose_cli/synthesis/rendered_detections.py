"""Rendered people as the detect stage's network sees them, with the bodies and cameras that made them.

They tell how the detector errs (`keypoint_noise.py`), and are a test with exact truth for whatever recovers bodies.
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

from biopose_cli.detect.blazepose import Landmarker, Network, look
from biopose_cli.geometry import roi as geometry
from biopose_cli.io.atomic import replacing
from biopose_cli.progress import Progress
from biopose_cli.render.scene import Camera, look_at
from biopose_cli.synthesis.mocap import INDEX
from biopose_cli.synthesis.pose_sampler import changed
from biopose_cli.synthesis.rendering import Actor, Shot, render_clip
from biopose_cli.synthesis.subjects import random_betas
from biopose_cli.typing import Array

SIZE = 480  # px, side of an image: a person's crop is mostly larger than the network's 256 px
SOMEBODY = 0.5  # least score of a look that is kept
_FOCAL = (0.75, 1.7)  # of the image's side: phones from wide to tele, and pictures cut out of theirs
_PITCH, _ROLL = (5.0, 12.0), 6.0  # degrees: mean and spread, downwards; spread
_FILLED = (0.35, 0.85)  # how much of the image's side a person takes
_LEAST = 0.5  # m between the camera and the ball around the person
_LOWEST = 0.15  # m above the floor: no camera is deeper
_CUT, _MISSING = (
    0.1,
    (0.08, 0.3),
)  # share of people who reach out of the image, and how much of them then does
_CHANGE = 15.0  # degrees, spread of a change of a joint


@dataclass(frozen=True)
class Looks:
    """N looks at people.

    Truth: `pose` (N, 24, 3) rotation vectors, the root's in the world, `turned` (N) whether its joints were turned at
    random; `betas` (N, 10); `transl` (N, 3), SMPL's, world;
    `rotation` (N, 3, 3) and `translation` (N, 3): camera = rotation @ world + translation; `focal` (N) px, square
    pixels, principal point in the middle of an image of `size` (2) px, width and height; `subject` (N) who moved so.
    Seen: `roi` (N, 4) where the network looked (`geometry/roi.py`); `keypoints` (N, 33, 2) px of the image, with
    `confidence` (N, 33); `world` (N, 33, 3) the network's own guess from the hips' middle, camera axes.
    """

    pose: Array
    turned: Array
    betas: Array
    transl: Array
    rotation: Array
    translation: Array
    focal: Array
    size: Array
    roi: Array
    keypoints: Array
    confidence: Array
    world: Array
    subject: Array

    def __len__(self) -> int:
        return len(self.pose)

    def part(self, chosen: Array) -> Looks:
        """Some of them, by a mask or by number."""
        rows = {f.name: getattr(self, f.name)[chosen] for f in fields(Looks) if f.name != "size"}
        return Looks(**rows, size=self.size)

    def save(self, path: Path) -> None:
        with replacing(path) as temporary:
            np.savez_compressed(
                temporary, **{field.name: getattr(self, field.name) for field in fields(self)}
            )

    @staticmethod
    def load(path: Path) -> Looks:
        with np.load(path, allow_pickle=False) as stored:
            return Looks(**{field.name: stored[field.name] for field in fields(Looks)})

    @staticmethod
    def joined(parts: Sequence[Looks]) -> Looks:
        """Several in one; their images must have one size."""
        whole = {f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Looks)}
        return Looks(**(whole | {"size": parts[0].size}))


def see(
    actor: Actor,
    weights: Path,
    poses: Array,
    subjects: Array,
    count: int,
    seed: int,
    progress: Progress,
    *,
    changed: float = 0.5,
    processes: int = 1,
) -> Looks:
    """Render `count` people and look at them twice, as tracking does; those the network takes for nobody are left out.

    Everybody has a random shape, clothes, room and camera; the result depends on the seed and not on `processes`.

    Parameters
    ----------
    weights
        Of the landmark network (`assets.ensure`).
    poses
        (P, 24, 3) rotation vectors, world, from which is drawn; `subjects` (P) str.
    changed
        Share of the poses whose joints are turned at random.
    processes
        1 works in this one, without others.
    """
    progress.start("rendered people", count, "people")
    rows = []
    for row in _rows((actor, weights, poses, subjects, changed, seed), count, processes):
        rows += [] if row is None else [row]
        progress.advance()
    seen = {f.name: np.array([row[f.name] for row in rows]) for f in fields(Looks) if f.name != "size"}
    return Looks(**seen, size=np.array([SIZE, SIZE]))


Row = dict[str, Array | bool | str]


class _Studio:
    """Renders and looks; what is behind number k depends on the seed and k only."""

    def __init__(
        self, actor: Actor, weights: Path, poses: Array, subjects: Array, changed: float, seed: int
    ) -> None:
        self.actor, self.first, self.network = actor, Network(weights), Landmarker(weights)
        self.poses, self.subjects, self.changed, self.seed = poses, subjects, changed, seed

    def look(self, number: int) -> Row | None:
        """One entry of `Looks`, or None if the network sees nobody."""
        rng = np.random.default_rng((self.seed, number))
        chosen = rng.integers(len(self.poses))
        pose = self.poses[chosen].astype(float)
        turned = bool(rng.random() < self.changed)
        if turned:
            pose = changed(pose[None], rng, np.full(1, np.radians(_CHANGE)))[0]
        betas = random_betas(rng)
        vertices = self.actor.posed(pose[None], betas, np.zeros((1, 3)))[0]
        middle = (vertices.max(0) + vertices.min(0)) / 2
        transl = np.array(
            [rng.uniform(-1, 1) - middle[0], -vertices[:, 1].min(), rng.uniform(-1, 1) - middle[2]]
        )
        camera = phone(vertices + transl, rng)
        clothes = int(rng.integers(2**31))
        (shot,) = render_clip(self.actor, pose[None], betas, transl[None], camera, clothes)
        start = true_roi(shot)
        first = look(self.first, geometry.cut(shot.image, start).astype(np.float32) / 255)
        if first.score < SOMEBODY:
            return None
        seen = self.network(shot.image, geometry.around(*geometry.to_image(first.circle, start)))
        if seen.score < SOMEBODY:
            return None
        saw = {
            "roi": seen.roi,
            "keypoints": seen.keypoints,
            "confidence": seen.confidence,
            "world": seen.world,
        }
        return row_of(pose, betas, transl, camera, saw) | {
            "subject": str(self.subjects[chosen]),
            "turned": turned,
        }


def row_of(pose: Array, betas: Array, transl: Array, camera: Camera, seen: dict[str, Array]) -> Row:
    """The numbers of one entry of `Looks`."""
    truth = {
        "pose": pose,
        "betas": betas,
        "transl": transl,
        "rotation": camera.rotation,
        "translation": camera.translation,
        "focal": camera.matrix[0, 0],
    }
    return {name: np.asarray(value, np.float32) for name, value in (truth | seen).items()}


_studio: list[_Studio] = []  # of a worker process


def _begin(*of_studio: object) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _studio[:] = [_Studio(*of_studio)]  # type: ignore[arg-type]


def _row_of_worker(number: int) -> Row | None:
    return _studio[0].look(number)


def _rows(
    of_studio: tuple[Actor, Path, Array, Array, float, int], count: int, processes: int
) -> Iterator[Row | None]:
    if processes == 1:
        yield from map(_Studio(*of_studio).look, range(count))
        return
    with ProcessPoolExecutor(processes, get_context("spawn"), initializer=_begin, initargs=of_studio) as pool:
        yield from pool.map(_row_of_worker, range(count), chunksize=8)


def phone(vertices: Array, rng: np.random.Generator) -> Camera:
    """A camera held by hand before a person, vertices (V, 3) in the world."""
    focal = SIZE * rng.uniform(*_FOCAL)
    heading = rng.uniform(-np.pi, np.pi)
    pitch, roll = np.radians([rng.normal(*_PITCH), rng.normal(0, _ROLL)])
    back = np.array([np.cos(pitch) * np.sin(heading), np.sin(pitch), np.cos(pitch) * np.cos(heading)])
    middle = (vertices.max(0) + vertices.min(0)) / 2
    least = _LEAST + float(np.linalg.norm(vertices - middle, axis=1).max())
    wanted = SIZE * rng.uniform(*_FILLED)
    away = 2 * least
    for _ in range(4):  # the picture is not quite as large as one over the distance
        position = middle + away * back
        position[1] = max(position[1], _LOWEST)
        image = look_at(position, middle, focal, SIZE, SIZE, roll).project(vertices)
        away = max(least, away * float(np.ptp(image, axis=0).max()) / wanted)
    extent = np.ptp(image, axis=0)
    free = np.maximum(SIZE - extent, 0)
    shift = rng.uniform(-0.5, 0.5, 2) * free
    if rng.random() < _CUT:
        axis, way = rng.integers(2), rng.choice([-1, 1])
        shift[axis] = way * (free[axis] / 2 + rng.uniform(*_MISSING) * extent[axis])
    shift += SIZE / 2 - (image.max(0) + image.min(0)) / 2
    centred = look_at(position, middle, focal, SIZE, SIZE, roll)
    ahead = np.array([*(-shift / focal), 1.0]) @ centred.rotation
    return look_at(position, position + ahead, focal, SIZE, SIZE, roll)


def true_roi(shot: Shot) -> Array:
    """The ROI (4,) that a perfect detector would give."""

    def project(points: Array) -> Array:
        flat = points @ shot.camera.matrix.T
        return np.asarray(flat[..., :2] / flat[..., 2:])

    joints, outline = project(shot.joints), project(shot.vertices)
    hips, shoulders = (
        joints[[INDEX[f"left_{name}"], INDEX[f"right_{name}"]]].mean(0) for name in ("hip", "shoulder")
    )
    axis = (shoulders - hips) / max(float(np.linalg.norm(shoulders - hips)), 1e-6)
    return geometry.around(hips, hips + axis * np.linalg.norm(outline - hips, axis=1).max())
