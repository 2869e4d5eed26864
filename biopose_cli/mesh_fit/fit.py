"""The fit of one body to a clip's keypoints, in three passes of one solver; `docs/how/mesh.md` says why each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from biopose_cli.body.kinematics import ACTIVE_JOINTS, KinematicChain, Pose
from biopose_cli.mesh_fit import priors
from biopose_cli.mesh_fit.costs import Cost, Landmarks3D, Reprojection, ShapePrior, Smoothness, State
from biopose_cli.mesh_fit.initialization import align_translation, initial_pose
from biopose_cli.mesh_fit.observations import Observations
from biopose_cli.mesh_fit.solver import levenberg_marquardt
from biopose_cli.typing import Array

PASSES = (12, 25, 25)  # most iterations: to the 3D guess, to the keypoints with the guess, to the keypoints
ITERATIONS = 2 * sum(PASSES)
_LANDMARK_SIGMA = 0.08  # m, spread of the network's 3D landmarks about the truth
# (rad/s^2)^2 s: a cut-off near 6 Hz for an arm; pushing off, an ankle turns by 30 degrees within an eighth of a second
_ARM, _TRUNK, _LEG, _ANKLE = 80.0, 10.0, 240.0, 800.0
_LINEAR_DENSITY = np.full(3, 8.0)  # (m/s^2)^2 s
_PRIOR_WEIGHT = 0.3  # poses of neighbouring frames are nearly one observation
_ANGULAR_DENSITY = (
    dict.fromkeys((0, 3, 6, 9, 12, 13, 14, 15), _TRUNK)
    | dict.fromkeys((1, 2, 4, 5), _LEG)
    | dict.fromkeys((7, 8), _ANKLE)
)


def smoothness_cost(time: Array) -> Smoothness:
    """Build the cost of accelerations, with our densities for the joints."""
    density = np.array([_ANGULAR_DENSITY.get(joint, _ARM) for joint in ACTIVE_JOINTS])
    return Smoothness(time, density, _LINEAR_DENSITY, delta=3.0)


def prior_costs(observations: Observations, shape_prior: ShapePrior, *, standing: bool) -> list[Cost]:
    """All but the observations; the pose prior is the last."""
    pose_prior = priors.pose_prior(_PRIOR_WEIGHT * observations.frame_weight, standing=standing)
    return [
        priors.joint_limits(observations.frame_weight),
        smoothness_cost(observations.time),
        shape_prior,
        pose_prior,
    ]


def reprojection_cost(observations: Observations, delta: float) -> Reprojection:
    """Build the cost of the keypoints' reprojection errors, robust from `delta` standard deviations on."""
    return Reprojection(
        observations.keypoints, observations.camera_matrix, observations.sigma, observations.weight, delta
    )


def landmarks_cost(observations: Observations, strength: float) -> Landmarks3D:
    """Build the cost of the distances to the detector's 3-D landmarks, times `strength`, where visible."""
    weight = (observations.weight > 0) * (strength * observations.frame_weight[:, None])
    return Landmarks3D(observations.landmarks_3d, weight, _LANDMARK_SIGMA, delta=2.0)


def fit_clip(
    chain: KinematicChain,
    observations: Observations,
    shape_prior: ShapePrior,
    on_iteration: Callable[[], None] = lambda: None,
    fixed_shape: Array | None = None,
) -> Pose:
    """Fit from nothing: pose and translation per frame and one shape (`fixed_shape`, when given).

    Seen from the front, a bent leg looks like a short one. So the clip is fitted twice, with and without quiet
    standing among the likely poses, and what explains the keypoints better, with smooth motion and a likely shape,
    is kept: the pose prior itself does not vote.
    """
    best, lowest = None, np.inf
    for standing in (False, True):
        pose, energy = _fit(chain, observations, shape_prior, standing, on_iteration, fixed_shape)
        if best is None or energy < lowest:
            best, lowest = pose, energy
    assert best is not None
    return best


def _fit(
    chain: KinematicChain,
    observations: Observations,
    shape_prior: ShapePrior,
    standing: bool,
    on_iteration: Callable[[], None],
    fixed_shape: Array | None,
) -> tuple[Pose, float]:
    """The fit, and its energy without the pose prior."""
    common = prior_costs(observations, shape_prior, standing=standing)
    pose = initial_pose(chain, observations, fixed_shape)
    init_costs: list[Cost] = [landmarks_cost(observations, 1.0), *common]
    pose, _ = levenberg_marquardt(
        chain, pose, init_costs, PASSES[0], free_shape=False, tolerance=1e-3, on_iteration=on_iteration
    )
    pose = align_translation(chain, pose, observations)
    free_shape = fixed_shape is None
    coarse_costs: list[Cost] = [
        reprojection_cost(observations, 5.0),
        landmarks_cost(observations, 0.2),
        *common,
    ]
    pose, _ = levenberg_marquardt(
        chain, pose, coarse_costs, PASSES[1], free_shape=free_shape, tolerance=1e-3, on_iteration=on_iteration
    )
    fine_costs: list[Cost] = [reprojection_cost(observations, 3.0), *common]
    pose, _ = levenberg_marquardt(chain, pose, fine_costs, PASSES[2], free_shape=free_shape, on_iteration=on_iteration)
    state = State(chain, pose)
    return pose, sum(cost.energy(state) for cost in fine_costs[:-1])
