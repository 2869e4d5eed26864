"""Pictures for the image branch: rendered people, and the maps that the detector's network has of them.

A picture is looked at straight and in a mirror, as the detector does, and either look is a sample. Rooms take longer to
draw than people, so `GROUP` people share one room and camera; what is behind picture k depends on the seed and k only.
The maps are large (230 KB a sample): they stay on disk, in parts, and a part that is there is not made again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields, replace
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import torch

from biopose_cli.detect.blazepose import merged, read
from biopose_cli.errors import SettingError
from biopose_cli.geometry import roi as geometry
from biopose_cli.hmr.backbones.blazepose import BlazePoseTaps
from biopose_cli.io.atomic import replacing
from biopose_cli.progress import Progress
from biopose_cli.render.scene import Camera
from biopose_cli.synthesis.clothing import dress
from biopose_cli.synthesis.image_augmentation import spoiled
from biopose_cli.synthesis.rendered_detections import SIZE, SOMEBODY, Looks, Row, phone, row_of, true_roi
from biopose_cli.synthesis.rendering import Actor, Setting, Shot
from biopose_cli.synthesis.subjects import random_betas
from biopose_cli.typing import Array

PART = 256  # pictures
GROUP = 8  # people before one camera
_APART = 0.4  # m, spread of where the others of a group stand
_INSIDE, _TRIES = 0.85, 10  # share of such a person that is in the picture; places that are tried
_ROI_ERROR = (
    0.03,
    0.05,
    6.0,
)  # spread of a tracked ROI's centre and side, parts of the side; of its rotation, degrees


@dataclass(frozen=True)
class Pictures:
    """P pictures. `looks`: what is known and seen of them. `maps`: for each of `taps` its parts in order, each an array
    (pictures, 2, side, side, channels) float16 on disk (of `CROP` uint8): of the crop and of its mirror image."""

    looks: Looks
    taps: tuple[str, ...]
    maps: list[list[Array]]

    def __len__(self) -> int:
        return len(self.looks)

    def of(self, pictures: Array, mirror: Array, taps: Sequence[str]) -> list[Array]:
        """For these taps the maps (N, side, side, channels) of pictures (N), straight or mirrored (N) bool."""
        maps = [self.maps[self.taps.index(tap)] for tap in taps]
        ends = np.cumsum([len(part) for part in self.maps[0]])
        part = np.searchsorted(ends, pictures, side="right")
        row = pictures - (ends[part] - np.array([len(one) for one in self.maps[0]])[part])
        return [
            np.stack([own[p][r, int(m)] for p, r, m in zip(part, row, mirror, strict=True)]) for own in maps
        ]


def make(
    folder: Path,
    actor: Actor,
    weights: Path,
    poses: Array,
    subjects: Array,
    count: int,
    seed: int,
    taps: Sequence[str],
    progress: Progress,
    *,
    processes: int = 1,
) -> Pictures:
    """Render `count` people, rounded up to whole parts, but for those that the network takes for nobody, into `folder`,
    or go on where that was cut, and open them.

    Parameters
    ----------
    weights
        Of the landmark network (`assets.ensure`); `taps`: of it, or `CROP`.
    poses
        (P, 24, 3) rotation vectors, world, from which is drawn, as they are; `subjects` (P) str.
    processes
        1 works in this one, without others.

    Raises
    ------
    SettingError
        `folder` holds pictures of other poses, another seed or other taps.
    """
    _claim(folder, poses, seed, taps)
    parts = range(-(-count // PART))
    missing = [part for part in parts if not _looks_of(folder, part).exists()]
    progress.start("pictures", len(parts), "parts")
    progress.advance(len(parts) - len(missing))
    of_studio = (folder, actor, weights, poses, subjects, seed, tuple(taps))
    if processes == 1:
        studio = _Studio(*of_studio)
        for part in missing:
            studio.make(part)
            progress.advance()
    else:
        with ProcessPoolExecutor(processes, get_context("spawn"), _begin, of_studio) as pool:
            for _ in pool.map(_part_of_worker, missing):
                progress.advance()
    return load(folder, len(parts), taps)


def _claim(folder: Path, poses: Array, seed: int, taps: Sequence[str]) -> None:
    """Note in the folder what its pictures are made from, so that others are never mixed in."""
    folder.mkdir(parents=True, exist_ok=True)
    made_from = {
        "seed": seed,
        "taps": list(taps),
        "poses": hashlib.sha256(np.ascontiguousarray(poses, np.float32).tobytes()).hexdigest(),
    }
    path = folder / "made_from.json"
    if path.exists() and json.loads(path.read_text(encoding="utf-8")) != made_from:
        raise SettingError(
            f"{folder} holds pictures of other poses or seeds", "Remove it: they are made anew"
        )
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(made_from), encoding="utf-8")


def load(folder: Path, parts: int, taps: Sequence[str]) -> Pictures:
    """The first `parts` parts in `folder`."""
    looks = Looks.joined([Looks.load(_looks_of(folder, part)) for part in range(parts)])
    maps = [[np.load(_maps_of(folder, part, tap), mmap_mode="r") for part in range(parts)] for tap in taps]
    return Pictures(looks, tuple(taps), maps)


def _looks_of(folder: Path, part: int) -> Path:
    return folder / f"{part:04d}.npz"


def _maps_of(folder: Path, part: int, tap: str) -> Path:
    return folder / f"{part:04d}-{tap}.npy"


class _Studio:
    """Makes parts."""

    def __init__(
        self,
        folder: Path,
        actor: Actor,
        weights: Path,
        poses: Array,
        subjects: Array,
        seed: int,
        taps: tuple[str, ...],
    ) -> None:
        self.folder, self.actor, self.network = folder, actor, BlazePoseTaps(weights, taps)
        self.poses, self.subjects, self.seed, self.taps = poses, subjects, seed, taps

    def make(self, part: int) -> None:
        rows: list[Row] = []
        maps: list[list[Array]] = []
        for group in range(part * PART // GROUP, (part + 1) * PART // GROUP):
            for row, seen in self._group(group):
                rows.append(row)
                maps.append(seen)
        for number, tap in enumerate(self.taps):
            with replacing(_maps_of(self.folder, part, tap)) as temporary, temporary.open("wb") as stream:
                np.save(stream, np.stack([seen[number] for seen in maps]))
        found = {f.name: np.array([row[f.name] for row in rows]) for f in fields(Looks) if f.name != "size"}
        Looks(**found, size=np.array([SIZE, SIZE])).save(
            _looks_of(self.folder, part)
        )  # last: the part is complete

    def _group(self, number: int) -> list[tuple[Row, list[Array]]]:
        """`GROUP` people in one room, as far as the network sees them."""
        rng = np.random.default_rng((self.seed, number))
        setting: Setting | None = None
        found = []
        for _ in range(GROUP):
            chosen = rng.integers(len(self.poses))
            pose = self.poses[chosen].astype(float)
            betas = random_betas(rng)
            vertices = self.actor.posed(pose[None], betas, np.zeros((1, 3)))[0]
            middle = (vertices.max(0) + vertices.min(0)) / 2
            transl = np.array([-middle[0], -vertices[:, 1].min(), -middle[2]])
            if setting is None:
                transl += np.array([rng.uniform(-1, 1), 0, rng.uniform(-1, 1)])
                setting = Setting.of(phone(vertices + transl, rng), int(rng.integers(2**31)), rng)
                ahead = vertices.mean(0) + transl - setting.camera.position
            else:
                transl += _before(setting.camera, float(np.linalg.norm(ahead)), vertices + transl, rng)
            outfit = dress(*self.actor.rest(betas), self.actor.weights, int(rng.integers(2**31)))
            joints = self.actor.joints(pose[None], betas, transl[None])[0]
            shot = setting.shoot(vertices + transl, joints, self.actor.body.faces, outfit, rng)
            seen = self._look(replace(shot, image=spoiled(shot.image, shot.mask, rng)), rng)
            if seen is None:
                continue
            row, maps = seen
            numbers = row_of(pose, betas, transl, setting.camera, row)
            found.append((numbers | {"subject": str(self.subjects[chosen]), "turned": False}, maps))
        return found

    def _look(self, shot: Shot, rng: np.random.Generator) -> tuple[dict[str, Array], list[Array]] | None:
        """What the network sees where it would look when it tracks; None: nobody."""
        roi = true_roi(shot)
        aside, size, turn = _ROI_ERROR
        roi = roi + np.array([*(aside * roi[2] * rng.normal(size=2)), 0, np.radians(turn) * rng.normal()])
        roi[2] *= np.exp(size * rng.normal())
        crop = geometry.cut(shot.image, roi).astype(np.float32) / 255
        straight, maps = self.network(crop)
        mirror, other_maps = self.network(np.ascontiguousarray(crop[:, ::-1]))
        pose = merged(read(straight), read(mirror).mirrored(), roi)
        if pose.score < SOMEBODY:
            return None
        row = {"roi": roi, "keypoints": pose.keypoints, "confidence": pose.confidence, "world": pose.world}
        return row, [np.stack(pair) for pair in zip(maps, other_maps, strict=True)]


def _before(camera: Camera, distance: float, vertices: Array, rng: np.random.Generator) -> Array:
    """Where on the floor (3,) a body with vertices (V, 3) may stand, about so far from the camera and in sight."""
    forward = camera.rotation[2] * [1, 0, 1]
    middle = camera.position * [1, 0, 1] + distance * forward / np.linalg.norm(forward)
    for _ in range(_TRIES):
        place: Array = middle + rng.normal(0, _APART, 3) * [1, 0, 1]
        seen = camera.project(vertices[::10] + place)
        if ((seen > 0) & (seen < SIZE)).all(1).mean() > _INSIDE:
            break
    return place


_studio: list[_Studio] = []  # of a worker process


def _begin(*of_studio: object) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _studio[:] = [_Studio(*of_studio)]  # type: ignore[arg-type]


def _part_of_worker(part: int) -> None:
    _studio[0].make(part)
