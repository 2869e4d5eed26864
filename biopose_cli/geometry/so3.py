"""Rotations as matrices and rotation vectors (axis times angle, rad), batched over leading axes: NumPy, float64.

`so3_torch` has functions of the same names for tensors; `tests/geometry/test_so3_agreement.py` holds both to SciPy.

A small turn is always applied on the right, in the joint's own frame: R <- R exp(d). The Jacobians of the fit are with
respect to this d. Formulas: Sola, Deray, Atchuthan, "A micro Lie theory for state estimation in robotics", 2018.
"""

from __future__ import annotations

import numpy as np

from biopose_cli.typing import Array

_EPS = 1e-6


def skew(vector: Array) -> Array:
    """(..., 3) -> (..., 3, 3), the matrix of the cross product `vector` x."""
    matrix = np.zeros((*vector.shape, 3))
    x, y, z = vector[..., 0], vector[..., 1], vector[..., 2]
    matrix[..., 0, 1], matrix[..., 0, 2], matrix[..., 1, 2] = -z, y, -x
    matrix[..., 1, 0], matrix[..., 2, 0], matrix[..., 2, 1] = z, -y, x
    return matrix


def axis_angle_to_matrix(axis_angle: Array) -> Array:
    """Rotation vector (..., 3) rad -> matrix (..., 3, 3)."""
    axis_angle = np.asarray(axis_angle, np.float64)
    angle = np.linalg.norm(axis_angle, axis=-1)[..., None, None]
    cross = skew(axis_angle)
    sine = np.sinc(angle / np.pi)
    versine = 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    return np.asarray(np.eye(3) + sine * cross + versine * (cross @ cross))


def matrix_to_axis_angle(matrix: Array) -> Array:
    """Matrix (..., 3, 3) -> rotation vector (..., 3) rad of length at most pi, by way of the quaternion: safe at pi."""
    m = np.asarray(matrix, np.float64)
    trace = m[..., 0, 0] + m[..., 1, 1] + m[..., 2, 2]
    # Bar-Itzhack's symmetric 4x4 in its simplest form: each row is a multiple of the quaternion; the longest is safe.
    w = np.stack([1 + trace, m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]], -1)
    rows = [w]
    for i in range(3):
        row = [w[..., i + 1]]
        for j in range(3):
            row.append(1 - trace + 2 * m[..., i, i] if i == j else m[..., i, j] + m[..., j, i])
        rows.append(np.stack(row, -1))
    stacked = np.stack(rows, -2)
    best = np.argmax((stacked**2).sum(-1), -1)
    quaternion = np.take_along_axis(stacked, best[..., None, None], -2)[..., 0, :]
    quaternion = quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True)
    quaternion = np.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    sine = np.linalg.norm(quaternion[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(sine, quaternion[..., :1])
    factor = np.where(sine > _EPS, angle / np.maximum(sine, _EPS), 2.0)
    return np.asarray(factor * quaternion[..., 1:])


def right_jacobian_inverse(axis_angle: Array) -> Array:
    """(..., 3) -> (..., 3, 3): d log(exp(vector) exp(d)) / dd at d = 0."""
    squared = (axis_angle**2).sum(-1)[..., None, None]
    angle = np.sqrt(squared)
    half = np.maximum(angle / 2, _EPS)
    factor = np.where(
        angle > 1e-3, (1 - half / np.tan(np.minimum(half, np.pi / 2))) / np.maximum(squared, 1e-12), 1 / 12
    )
    cross = skew(axis_angle)
    return np.asarray(np.eye(3) + 0.5 * cross + factor * (cross @ cross))


def project_to_so3(matrix: Array) -> Array:
    """The rotation nearest to `matrix` (..., 3, 3), that with the largest inner product: for drift and averages."""
    u, _, vt = np.linalg.svd(matrix)
    sign = np.ones(matrix.shape[:-1])
    sign[..., 2] = np.sign(np.linalg.det(u @ vt))
    return np.asarray((u * sign[..., None, :]) @ vt)


def rotation_between(source: Array, target: Array) -> Array:
    """The shortest rotation that turns direction `source` (..., 3) into `target` (..., 3)."""
    a = source / np.maximum(np.linalg.norm(source, axis=-1, keepdims=True), 1e-12)
    b = target / np.maximum(np.linalg.norm(target, axis=-1, keepdims=True), 1e-12)
    axis = np.cross(a, b)
    sine = np.linalg.norm(axis, axis=-1, keepdims=True)
    angle = np.arctan2(sine, (a * b).sum(-1, keepdims=True))
    helper = np.cross(a, np.where(np.abs(a[..., :1]) < 0.9, [1.0, 0, 0], [0, 1.0, 0]))
    helper /= np.maximum(np.linalg.norm(helper, axis=-1, keepdims=True), 1e-12)
    unit = np.where(sine > _EPS, axis / np.maximum(sine, _EPS), helper)
    return axis_angle_to_matrix(unit * angle)


def interpolate(rotations: Array, valid: Array, time: Array) -> Array:
    """Fill the frames where `valid` (T) is False, along the shortest turn between neighbours; ends are held.

    `rotations` (T, ..., 3, 3), `time` (T) s.
    """
    indices = np.flatnonzero(valid)
    result = np.array(rotations)
    for t in np.flatnonzero(~np.asarray(valid)):
        after = int(np.searchsorted(indices, t))
        if after == 0 or after == len(indices):
            result[t] = rotations[indices[min(after, len(indices) - 1)]]
            continue
        a, b = indices[after - 1], indices[after]
        fraction = (time[t] - time[a]) / (time[b] - time[a])
        relative = matrix_to_axis_angle(np.swapaxes(rotations[a], -1, -2) @ rotations[b])
        result[t] = rotations[a] @ axis_angle_to_matrix(fraction * relative)
    return result
