from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biopose_cli.geometry.rigid import align_points
from biopose_cli.typing import Array

RANDOM = np.random.default_rng(0)
SOURCE = RANDOM.normal(size=(4, 7, 3))
ROTATION = Rotation.random(4, random_state=0).as_matrix()
SHIFT = RANDOM.normal(size=(4, 1, 3))


def moved(scale: float = 1.0) -> Array:
    return np.asarray(scale * SOURCE @ np.swapaxes(ROTATION, 1, 2) + SHIFT)


@pytest.mark.parametrize("with_scale", [False, True])
def test_a_motion_is_found(with_scale: bool) -> None:
    scale = 1.7 if with_scale else 1.0
    alignment = align_points(SOURCE, moved(scale), with_scale=with_scale)
    np.testing.assert_allclose(alignment.rotation, ROTATION, atol=1e-12)
    np.testing.assert_allclose(alignment.scale, scale)
    np.testing.assert_allclose(alignment.apply(SOURCE), moved(scale), atol=1e-12)


def test_one_source_for_many_targets() -> None:
    targets = SOURCE[0] @ np.swapaxes(ROTATION, 1, 2) + SHIFT
    np.testing.assert_allclose(align_points(SOURCE[0], targets).apply(SOURCE[0]), targets, atol=1e-12)
    extra = np.array([[0.3, -0.2, 0.9]])
    expected = extra @ np.swapaxes(ROTATION, 1, 2) + SHIFT
    np.testing.assert_allclose(align_points(SOURCE[0], targets).apply(extra), expected, atol=1e-12)


def test_the_rotation_is_scipys_with_weights_too() -> None:
    target, weights = moved() + 0.3 * RANDOM.normal(size=SOURCE.shape), RANDOM.uniform(0.1, 2, SOURCE.shape[:2])
    alignment = align_points(SOURCE, target, weights)
    for k in range(len(SOURCE)):
        centers = [np.average(points[k], axis=0, weights=weights[k]) for points in (SOURCE, target)]
        expected, _ = Rotation.align_vectors(target[k] - centers[1], SOURCE[k] - centers[0], weights[k])
        np.testing.assert_allclose(alignment.rotation[k], expected.as_matrix(), atol=1e-9)
        np.testing.assert_allclose(alignment.target_center[k], centers[1])


def test_equal_weights_are_none_and_zero_leaves_a_point_out() -> None:
    target = moved() + 0.1 * RANDOM.normal(size=SOURCE.shape)
    for with_scale in (False, True):
        plain, equal = (align_points(SOURCE, target, w, with_scale=with_scale) for w in (None, np.full((4, 7), 3.0)))
        np.testing.assert_allclose(equal.apply(SOURCE), plain.apply(SOURCE), atol=1e-12)
    without = np.ones((4, 7))
    without[:, 2] = 0
    kept = [0, 1, 3, 4, 5, 6]
    np.testing.assert_allclose(
        align_points(SOURCE, target, without).apply(SOURCE),
        align_points(SOURCE[:, kept], target[:, kept]).apply(SOURCE),
        atol=1e-12,
    )


def test_without_any_weight_nothing_moves() -> None:
    alignment = align_points(SOURCE, moved(), np.zeros((4, 7)))
    np.testing.assert_allclose(alignment.apply(SOURCE), SOURCE, atol=1e-12)


def test_a_mirror_image_is_rotated_not_mirrored() -> None:
    alignment = align_points(SOURCE, SOURCE * [-1, 1, 1], with_scale=True)
    np.testing.assert_allclose(np.linalg.det(alignment.rotation), 1)


def test_the_alignment_is_a_least_squares_one() -> None:
    target = moved(1.3) + 0.2 * RANDOM.normal(size=SOURCE.shape)
    best = align_points(SOURCE, target, with_scale=True).apply(SOURCE)
    error = ((best - target) ** 2).sum()
    center = best.mean(axis=1, keepdims=True)
    for turn in Rotation.from_rotvec(1e-3 * np.concatenate([np.eye(3), -np.eye(3)])).as_matrix():
        assert (((best - center) @ turn + center - target) ** 2).sum() > error
    for factor in (0.999, 1.001):
        assert ((factor * (best - center) + center - target) ** 2).sum() > error
