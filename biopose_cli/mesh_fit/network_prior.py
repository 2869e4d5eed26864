"""The fit as MQ-HMR's second phase: one shape for the clip, on the keypoints, near what the network says of each frame.

The network sees frames one by one. The fit makes of them one person who moves smoothly and whose landmarks fall on the
keypoints; what the keypoints do not tell, mostly depth, stays as the network has learned it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from biopose_cli.body.kinematics import ACTIVE_JOINTS, KinematicChain, Pose
from biopose_cli.geometry import so3
from biopose_cli.hmr.model import MQHMR
from biopose_cli.hmr.predict import SMPLEstimates, predict_smpl
from biopose_cli.mesh_fit import priors
from biopose_cli.mesh_fit.costs import Cost, ShapePrior, State, add_joint_blocks, pseudo_huber
from biopose_cli.mesh_fit.fit import reprojection_cost, smoothness_cost
from biopose_cli.mesh_fit.initialization import align_translation
from biopose_cli.mesh_fit.observations import Observations
from biopose_cli.mesh_fit.solver import levenberg_marquardt
from biopose_cli.mesh_fit.standing import straight_knees
from biopose_cli.optim.banded import BandedNormalEquations
from biopose_cli.typing import Array

ITERATIONS = 20
TOLERANCE = 1e-3  # of the energy: going on changes joints by 0.04 degrees on average, in twice the time
_KEYPOINT_DELTA = 3.0  # standard deviations from which a keypoint counts less
_INTERPOLATED_WEIGHT = 1 / 16  # of what the network says of a frame, if that lies between what it says of others
_ROTATION_DELTA = 0.5  # standard deviations from which what the network says of a joint counts less


@dataclass(frozen=True)
class RotationPrior:
    """Joints are turned as a network says. `target` (T,22,3,3), relative to the parents, of `ACTIVE_JOINTS`; `sigma`
    (T,22,3) rad, by how much it may be wrong about each axis of the joint; `weight` (T)."""

    target: Array
    sigma: Array
    weight: Array

    def _residual(self, state: State) -> Array:
        """(T,22,3), in the frame of the joint, in standard deviations."""
        errors = np.swapaxes(self.target, -1, -2) @ state.pose.rotations[:, list(ACTIVE_JOINTS)]
        return np.asarray(so3.matrix_to_axis_angle(errors) / self.sigma)

    def energy(self, state: State) -> float:
        """Return this cost at `state`."""
        loss, _ = pseudo_huber((self._residual(state) ** 2).sum(-1), _ROTATION_DELTA)
        return float(0.5 * (self.weight[:, None] * loss).sum())

    def add_to(self, state: State, equations: BandedNormalEquations) -> None:
        """Add the Gauss-Newton model at `state`."""
        residual = self._residual(state)
        _, robust_weight = pseudo_huber((residual**2).sum(-1), _ROTATION_DELTA)
        scale = np.sqrt(self.weight[:, None] * robust_weight)[..., None]
        inverse_jacobian = so3.right_jacobian_inverse(residual * self.sigma)
        blocks = (scale / self.sigma)[..., None] * inverse_jacobian
        add_joint_blocks(equations.blocks[0], np.swapaxes(blocks, -1, -2) @ blocks)
        gradient = np.einsum("tjab,tja->tjb", blocks, scale * residual)
        equations.gradient[:, :-3] += gradient.reshape(len(gradient), -1)


def run_network(network: MQHMR, observations: Observations, stature: float | None) -> SMPLEstimates:
    """Ask the network about every frame of a clip that was seen; others get what lies between their neighbours'.

    stature: m.
    """
    measured = np.flatnonzero(observations.measured)
    predictions = predict_smpl(
        network,
        observations.keypoints[measured],
        observations.confidence[measured],
        observations.camera_matrix,
        stature,
    )
    nearest = np.rint(np.interp(np.arange(len(observations.time)), measured, np.arange(len(measured)))).astype(int)
    estimates = predictions.select(nearest)
    rotations = so3.interpolate(estimates.rotations, observations.measured, observations.time)
    return replace(estimates, rotations=rotations)


def network_prior_costs(observations: Observations, shape_prior: ShapePrior, predictions: SMPLEstimates) -> list[Cost]:
    """All but the observations."""
    weight = observations.frame_weight * np.where(observations.measured, 1.0, _INTERPOLATED_WEIGHT)
    rotation_prior = RotationPrior(predictions.rotations[:, list(ACTIVE_JOINTS)], predictions.rotation_std, weight)
    return [
        priors.joint_limits(observations.frame_weight),
        smoothness_cost(observations.time),
        shape_prior,
        rotation_prior,
        straight_knees(observations, predictions),
    ]


def initial_pose_from_network(
    chain: KinematicChain, observations: Observations, predictions: SMPLEstimates, shape: Array | None = None
) -> Pose:
    """The network's bodies as one person on the keypoints. shape: (S), when it is known, else the mean."""
    shape = np.zeros(chain.num_shape_params) if shape is None else shape
    rest_pelvis = chain.rest_joints[0] + chain.joint_shapedirs[0] @ shape
    return align_translation(chain, Pose(predictions.rotations, predictions.pelvis - rest_pelvis, shape), observations)


def fit_with_network_prior(
    chain: KinematicChain,
    observations: Observations,
    shape_prior: ShapePrior,
    predictions: SMPLEstimates,
    on_iteration: Callable[[], None] = lambda: None,
    fixed_shape: Array | None = None,
) -> Pose:
    """Fit from the network's bodies: pose and translation per frame, and one shape (`fixed_shape`, if given)."""
    init = initial_pose_from_network(chain, observations, predictions, fixed_shape)
    costs = [
        reprojection_cost(observations, _KEYPOINT_DELTA),
        *network_prior_costs(observations, shape_prior, predictions),
    ]
    free_shape = fixed_shape is None
    return levenberg_marquardt(
        chain, init, costs, ITERATIONS, free_shape=free_shape, tolerance=TOLERANCE, on_iteration=on_iteration
    )[0]
