"""The perspective camera: OpenCV's conventions (x right, y down, z forward, pixels with the image's
corner at 0, 0).
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from biopose_cli.typing import Array

MIN_DEPTH = (
    1e-2  # m; what lies nearer or behind is projected as if it were here, so that the gradient stays finite
)
UNDISTORT_ITERATIONS = 30
_MAX_UNDISTORT_ERROR = (
    0.5  # px: a point without distortion that is further from the seen one, when distorted again, is none
)


def project(points: Tensor, camera_matrix: Tensor) -> Tensor:
    """Image points (..., 2), px, of `points` (..., 3), camera frame in m, seen by the camera
    `camera_matrix` (3, 3), px.
    """
    camera = camera_matrix.to(points)
    rays = points[..., :2] / points[..., 2:].clamp_min(MIN_DEPTH)
    return rays @ camera[:2, :2].mT + camera[:2, 2]


def undistort(keypoints: Array, camera_matrix: Array, dist_coeffs: Array) -> Array:
    """Where image points (..., 2), px, would be without the lens's distortion, for the same camera matrix (3,
    3).

    `dist_coeffs` (5,) holds OpenCV's k1, k2, p1, p2, k3. Points that are NaN stay NaN, and those become NaN that the
    lens shows of nothing: far outside the picture the model of its distortion has no inverse.
    """
    if not np.any(dist_coeffs):
        return keypoints.copy()
    camera = np.asarray(camera_matrix, np.float64)
    distorted = (keypoints - camera[:2, 2]) @ np.linalg.inv(camera[:2, :2]).T
    undistorted, coefficients = distorted, np.asarray(dist_coeffs, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(UNDISTORT_ITERATIONS):
            undistorted = undistorted + (distorted - _distort(undistorted, coefficients))
        error = (
            np.linalg.norm(distorted - _distort(undistorted, coefficients), axis=-1, keepdims=True)
            * camera[0, 0]
        )
    undistorted = np.where(error < _MAX_UNDISTORT_ERROR, undistorted, np.nan)
    result: Array = (undistorted @ camera[:2, :2].T + camera[:2, 2]).astype(keypoints.dtype)
    return result


def _distort(rays: Array, dist_coeffs: Array) -> Array:
    """Rays (..., 2), as x / z and y / z, after the lens: Brown's model in OpenCV's form."""
    k1, k2, p1, p2, k3 = dist_coeffs
    x, y = rays[..., 0], rays[..., 1]
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    tangential_x = 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    tangential_y = p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    return np.stack([x * radial + tangential_x, y * radial + tangential_y], axis=-1)


def roll_pitch_from_up(up: Array) -> Array:
    """Roll and pitch (2), rad, of a camera in whose frame this (3) unit vector is up: the inverse of `up_vector`."""
    return np.array([np.arctan2(-up[0], -up[1]), -np.arcsin(np.clip(up[2], -1.0, 1.0))])
