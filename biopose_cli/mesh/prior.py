"""What a body's pose may be: ranges of the joints, and a mixture of Gaussians learnt from motion capture.

Both are on the rotation vectors of `MOVING[1:]`, in the parent's frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

from biopose_cli.artifact import Array
from biopose_cli.mesh import rotation
from biopose_cli.mesh.kinematics import DOF, MOVING, read_table
from biopose_cli.mesh.system import System
from biopose_cli.mesh.terms import Limits, State

_LIMIT_SIGMA = np.radians(3.0)
_BROAD_SHARE = 0.05  # of poses that motion capture has not seen
_OTHER_SIDE = {1: 2, 4: 5, 7: 8, 10: 11, 13: 14, 16: 17, 18: 19, 20: 21}


def limits(weight: Array) -> Limits:
    """The ranges of `data/limits.csv`, soft over 3 degrees; `weight` (T)."""
    rows = read_table("limits.csv")
    lower = np.radians([[float(row[f"{a}_min"]) for a in "xyz"] for row in rows])
    upper = np.radians([[float(row[f"{a}_max"]) for a in "xyz"] for row in rows])
    return Limits(lower, upper, _LIMIT_SIGMA, weight)


def mean_pose() -> Array:
    """Standing with the arms down, (21,3) rad."""
    return np.radians([[float(row[f"{a}_mean"]) for a in "xyz"] for row in read_table("limits.csv")])


def mirrored(vectors: Array) -> Array:
    """The same poses (..., 21, 3) with left and right exchanged."""
    sides = _OTHER_SIDE | {right: left for left, right in _OTHER_SIDE.items()}
    order = [MOVING[1:].index(sides.get(joint, joint)) for joint in MOVING[1:]]
    return np.asarray(vectors[..., order, :] * (1, -1, -1))


@dataclass(frozen=True)
class Mixture:
    """`constant` (K): minus the logarithm of a component's peak; `means` (K,63) rad; `whitening` (K,63,63)."""

    constant: Array
    means: Array
    whitening: Array


@cache
def mixture() -> Mixture:
    """`data/prior.npz` (from tools/fit_pose_prior.py), and a broad component from `data/limits.csv` for other poses."""
    with (
        resources.files("biopose_cli.mesh").joinpath("data/prior.npz").open("rb") as file,
        np.load(file) as stored,
    ):
        weights, means, covariances = (
            stored[key].astype(np.float64) for key in ("weights", "means", "covariances")
        )
    size = means[0].size
    spread = np.radians([[float(row[f"{a}_sd"]) for a in "xyz"] for row in read_table("limits.csv")])
    weights = np.append(weights * (1 - _BROAD_SHARE), _BROAD_SHARE)
    means = np.concatenate([means.reshape(-1, size), mean_pose().reshape(1, size)])
    covariances = np.concatenate([covariances, np.diag(spread.reshape(-1) ** 2)[None]])
    whitening = np.linalg.inv(np.linalg.cholesky(covariances))
    constant = 0.5 * np.linalg.slogdet(covariances)[1] - np.log(weights)
    return Mixture(constant - constant.min(), means, whitening)


@dataclass(frozen=True)
class PosePrior:
    """Minus the logarithm of the likeliest component's density; `weight` (T) multiplies it."""

    mixture: Mixture
    weight: Array

    def _choose(self, state: State) -> tuple[Array, Array]:
        """The likeliest component of every frame (T), and the whitened difference to it (T,63)."""
        flat = state.vectors.reshape(len(self.weight), -1)
        white = np.einsum("kab,tkb->tka", self.mixture.whitening, flat[:, None] - self.mixture.means)
        best = np.argmin(0.5 * (white**2).sum(-1) + self.mixture.constant, axis=1)
        return best, white[np.arange(len(best)), best]

    def energy(self, state: State) -> float:
        best, white = self._choose(state)
        return float((self.weight * (0.5 * (white**2).sum(-1) + self.mixture.constant[best])).sum())

    def add(self, state: State, system: System) -> None:
        best, white = self._choose(state)
        inner = rotation.right_jacobian_inverse(state.vectors)
        frames, joints = inner.shape[:2]
        by_vector = self.mixture.whitening[best].reshape(frames, -1, joints, 3)
        by_pose = np.einsum("tkja,tjab->tkjb", by_vector, inner).reshape(frames, -1, 3 * joints)
        root = np.sqrt(self.weight)[:, None]
        full = np.zeros((frames, by_pose.shape[1], DOF))
        full[..., 3:-3] = root[..., None] * by_pose
        system.add_local(full, root * white)


def pose_prior(weight: Array) -> PosePrior:
    """The prior of the product; `weight` (T)."""
    return PosePrior(mixture(), weight)
