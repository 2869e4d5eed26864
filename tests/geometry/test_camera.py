"""Projection and lens distortion, against OpenCV's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from biopose_cli.geometry.camera import (
    MIN_DEPTH,
    perspective_divide,
    project,
    project_distorted,
    project_jacobian,
    undistort,
    unproject,
)

MATRIX = np.array([[900.0, 0.0, 320.0], [0.0, 910.0, 240.0], [0.0, 0.0, 1.0]])
LENS = np.array([-0.28, 0.09, 1e-3, -7e-4, -0.012])


def points(count: int = 50) -> np.ndarray:
    generator = np.random.default_rng(0)
    return generator.uniform([-1, -0.8, 2.5], [1, 0.8, 6.0], (count, 3))


def opencv(lens: np.ndarray) -> np.ndarray:
    pixels: np.ndarray = cv2.projectPoints(points(), np.zeros(3), np.zeros(3), MATRIX, lens)[0][:, 0]
    return pixels


def test_project_is_opencvs_for_arrays_and_tensors() -> None:
    np.testing.assert_allclose(project(points(), MATRIX), opencv(np.zeros(5)), atol=1e-9)
    found = project(torch.from_numpy(points()), torch.from_numpy(MATRIX))
    np.testing.assert_allclose(found, opencv(np.zeros(5)), atol=1e-9)


def test_project_distorted_is_opencvs() -> None:
    np.testing.assert_allclose(project_distorted(points(), MATRIX, LENS), opencv(LENS), atol=1e-9)


@pytest.mark.parametrize("min_depth", [None, 0.1, 3.5])
def test_arrays_and_tensors_agree(min_depth: float | None) -> None:
    inputs = np.concatenate([points(), points() - [0, 0, 4.0]]) if min_depth else points()
    found = project(torch.from_numpy(inputs), torch.from_numpy(MATRIX), min_depth).numpy()
    np.testing.assert_array_equal(found, project(inputs, MATRIX, min_depth))
    found = perspective_divide(torch.from_numpy(inputs), min_depth).numpy()
    np.testing.assert_array_equal(found, perspective_divide(inputs, min_depth))


def test_project_on_the_axis_hits_the_principal_point() -> None:
    found = project(torch.tensor([[[0.0, 0.0, 3.0]]]), torch.from_numpy(MATRIX).float())
    torch.testing.assert_close(found, torch.tensor([[[320.0, 240.0]]]))


def test_project_stays_finite_behind_the_camera() -> None:
    behind = torch.tensor([[0.3, 0.1, -1.0], [0.3, 0.1, 0.0]], requires_grad=True)
    found = project(behind, torch.from_numpy(MATRIX).float(), MIN_DEPTH)
    found.sum().backward()
    assert torch.isfinite(found).all()
    assert behind.grad is not None and torch.isfinite(behind.grad).all()
    assert found[1, 0].item() == pytest.approx(320 + 900 * 0.3 / MIN_DEPTH)


def test_unproject_undoes_project_also_with_a_camera_a_frame() -> None:
    frames = points(60).reshape(3, 20, 3)
    matrices = MATRIX * np.array([1.0, 1.2, 0.8])[:, None, None]
    pixels = project(frames, matrices[:, None])
    np.testing.assert_allclose(pixels[1], project(frames[1], matrices[1]))
    np.testing.assert_allclose(unproject(pixels, matrices[:, None]), perspective_divide(frames), atol=1e-12)


def test_jacobian_is_the_derivative() -> None:
    step = 1e-6 * np.random.default_rng(1).normal(size=(50, 3))
    change = project(points() + step, MATRIX) - project(points() - step, MATRIX)
    predicted = 2 * (project_jacobian(points(), MATRIX, MIN_DEPTH) @ step[..., None])[..., 0]
    np.testing.assert_allclose(change, predicted, atol=1e-8)


def test_undistort_reverses_opencvs_lens() -> None:
    straight = opencv(np.zeros(5))
    seen = opencv(LENS)
    assert np.abs(seen - straight).max() > 5
    np.testing.assert_allclose(undistort(seen, MATRIX, LENS), straight, atol=1e-6)


def test_points_outside_the_lens_model_undistort_to_nan() -> None:
    seen = np.array([[1800.0, 1900], [900, 600]])
    matrix = np.array([[900.0, 0, 960], [0, 900, 540], [0, 0, 1]])
    found = undistort(seen, matrix, np.array([-0.28, 0.07, 0, 0, 0]))
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1]).all()


def test_undistort_keeps_shape_type_and_gaps() -> None:
    seen = np.full((3, 4, 2), 100.0, np.float32)
    seen[1] = np.nan
    found = undistort(seen, MATRIX, LENS)
    assert found.shape == seen.shape and found.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(found), np.isnan(seen))
    np.testing.assert_array_equal(undistort(seen, MATRIX, np.zeros(5)), seen)
