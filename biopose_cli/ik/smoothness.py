"""How far coordinates bend from frame to frame: the second differences that `clip.py` keeps small, over true times."""

from __future__ import annotations

import torch
from torch import Tensor

from biopose_cli.optim.banded import System


def bends(q: Tensor, time: Tensor) -> Tensor:
    """(T - 2, F) second differences of q (T, F) at the times (T) s, increasing; in units of q."""
    before, here, after = _factors(time)[..., None]
    return before * q[:-2] + here * q[1:-1] + after * q[2:] if len(q) > 2 else q[:0]


def add_bends(system: System, q: Tensor, time: Tensor, weight: float) -> None:
    """Add to the system 0.5 `weight` times the sum of the squared `bends`."""
    bent = bends(q, time).numpy()
    count, every = len(bent), range(q.shape[1])
    factors = _factors(time).numpy()[..., None]
    for i, a in enumerate(factors):
        system.gradient[i : count + i] += weight * a * bent
        for j, b in enumerate(factors[: i + 1]):
            system.blocks[i - j][j : count + j, every, every] += weight * a * b


def _factors(time: Tensor) -> Tensor:
    """(3, T - 2): what frames t, t + 1 and t + 2 count in a second difference.

    It is the second derivative of the parabola through the three, times the median step squared: 1, -2, 1 where frames
    are evenly spaced, so that a weight means the same with times as without.
    """
    if len(time) < 3:
        return time.new_zeros(3, 0)
    steps = time.diff()
    before, after = steps[:-1], steps[1:]
    slopes = torch.stack([1 / before, -(1 / before + 1 / after), 1 / after])
    return slopes * 2 / (before + after) * steps.median() ** 2
