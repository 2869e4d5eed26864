"""Training and validation data of MQ-HMR: synthetic views, or rendered images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from biopose_cli.body.model import Body
from biopose_cli.hmr.backbones.blazepose import DEFAULT_LAYERS, RAW_CROP
from biopose_cli.io import assets
from biopose_cli.progress import Progress
from biopose_cli.synthesis import rendered_images
from biopose_cli.synthesis.keypoint_error_bank import KeypointErrorBank
from biopose_cli.synthesis.pose_sampler import PoseSampler
from biopose_cli.synthesis.rendering import load_actor
from biopose_cli.synthesis.retarget import Motion
from biopose_cli.training.mqhmr_config import TrainConfig
from biopose_cli.training.rendered_dataset import RenderedDataset
from biopose_cli.training.synthetic_dataset import MQHMRBatch, SyntheticDataset
from biopose_cli.typing import Array

_VAL_BATCHES = (8, 512)  # number of batches, views per batch; held-out motion
_NUM_POSES = 200_000  # rendered images draw their poses from these
_IMAGES_PER_HELD_OUT = 25  # one image in this many is of a held-out subject
_ERRORS_PER_HELD_OUT = 10  # one detector error in this many is kept for validation

Datasets = tuple[
    SyntheticDataset | RenderedDataset, list[MQHMRBatch]
]  # training batches, validation batches of held-out subjects


def keypoint_datasets(
    config: TrainConfig,
    folder: Path,
    body: Body,
    pose_sampler: PoseSampler,
    held_out: list[Motion],
    progress: Progress,
) -> Datasets:
    """Endless synthetic views, and validation batches of held-out subjects' motion with held-out detector errors."""
    bank = _load_bank(folder / "bank.npz", config, pose_sampler, body, progress)
    train_bank, held_out_bank = bank.split(_ERRORS_PER_HELD_OUT)
    held_out_dataset = SyntheticDataset(
        body, PoseSampler(held_out, 1.0, 0.0, 0.0), held_out_bank, _VAL_BATCHES[1], config.seed + 1
    )
    val_batches = [held_out_dataset.batch(number) for number in range(_VAL_BATCHES[0])]
    return SyntheticDataset(body, pose_sampler, train_bank, config.batch_size, config.seed), val_batches


def image_datasets(
    config: TrainConfig,
    folder: Path,
    body: Body,
    pose_sampler: PoseSampler,
    held_out: list[Motion],
    progress: Progress,
) -> Datasets:
    """Rendered images with the network's inputs, and some of held-out subjects for validation."""
    held_out_poses = np.concatenate([motion.pose for motion in held_out])
    held_out_subjects = np.repeat([motion.subject for motion in held_out], [len(motion.pose) for motion in held_out])
    num_held_out = max(1, config.num_images // _IMAGES_PER_HELD_OUT)
    stored_layers = (RAW_CROP,) if config.encoder else DEFAULT_LAYERS
    train_poses, train_subjects = _draw_poses(pose_sampler, config.seed)
    image_sets = [
        _render(folder / name, poses, subjects_of_poses, count, seed, stored_layers, progress)
        for name, poses, subjects_of_poses, count, seed in (
            ("pictures", train_poses, train_subjects, config.num_images, config.seed),
            ("held_out", held_out_poses, held_out_subjects, num_held_out, config.seed + 30_000),
        )
    ]
    layers = config.network_config.image_inputs
    train_dataset, held_out_dataset = (
        RenderedDataset(body, images, config.batch_size, config.seed, layers, keypoints=config.keypoints)
        for images in image_sets
    )
    batch_indices = np.array_split(np.arange(len(held_out_dataset)), -(-len(held_out_dataset) // _VAL_BATCHES[1]))
    rng = np.random.default_rng((config.seed, 3))
    return train_dataset, [held_out_dataset.select(batch_index, rng) for batch_index in batch_indices]


def _load_bank(
    path: Path, config: TrainConfig, pose_sampler: PoseSampler, body: Body, progress: Progress
) -> KeypointErrorBank:
    """The detector's errors on rendered people; read from `path` if it exists."""
    if not path.exists():
        poses_and_subjects = _draw_poses(pose_sampler, config.seed)
        images = _render(path.parent / "looks", *poses_and_subjects, config.num_detections, config.seed, (), progress)
        KeypointErrorBank.from_detections(images.detections, body).save(path)
    return KeypointErrorBank.load(path)


def _draw_poses(pose_sampler: PoseSampler, seed: int) -> tuple[Array, Array]:
    """Poses (P, 24, 3) for the images, and the subject of each."""
    poses = pose_sampler.draw(_NUM_POSES, np.random.default_rng((seed, 2)))
    return poses, np.full(len(poses), "training")


def _render(
    folder: Path,
    poses: Array,
    subjects: Array,
    count: int,
    seed: int,
    layers: Sequence[str],
    progress: Progress,
) -> rendered_images.RenderedImages:
    """Images of people in these poses, with their detections."""
    weights = assets.ensure(assets.required_assets("heavy"), progress)["heavy"]
    processes = os.cpu_count() or 1
    return rendered_images.render_dataset(
        folder, load_actor(), weights, poses, subjects, count, seed, layers, progress, processes=processes
    )
