"""Fit the pose prior of the mesh stage: a Gaussian mixture over the rotation vectors of 21 joints.

    python scripts/fit_pose_prior.py --motion FOLDER [--out biopose_cli/mesh_fit/data/prior.npz]

FOLDER holds the archives of the CMU motion capture. Every pose also counts mirrored; a clip counts for at most
`--per-clip` frames, so that much walking does not drown the rest. The subjects that are held out from all training are
left out here too. Expectation maximisation from a fixed seed: the same input gives the same file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from biopose_cli.body.kinematics import ACTIVE_JOINTS
from biopose_cli.body.model import load_body
from biopose_cli.mesh_fit.priors import mirror_poses
from biopose_cli.training.marker_dataset import captured_motions
from biopose_cli.typing import Array

MIN_STD = np.radians(4.0)  # added to every standard deviation: retargeting error, and people who are not in the data
SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--motion", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("biopose_cli/mesh_fit/data/prior.npz"))
    parser.add_argument("--components", type=int, default=8)
    parser.add_argument("--per-clip", type=int, default=120)
    options = parser.parse_args()
    train, test = (
        np.concatenate([motion.pose[choose_frames(len(motion.pose), options.per_clip)] for motion in motions])[
            :, list(ACTIVE_JOINTS[1:])
        ]
        for motions in captured_motions(options.motion, load_body())
    )
    samples = np.concatenate([train, mirror_poses(train)])
    weights, means, covariances = expectation_maximization(samples.reshape(len(samples), -1), options.components)
    for name, poses in (("training", train), ("held out", test)):
        likelihood = log_densities(poses.reshape(len(poses), -1), weights, means, covariances)
        print(f"{name}: {len(poses)} poses, log density {np.logaddexp.reduce(likelihood, axis=1).mean():.2f}")
    np.savez(
        options.out,
        weights=weights.astype(np.float32),
        means=means.reshape(-1, len(ACTIVE_JOINTS) - 1, 3).astype(np.float32),
        covariances=covariances.astype(np.float32),
    )


def choose_frames(frames: int, max_frames: int) -> Array:
    """At most `most` evenly spaced frames of a clip."""
    return np.unique(np.linspace(0, frames - 1, min(max_frames, frames)).round().astype(int))


def expectation_maximization(samples: Array, count: int, rounds: int = 60) -> tuple[Array, Array, Array]:
    """Weights (K), means (K,D) and covariances (K,D,D) of a Gaussian mixture of `samples` (N,D)."""
    generator = np.random.default_rng(SEED)
    dim = samples.shape[1]
    means = samples[generator.choice(len(samples), count, replace=False)]
    covariances = np.tile(np.cov(samples.T) + MIN_STD**2 * np.eye(dim), (count, 1, 1))
    weights = np.full(count, 1 / count)
    broad = covariances[0].copy()
    for _ in range(rounds):
        density = log_densities(samples, weights, means, covariances)
        responsibility = np.exp(density - np.logaddexp.reduce(density, axis=1, keepdims=True))
        total = responsibility.sum(0)
        weights = total / total.sum()
        means = responsibility.T @ samples / total[:, None]
        for k in range(count):
            centered = samples - means[k]
            scatter = (responsibility[:, k, None] * centered).T @ centered
            # as if `size` more samples had been seen with the spread of all
            covariances[k] = (scatter + dim * 0.1 * broad) / (total[k] + dim * 0.1) + MIN_STD**2 * np.eye(dim)
    return weights, means, covariances


def log_densities(samples: Array, weights: Array, means: Array, covariances: Array) -> Array:
    """Logarithm of each component's weight times density, (N,K)."""
    result = np.empty((len(samples), len(weights)))
    for k, (weight, mean, covariance) in enumerate(zip(weights, means, covariances, strict=True)):
        factor = np.linalg.cholesky(covariance)
        whitened = np.linalg.solve(factor, (samples - mean).T)
        logdet = 2 * np.log(np.diag(factor)).sum()
        result[:, k] = np.log(weight) - 0.5 * ((whitened**2).sum(0) + logdet + len(mean) * np.log(2 * np.pi))
    return result


if __name__ == "__main__":
    main()
