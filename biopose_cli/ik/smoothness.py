"""Second differences of coordinates over true times, which `trajectory.py` keeps small."""

from __future__ import annotations

import torch
from torch import Tensor

from biopose_cli.optim.banded import BandedNormalEquations


def second_differences(q: Tensor, time: Tensor) -> Tensor:
    """(T - 2, F) second differences of q (T, F) at the times (T) s, increasing; in units of q."""
    before, here, after = _difference_weights(time)[..., None]
    return before * q[:-2] + here * q[1:-1] + after * q[2:] if len(q) > 2 else q[:0]


def add_smoothness(equations: BandedNormalEquations, q: Tensor, time: Tensor, weight: float) -> None:
    """Add to the system 0.5 `weight` times the sum of the squared `second_differences`."""
    differences = second_differences(q, time).numpy()
    count, columns = len(differences), range(q.shape[1])
    weights = _difference_weights(time).numpy()[..., None]
    for i, a in enumerate(weights):
        equations.gradient[i : count + i] += weight * a * differences
        for j, b in enumerate(weights[: i + 1]):
            equations.blocks[i - j][j : count + j, columns, columns] += weight * a * b


def _difference_weights(time: Tensor) -> Tensor:
    """(3, T - 2): weights of frames t, t + 1 and t + 2 in a second difference.

    It is the second derivative of the parabola through the three, times the median step squared: 1, -2, 1 where frames
    are evenly spaced, so that a weight means the same with times as without.
    """
    if len(time) < 3:
        return time.new_zeros(3, 0)
    steps = time.diff()
    before, after = steps[:-1], steps[1:]
    weights = torch.stack([1 / before, -(1 / before + 1 / after), 1 / after])
    return weights * 2 / (before + after) * steps.median() ** 2
