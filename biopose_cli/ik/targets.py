"""What inverse kinematics aims at: measured markers and how much each counts, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from biopose_cli.typing import Array


@dataclass(frozen=True)
class Targets:
    """`positions` (T, M, 3) m, ground, zero where not seen; `weights` (T, M), zero there as well."""

    positions: Tensor
    weights: Tensor

    @staticmethod
    def from_markers(markers: Array, weights: Array | None) -> Targets:
        """markers: (T, M, 3), NaN where not seen. weights: (M); None: all alike."""
        points = torch.as_tensor(markers, dtype=torch.float64)
        visible = torch.isfinite(points).all(-1)
        marker_weights = torch.as_tensor(np.ones(points.shape[1]) if weights is None else weights, dtype=torch.float64)
        return Targets(torch.where(visible[..., None], points, 0.0), visible * marker_weights)

    def select(self, rows: Tensor) -> Targets:
        """Return the targets of these rows only."""
        return Targets(self.positions[rows], self.weights[rows])

    def weighted(self, factor: Tensor) -> Targets:
        """factor: (M)."""
        return Targets(self.positions, self.weights * factor)

    def rms(self, cost: Tensor) -> Tensor:
        """(T) weighted root mean square distance of the seen markers, m, from half the sum of squares."""
        squares: Tensor = 2 * cost / self.weights.sum(1).clamp(min=1e-9)
        return squares.sqrt()
