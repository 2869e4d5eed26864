"""Euler branches (`geometry/euler_branches.py`) of a skeleton's joints: which joints have two, and which is taken.

Where the ranges allow both (Rajagopal's shoulder does: an arm overhead is flexion 180, or abduction 180 with the arm
turned), the markers do not show which is meant. `canonical_angles` takes the branch with the smaller angles, without
jumping from frame to frame.
"""

from __future__ import annotations

import numpy as np

from biopose_cli.geometry import euler_branches
from biopose_cli.geometry.euler_branches import equivalent_angles, smoothest_branch
from biopose_cli.skeleton.extract import ModelSpec
from biopose_cli.typing import Array

RANGE_SLACK = np.radians(30)  # that a start may lie out of a range to go on under the name it had; our choice
OUT_OF_RANGE_WEIGHT = 10.0  # rad of angle squared, per rad squared out of the range; our choice


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
        chosen = smoothest_branch(candidates, OUT_OF_RANGE_WEIGHT * ((candidates - clipped) ** 2).sum(-1))
        q[:, columns] = clipped[chosen, np.arange(len(q))]
    return q


def nearest_branch(spec: ModelSpec, q: Array, reference: Array) -> Array:
    """The same postures (T, D) under whichever of their two names is nearer to the `reference` (T, D): for comparing
    angles, where the other name is no more an error than a whole turn is."""
    q = q.copy()
    for columns in three_axis_joints(spec):
        q[:, columns] = euler_branches.nearest_branch(q[:, columns], reference[:, columns], spec.ranges[columns])
    return q
