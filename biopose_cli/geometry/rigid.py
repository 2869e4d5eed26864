"""The motion that best lays points onto others: Kabsch's rigid one and Umeyama's with a scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from biopose_cli.geometry import so3
from biopose_cli.typing import Array


@dataclass(frozen=True)
class Alignment:
    """target = scale * rotation @ (source - source_center) + target_center.

    `rotation` (..., 3, 3), `scale` (...), `source_center` and `target_center` (..., 3).
    """

    rotation: Array
    scale: Array
    source_center: Array
    target_center: Array

    def apply(self, points: Array) -> Array:
        """Points (..., N, 3) of the source, moved onto the target."""
        rotated = (points - self.source_center[..., None, :]) @ np.swapaxes(self.rotation, -1, -2)
        return np.asarray(self.scale[..., None, None] * rotated + self.target_center[..., None, :])


def align_points(source: Array, target: Array, weights: Array | None = None, *, with_scale: bool = False) -> Alignment:
    """The least-squares motion of points onto others; never a reflection.

    Sources: Kabsch, "A solution for the best rotation to relate two sets of vectors", 1976; Umeyama, "Least-squares
    estimation of transformation parameters between two point patterns", 1991.

    Parameters
    ----------
    source, target : (..., N, 3)
        Leading axes broadcast.
    weights : (..., N), optional
        Of the squared distances, at least 0. Where all are 0, the motion is the identity about the origin.
    with_scale : bool
        Also fit one scale; else it is 1.
    """
    if weights is None:
        source_center, target_center = source.mean(axis=-2), target.mean(axis=-2)
        weighted = source - source_center[..., None, :]
    else:
        shares = (weights / np.maximum(weights.sum(axis=-1, keepdims=True), 1e-12))[..., None]
        source_center, target_center = (shares * source).sum(axis=-2), (shares * target).sum(axis=-2)
        weighted = shares * (source - source_center[..., None, :])
    centered_target = target - target_center[..., None, :]
    covariance = np.einsum("...ki,...kj->...ij", weighted, centered_target)
    rotation = np.swapaxes(so3.project_to_so3(covariance), -1, -2)
    scale = np.ones(rotation.shape[:-2])
    if with_scale:
        variance = (weighted * (source - source_center[..., None, :])).sum(axis=(-2, -1))
        scale = np.einsum("...ij,...ji->...", rotation, covariance) / np.maximum(variance, 1e-12)
    return Alignment(rotation, scale, source_center, target_center)
