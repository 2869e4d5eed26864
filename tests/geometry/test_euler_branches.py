"""The other branch is the same attitude; the nearest is found; NumPy and torch agree."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from biopose_cli.geometry.euler_branches import (
    equivalent_angles,
    nearest_branch,
    nearest_branch_of_any,
    other_branch,
    smoothest_branch,
    wrap_near,
)
from biopose_cli.typing import Array

RANDOM = np.random.default_rng(0)
ANGLES, REFERENCE = RANDOM.uniform(-np.pi, np.pi, (2, 300, 3))
RANGES = np.array([[-1.5, 3.0], [-2.5, 1.0], [-2.0, 2.0]])


def zxy(degrees: Array) -> Rotation:
    return Rotation.from_euler("ZXY", degrees, degrees=True)


def test_wrapping_adds_whole_turns() -> None:
    wrapped = wrap_near(5 * ANGLES, REFERENCE)
    assert np.abs(wrapped - REFERENCE).max() <= np.pi + 1e-12
    turns = (wrapped - 5 * ANGLES) / (2 * np.pi)
    np.testing.assert_allclose(turns, turns.round(), atol=1e-12)


def test_the_other_branch_is_the_same_attitude_and_its_other_branch_the_first() -> None:
    other = other_branch(ANGLES, REFERENCE)
    difference = zxy(np.degrees(other)).inv() * zxy(np.degrees(ANGLES))
    np.testing.assert_allclose(difference.magnitude(), 0, atol=1e-7)
    np.testing.assert_allclose(other_branch(other, ANGLES), ANGLES, atol=1e-12)


def test_a_branch_outside_the_ranges_is_not_inside() -> None:
    ranges = np.array([[-1.0, 1.0], [-1.0, 1.0], [-1.0, 1.0]])
    other, inside = equivalent_angles(np.array([[0.2, 0.3, 0.1]]), ranges)
    assert not inside.any()
    assert np.abs(other - ranges.mean(axis=1)).max() <= np.pi + 1e-9


def test_the_nearest_branch_is_nearer_in_range_and_the_same_attitude() -> None:
    nearest = nearest_branch(ANGLES, REFERENCE, RANGES)
    changed = (nearest != ANGLES).any(axis=1)
    assert 10 < changed.sum() < 290
    before, after = (np.abs(angles - REFERENCE).sum(-1) for angles in (ANGLES, nearest))
    assert (after[changed] < before[changed]).all()
    assert (nearest[changed] >= RANGES[:, 0] - 1e-6).all() and (nearest[changed] <= RANGES[:, 1] + 1e-6).all()
    difference = zxy(np.degrees(nearest)).inv() * zxy(np.degrees(ANGLES))
    np.testing.assert_allclose(difference.magnitude(), 0, atol=1e-7)


def test_arrays_and_tensors_agree() -> None:
    angles, reference, ranges = (torch.as_tensor(values) for values in (ANGLES, REFERENCE, RANGES))
    np.testing.assert_array_equal(nearest_branch(angles, reference, ranges), nearest_branch(ANGLES, REFERENCE, RANGES))
    for slack in (0.0, 0.5):
        for found, expected in zip(
            equivalent_angles(angles, ranges, slack), equivalent_angles(ANGLES, RANGES, slack), strict=True
        ):
            np.testing.assert_array_equal(found, expected)


def test_the_nearer_branch_is_the_same_posture() -> None:
    rng = np.random.default_rng(0)
    given, reference = rng.uniform(-400, 400, (2, 300, 3))
    nearest, flipped = nearest_branch_of_any(given, reference, 180.0)
    assert 50 < flipped.sum() < 250
    difference = zxy(nearest) * zxy(given).inv()
    np.testing.assert_allclose(difference.magnitude(), 0, atol=1e-6)
    assert np.abs(nearest - reference).max() <= 180
    again, none = nearest_branch_of_any(nearest, reference, 180.0)
    np.testing.assert_array_equal(again, nearest)
    assert not none.any()


def test_the_smoothest_branch_is_the_small_one_and_does_not_change_for_a_frame() -> None:
    small = np.full((20, 3), 0.5)
    large = np.full((20, 3), 0.9)
    assert (smoothest_branch(np.stack([large, small]), np.zeros((2, 20))) == 1).all()
    cost = np.zeros((2, 20))
    cost[1, 7] = 1.0  # less than two changes of branch
    assert (smoothest_branch(np.stack([large, small]), cost) == 1).all()
    cost[1, 7] = 100.0
    assert np.flatnonzero(smoothest_branch(np.stack([large, small]), cost) == 0).tolist() == [7]
