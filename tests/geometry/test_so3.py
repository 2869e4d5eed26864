from __future__ import annotations

import numpy as np
import pytest

from biopose_cli.geometry import so3
from biopose_cli.typing import Array


@pytest.fixture
def vectors() -> Array:
    generator = np.random.default_rng(0)
    directions = generator.normal(size=(200, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return directions * generator.uniform(0, 3.1, (200, 1))


def test_exp_gives_rotations(vectors: Array) -> None:
    matrices = so3.axis_angle_to_matrix(vectors)
    np.testing.assert_allclose(
        matrices @ np.swapaxes(matrices, 1, 2), np.tile(np.eye(3), (200, 1, 1)), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(matrices), 1)
    np.testing.assert_allclose(
        np.einsum("nij,nj->ni", matrices, vectors), vectors, atol=1e-12
    )  # the axis stays


def test_quarter_turn_about_z_takes_x_to_y() -> None:
    np.testing.assert_allclose(
        so3.axis_angle_to_matrix(np.array([0, 0, np.pi / 2])) @ [1, 0, 0], [0, 1, 0], atol=1e-12
    )


def test_log_undoes_exp(vectors: Array) -> None:
    np.testing.assert_allclose(
        so3.matrix_to_axis_angle(so3.axis_angle_to_matrix(vectors)), vectors, atol=1e-9
    )


@pytest.mark.parametrize("axis", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.6, 0, 0.8)])
@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, np.pi - 1e-7, np.pi])
def test_log_at_its_difficult_places(axis: tuple[float, float, float], angle: float) -> None:
    turned = so3.axis_angle_to_matrix(np.array(axis) * angle)
    vector = so3.matrix_to_axis_angle(turned)
    assert np.linalg.norm(vector) == pytest.approx(angle, abs=1e-8)
    np.testing.assert_allclose(so3.axis_angle_to_matrix(vector), turned, atol=1e-8)


def test_right_jacobian_inverse_is_the_derivative_of_log(vectors: Array) -> None:
    step = 1e-6 * np.random.default_rng(1).normal(size=vectors.shape)
    moved = so3.matrix_to_axis_angle(so3.axis_angle_to_matrix(vectors) @ so3.axis_angle_to_matrix(step))
    predicted = np.einsum("nij,nj->ni", so3.right_jacobian_inverse(vectors), step)
    np.testing.assert_allclose(moved - vectors, predicted, atol=1e-10)


def test_interpolate_turns_evenly_in_time_and_holds_the_ends() -> None:
    time = np.array([0.0, 1, 2, 5, 6, 7])
    known = np.array([False, True, False, False, True, False])
    matrices = so3.axis_angle_to_matrix(np.array([0, 0, 1.0]) * np.array([9, 0.5, 9, 9, 1.5, 9])[:, None])
    filled = so3.matrix_to_axis_angle(so3.interpolate(matrices, known, time))[:, 2]
    np.testing.assert_allclose(filled, [0.5, 0.5, 0.7, 1.3, 1.5, 1.5], atol=1e-12)
