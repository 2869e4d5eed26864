"""The measures of section 4 of the BioPose paper: of a skeleton's motion (4.2), and of a recovered body (the rest).

Those of the skeleton are plain averages of absolute errors: nothing is aligned, nothing is weighted. Those of the body
do not count where it stands (MPJPE, MVE), nor how it is turned and how large it is (PA-MPJPE).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from biopose_cli.typing import Array

MM = 1000.0  # in 1 m


def mpblpe(estimate: Array, truth: Array) -> float:
    """Mean Per Bony Landmarks Position Error, mm: the mean distance over frames and landmarks, not aligned.

    Parameters
    ----------
    estimate, truth : (T, L, 3) m, in one frame of reference. A landmark of a frame with NaN in either is left out

    Raises
    ------
    ValueError
        The shapes differ or are no (T, L, 3), or nothing is left.
    """
    _check_shapes(estimate, truth)
    if estimate.ndim != 3 or estimate.shape[-1] != 3:
        raise ValueError(f"landmarks have the shape (T, L, 3), not {estimate.shape}")
    return MM * _mean_of_known(np.linalg.norm(estimate - truth, axis=-1), "landmark")


def body_errors(estimate: Array, truth: Array, dimensions: Array) -> Array:
    """The error of each body's longest dimension, (B) mm: that of its scale factor times the generic length.

    NaN for a body without extent, which has no longest dimension.

    Parameters
    ----------
    estimate, truth : (B, 3) scale factors along the body's x, y, z
    dimensions : (B, 3) m, of the generic segments along the same axes (`skeleton/bony_landmarks.py`)

    Raises
    ------
    ValueError
        The shapes differ or are no (B, 3).
    """
    _check_shapes(estimate, truth)
    _check_shapes(estimate, dimensions)
    if estimate.ndim != 2 or estimate.shape[-1] != 3:
        raise ValueError(f"scale factors have the shape (B, 3), not {estimate.shape}")
    bodies, longest = np.arange(len(dimensions)), np.argmax(dimensions, axis=1)
    length = dimensions[bodies, longest]
    errors = MM * length * np.abs(estimate - truth)[bodies, longest]
    return np.where(length > 0, errors, np.nan)


def mae_body(estimate: Array, truth: Array, dimensions: Array) -> float:
    """Mean Absolute Error of body scale, mm: the mean of `body_errors` over the bodies that have an extent.

    Raises
    ------
    ValueError
        As `body_errors`, or no body has an extent.
    """
    return _mean_of_known(body_errors(estimate, truth, dimensions), "body")


def mae_angle(
    estimate: Array, truth: Array, rotational: Array, names: Sequence[str]
) -> tuple[dict[str, float], float]:
    """Mean Absolute Error of joint angles, degrees: of each rotational coordinate, and the mean of these.

    A whole turn is no error. A coordinate's frames with NaN in either are left out.

    Parameters
    ----------
    estimate, truth : (T, D) rad
    rotational : (D) bool; the other coordinates do not count
    names : D names

    Raises
    ------
    ValueError
        The shapes do not agree, no coordinate is rotational, or one has no frame left.
    """
    _check_shapes(estimate, truth)
    if not estimate.shape[1:] == np.shape(rotational) == (len(names),):
        raise ValueError(
            f"{len(names)} names and {np.shape(rotational)} flags for coordinates of the shape {estimate.shape}"
        )
    wrapped = (estimate - truth + np.pi) % (2 * np.pi) - np.pi
    errors = np.degrees(np.abs(wrapped))
    per_angle = {
        name: _mean_of_known(own, name)
        for name, own, counts in zip(names, errors.T, rotational, strict=True)
        if counts
    }
    return per_angle, _mean_of_known(np.array(list(per_angle.values())), "rotational coordinate")


def mpjpe(estimate: Array, truth: Array, root: Sequence[int]) -> float:
    """Mean Per Joint Position Error, mm: the mean distance over frames and points, the roots laid on each other.

    Parameters
    ----------
    estimate, truth : (T, L, 3) m, in one frame of reference
    root : the points whose mean is the root

    Raises
    ------
    ValueError
        The shapes differ or are no (T, L, 3), or a value is no finite number.
    """
    return MM * float(point_errors(rooted(estimate, root), rooted(truth, root)).mean())


def pa_mpjpe(estimate: Array, truth: Array) -> float:
    """Procrustes-aligned MPJPE, mm: the mean distance when each frame is moved, turned and scaled onto the truth.

    Parameters
    ----------
    estimate, truth : (T, L, 3) m, L at least 3

    Raises
    ------
    ValueError
        As `mpjpe`.
    """
    return MM * float(point_errors(procrustes(estimate, truth), truth).mean())


def mve(estimate: Array, truth: Array, estimate_root: Array, truth_root: Array) -> float:
    """Mean Vertex Error, mm: the mean distance over frames and vertices, the roots (pelvis joints) laid on each other.

    Parameters
    ----------
    estimate, truth : (T, V, 3) m, in one frame of reference
    estimate_root, truth_root : (T, 3) m

    Raises
    ------
    ValueError
        As `mpjpe`.
    """
    _check_shapes(estimate_root, truth_root)
    return MM * float(point_errors(estimate - estimate_root[:, None], truth - truth_root[:, None]).mean())


def rooted(points: Array, root: Sequence[int]) -> Array:
    """Points (T, L, 3) from the mean of those in `root`."""
    return np.asarray(points - points[:, list(root)].mean(axis=1, keepdims=True))


def point_errors(estimate: Array, truth: Array) -> Array:
    """Distances (T, L), m, of points (T, L, 3).

    Raises
    ------
    ValueError
        The shapes differ or are no (T, L, 3), or a value is no finite number.
    """
    _check_shapes(estimate, truth)
    if estimate.ndim != 3 or estimate.shape[-1] != 3 or not estimate.size:
        raise ValueError(f"points have the shape (T, L, 3), not {estimate.shape}")
    distances = np.linalg.norm(estimate - truth, axis=-1)
    if not np.isfinite(distances).all():
        raise ValueError("a point is no finite number")
    return np.asarray(distances)


def procrustes(estimate: Array, truth: Array) -> Array:
    """`estimate` (T, L, 3), each frame moved, turned and scaled (never mirrored) by least squares onto `truth`.

    Source: Umeyama, "Least-squares estimation of transformation parameters between two point patterns", 1991.

    Raises
    ------
    ValueError
        The shapes differ.
    """
    _check_shapes(estimate, truth)
    centre = truth.mean(axis=1, keepdims=True)
    own = estimate - estimate.mean(axis=1, keepdims=True)
    left, stretch, right = np.linalg.svd(np.swapaxes(own, 1, 2) @ (truth - centre))
    sign = np.ones_like(stretch)
    sign[:, 2] = np.sign(np.linalg.det(left @ right))
    scale = (stretch * sign).sum(axis=1) / np.maximum((own**2).sum(axis=(1, 2)), 1e-12)
    return np.asarray(scale[:, None, None] * own @ (left * sign[:, None] @ right) + centre)


def joint_angles(points: Array, ends_and_joint: Sequence[tuple[int, int, int]]) -> Array:
    """Angles (T, A), degrees, at the middle point of each triple, between the lines to the other two; 180: straight."""
    first, joint, last = (points[:, list(k)] for k in zip(*ends_and_joint, strict=True))
    one, other = first - joint, last - joint
    cosine = (one * other).sum(-1) / (np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1))
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def _check_shapes(one: Array, other: Array) -> None:
    if one.shape != other.shape:
        raise ValueError(f"the shapes differ: {one.shape} and {other.shape}")


def _mean_of_known(errors: Array, what: str) -> float:
    known = errors[~np.isnan(errors)]
    if not len(known):
        raise ValueError(f"nothing to average: no {what} has a value in both")
    return float(known.mean())
