"""Endless batches for NeurIK: captured clips and joint-space motion of the same people, with noise on both.

A batch depends only on the seed and its number, so a resumed run gets the same batches as an uninterrupted one.
C clips, W frames per window, M markers, D coordinates, B bodies; ground frame; m and rad.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from biopose_cli.body.markers import MARKERS
from biopose_cli.skeleton.euler_branches import canonical_angles
from biopose_cli.skeleton.extract import ModelSpec
from biopose_cli.skeleton.kinematics import Kinematics
from biopose_cli.synthesis import joint_motion
from biopose_cli.synthesis.marker_noise import LEVELS, add_noise
from biopose_cli.training.marker_dataset import FPS, FRAMES, MarkerDataset
from biopose_cli.typing import Array

POOL_SIZE = 4096  # clips of joint-space motion held in memory
POOL_REFRESH_STEPS = 2000  # steps between new pools
PERTURBED_FRACTION = 0.4  # of the joint-space motion: captured motion with perturbed angles
CLIPS_PER_NOISE_LEVEL = 6  # clips that share a noise level
_PERTURBATION_STD = (3.0, 20.0)  # degrees: range of the perturbation's standard deviation
_MARKER_STD = 0.004  # m: how much a marker's position varies between wearers


@dataclass(frozen=True)
class NeurIKBatch:
    """Inputs `markers` (C, W, M, 3) and `visible` (C, W, M); labels `q` (C, W, D) and `scale` (C, B, 3)."""

    markers: Tensor
    visible: Tensor
    q: Tensor
    scale: Tensor


class MarkerLoader:
    """Batches of `batch_size` windows.

    Parameters
    ----------
    dataset : captured clips and people
    spec : skeleton of the labels
    batch_size : windows per batch
    window : frames per window
    seed : of all random choices
    mocap_fraction : fraction of windows taken from motion capture; the others are joint-space motion
    clean_fraction : fraction of windows without noise
    max_noise : strongest noise, as a multiple of the level "high"
    """

    def __init__(
        self,
        dataset: MarkerDataset,
        spec: ModelSpec,
        batch_size: int,
        window: int,
        seed: int,
        mocap_fraction: float,
        clean_fraction: float,
        max_noise: float,
    ) -> None:
        self.dataset, self.table, self.batch_size, self.window, self.seed = (
            dataset,
            spec,
            batch_size,
            window,
            seed,
        )
        self.mocap_fraction, self.clean_fraction, self.max_noise = mocap_fraction, clean_fraction, max_noise
        self.kinematics = Kinematics(spec, torch.float32)
        self.segments, self.parents = segment_tree(spec)
        self._pool: tuple[int, Array] = (-1, np.zeros(0))

    def batch(self, step: int) -> NeurIKBatch:
        """Batch number `step`."""
        rng = np.random.default_rng((self.seed, step))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        num_mocap = round(self.batch_size * self.mocap_fraction)
        parts = [self._mocap_clips(num_mocap, rng)]
        if num_mocap < self.batch_size:
            parts.append(self._joint_space_clips(self.batch_size - num_mocap, step, rng))
        markers, q, scale = (torch.cat(both) for both in zip(*parts, strict=True))
        order = torch.as_tensor(rng.permutation(self.batch_size))
        markers, q, scale = markers[order], q[order], scale[order]
        visible = torch.ones(markers.shape[:3], dtype=torch.bool)
        first = round(self.batch_size * self.clean_fraction)
        for rows in torch.arange(first, self.batch_size).split(CLIPS_PER_NOISE_LEVEL):
            level = LEVELS["high"].scaled(float(rng.uniform(0, self.max_noise)))
            markers[rows], visible[rows] = add_noise(markers[rows], self.segments, self.parents, FPS, level, generator)
        frames = self._frames(rng)
        return NeurIKBatch(markers[:, frames], visible[:, frames], q[:, frames], scale)

    def _frames(self, rng: np.random.Generator) -> slice:
        """A random window of the clips, at 60 or 30 frames/s."""
        stride = int(rng.integers(1, 3)) if 2 * self.window <= FRAMES else 1
        first = int(rng.integers(0, FRAMES - stride * (self.window - 1)))
        return slice(first, first + stride * (self.window - 1) + 1, stride)

    def _mocap_clips(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        chosen = rng.integers(0, len(self.dataset.q), count)
        markers, q = torch.as_tensor(self.dataset.markers[chosen]), torch.as_tensor(self.dataset.q[chosen])
        return markers, q, torch.as_tensor(self.dataset.factors[self.dataset.person[chosen]])

    def _joint_space_clips(self, count: int, step: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        pool = self._joint_space_pool(step)
        q = pool[rng.integers(0, len(pool), count)]
        person = rng.integers(0, len(self.dataset.factors), count)
        scale = torch.as_tensor(self.dataset.factors[person])
        marker_locations = self.dataset.marker_locations[person] + rng.normal(0, _MARKER_STD, (count, len(MARKERS), 3))
        flat = torch.as_tensor(q.reshape(count * FRAMES, -1))
        frame_scale = scale.repeat_interleave(FRAMES, 0)
        frame_locations = torch.as_tensor(marker_locations.astype(np.float32)).repeat_interleave(FRAMES, 0)
        with torch.no_grad():
            markers = self.kinematics.markers(flat, frame_scale, frame_locations)
        return markers.unflatten(0, (count, FRAMES)), torch.as_tensor(q), scale

    def _joint_space_pool(self, step: int) -> Array:
        pool_number = step // POOL_REFRESH_STEPS
        if self._pool[0] != pool_number:
            rng = np.random.default_rng((self.seed, pool_number, 1))
            num_sampled = round(POOL_SIZE * (1 - PERTURBED_FRACTION))
            columns = [joint_motion.INDEX[name] for name in self.table.coordinates]
            inverse_columns = np.argsort(columns)
            mocap = self.dataset.q[rng.integers(0, len(self.dataset.q), POOL_SIZE - num_sampled)][..., inverse_columns]
            degrees = np.linspace(*_PERTURBATION_STD, 8)
            perturbed = [
                joint_motion.perturb(part, rng, float(size))
                for part, size in zip(np.array_split(mocap, len(degrees)), degrees, strict=True)
            ]
            sampled = joint_motion.sample(num_sampled, FRAMES, FPS, rng)
            motion = np.concatenate([sampled, *perturbed])[..., columns]
            self._pool = (
                pool_number,
                np.stack([canonical_angles(self.table, clip) for clip in motion]).astype(np.float32),
            )
        return self._pool[1]


def segment_tree(spec: ModelSpec) -> tuple[list[int], list[int]]:
    """Table of each marker's body and of each body's parent (-1: ground), for the noise model."""
    segments = [spec.bodies.index(marker.segment) for marker in MARKERS]
    return segments, list(spec.parents)
