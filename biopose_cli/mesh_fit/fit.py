"""The fit of one body to a clip's keypoints, in three passes of one solver; `docs/mesh.md` says why each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from biopose_cli.body.kinematics import MOVING, Chain, Pose
from biopose_cli.mesh_fit import priors
from biopose_cli.mesh_fit.costs import Landmarks3D, Reprojection, ShapePrior, Smoothness, State, Term
from biopose_cli.mesh_fit.initialization import first_pose, on_keypoints
from biopose_cli.mesh_fit.observations import Observations
from biopose_cli.mesh_fit.solver import minimise
from biopose_cli.typing import Array

PASSES = (12, 25, 25)  # most iterations: to the 3D guess, to the keypoints with the guess, to the keypoints
ITERATIONS = 2 * sum(PASSES)
_GUESS_SIGMA = 0.08  # m, spread of the network's 3D landmarks about the truth
# (rad/s^2)^2 s: a cut-off near 6 Hz for an arm; pushing off, an ankle turns by 30 degrees within an eighth of a second
_ARM, _TRUNK, _LEG, _ANKLE = 80.0, 10.0, 240.0, 800.0
_MOVING = np.full(3, 8.0)  # (m/s^2)^2 s
_PRIOR_WEIGHT = 0.3  # poses of neighbouring frames are nearly one observation
_DENSITY = (
    dict.fromkeys((0, 3, 6, 9, 12, 13, 14, 15), _TRUNK)
    | dict.fromkeys((1, 2, 4, 5), _LEG)
    | dict.fromkeys((7, 8), _ANKLE)
)


def smoothness(time: Array) -> Smoothness:
    density = np.array([_DENSITY.get(joint, _ARM) for joint in MOVING])
    return Smoothness(time, density, _MOVING, delta=3.0)


def pose_terms(seen: Observations, shape: ShapePrior, *, standing: bool) -> list[Term]:
    """All but the observations; the pose prior is the last."""
    poses = priors.pose_prior(_PRIOR_WEIGHT * seen.share, standing=standing)
    return [priors.limits(seen.share), smoothness(seen.time), shape, poses]


def reprojection(seen: Observations, delta: float) -> Reprojection:
    return Reprojection(seen.keypoints, seen.matrix, seen.sigma, seen.weight, delta)


def guess(seen: Observations, strength: float) -> Landmarks3D:
    weight = (seen.weight > 0) * (strength * seen.share[:, None])
    return Landmarks3D(seen.guess, weight, _GUESS_SIGMA, delta=2.0)


def fit_clip(
    chain: Chain,
    seen: Observations,
    shape: ShapePrior,
    on_iteration: Callable[[], None] = lambda: None,
    known_shape: Array | None = None,
) -> Pose:
    """Fit from nothing: pose and translation per frame and one shape (`known_shape`, when given).

    Seen from the front, a bent leg looks like a short one. So the clip is fitted twice, with and without quiet
    standing among the likely poses, and what explains the keypoints better, with smooth motion and a likely shape,
    is kept: the pose prior itself does not vote.
    """
    best, lowest = None, np.inf
    for standing in (False, True):
        pose, energy = _fit(chain, seen, shape, standing, on_iteration, known_shape)
        if best is None or energy < lowest:
            best, lowest = pose, energy
    assert best is not None
    return best


def _fit(
    chain: Chain,
    seen: Observations,
    shape: ShapePrior,
    standing: bool,
    on_iteration: Callable[[], None],
    known_shape: Array | None,
) -> tuple[Pose, float]:
    """The fit, and its energy without the pose prior."""
    common = pose_terms(seen, shape, standing=standing)
    pose = first_pose(chain, seen, known_shape)
    begin: list[Term] = [guess(seen, 1.0), *common]
    pose, _ = minimise(
        chain, pose, begin, PASSES[0], free_shape=False, tolerance=1e-3, on_iteration=on_iteration
    )
    pose = on_keypoints(chain, pose, seen)
    free = known_shape is None
    rough: list[Term] = [reprojection(seen, 5.0), guess(seen, 0.2), *common]
    pose, _ = minimise(
        chain, pose, rough, PASSES[1], free_shape=free, tolerance=1e-3, on_iteration=on_iteration
    )
    final: list[Term] = [reprojection(seen, 3.0), *common]
    pose, _ = minimise(chain, pose, final, PASSES[2], free_shape=free, on_iteration=on_iteration)
    state = State(chain, pose)
    return pose, sum(term.energy(state) for term in final[:-1])
