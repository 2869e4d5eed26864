"""What a body's pose may be: ranges of the joints, and a mixture of Gaussians learnt from motion capture.

Both are on the rotation vectors of `ACTIVE_JOINTS[1:]`, in the parent's frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

from biopose_cli.body.kinematics import ACTIVE_JOINTS, DOF, read_csv
from biopose_cli.body.model import MIRROR_JOINT
from biopose_cli.geometry import so3
from biopose_cli.mesh_fit.costs import JointLimits, State
from biopose_cli.optim.banded import BandedNormalEquations
from biopose_cli.typing import Array

_LIMIT_SIGMA = np.radians(3.0)
_OUTLIER_WEIGHT = 0.05  # of poses that motion capture has not seen
# Quiet standing, which patients do and the motion capture leaves out. It is narrow: by its density it would draw
# everybody upright, so its peak lies this far (in log density) behind the highest of the others (docs/how/mesh.md)
_STANDING_OFFSET = 12.0
_STANDING_STD = {
    "hip": 8,
    "knee": 7,
    "ankle": 7,
    "foot": 6,
    "elbow": 25,
    "shoulder": 20,
    "wrist": 15,
    "collar": 6,
}
_TRUNK_STD = 5.0  # degrees, of the joints of the spine; 12 for neck and head


def joint_limits(weight: Array) -> JointLimits:
    """The ranges of the joints, soft over 3 degrees; `weight` (T)."""
    return JointLimits(*joint_ranges(), _LIMIT_SIGMA, weight)


@cache
def joint_ranges() -> tuple[Array, Array]:
    """Lower and upper limits (21,3) rad of the rotation vectors, from `data/limits.csv`."""
    rows = read_csv("limits.csv")
    lower, upper = (np.radians([[float(row[f"{a}_{end}"]) for a in "xyz"] for row in rows]) for end in ("min", "max"))
    return lower, upper


def mean_pose() -> Array:
    """Standing with the arms down, (21,3) rad."""
    return np.radians([[float(row[f"{a}_mean"]) for a in "xyz"] for row in read_csv("limits.csv")])


def mirror_poses(axis_angles: Array) -> Array:
    """The same poses (..., 21, 3) with left and right exchanged."""
    order = [ACTIVE_JOINTS[1:].index(MIRROR_JOINT[joint]) for joint in ACTIVE_JOINTS[1:]]
    return np.asarray(axis_angles[..., order, :] * (1, -1, -1))


@dataclass(frozen=True)
class GaussianMixture:
    """`neg_log_peak` (K): minus the logarithm of a component's peak; `means` (K,63) rad; `whitening` (K,63,63)."""

    neg_log_peak: Array
    means: Array
    whitening: Array


@cache
def load_mixture(standing: bool) -> GaussianMixture:
    """`data/prior.npz` (scripts/fit_pose_prior.py), a broad component from `data/limits.csv`, standing if wanted."""
    source = resources.files("biopose_cli.mesh_fit").joinpath("data/prior.npz")
    with source.open("rb") as file, np.load(file) as stored:
        weights, means, covariances = (stored[k].astype(np.float64) for k in ("weights", "means", "covariances"))
    size = means[0].size
    rows = read_csv("limits.csv")
    broad_std = np.radians([[float(row[f"{a}_sd"]) for a in "xyz"] for row in rows])
    standing_mean, standing_std = _standing_component(rows)
    weights = np.append((1 - _OUTLIER_WEIGHT) * weights, _OUTLIER_WEIGHT)
    means = np.concatenate([means.reshape(-1, size), mean_pose().reshape(1, size), standing_mean.reshape(1, size)])
    extra_covariances = [np.diag(sd.reshape(-1) ** 2) for sd in (broad_std, standing_std)]
    covariances = np.concatenate([covariances, extra_covariances])
    neg_log_peak = 0.5 * np.linalg.slogdet(covariances[:-1])[1] - np.log(weights)
    neg_log_peak -= neg_log_peak.min()
    neg_log_peak = np.append(neg_log_peak, _STANDING_OFFSET if standing else np.inf)
    return GaussianMixture(neg_log_peak, means, np.linalg.inv(np.linalg.cholesky(covariances)))


def _standing_component(rows: list[dict[str, str]]) -> tuple[Array, Array]:
    """Mean and spread of standing upright with the arms down, (21,3) rad."""
    mean, std = np.zeros((len(rows), 3)), np.empty((len(rows), 3))
    for k, row in enumerate(rows):
        side = -1 if row["name"].startswith("right_") else 1
        joint = row["name"].split("_")[-1]
        if joint == "shoulder":
            mean[k, 2] = -75 * side
        if joint == "elbow":
            mean[k, 1] = -12 * side
        if joint == "knee":
            mean[k, 0] = 3
        default_std = {"neck": 12, "head": 12}.get(joint, _TRUNK_STD)
        joint_std = float(_STANDING_STD.get(joint, default_std))
        std[k] = np.minimum(joint_std, [float(row[f"{a}_sd"]) for a in "xyz"])
    return np.radians(mean), np.radians(std)


@dataclass(frozen=True)
class PosePrior:
    """Minus the logarithm of the likeliest component's density; `weight` (T) multiplies it."""

    mixture: GaussianMixture
    weight: Array

    def _assign(self, state: State) -> tuple[Array, Array]:
        """The likeliest component of every frame (T), and the whitened difference to it (T,63)."""
        flat = state.axis_angles.reshape(len(self.weight), -1)
        whitened = np.einsum("kab,tkb->tka", self.mixture.whitening, flat[:, None] - self.mixture.means)
        best = np.argmin(0.5 * (whitened**2).sum(-1) + self.mixture.neg_log_peak, axis=1)
        return best, whitened[np.arange(len(best)), best]

    def energy(self, state: State) -> float:
        """Return this cost at `state`."""
        best, whitened = self._assign(state)
        return float((self.weight * (0.5 * (whitened**2).sum(-1) + self.mixture.neg_log_peak[best])).sum())

    def add_to(self, state: State, equations: BandedNormalEquations) -> None:
        """Add the Gauss-Newton model at `state`."""
        best, whitened = self._assign(state)
        inverse_jacobian = so3.right_jacobian_inverse(state.axis_angles)
        frames, joints = inverse_jacobian.shape[:2]
        by_vector = self.mixture.whitening[best].reshape(frames, -1, joints, 3)
        by_pose = np.einsum("tkja,tjab->tkjb", by_vector, inverse_jacobian).reshape(frames, -1, 3 * joints)
        root = np.sqrt(self.weight)[:, None]
        full = np.zeros((frames, by_pose.shape[1], DOF))
        full[..., 3:-3] = root[..., None] * by_pose
        equations.add_local(full, root * whitened)


def pose_prior(weight: Array, *, standing: bool) -> PosePrior:
    """The prior of the product, with or without its component for standing; `weight` (T)."""
    return PosePrior(load_mixture(standing), weight)
