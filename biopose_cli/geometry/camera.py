"""The pinhole camera: OpenCV's conventions (x right, y down, z forward, pixels with the image's corner at 0, 0).

`perspective_divide`, `project` and `unproject` take NumPy arrays or torch tensors and return the same kind. Camera
matrices have no skew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from biopose_cli.typing import Array

if TYPE_CHECKING:
    from torch import Tensor

    ArrayOrTensor = TypeVar("ArrayOrTensor", Array, Tensor)

MIN_DEPTH = 0.1  # m: the near plane of the fits and of the networks' views; no body is filmed from nearer
UNDISTORT_ITERATIONS = 30
_MAX_UNDISTORT_ERROR = (
    0.5  # px: a point without distortion that is further from the seen one, when distorted again, is none
)


def perspective_divide(points: ArrayOrTensor, min_depth: float | None = None) -> ArrayOrTensor:
    """Normalized image points x / z, y / z (..., 2) of `points` (..., 3), camera frame.

    min_depth: near plane, in the points' unit. What lies nearer or behind is divided by this depth, so that values and
    gradients stay finite. None: no near plane; the caller has only points in front of the camera.
    """
    depth = points[..., 2:]
    if min_depth is not None:
        depth = depth.clip(min_depth)
    return points[..., :2] / depth


def project(points: ArrayOrTensor, camera_matrix: ArrayOrTensor, min_depth: float | None = None) -> ArrayOrTensor:
    """Image points (..., 2), px, of `points` (..., 3), camera frame.

    Parameters
    ----------
    points : (..., 3) m
    camera_matrix : (3, 3) px, or more of them that broadcast with the points
    min_depth : m
        Near plane, as in `perspective_divide`.
    """
    return perspective_divide(points, min_depth) * _focal(camera_matrix) + camera_matrix[..., :2, 2]


def project_jacobian(points: Array, camera_matrix: Array, min_depth: float) -> Array:
    """Derivative (..., 2, 3) of `project`, px per m, by the points (..., 3).

    Nearer than `min_depth` it is that at the near plane: it still pushes a point away from the camera.
    """
    depth = points[..., 2].clip(min_depth)
    jacobian = np.zeros((*points.shape[:-1], 2, 3))
    jacobian[..., 0, 0] = camera_matrix[0, 0] / depth
    jacobian[..., 1, 1] = camera_matrix[1, 1] / depth
    jacobian[..., :, 2] = -points[..., :2] * _focal(camera_matrix) / depth[..., None] ** 2
    return jacobian


def project_distorted(points: Array, camera_matrix: Array, dist_coeffs: Array, min_depth: float | None = None) -> Array:
    """As `project`, through a lens: `dist_coeffs` (5,) holds OpenCV's k1, k2, p1, p2, k3."""
    rays = _distort(perspective_divide(points, min_depth), dist_coeffs)
    return np.asarray(rays * _focal(camera_matrix) + camera_matrix[..., :2, 2])


def unproject(pixels: ArrayOrTensor, camera_matrix: ArrayOrTensor) -> ArrayOrTensor:
    """Normalized image points x / z, y / z (..., 2) of `pixels` (..., 2): the inverse of `project` but for the depth.

    camera_matrix: (3, 3) px, or more of them that broadcast with the pixels.
    """
    return (pixels - camera_matrix[..., :2, 2]) / _focal(camera_matrix)


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
        error = np.linalg.norm(distorted - _distort(undistorted, coefficients), axis=-1, keepdims=True) * camera[0, 0]
    undistorted = np.where(error < _MAX_UNDISTORT_ERROR, undistorted, np.nan)
    result: Array = (undistorted @ camera[:2, :2].T + camera[:2, 2]).astype(keypoints.dtype)
    return result


def _focal(camera_matrix: ArrayOrTensor) -> ArrayOrTensor:
    """Focal lengths (..., 2), px, in x and y."""
    return camera_matrix[..., [0, 1], [0, 1]]


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
