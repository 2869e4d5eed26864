"""What a body's pose may be: ranges of the joints, and a mixture of Gaussians learnt from motion capture.

Both are on the rotation vectors of `MOVING[1:]`, in the parent's frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

from biopose_cli.body.kinematics import DOF, MOVING, read_table
from biopose_cli.body.model import OTHER_SIDE
from biopose_cli.geometry import so3
from biopose_cli.mesh_fit.costs import Limits, State
from biopose_cli.optim.banded import System
from biopose_cli.typing import Array

_LIMIT_SIGMA = np.radians(3.0)
_BROAD_SHARE = 0.05  # of poses that motion capture has not seen
# Quiet standing, which patients do and the motion capture leaves out. It is narrow: by its density it would draw
# everybody upright, so its peak lies this far (in log density) behind the highest of the others (docs/mesh.md)
_STANDING_BEHIND = 12.0
_STANDING_SPREAD = {
    "hip": 8,
    "knee": 7,
    "ankle": 7,
    "foot": 6,
    "elbow": 25,
    "shoulder": 20,
    "wrist": 15,
    "collar": 6,
}
_TRUNK_SPREAD = 5.0  # degrees, of the joints of the spine; 12 for neck and head


def limits(weight: Array) -> Limits:
    """The ranges of the joints, soft over 3 degrees; `weight` (T)."""
    return Limits(*ranges(), _LIMIT_SIGMA, weight)


@cache
def ranges() -> tuple[Array, Array]:
    """Lower and upper limits (21,3) rad of the rotation vectors, from `data/limits.csv`."""
    rows = read_table("limits.csv")
    lower, upper = (
        np.radians([[float(row[f"{a}_{end}"]) for a in "xyz"] for row in rows]) for end in ("min", "max")
    )
    return lower, upper


def mean_pose() -> Array:
    """Standing with the arms down, (21,3) rad."""
    return np.radians([[float(row[f"{a}_mean"]) for a in "xyz"] for row in read_table("limits.csv")])


def mirrored(vectors: Array) -> Array:
    """The same poses (..., 21, 3) with left and right exchanged."""
    order = [MOVING[1:].index(OTHER_SIDE[joint]) for joint in MOVING[1:]]
    return np.asarray(vectors[..., order, :] * (1, -1, -1))


@dataclass(frozen=True)
class Mixture:
    """`constant` (K): minus the logarithm of a component's peak; `means` (K,63) rad; `whitening` (K,63,63)."""

    constant: Array
    means: Array
    whitening: Array


@cache
def mixture(standing: bool) -> Mixture:
    """`data/prior.npz` (from tools/fit_pose_prior.py), a broad component from `data/limits.csv`, standing if wanted."""
    source = resources.files("biopose_cli.mesh_fit").joinpath("data/prior.npz")
    with source.open("rb") as file, np.load(file) as stored:
        weights, means, covariances = (
            stored[k].astype(np.float64) for k in ("weights", "means", "covariances")
        )
    size = means[0].size
    rows = read_table("limits.csv")
    spread = np.radians([[float(row[f"{a}_sd"]) for a in "xyz"] for row in rows])
    upright, sway = _standing(rows)
    weights = np.append((1 - _BROAD_SHARE) * weights, _BROAD_SHARE)
    means = np.concatenate([means.reshape(-1, size), mean_pose().reshape(1, size), upright.reshape(1, size)])
    invented = [np.diag(sd.reshape(-1) ** 2) for sd in (spread, sway)]
    covariances = np.concatenate([covariances, invented])
    constant = 0.5 * np.linalg.slogdet(covariances[:-1])[1] - np.log(weights)
    constant -= constant.min()
    constant = np.append(constant, _STANDING_BEHIND if standing else np.inf)
    return Mixture(constant, means, np.linalg.inv(np.linalg.cholesky(covariances)))


def _standing(rows: list[dict[str, str]]) -> tuple[Array, Array]:
    """Mean and spread of standing upright with the arms down, (21,3) rad."""
    mean, spread = np.zeros((len(rows), 3)), np.empty((len(rows), 3))
    for k, row in enumerate(rows):
        side = -1 if row["name"].startswith("right_") else 1
        part = row["name"].split("_")[-1]
        if part == "shoulder":
            mean[k, 2] = -75 * side
        if part == "elbow":
            mean[k, 1] = -12 * side
        if part == "knee":
            mean[k, 0] = 3
        least = {"neck": 12, "head": 12}.get(part, _TRUNK_SPREAD)
        wide = float(_STANDING_SPREAD.get(part, least))
        spread[k] = np.minimum(wide, [float(row[f"{a}_sd"]) for a in "xyz"])
    return np.radians(mean), np.radians(spread)


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
        inner = so3.right_jacobian_inverse(state.vectors)
        frames, joints = inner.shape[:2]
        by_vector = self.mixture.whitening[best].reshape(frames, -1, joints, 3)
        by_pose = np.einsum("tkja,tjab->tkjb", by_vector, inner).reshape(frames, -1, 3 * joints)
        root = np.sqrt(self.weight)[:, None]
        full = np.zeros((frames, by_pose.shape[1], DOF))
        full[..., 3:-3] = root[..., None] * by_pose
        system.add_local(full, root * white)


def pose_prior(weight: Array, *, standing: bool) -> PosePrior:
    """The prior of the product, with or without its component for standing; `weight` (T)."""
    return PosePrior(mixture(standing), weight)
