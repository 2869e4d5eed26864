"""A compiled z-buffer for triangle meshes: a body of ten thousand faces takes a few milliseconds.

Pixel centres are at half-integers: the first is at (0.5, 0.5).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from biopose_cli.typing import Array

LIGHT_DIRECTION = np.array([-0.35, -0.55, -0.76])  # unit vector towards the light: above, left of and behind the camera
AMBIENT = 0.4  # brightness of surfaces that face away from the light


def shade(points: Array, vertices: Array, faces: Array, height: int, width: int) -> Array:
    """Brightness of a lit, smooth surface in an image.

    Parameters
    ----------
    points : (V, 2) px, the projected vertices
    vertices : (V, 3) m, camera frame (x right, y down, z forward)
    faces : (F, 3) indices, counter-clockwise from outside
    height, width : px of the image

    Returns
    -------
    (height, width) float32, 0 without a surface, otherwise from `AMBIENT` to 1. Faces that reach behind the camera or
    have a vertex that is not finite are skipped.
    """
    image = np.zeros((height, width), np.float32)
    inverse_depth = np.zeros((height, width), np.float32)
    brightness = _vertex_brightness(np.asarray(vertices, np.float64), np.asarray(faces, np.int64))
    _rasterize(
        np.asarray(points, np.float64),
        np.asarray(vertices, np.float64),
        brightness,
        np.asarray(faces, np.int64),
        inverse_depth,
        image,
    )
    return image


@njit(cache=True)  # type: ignore[untyped-decorator]
def _vertex_brightness(vertices: Array, faces: Array) -> Array:
    """Brightness (V,) of the vertices by their normals: the area-weighted means of their faces' normals."""
    normals = np.zeros_like(vertices)
    for a, b, c in faces:
        ux, uy, uz = vertices[b] - vertices[a]
        vx, vy, vz = vertices[c] - vertices[a]
        for vertex in (a, b, c):
            normals[vertex, 0] += uy * vz - uz * vy
            normals[vertex, 1] += uz * vx - ux * vz
            normals[vertex, 2] += ux * vy - uy * vx
    brightness = np.empty(len(vertices))
    for i in range(len(vertices)):
        length = np.sqrt((normals[i] ** 2).sum())
        facing = (normals[i] * LIGHT_DIRECTION).sum() / length if length > 0 else 0.0
        brightness[i] = AMBIENT + (1 - AMBIENT) * max(facing, 0.0)
    return brightness


@njit(cache=True)  # type: ignore[untyped-decorator]
def _rasterize(
    points: Array, vertices: Array, brightness: Array, faces: Array, inverse_depth: Array, image: Array
) -> None:
    """Fill `image` with the brightness of the nearest surface, and `inverse_depth` (1/m)."""
    height, width = image.shape
    for a, b, c in faces:
        if not min(vertices[a, 2], vertices[b, 2], vertices[c, 2]) > 0.05:  # also when NaN
            continue
        ax, ay = points[a]
        bx, by = points[b]
        cx, cy = points[c]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0.0 or not np.isfinite(area):
            continue
        left, right = max(int(np.ceil(min(ax, bx, cx) - 0.5)), 0), min(int(max(ax, bx, cx) + 0.5), width)
        top, bottom = max(int(np.ceil(min(ay, by, cy) - 0.5)), 0), min(int(max(ay, by, cy) + 0.5), height)
        for row in range(top, bottom):
            y = row + 0.5
            for column in range(left, right):
                x = column + 0.5
                wa = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area
                wb = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area
                wc = 1.0 - wa - wb
                if wa < 0.0 or wb < 0.0 or wc < 0.0:
                    continue
                inverse = wa / vertices[a, 2] + wb / vertices[b, 2] + wc / vertices[c, 2]
                if inverse > inverse_depth[row, column]:
                    inverse_depth[row, column] = inverse
                    image[row, column] = wa * brightness[a] + wb * brightness[b] + wc * brightness[c]
