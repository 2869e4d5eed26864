"""The z-buffer against triangles that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from biopose_cli.render import triangle_rasterizer
from biopose_cli.typing import Array

MATRIX = np.array([[10.0, 0, 8], [0, 10.0, 6], [0, 0, 1]])
FROM_EVERYWHERE = np.array([[0.0, 0, 0, 1]])


def drawn(points: Array, faces: Array, colours: Array) -> tuple[Array, Array]:
    picture, depth = np.zeros((12, 16, 3)), np.full((12, 16), np.inf)
    normals = np.tile([0.0, 0, -1], (len(points), 1))
    triangle_rasterizer.rasterize(points, faces, colours, normals, FROM_EVERYWHERE, MATRIX, picture, depth)
    return picture, depth


def test_a_triangle_covers_the_pixels_whose_centres_lie_in_it() -> None:
    """Corners at (4, 3), (10, 3) and (4, 9) px: from (4, 3) on, all pixels with column + row + 1 <= 13."""
    points = np.array([[-0.4, -0.3, 1], [0.2, -0.3, 1], [-0.4, 0.3, 1]]) + 1e-9
    picture, depth = drawn(points, np.array([[0, 1, 2]]), np.ones((3, 3)))
    rows, columns = np.nonzero(np.isfinite(depth))
    expected = {(r, c) for r in range(3, 12) for c in range(4, 16) if c + r + 1 <= 13}
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == expected
    assert (picture[np.isfinite(depth)] == 1).all()
    np.testing.assert_allclose(depth[np.isfinite(depth)], 1.0)


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_the_nearer_triangle_hides_the_farther_whatever_the_order(order: list[int]) -> None:
    corners = np.array([[-0.5, -0.5, 1.0], [0.5, -0.5, 1], [0, 0.5, 1]])
    points = np.concatenate([corners, corners * 2])  # the same in the image, twice as far
    colours = np.array([[1.0, 0, 0]] * 3 + [[0, 1.0, 0]] * 3)
    picture, depth = drawn(points, np.array([[0, 1, 2], [3, 4, 5]])[order], colours)
    np.testing.assert_array_equal(picture[6, 8], [1, 0, 0])
    assert depth[6, 8] == pytest.approx(1.0)


def test_colours_are_interpolated_in_space_not_in_the_image() -> None:
    """On a strip from 1 m to 3 m, the pixel half way in the image is three quarters of the way near the near end."""
    points = np.array([[-0.5, -0.5, 1.0], [-0.5, 0.5, 1], [1.5, 1.5, 3], [1.5, -1.5, 3]])
    colours = np.array([[0.0] * 3, [0.0] * 3, [1.0] * 3, [1.0] * 3])
    picture, depth = drawn(points, np.array([[0, 1, 2], [0, 2, 3]]), colours)
    middle = 0.05 + 0.5 * 0.1  # (column 8 centre - column of the near edge) / width of the strip in px
    share = middle / 1.0 + 0.45
    space = share / 3 / ((1 - share) / 1 + share / 3)
    np.testing.assert_allclose(picture[6, 8], space, atol=1e-9)
    assert depth[6, 8] == pytest.approx(1 + 2 * space)


def test_what_is_behind_the_camera_is_not_drawn() -> None:
    points = np.array([[-0.5, -0.5, 1.0], [0.5, -0.5, 1], [0, 0.5, -1]])
    assert not np.isfinite(drawn(points, np.array([[0, 1, 2]]), np.ones((3, 3)))[1]).any()


def test_a_surface_facing_the_light_is_brighter() -> None:
    light = np.array([[0.0, 0, -1, 1]])
    normals = np.array([[0.0, 0, -1], [1, 0, 0], [0, 0, 1]])
    shaded = triangle_rasterizer.shade(np.ones((3, 3)), normals, light)[:, 0]
    np.testing.assert_allclose(shaded, [1, 0.25, 0])


def test_normals_of_a_tetrahedron_point_outwards() -> None:
    points = np.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    faces = np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]])
    np.testing.assert_allclose(
        triangle_rasterizer.vertex_normals(points, faces), points / np.sqrt(3), atol=1e-12
    )
