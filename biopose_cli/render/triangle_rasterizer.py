"""A z-buffer in numba: from triangles with colours and normals to a shaded image and its depth."""

from __future__ import annotations

import numba
import numpy as np

from biopose_cli.typing import Array

MIN_DEPTH = 0.05  # m; triangles closer to the camera are skipped


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def rasterize(
    points: Array,
    faces: Array,
    colors: Array,
    normals: Array,
    lights: Array,
    matrix: Array,
    image: Array,
    depth: Array,
) -> None:
    """Draw triangles into `image` (H, W, 3) and `depth` (H, W), both changed in place.

    Parameters
    ----------
    points : (V, 3) camera frame (x right, y down, z forward), m
    faces : (F, 3) vertex indices; both sides are drawn
    colors : (V, 3) albedo, 0..1
    normals : (V, 3) outward unit vectors, camera frame
    lights : (L, 4) unit vector towards each light, camera frame, and its strength; a row of three zeros and a strength
        is
        ambient light
    matrix : (3, 3) camera matrix in px of `image`; the first pixel's centre is at (0.5, 0.5)
    image : (H, W, 3), drawn into
    depth : (H, W) m; initialise with infinity; nearer surfaces are kept
    """
    height, width = depth.shape
    screen = np.empty((len(points), 2))
    for vertex in range(len(points)):
        z = max(points[vertex, 2], 1e-6)
        screen[vertex, 0] = matrix[0, 0] * points[vertex, 0] / z + matrix[0, 2]
        screen[vertex, 1] = matrix[1, 1] * points[vertex, 1] / z + matrix[1, 2]
    shaded = shade(colors, normals, lights)
    for face in range(len(faces)):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        za, zb, zc = points[a, 2], points[b, 2], points[c, 2]
        if min(za, zb, zc) < MIN_DEPTH:
            continue
        ax, ay, bx, by, cx, cy = (
            screen[a, 0], screen[a, 1], screen[b, 0], screen[b, 1], screen[c, 0], screen[c, 1],
        )  # fmt: skip
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0.0:
            continue
        first_row = max(int(np.ceil(min(ay, by, cy) - 0.5)), 0)
        last_row = min(int(np.floor(max(ay, by, cy) - 0.5)), height - 1)
        first_column = max(int(np.ceil(min(ax, bx, cx) - 0.5)), 0)
        last_column = min(int(np.floor(max(ax, bx, cx) - 0.5)), width - 1)
        for row in range(first_row, last_row + 1):
            y = row + 0.5
            for column in range(first_column, last_column + 1):
                x = column + 0.5
                wa = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area
                wb = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area
                wc = 1.0 - wa - wb
                if wa < 0.0 or wb < 0.0 or wc < 0.0:
                    continue
                # Perspective-correct: weights divided by depth.
                wa, wb, wc = wa / za, wb / zb, wc / zc
                z = 1.0 / (wa + wb + wc)
                if z < depth[row, column]:
                    depth[row, column] = z
                    for channel in range(3):
                        image[row, column, channel] = z * (
                            wa * shaded[a, channel] + wb * shaded[b, channel] + wc * shaded[c, channel]
                        )


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def shade(colors: Array, normals: Array, lights: Array) -> Array:
    """Colours (V, 3) under `lights` (L, 4) with soft transitions (half-Lambert), as in `rasterize`."""
    shaded = np.empty(colors.shape)
    for vertex in range(len(colors)):
        total = 0.0
        for light in range(len(lights)):
            x, y, z, strength = lights[light]
            if x == 0.0 and y == 0.0 and z == 0.0:
                total += strength
            else:
                cosine = normals[vertex, 0] * x + normals[vertex, 1] * y + normals[vertex, 2] * z
                total += strength * (0.5 + 0.5 * cosine) ** 2
        for channel in range(3):
            shaded[vertex, channel] = colors[vertex, channel] * total
    return shaded


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def vertex_normals(points: Array, faces: Array) -> Array:
    """Unit normals (V, 3) of vertices (V, 3), weighted by area; faces are counter-clockwise from outside."""
    normals = np.zeros(points.shape)
    for face in range(len(faces)):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        ux, uy, uz = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]
        vx, vy, vz = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1], points[c, 2] - points[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for vertex in (a, b, c):
            normals[vertex, 0] += nx
            normals[vertex, 1] += ny
            normals[vertex, 2] += nz
    for vertex in range(len(points)):
        length = np.sqrt((normals[vertex] ** 2).sum())
        if length > 0.0:
            normals[vertex] /= length
    return normals
