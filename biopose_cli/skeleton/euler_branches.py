"""Two names for one posture: a joint with three turns in a row reaches every attitude twice.

Turns (a, b, c) about three perpendicular axes equal (a + 180, 180 - b, c + 180 degrees). Where the ranges allow both
(Rajagopal's shoulder does: an arm overhead is flexion 180, or abduction 180 with the arm turned), the markers cannot
tell which is meant. `canonical` takes the one with the smaller angles, without jumping from frame to frame.
"""

from __future__ import annotations

import numpy as np

from biopose_cli.skeleton.extract import Table
from biopose_cli.typing import Array

SLACK = np.radians(30)  # that a start may lie out of a range to go on under the name it had; our choice
OUTSIDE = 10.0  # rad of angle squared, per rad squared out of the range; our choice
JUMP = 10.0  # rad of angle squared that a change of name within a trial has to save in one frame; our choice


def three_turns(table: Table) -> list[list[int]]:
    """The coordinates (3) of every inner joint that turns about three perpendicular axes by themselves."""
    found = []
    for joint, functions in enumerate(table.functions):
        turns = functions[:3]
        plain = all(f.coordinate >= 0 and f.knots is None and f.coefficients == (1.0, 0.0) for f in turns)
        square = np.allclose(table.axes[joint, :3] @ table.axes[joint, :3].T, np.eye(3), atol=1e-6)
        if table.parents[joint] >= 0 and plain and square:
            found.append([f.coordinate for f in turns])
    return found


def other_name(angles: Array, ranges: Array, slack: float = 0.0) -> tuple[Array, Array]:
    """The other name of angles (..., 3) rad, turned by whole circles to the middle of their `ranges` (3, 2), and
    whether (...) it lies inside them, or no further out than `slack`."""
    flipped = angles * np.array([1, -1, 1]) + np.pi
    middle = ranges.mean(axis=1)
    flipped = flipped - 2 * np.pi * np.round((flipped - middle) / (2 * np.pi))
    outside = np.abs(flipped - np.clip(flipped, *ranges.T))
    return flipped, (outside <= slack + 1e-6).all(axis=-1)


def canonical(table: Table, q: Array, slack: float = 0.0) -> Array:
    """The same postures (T, D) under their smaller angles, one choice held over time where it can be.

    slack: rad that a name may lie out of the ranges, and is then cut to them. Where a limb is for a while just beyond
    the range of the name it has before and after, it stays at its end, and does not turn by half a circle twice.
    """
    q = q.copy()
    for columns in three_turns(table):
        own, ranges = q[:, columns], table.ranges[columns]
        other, inside = other_name(own, ranges, slack)
        if not inside.any():
            continue
        names = np.stack([own, np.where(inside[:, None], other, own)])  # (2, T, 3)
        cut = np.clip(names, *ranges.T) if slack else names
        chosen = _smoothest(names, OUTSIDE * ((names - cut) ** 2).sum(-1))
        q[:, columns] = cut[chosen, np.arange(len(q))]
    return q


def named_as(table: Table, q: Array, reference: Array) -> Array:
    """The same postures (T, D) under whichever of their two names is nearer to the `reference` (T, D): for comparing
    angles, where the other name is no more an error than a whole turn is."""
    q = q.copy()
    for columns in three_turns(table):
        own, wanted = q[:, columns], reference[:, columns]
        other, inside = other_name(own, table.ranges[columns])
        nearer = np.abs(other - wanted).sum(-1) < np.abs(own - wanted).sum(-1)
        q[:, columns] = np.where((inside & nearer)[:, None], other, own)
    return q


def _smoothest(names: Array, cost: Array) -> Array:
    """(T) 0 or 1: the sequence with the smallest sum of squared angles and `cost` (2, T), plus `JUMP` times the squared
    steps."""
    size = (names**2).sum(-1) + cost
    total, back = size[:, 0], np.zeros((len(size[0]), 2), int)
    for t in range(1, len(back)):
        steps = JUMP * ((names[:, None, t] - names[None, :, t - 1]) ** 2).sum(-1)  # [now, before]
        paths = steps + total[None]
        back[t] = paths.argmin(axis=1)
        total = size[:, t] + paths.min(axis=1)
    chosen = np.empty(len(back), int)
    chosen[-1] = total.argmin()
    for t in range(len(back) - 1, 0, -1):
        chosen[t - 1] = back[t, chosen[t]]
    return chosen
