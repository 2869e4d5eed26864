"""Projection and lens distortion, against OpenCV's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from biopose_cli.geometry.camera import MIN_DEPTH, project, undistort

MATRIX = np.array([[900.0, 0.0, 320.0], [0.0, 910.0, 240.0], [0.0, 0.0, 1.0]])
LENS = np.array([-0.28, 0.09, 1e-3, -7e-4, -0.012])


def points(count: int = 50) -> np.ndarray:
    generator = np.random.default_rng(0)
    return generator.uniform([-1, -0.8, 2.5], [1, 0.8, 6.0], (count, 3))


def test_project_is_opencvs() -> None:
    expected = cv2.projectPoints(points(), np.zeros(3), np.zeros(3), MATRIX, np.zeros(5))[0][:, 0]
    found = project(torch.from_numpy(points()), torch.from_numpy(MATRIX))
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_project_on_the_axis_hits_the_principal_point() -> None:
    found = project(torch.tensor([[[0.0, 0.0, 3.0]]]), torch.from_numpy(MATRIX))
    torch.testing.assert_close(found, torch.tensor([[[320.0, 240.0]]]))


def test_project_stays_finite_behind_the_camera() -> None:
    behind = torch.tensor([[0.3, 0.1, -1.0], [0.3, 0.1, 0.0]], requires_grad=True)
    found = project(behind, torch.from_numpy(MATRIX))
    found.sum().backward()
    assert torch.isfinite(found).all()
    assert behind.grad is not None and torch.isfinite(behind.grad).all()
    assert found[1, 0].item() == pytest.approx(320 + 900 * 0.3 / MIN_DEPTH)


def test_undistort_reverses_opencvs_lens() -> None:
    straight = cv2.projectPoints(points(), np.zeros(3), np.zeros(3), MATRIX, np.zeros(5))[0][:, 0]
    seen = cv2.projectPoints(points(), np.zeros(3), np.zeros(3), MATRIX, LENS)[0][:, 0]
    assert np.abs(seen - straight).max() > 5
    np.testing.assert_allclose(undistort(seen, MATRIX, LENS), straight, atol=1e-6)


def test_what_no_lens_shows_has_no_straight_place() -> None:
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
