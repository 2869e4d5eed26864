"""Euler branches: a joint with three successive axes reaches every orientation with two sets of angles.

Angles (a, b, c) about three perpendicular axes equal (a + 180, 180 - b, c + 180 degrees). Where the ranges allow both
(Rajagopal's shoulder does: an arm overhead is flexion 180, or abduction 180 with the arm rotated), the markers do not
determine which is meant. `canonical_angles` takes the smaller angles, without jumping from frame to frame.
"""

from __future__ import annotations

import numpy as np

from biopose_cli.skeleton.extract import ModelSpec
from biopose_cli.typing import Array

RANGE_SLACK = np.radians(30)  # distance outside a range up to which a branch is kept; our choice
OUT_OF_RANGE_WEIGHT = 10.0  # rad^2 of angle per rad^2 outside the range; our choice
BRANCH_CHANGE_WEIGHT = (
    10.0  # rad^2 of angle that a change of branch within a trial has to save in one frame; our choice
)


def three_axis_joints(spec: ModelSpec) -> list[list[int]]:
    """Coordinates (3) of every inner joint with three perpendicular axes, each with its own coordinate."""
    joints = []
    for joint, functions in enumerate(spec.functions):
        rotations = functions[:3]
        direct = all(f.coordinate >= 0 and f.knots is None and f.coefficients == (1.0, 0.0) for f in rotations)
        orthogonal = np.allclose(spec.axes[joint, :3] @ spec.axes[joint, :3].T, np.eye(3), atol=1e-6)
        if spec.parents[joint] >= 0 and direct and orthogonal:
            joints.append([f.coordinate for f in rotations])
    return joints


def equivalent_angles(angles: Array, ranges: Array, slack: float = 0.0) -> tuple[Array, Array]:
    """The other name of angles (..., 3) rad, turned by whole circles to the middle of their `ranges` (3, 2), and
    whether (...) it lies inside them, or no further out than `slack`."""
    flipped = angles * np.array([1, -1, 1]) + np.pi
    center = ranges.mean(axis=1)
    flipped = flipped - 2 * np.pi * np.round((flipped - center) / (2 * np.pi))
    outside = np.abs(flipped - np.clip(flipped, *ranges.T))
    return flipped, (outside <= slack + 1e-6).all(axis=-1)


def canonical_angles(spec: ModelSpec, q: Array, slack: float = 0.0) -> Array:
    """The same postures (T, D) under their smaller angles, one choice held over time where it can be.

    slack: rad that a name may lie out of the ranges, and is then cut to them. Where a limb is for a while just beyond
    the range of the name it has before and after, it stays at its end, and does not turn by half a circle twice.
    """
    q = q.copy()
    for columns in three_axis_joints(spec):
        angles, ranges = q[:, columns], spec.ranges[columns]
        flipped, in_range = equivalent_angles(angles, ranges, slack)
        if not in_range.any():
            continue
        candidates = np.stack([angles, np.where(in_range[:, None], flipped, angles)])  # (2, T, 3)
        clipped = np.clip(candidates, *ranges.T) if slack else candidates
        chosen = _smoothest(candidates, OUT_OF_RANGE_WEIGHT * ((candidates - clipped) ** 2).sum(-1))
        q[:, columns] = clipped[chosen, np.arange(len(q))]
    return q


def nearest_branch(spec: ModelSpec, q: Array, reference: Array) -> Array:
    """The same postures (T, D) under whichever of their two names is nearer to the `reference` (T, D): for comparing
    angles, where the other name is no more an error than a whole turn is."""
    q = q.copy()
    for columns in three_axis_joints(spec):
        angles, reference_angles = q[:, columns], reference[:, columns]
        flipped, in_range = equivalent_angles(angles, spec.ranges[columns])
        nearer = np.abs(flipped - reference_angles).sum(-1) < np.abs(angles - reference_angles).sum(-1)
        q[:, columns] = np.where((in_range & nearer)[:, None], flipped, angles)
    return q


def _smoothest(candidates: Array, cost: Array) -> Array:
    """(T) 0 or 1: the sequence with the smallest sum of squared angles and `cost` (2, T), plus
    `BRANCH_CHANGE_WEIGHT` times the squared steps."""
    size = (candidates**2).sum(-1) + cost
    total, predecessor = size[:, 0], np.zeros((len(size[0]), 2), int)
    for t in range(1, len(predecessor)):
        steps = BRANCH_CHANGE_WEIGHT * ((candidates[:, None, t] - candidates[None, :, t - 1]) ** 2).sum(
            -1
        )  # [now, before]
        paths = steps + total[None]
        predecessor[t] = paths.argmin(axis=1)
        total = size[:, t] + paths.min(axis=1)
    chosen = np.empty(len(predecessor), int)
    chosen[-1] = total.argmin()
    for t in range(len(predecessor) - 1, 0, -1):
        chosen[t - 1] = predecessor[t, chosen[t]]
    return chosen
