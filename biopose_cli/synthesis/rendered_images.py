"""Images for the image branch: rendered people, and the feature maps of the detector's network.

Each image is processed as it is and mirrored, as in the detector; each is one sample. Rooms take longer to render than
people, so `GROUP_SIZE` people share a room and camera. Image k depends only on the seed and k. The maps are large (230
KB per sample), so they stay on disk, in shards; existing shards are not made again.
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

from biopose_cli.detect.blazepose import decode_landmarks, fuse_flip
from biopose_cli.errors import SettingError
from biopose_cli.geometry import roi as geometry
from biopose_cli.hmr.backbones.blazepose import BlazePoseBackbone
from biopose_cli.io.atomic import atomic_write
from biopose_cli.progress import Progress
from biopose_cli.render.scene import Camera
from biopose_cli.synthesis.clothing import dress
from biopose_cli.synthesis.image_augmentation import augment
from biopose_cli.synthesis.rendered_detections import (
    IMAGE_SIZE,
    MIN_SCORE,
    RenderedDetections,
    Row,
    gt_roi,
    row_of,
    sample_phone_camera,
)
from biopose_cli.synthesis.rendering import Actor, Render, Scene
from biopose_cli.synthesis.subjects import random_betas
from biopose_cli.typing import Array

SHARD_SIZE = 256  # images per shard
GROUP_SIZE = 8  # people per camera
_POSITION_STD = 0.4  # m, standard deviation of the others' positions in a group
_MIN_VISIBLE_FRACTION, _MAX_TRIES = (
    0.85,
    10,
)  # fraction of such a person that must be in the image; number of positions tried
_ROI_ERROR_STD = (
    0.03,
    0.05,
    6.0,
)  # standard deviation of a tracked ROI's centre and side, fractions of the side; of its rotation, degrees


@dataclass(frozen=True)
class RenderedImages:
    """P images.

    `detections`: their truth and detections. `feature_maps`: for each of `layers` its shards in order, each an array
    (images, 2, side, side, channels) on disk, float16 (`RAW_CROP`: uint8), of the crop and of its mirror image.
    """

    detections: RenderedDetections
    layers: tuple[str, ...]
    feature_maps: list[list[Array]]

    def __len__(self) -> int:
        return len(self.detections)

    def gather_maps(self, image_index: Array, flipped: Array, layers: Sequence[str]) -> list[Array]:
        """Maps (N, side, side, channels) of each layer, for images (N), mirrored where `flipped` (N) is True."""
        layer_maps = [self.feature_maps[self.layers.index(layer)] for layer in layers]
        ends = np.cumsum([len(shard) for shard in self.feature_maps[0]])
        part = np.searchsorted(ends, image_index, side="right")
        row = image_index - (ends[part] - np.array([len(shard) for shard in self.feature_maps[0]])[part])
        return [
            np.stack([shards[p][r, int(m)] for p, r, m in zip(part, row, flipped, strict=True)])
            for shards in layer_maps
        ]


def render_dataset(
    folder: Path,
    actor: Actor,
    weights_path: Path,
    poses: Array,
    subjects: Array,
    count: int,
    seed: int,
    layers: Sequence[str],
    progress: Progress,
    *,
    processes: int = 1,
) -> RenderedImages:
    """Render `count` people (rounded up to full shards) into `folder`, resuming an interrupted run.

    People the detector misses are skipped.

    Parameters
    ----------
    folder : output folder
    actor : the body
    weights_path : of the landmark network (`io.assets.ensure`)
    poses : (P, 24, 3) rotation vectors, world, to draw from, used without change
    subjects : (P) str, subject of each pose
    count : number of people
    seed : of all random choices
    layers : of the landmark network, or `RAW_CROP`
    progress : reports the number of finished shards
    processes : number of worker processes; 1 runs in this process

    Raises
    ------
    SettingError
        `folder` holds images of other poses, another seed or other layers.
    """
    _lock_inputs(folder, poses, seed, layers)
    shards = range(-(-count // SHARD_SIZE))
    missing = [shard for shard in shards if not _detections_path(folder, shard).exists()]
    progress.start("images", len(shards), "shards")
    progress.advance(len(shards) - len(missing))
    worker_args = (folder, actor, weights_path, poses, subjects, seed, tuple(layers))
    if processes == 1:
        worker = _Worker(*worker_args)
        for shard in missing:
            worker.render_shard(shard)
            progress.advance()
    else:
        with ProcessPoolExecutor(processes, get_context("spawn"), _init_worker, worker_args) as pool:
            for _ in pool.map(_render_shard_in_worker, missing):
                progress.advance()
    return load(folder, len(shards), layers)


def _lock_inputs(folder: Path, poses: Array, seed: int, layers: Sequence[str]) -> None:
    """Write a digest of the inputs into the folder, so that it never holds images of different inputs."""
    folder.mkdir(parents=True, exist_ok=True)
    inputs = {
        "seed": seed,
        "layers": list(layers),
        "poses": hashlib.sha256(np.ascontiguousarray(poses, np.float32).tobytes()).hexdigest(),
    }
    path = folder / "made_from.json"
    if path.exists() and json.loads(path.read_text(encoding="utf-8")) != inputs:
        raise SettingError(
            f"{folder} holds images of other poses or seeds", "Remove it; the images will be rendered again"
        )
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(inputs), encoding="utf-8")


def load(folder: Path, num_shards: int, layers: Sequence[str]) -> RenderedImages:
    """Open the first `num_shards` shards in `folder`."""
    detections = RenderedDetections.concatenate(
        [RenderedDetections.load(_detections_path(folder, shard)) for shard in range(num_shards)]
    )
    feature_maps = [
        [np.load(_maps_path(folder, shard, layer), mmap_mode="r") for shard in range(num_shards)] for layer in layers
    ]
    return RenderedImages(detections, tuple(layers), feature_maps)


def _detections_path(folder: Path, shard: int) -> Path:
    return folder / f"{shard:04d}.npz"


def _maps_path(folder: Path, shard: int, layer: str) -> Path:
    return folder / f"{shard:04d}-{layer}.npy"


class _Worker:
    """Makes shards."""

    def __init__(
        self,
        folder: Path,
        actor: Actor,
        weights_path: Path,
        poses: Array,
        subjects: Array,
        seed: int,
        layers: tuple[str, ...],
    ) -> None:
        self.folder, self.actor, self.backbone = folder, actor, BlazePoseBackbone(weights_path, layers)
        self.poses, self.subjects, self.seed, self.layers = poses, subjects, seed, layers

    def render_shard(self, shard: int) -> None:
        rows: list[Row] = []
        feature_maps: list[list[Array]] = []
        for group in range(shard * SHARD_SIZE // GROUP_SIZE, (shard + 1) * SHARD_SIZE // GROUP_SIZE):
            for row, image_maps in self._render_group(group):
                rows.append(row)
                feature_maps.append(image_maps)
        for number, layer in enumerate(self.layers):
            with (
                atomic_write(_maps_path(self.folder, shard, layer)) as temporary,
                temporary.open("wb") as stream,
            ):
                np.save(stream, np.stack([image_maps[number] for image_maps in feature_maps]))
        columns = {
            f.name: np.array([row[f.name] for row in rows]) for f in fields(RenderedDetections) if f.name != "size"
        }
        RenderedDetections(**columns, size=np.array([IMAGE_SIZE, IMAGE_SIZE])).save(
            _detections_path(self.folder, shard)
        )  # last: marks the shard as complete

    def _render_group(self, number: int) -> list[tuple[Row, list[Array]]]:
        """`GROUP_SIZE` people in one room, without those that the network misses."""
        rng = np.random.default_rng((self.seed, number))
        scene: Scene | None = None
        results = []
        for _ in range(GROUP_SIZE):
            chosen = rng.integers(len(self.poses))
            pose = self.poses[chosen].astype(float)
            betas = random_betas(rng)
            vertices = self.actor.vertices(pose[None], betas, np.zeros((1, 3)))[0]
            center = (vertices.max(0) + vertices.min(0)) / 2
            transl = np.array([-center[0], -vertices[:, 1].min(), -center[2]])
            if scene is None:
                transl += np.array([rng.uniform(-1, 1), 0, rng.uniform(-1, 1)])
                scene = Scene.create(sample_phone_camera(vertices + transl, rng), int(rng.integers(2**31)), rng)
                camera_offset = vertices.mean(0) + transl - scene.camera.position
            else:
                transl += _sample_floor_position(
                    scene.camera, float(np.linalg.norm(camera_offset)), vertices + transl, rng
                )
            outfit = dress(
                *self.actor.rest_vertices_and_joints(betas),
                self.actor.skinning_weights,
                int(rng.integers(2**31)),
            )
            joints = self.actor.joints(pose[None], betas, transl[None])[0]
            render = scene.render(vertices + transl, joints, self.actor.body.faces, outfit, rng)
            detected = self._detect(replace(render, image=augment(render.image, render.mask, rng)), rng)
            if detected is None:
                continue
            pred, feature_maps = detected
            numbers = row_of(pose, betas, transl, scene.camera, pred)
            results.append((numbers | {"subject": str(self.subjects[chosen]), "perturbed": False}, feature_maps))
        return results

    def _detect(self, render: Render, rng: np.random.Generator) -> tuple[dict[str, Array], list[Array]] | None:
        """Detections and maps in the ROI of a tracker; None if the network detects nobody."""
        roi = gt_roi(render)
        center_std, size_std, rotation_std = _ROI_ERROR_STD
        roi = roi + np.array([*(center_std * roi[2] * rng.normal(size=2)), 0, np.radians(rotation_std) * rng.normal()])
        roi[2] *= np.exp(size_std * rng.normal())
        crop = geometry.warp_crop(render.image, roi).astype(np.float32) / 255
        outputs, feature_maps = self.backbone(crop)
        flipped_outputs, flipped_maps = self.backbone(np.ascontiguousarray(crop[:, ::-1]))
        pose = fuse_flip(decode_landmarks(outputs), decode_landmarks(flipped_outputs).flip(), roi)
        if pose.score < MIN_SCORE:
            return None
        row = {
            "roi": roi,
            "keypoints": pose.keypoints,
            "confidence": pose.confidence,
            "landmarks_3d": pose.landmarks_3d,
        }
        return row, [np.stack(pair) for pair in zip(feature_maps, flipped_maps, strict=True)]


def _sample_floor_position(camera: Camera, distance: float, vertices: Array, rng: np.random.Generator) -> Array:
    """Random floor position (3,) of a body with vertices (V, 3), about `distance` m from the camera and in its view."""
    forward = camera.rotation[2] * [1, 0, 1]
    center = camera.position * [1, 0, 1] + distance * forward / np.linalg.norm(forward)
    for _ in range(_MAX_TRIES):
        position: Array = center + rng.normal(0, _POSITION_STD, 3) * [1, 0, 1]
        projected = camera.project(vertices[::10] + position)
        if ((projected > 0) & (projected < IMAGE_SIZE)).all(1).mean() > _MIN_VISIBLE_FRACTION:
            break
    return position


_worker: list[_Worker] = []  # in a worker process


def _init_worker(*worker_args: object) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _worker[:] = [_Worker(*worker_args)]  # type: ignore[arg-type]


def _render_shard_in_worker(shard: int) -> None:
    _worker[0].render_shard(shard)
