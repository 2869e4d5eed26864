"""The two branches of Euler angles: every attitude has two sets of three angles.

Rotations (a, b, c) about three perpendicular axes in a row equal (a + 180, 180 - b, c + 180 degrees). All but
`smoothest_branch` take NumPy arrays or torch tensors and return the same kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from biopose_cli.typing import Array

if TYPE_CHECKING:
    from torch import Tensor

    ArrayOrTensor = TypeVar("ArrayOrTensor", Array, Tensor)

RANGE_TOLERANCE = 1e-6  # rad that angles may lie out of a range by rounding
BRANCH_CHANGE_WEIGHT = 10.0  # rad^2 that a change of branch has to save in one frame, per rad^2 of step; our choice


def wrap_near(angles: ArrayOrTensor, center: ArrayOrTensor, half_turn: float = np.pi) -> ArrayOrTensor:
    """Angles plus the whole turns that bring each within half a turn of `center`; `half_turn` gives the unit."""
    return angles - 2 * half_turn * ((angles - center) / (2 * half_turn)).round()


def other_branch(angles: ArrayOrTensor, center: ArrayOrTensor, half_turn: float = np.pi) -> ArrayOrTensor:
    """The other angles (..., 3) of the same attitude, each within half a turn of `center`."""
    flipped = angles + half_turn
    flipped[..., 1] = half_turn - angles[..., 1]
    return wrap_near(flipped, center, half_turn)


def equivalent_angles(
    angles: ArrayOrTensor, ranges: ArrayOrTensor, slack: float = 0.0
) -> tuple[ArrayOrTensor, ArrayOrTensor]:
    """The other branch, wrapped to the middle of the ranges, and whether it is inside them.

    Parameters
    ----------
    angles : (..., 3) rad
    ranges : (3, 2) rad
    slack : rad that an angle may lie out of its range

    Returns
    -------
    angles : (..., 3) rad
    in_range : (...) bool
    """
    flipped = other_branch(angles, ranges.mean(-1))
    tolerance = slack + RANGE_TOLERANCE
    in_range = (flipped >= ranges[:, 0] - tolerance) & (flipped <= ranges[:, 1] + tolerance)
    return flipped, in_range.all(-1)


def nearest_branch(angles: ArrayOrTensor, reference: ArrayOrTensor, ranges: ArrayOrTensor) -> ArrayOrTensor:
    """The same attitudes under the other branch where that is nearer to the reference, and inside the ranges.

    Parameters
    ----------
    angles, reference : (..., 3) rad
    ranges : (3, 2) rad
    """
    flipped, in_range = equivalent_angles(angles, ranges)
    chosen = in_range & (abs(flipped - reference).sum(-1) < abs(angles - reference).sum(-1))
    result = angles + 0
    result[chosen] = flipped[chosen]
    return result


def nearest_branch_of_any(
    angles: ArrayOrTensor, reference: ArrayOrTensor, half_turn: float = np.pi
) -> tuple[ArrayOrTensor, ArrayOrTensor]:
    """The same attitudes under the branch nearer to the reference, where joints have no ranges.

    Parameters
    ----------
    angles, reference : (T, 3)
    half_turn : half a turn in their unit

    Returns
    -------
    angles : (T, 3)
        The given ones where no frame changes its branch; otherwise without whole turns against the reference, since a
        change of branch in the middle cannot be told from half a turn and misleads unwrapping.
    flipped : (T,) bool, frames under the other branch
    """
    wrapped, other = wrap_near(angles, reference, half_turn), other_branch(angles, reference, half_turn)
    flipped = abs(other - reference).sum(-1) < abs(wrapped - reference).sum(-1)
    if not flipped.any():
        return angles, flipped
    wrapped[flipped] = other[flipped]
    return wrapped, flipped


def smoothest_branch(candidates: Array, cost: Array) -> Array:
    """Which of two branches to take in each frame, (T,) 0 or 1.

    The sequence has the smallest sum of squared angles and costs, plus `BRANCH_CHANGE_WEIGHT` times the squared steps
    from frame to frame (dynamic programming).

    Parameters
    ----------
    candidates : (2, T, 3) rad
    cost : (2, T) rad^2
    """
    size = (candidates**2).sum(-1) + cost
    total, predecessor = size[:, 0], np.zeros((len(size[0]), 2), int)
    for t in range(1, len(predecessor)):
        # [now, before]
        steps = BRANCH_CHANGE_WEIGHT * ((candidates[:, None, t] - candidates[None, :, t - 1]) ** 2).sum(-1)
        paths = steps + total[None]
        predecessor[t] = paths.argmin(axis=1)
        total = size[:, t] + paths.min(axis=1)
    chosen = np.empty(len(predecessor), int)
    chosen[-1] = total.argmin()
    for t in range(len(predecessor) - 1, 0, -1):
        chosen[t - 1] = predecessor[t, chosen[t]]
    return chosen
