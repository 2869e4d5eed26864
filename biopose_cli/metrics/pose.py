"""The metrics of section 4 of the BioPose paper: of a skeleton's motion (4.2), and of a recovered body (the rest).

Those of the skeleton are plain means of absolute errors, without alignment or weights. Those of the body ignore its
position (MPJPE, MVE), or position, orientation and size (PA-MPJPE).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from biopose_cli.geometry.rigid import align_points
from biopose_cli.typing import Array

MM_PER_M = 1000.0  # in 1 m


def mpblpe(pred: Array, gt: Array) -> float:
    """Mean Per Bony Landmarks Position Error, mm: the mean distance over frames and landmarks, not aligned.

    Parameters
    ----------
    pred, gt : (T, L, 3) m, in one frame of reference. Landmarks with NaN in either are left out, per frame

    Raises
    ------
    ValueError
        The shapes differ or are not (T, L, 3), or nothing is left.
    """
    _check_shapes(pred, gt)
    if pred.ndim != 3 or pred.shape[-1] != 3:
        raise ValueError(f"landmarks have the shape (T, L, 3), not {pred.shape}")
    return MM_PER_M * _mean_of_valid(np.linalg.norm(pred - gt, axis=-1), "landmark")


def body_errors(pred: Array, gt: Array, dimensions: Array) -> Array:
    """Error of each body's longest dimension, (B) mm: the error of its scale factor times the generic length.

    NaN for a body without extent, which has no longest dimension.

    Parameters
    ----------
    pred, gt : (B, 3) scale factors along the body's x, y, z
    dimensions : (B, 3) m, of the generic segments along the same axes (`skeleton/bony_landmarks.py`)

    Raises
    ------
    ValueError
        The shapes differ or are not (B, 3).
    """
    _check_shapes(pred, gt)
    _check_shapes(pred, dimensions)
    if pred.ndim != 2 or pred.shape[-1] != 3:
        raise ValueError(f"scale factors have the shape (B, 3), not {pred.shape}")
    bodies, longest = np.arange(len(dimensions)), np.argmax(dimensions, axis=1)
    length = dimensions[bodies, longest]
    errors = MM_PER_M * length * np.abs(pred - gt)[bodies, longest]
    return np.where(length > 0, errors, np.nan)


def mae_body(pred: Array, gt: Array, dimensions: Array) -> float:
    """Mean Absolute Error of body scale, mm: the mean of `body_errors` over the bodies that have an extent.

    Raises
    ------
    ValueError
        As `body_errors`, or no body has an extent.
    """
    return _mean_of_valid(body_errors(pred, gt, dimensions), "body")


def mae_angle(pred: Array, gt: Array, is_rotational: Array, names: Sequence[str]) -> tuple[dict[str, float], float]:
    """Mean Absolute Error of joint angles, degrees: of each rotational coordinate, and the mean of these.

    Errors are modulo full turns. Frames of a coordinate with NaN in either are left out.

    Parameters
    ----------
    pred, gt : (T, D) rad
    is_rotational : (D) bool; other coordinates are ignored
    names : D names

    Raises
    ------
    ValueError
        The shapes are inconsistent, no coordinate is rotational, or one has no frame left.
    """
    _check_shapes(pred, gt)
    if not pred.shape[1:] == np.shape(is_rotational) == (len(names),):
        raise ValueError(
            f"{len(names)} names and {np.shape(is_rotational)} flags for coordinates of the shape {pred.shape}"
        )
    wrapped = (pred - gt + np.pi) % (2 * np.pi) - np.pi
    errors = np.degrees(np.abs(wrapped))
    per_angle = {
        name: _mean_of_valid(coordinate_errors, name)
        for name, coordinate_errors, rotates in zip(names, errors.T, is_rotational, strict=True)
        if rotates
    }
    return per_angle, _mean_of_valid(np.array(list(per_angle.values())), "rotational coordinate")


def mpjpe(pred: Array, gt: Array, root: Sequence[int]) -> float:
    """Mean Per Joint Position Error, mm: the mean distance over frames and points, with aligned roots.

    Parameters
    ----------
    pred, gt : (T, L, 3) m, in one frame of reference
    root : the points whose mean is the root

    Raises
    ------
    ValueError
        The shapes differ or are not (T, L, 3), or a value is not finite.
    """
    return MM_PER_M * float(point_errors(root_relative(pred, root), root_relative(gt, root)).mean())


def pa_mpjpe(pred: Array, gt: Array) -> float:
    """Procrustes-aligned MPJPE, mm: the mean distance after each frame is translated, rotated and scaled to the truth.

    Parameters
    ----------
    pred, gt : (T, L, 3) m, L at least 3

    Raises
    ------
    ValueError
        As `mpjpe`.
    """
    return MM_PER_M * float(point_errors(procrustes_align(pred, gt), gt).mean())


def mve(pred: Array, gt: Array, pred_root: Array, gt_root: Array) -> float:
    """Mean Vertex Error, mm: the mean distance over frames and vertices, with aligned roots (pelvis joints).

    Parameters
    ----------
    pred, gt : (T, V, 3) m, in one frame of reference
    pred_root, gt_root : (T, 3) m

    Raises
    ------
    ValueError
        As `mpjpe`.
    """
    _check_shapes(pred_root, gt_root)
    return MM_PER_M * float(point_errors(pred - pred_root[:, None], gt - gt_root[:, None]).mean())


def root_relative(points: Array, root: Sequence[int]) -> Array:
    """Points (T, L, 3) relative to the mean of those in `root`."""
    return np.asarray(points - points[:, list(root)].mean(axis=1, keepdims=True))


def point_errors(pred: Array, gt: Array) -> Array:
    """Distances (T, L), m, of points (T, L, 3).

    Raises
    ------
    ValueError
        The shapes differ or are not (T, L, 3), or a value is not finite.
    """
    _check_shapes(pred, gt)
    if pred.ndim != 3 or pred.shape[-1] != 3 or not pred.size:
        raise ValueError(f"points have the shape (T, L, 3), not {pred.shape}")
    distances = np.linalg.norm(pred - gt, axis=-1)
    if not np.isfinite(distances).all():
        raise ValueError("a point is not finite")
    return np.asarray(distances)


def procrustes_align(pred: Array, gt: Array) -> Array:
    """`pred` (T, L, 3), each frame translated, rotated and scaled (never mirrored) by least squares onto `gt`.

    Raises
    ------
    ValueError
        The shapes differ.
    """
    _check_shapes(pred, gt)
    return align_points(pred, gt, with_scale=True).apply(pred)


def joint_angles(points: Array, ends_and_joint: Sequence[tuple[int, int, int]]) -> Array:
    """Angles (T, A), degrees, at the middle point of each triple, between the lines to the other two; 180: straight."""
    first, joint, last = (points[:, list(k)] for k in zip(*ends_and_joint, strict=True))
    to_first, to_last = first - joint, last - joint
    cosine = (to_first * to_last).sum(-1) / (np.linalg.norm(to_first, axis=-1) * np.linalg.norm(to_last, axis=-1))
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def _check_shapes(first: Array, second: Array) -> None:
    if first.shape != second.shape:
        raise ValueError(f"the shapes differ: {first.shape} and {second.shape}")


def _mean_of_valid(errors: Array, what: str) -> float:
    valid = errors[~np.isnan(errors)]
    if not len(valid):
        raise ValueError(f"nothing to average: no {what} has a value in both")
    return float(valid.mean())
