"""NumPy's and torch's rotations: both SciPy's, and so each other's, on random rotations and on the awkward ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from biopose_cli.geometry import so3, so3_torch
from biopose_cli.typing import Array

AXES = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0], [0.6, 0, -0.8], [1 / 3, 2 / 3, 2 / 3]])
ANGLES = np.array([0.0, 1e-12, 1e-7, 1e-4, 1.0, np.pi / 2, np.pi - 1e-7, np.pi, np.pi + 0.1, 2 * np.pi])
VECTORS = np.concatenate(
    [(AXES[:, None] * ANGLES[:, None]).reshape(-1, 3), 2 * np.random.default_rng(0).normal(size=(200, 3))]
)
MATRICES = Rotation.from_rotvec(VECTORS).as_matrix()


def in_torch(function: Callable[..., torch.Tensor]) -> Callable[..., Array]:
    return lambda *arrays: function(*(torch.as_tensor(array) for array in arrays)).numpy()


AXIS_ANGLE_TO_MATRIX = [so3.axis_angle_to_matrix, in_torch(so3_torch.axis_angle_to_matrix)]
SKEW = [so3.skew, in_torch(so3_torch.skew)]
PROJECT = [so3.project_to_so3, in_torch(so3_torch.project_to_so3)]
BACKENDS = ["numpy", "torch"]


@pytest.mark.parametrize("axis_angle_to_matrix", AXIS_ANGLE_TO_MATRIX, ids=BACKENDS)
def test_axis_angles_are_scipys(axis_angle_to_matrix: Callable[[Array], Array]) -> None:
    np.testing.assert_allclose(axis_angle_to_matrix(VECTORS), MATRICES, atol=1e-12)
    batched = axis_angle_to_matrix(VECTORS[:6].reshape(2, 3, 3))
    np.testing.assert_allclose(batched, MATRICES[:6].reshape(2, 3, 3, 3), atol=1e-12)


def test_logarithms_are_scipys() -> None:
    back = so3.matrix_to_axis_angle(MATRICES)
    np.testing.assert_allclose(Rotation.from_rotvec(back).as_matrix(), MATRICES, atol=1e-9)
    away_from_pi = np.abs(Rotation.from_matrix(MATRICES).magnitude() - np.pi) > 1e-6  # there both axes are right
    expected = Rotation.from_matrix(MATRICES).as_rotvec()
    np.testing.assert_allclose(back[away_from_pi], expected[away_from_pi], atol=1e-9)


@pytest.mark.parametrize("skew", SKEW, ids=BACKENDS)
def test_skew_is_the_cross_product(skew: Callable[[Array], Array]) -> None:
    other = np.random.default_rng(1).normal(size=VECTORS.shape)
    np.testing.assert_allclose((skew(VECTORS) @ other[..., None])[..., 0], np.cross(VECTORS, other), atol=1e-12)


@pytest.mark.parametrize("project", PROJECT, ids=BACKENDS)
def test_projections_are_the_nearest_rotations(project: Callable[[Array], Array]) -> None:
    np.testing.assert_allclose(project(MATRICES), MATRICES, atol=1e-12)
    noisy = MATRICES + 0.4 * np.random.default_rng(2).normal(size=MATRICES.shape)
    noisy[::3, :, 2] *= -0.5  # mirrored ones: the nearest proper rotation is not U V^T
    expected = [Rotation.align_vectors(matrix.T, np.eye(3))[0].as_matrix() for matrix in noisy]
    np.testing.assert_allclose(project(noisy), expected, atol=1e-7)
    np.testing.assert_allclose(np.linalg.det(project(noisy)), 1)


def test_both_project_alike() -> None:
    noisy = np.random.default_rng(3).normal(size=(200, 3, 3))
    np.testing.assert_allclose(PROJECT[0](noisy), PROJECT[1](noisy), atol=1e-9)


def test_the_geodesic_distance_is_scipys_angle() -> None:
    other = Rotation.random(len(MATRICES), random_state=0)
    expected = (Rotation.from_matrix(MATRICES).inv() * other).magnitude()
    found = in_torch(so3_torch.geodesic_distance)(MATRICES, other.as_matrix())
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_rotation_between_takes_one_direction_to_the_other() -> None:
    random = np.random.default_rng(4)
    source = np.concatenate([random.normal(size=(50, 3)), AXES, AXES])
    target = np.concatenate([random.normal(size=(50, 3)), 2 * AXES, -3 * AXES])  # the same and opposite, too
    rotation = so3.rotation_between(source, target)
    unit = target / np.linalg.norm(target, axis=-1, keepdims=True)
    rotated = (rotation @ source[..., None])[..., 0] / np.linalg.norm(source, axis=-1, keepdims=True)
    np.testing.assert_allclose(rotated, unit, atol=1e-9)
    cosine = (unit * source).sum(-1) / np.linalg.norm(source, axis=-1)
    np.testing.assert_allclose(
        Rotation.from_matrix(rotation).magnitude(), np.arccos(cosine.clip(-1, 1)), atol=1e-7
    )  # no turn about the direction itself
