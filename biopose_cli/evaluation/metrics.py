"""The measures of a skeleton's motion in section 4.2 of the BioPose paper: bony landmarks, segments, angles.

All are plain averages of absolute errors: nothing is aligned, nothing is weighted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from biopose_cli.artifact import Array

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
    dimensions : (B, 3) m, of the generic segments along the same axes (`skeleton/segments.py`)

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


def _check_shapes(one: Array, other: Array) -> None:
    if one.shape != other.shape:
        raise ValueError(f"the shapes differ: {one.shape} and {other.shape}")


def _mean_of_known(errors: Array, what: str) -> float:
    known = errors[~np.isnan(errors)]
    if not len(known):
        raise ValueError(f"nothing to average: no {what} has a value in both")
    return float(known.mean())
