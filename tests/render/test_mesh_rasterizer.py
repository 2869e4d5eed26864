"""The z-buffer: coverage, occlusion, light."""

from __future__ import annotations

import numpy as np
import pytest

from biopose_cli.render.mesh_rasterizer import AMBIENT, LIGHT_DIRECTION, shade

FACE = np.array([[0, 1, 2]])


def square(depth: float, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """A square parallel to the image: px and camera frame (made so that x = X: only the depth matters)."""
    points = np.array([[low, low], [high, low], [high, high], [low, high]], float)
    return points, np.column_stack([points, np.full(4, depth)])


QUAD = np.array([[0, 2, 1], [0, 3, 2]])  # counter-clockwise as the camera sees it: faces it


def test_pixels_whose_centre_is_inside_are_covered_once() -> None:
    points, vertices = square(2.0, 2.4, 5.6)
    covered = shade(points, vertices, QUAD, 8, 9) > 0
    expected = np.zeros((8, 9), bool)
    expected[2:6, 2:6] = True  # centres 2.5 to 5.5
    np.testing.assert_array_equal(covered, expected)


def test_light_is_that_of_the_normal() -> None:
    points, vertices = square(2.0, 0, 4)
    assert np.linalg.norm(LIGHT_DIRECTION) == pytest.approx(1, abs=0.01)
    towards = shade(points, vertices, QUAD, 4, 4)
    np.testing.assert_allclose(towards, AMBIENT + (1 - AMBIENT) * -LIGHT_DIRECTION[2], rtol=1e-5)
    away = shade(points, vertices, QUAD[:, ::-1], 4, 4)
    np.testing.assert_allclose(away, AMBIENT, rtol=1e-5)


@pytest.mark.parametrize("order", [1, -1])
def test_the_nearer_surface_hides_the_other(order: int) -> None:
    far, near = square(5.0, 0, 8), square(2.0, 2, 4)
    points, vertices = np.concatenate([far[0], near[0]]), np.concatenate([far[1], near[1]])
    faces = np.concatenate([QUAD, QUAD[:, ::-1] + 4])[::order]  # the near one faces away: it is dark
    image = shade(points, vertices, faces, 8, 8)
    np.testing.assert_allclose(image[2:4, 2:4], AMBIENT, rtol=1e-5)
    assert image[0, 0] > AMBIENT + 0.1
    assert (image > 0).all()


def test_depth_is_interpolated_in_perspective() -> None:
    """A long face from 1 to 9 m: halfway in the image it is 1.8 m away, not 5."""
    points = np.array([[0, 0], [10, 0], [0, 1], [10, 1], [4, 0], [6, 0], [6, 1], [4, 1]], float)
    depth = np.array([1, 9, 1, 9, 3, 3, 3, 3], float)
    vertices = np.column_stack([points, depth])
    long = np.array([[0, 2, 1], [1, 2, 3]])
    behind = shade(points, vertices, np.concatenate([long, [[4, 5, 6], [4, 6, 7]]]), 1, 10)
    alone = shade(points, vertices, long, 1, 10)
    np.testing.assert_array_equal(behind, alone)


def test_what_is_behind_the_camera_or_unknown_is_left_out() -> None:
    points, vertices = square(2.0, 0, 4)
    for bad in (-1.0, 0.0, np.nan):
        broken = vertices.copy()
        broken[0, 2] = bad
        assert not shade(points, broken, QUAD, 4, 4).any()
    unknown = points.copy()
    unknown[0] = np.nan
    assert not shade(unknown, vertices, QUAD, 4, 4).any()
    assert shade(points + 100, vertices, QUAD, 4, 4).sum() == 0
