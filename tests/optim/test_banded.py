from __future__ import annotations

import numpy as np
import pytest

from biopose_cli.optim.banded import BandedNormalEquations, LinAlgError
from biopose_cli.typing import Array

FRAMES, SIZE, SHAPES = 5, 4, 3


@pytest.fixture
def system() -> BandedNormalEquations:
    """A random positive definite banded system with a border."""
    generator = np.random.default_rng(0)
    system = BandedNormalEquations(FRAMES, SIZE, SHAPES)
    for k in (1, 2):
        system.blocks[k][: FRAMES - k] = generator.normal(size=(FRAMES - k, SIZE, SIZE))
    square = generator.normal(size=(FRAMES, SIZE, SIZE))
    system.blocks[0] += square @ np.swapaxes(square, 1, 2) + 20 * np.eye(SIZE)
    system.gradient += generator.normal(size=(FRAMES, SIZE))
    system.coupling += generator.normal(size=(FRAMES, SIZE, SHAPES))
    system.shape_hessian += 30 * np.eye(SHAPES)
    system.shape_gradient += generator.normal(size=SHAPES)
    return system


def dense(system: BandedNormalEquations) -> tuple[Array, Array]:
    whole = np.zeros((FRAMES * SIZE + SHAPES,) * 2)
    for k in range(3):
        for t in range(FRAMES - k):
            rows, columns = slice((t + k) * SIZE, (t + k + 1) * SIZE), slice(t * SIZE, (t + 1) * SIZE)
            whole[rows, columns] = system.blocks[k][t]
            whole[columns, rows] = system.blocks[k][t].T
    border = system.coupling.reshape(-1, SHAPES)
    whole[: FRAMES * SIZE, FRAMES * SIZE :], whole[FRAMES * SIZE :, : FRAMES * SIZE] = border, border.T
    whole[FRAMES * SIZE :, FRAMES * SIZE :] = system.shape_hessian
    return whole, np.concatenate([system.gradient.reshape(-1), system.shape_gradient])


@pytest.mark.parametrize("damping", [0.0, 0.3])
def test_solves_the_whole_system(system: BandedNormalEquations, damping: float) -> None:
    matrix, gradient = dense(system)
    expected = np.linalg.solve(matrix + damping * np.diag(np.diag(matrix)), -gradient)
    step, shape = system.solve(damping, free_shape=True)
    np.testing.assert_allclose(np.concatenate([step.reshape(-1), shape]), expected, atol=1e-12)


def test_a_held_shape_does_not_move(system: BandedNormalEquations) -> None:
    matrix, gradient = dense(system)
    inner = FRAMES * SIZE
    step, shape = system.solve(0.0, free_shape=False)
    np.testing.assert_allclose(
        step.reshape(-1), np.linalg.solve(matrix[:inner, :inner], -gradient[:inner]), atol=1e-12
    )
    assert not shape.any()


def test_refuses_what_is_not_positive_definite(system: BandedNormalEquations) -> None:
    system.blocks[0][2] -= 100 * np.eye(SIZE)
    with pytest.raises(LinAlgError):
        system.solve(0.0, free_shape=False)


def test_frames_can_be_added_in_parts() -> None:
    generator = np.random.default_rng(1)
    jacobian, residual = generator.normal(size=(FRAMES, 6, SIZE)), generator.normal(size=(FRAMES, 6))
    by_shape = generator.normal(size=(FRAMES, 6, SHAPES))
    whole, parts = BandedNormalEquations(FRAMES, SIZE, SHAPES), BandedNormalEquations(FRAMES, SIZE, SHAPES)
    whole.add_local(jacobian, residual, by_shape)
    for rows in (slice(0, 2), slice(2, FRAMES)):
        parts.add_local(jacobian[rows], residual[rows], by_shape[rows], rows)
    for ours, expected in zip(dense(parts), dense(whole), strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-12)
    assert parts.gradient[-1].any()
