"""Batches for NeurIK without end: captured clips, joint-space motion on the same people, noise on both.

A batch depends on the seed and its number only, so a run that is resumed sees what an uninterrupted one sees.
C clips, W frames of a window, M markers, D coordinates, B bodies; ground; m and rad.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from biopose_cli.body.markers import MARKERS
from biopose_cli.skeleton.euler_branches import canonical
from biopose_cli.skeleton.extract import Table
from biopose_cli.skeleton.kinematics import Kinematics
from biopose_cli.synthesis import joint_motion
from biopose_cli.synthesis.marker_noise import LEVELS, add_noise
from biopose_cli.training.marker_dataset import FPS, FRAMES, Pairs
from biopose_cli.typing import Array

POOL = 4096  # clips of joint-space motion at once
RENEWED = 2000  # steps after which the pool is drawn anew
PERTURBED = 0.4  # share of joint-space motion that is captured motion with its angles changed
SAME_NOISE = 6  # clips with one level of noise
_CHANGE = (3.0, 20.0)  # degrees, standard deviation of that change
_SITE = 0.004  # m: a marker sits a little elsewhere on every wearer than our calibration says


@dataclass(frozen=True)
class Batch:
    """Input `markers` (C, W, M, 3) and `seen` (C, W, M); truth `q` (C, W, D) and `scale` (C, B, 3)."""

    markers: Tensor
    seen: Tensor
    q: Tensor
    scale: Tensor


class Stream:
    """Batches of `clips` windows of `window` frames: a share `captured` of motion capture, a share `clean` without
    noise, the others with noise up to `noise` times the level "high"."""

    def __init__(
        self,
        pairs: Pairs,
        table: Table,
        clips: int,
        window: int,
        seed: int,
        captured: float,
        clean: float,
        noise: float,
    ) -> None:
        self.pairs, self.table, self.clips, self.window, self.seed = pairs, table, clips, window, seed
        self.captured, self.clean, self.noise = captured, clean, noise
        self.kinematics = Kinematics(table, torch.float32)
        self.segments, self.parents = segment_tree(table)
        self._pool: tuple[int, Array] = (-1, np.zeros(0))

    def batch(self, step: int) -> Batch:
        """The batch number `step`."""
        rng = np.random.default_rng((self.seed, step))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        real = round(self.clips * self.captured)
        parts = [self._captured(real, rng)]
        if real < self.clips:
            parts.append(self._joint_space(self.clips - real, step, rng))
        markers, q, scale = (torch.cat(both) for both in zip(*parts, strict=True))
        order = torch.as_tensor(rng.permutation(self.clips))
        markers, q, scale = markers[order], q[order], scale[order]
        seen = torch.ones(markers.shape[:3], dtype=torch.bool)
        first = round(self.clips * self.clean)
        for some in torch.arange(first, self.clips).split(SAME_NOISE):
            level = LEVELS["high"].scaled(float(rng.uniform(0, self.noise)))
            markers[some], seen[some] = add_noise(
                markers[some], self.segments, self.parents, FPS, level, generator
            )
        frames = self._frames(rng)
        return Batch(markers[:, frames], seen[:, frames], q[:, frames], scale)

    def _frames(self, rng: np.random.Generator) -> slice:
        """A window somewhere in the clips, at 60 or 30 frames/s."""
        stride = int(rng.integers(1, 3)) if 2 * self.window <= FRAMES else 1
        first = int(rng.integers(0, FRAMES - stride * (self.window - 1)))
        return slice(first, first + stride * (self.window - 1) + 1, stride)

    def _captured(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        chosen = rng.integers(0, len(self.pairs.q), count)
        markers, q = torch.as_tensor(self.pairs.markers[chosen]), torch.as_tensor(self.pairs.q[chosen])
        return markers, q, torch.as_tensor(self.pairs.factors[self.pairs.person[chosen]])

    def _joint_space(self, count: int, step: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        pool = self._motion(step)
        q = pool[rng.integers(0, len(pool), count)]
        person = rng.integers(0, len(self.pairs.factors), count)
        scale = torch.as_tensor(self.pairs.factors[person])
        places = self.pairs.places[person] + rng.normal(0, _SITE, (count, len(MARKERS), 3))
        flat = torch.as_tensor(q.reshape(count * FRAMES, -1))
        each = scale.repeat_interleave(FRAMES, 0)
        sites = torch.as_tensor(places.astype(np.float32)).repeat_interleave(FRAMES, 0)
        with torch.no_grad():
            markers = self.kinematics.markers(flat, each, sites)
        return markers.unflatten(0, (count, FRAMES)), torch.as_tensor(q), scale

    def _motion(self, step: int) -> Array:
        number = step // RENEWED
        if self._pool[0] != number:
            rng = np.random.default_rng((self.seed, number, 1))
            invented = round(POOL * (1 - PERTURBED))
            columns = [joint_motion.INDEX[name] for name in self.table.coordinates]
            back = np.argsort(columns)
            captured = self.pairs.q[rng.integers(0, len(self.pairs.q), POOL - invented)][..., back]
            degrees = np.linspace(*_CHANGE, 8)
            changed = [
                joint_motion.perturbed(part, rng, float(size))
                for part, size in zip(np.array_split(captured, len(degrees)), degrees, strict=True)
            ]
            drawn = joint_motion.sample(invented, FRAMES, FPS, rng)
            motion = np.concatenate([drawn, *changed])[..., columns]
            self._pool = (
                number,
                np.stack([canonical(self.table, clip) for clip in motion]).astype(np.float32),
            )
        return self._pool[1]


def segment_tree(table: Table) -> tuple[list[int], list[int]]:
    """For the noise: every marker's body in the table, and every body's parent (-1: ground)."""
    segments = [table.bodies.index(marker.segment) for marker in MARKERS]
    return segments, list(table.parents)
