"""The fit as MQ-HMR's second phase: one shape for the clip, on the keypoints, near what the network says of each frame.

The network sees frames one by one. The fit makes of them one person who moves smoothly and whose landmarks fall on the
keypoints; what the keypoints do not tell, mostly depth, stays as the network has learned it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from biopose_cli.body.kinematics import MOVING, Chain, Pose
from biopose_cli.geometry import so3
from biopose_cli.hmr.model import MQHMR
from biopose_cli.hmr.predict import Bodies, recover
from biopose_cli.mesh_fit import priors
from biopose_cli.mesh_fit.costs import ShapePrior, State, Term, add_joint_blocks, robust
from biopose_cli.mesh_fit.fit import reprojection, smoothness
from biopose_cli.mesh_fit.initialization import on_keypoints
from biopose_cli.mesh_fit.observations import Observations
from biopose_cli.mesh_fit.solver import minimise
from biopose_cli.optim.banded import System
from biopose_cli.typing import Array

ITERATIONS = 20
TOLERANCE = 1e-3  # of the energy: going on changes joints by 0.04 degrees on average, in twice the time
_DELTA = 3.0  # standard deviations from which a keypoint counts less
_FILLED = 1 / 16  # of what the network says of a frame, if that lies between what it says of others
_FAR = 0.5  # standard deviations from which what the network says of a joint counts less


@dataclass(frozen=True)
class Guidance:
    """Joints are turned as a network says. `target` (T,22,3,3), relative to the parents, of `MOVING`; `sigma` (T,22,3)
    rad, by how much it may be wrong about each axis of the joint; `weight` (T)."""

    target: Array
    sigma: Array
    weight: Array

    def _residual(self, state: State) -> Array:
        """(T,22,3), in the frame of the joint, in standard deviations."""
        turns = np.swapaxes(self.target, -1, -2) @ state.pose.rotations[:, list(MOVING)]
        return np.asarray(so3.log(turns) / self.sigma)

    def energy(self, state: State) -> float:
        loss, _ = robust((self._residual(state) ** 2).sum(-1), _FAR)
        return float(0.5 * (self.weight[:, None] * loss).sum())

    def add(self, state: State, system: System) -> None:
        residual = self._residual(state)
        _, down = robust((residual**2).sum(-1), _FAR)
        scale = np.sqrt(self.weight[:, None] * down)[..., None]
        inner = so3.right_jacobian_inverse(residual * self.sigma)
        blocks = (scale / self.sigma)[..., None] * inner
        add_joint_blocks(system.blocks[0], np.swapaxes(blocks, -1, -2) @ blocks)
        pull = np.einsum("tjab,tja->tjb", blocks, scale * residual)
        system.gradient[:, :-3] += pull.reshape(len(pull), -1)


def guide(network: MQHMR, seen: Observations, stature: float | None) -> Bodies:
    """Ask the network about every frame of a clip that was seen; others get what lies between their neighbours'.

    stature: m.
    """
    known = np.flatnonzero(seen.measured)
    found = recover(network, seen.keypoints[known], seen.confidence[known], seen.matrix, stature)
    at = np.rint(np.interp(np.arange(len(seen.time)), known, np.arange(len(known)))).astype(int)
    bodies = found.part(at)
    turned = so3.interpolate(bodies.rotations, seen.measured, seen.time)
    return replace(bodies, rotations=turned)


def guided_terms(seen: Observations, shape: ShapePrior, told: Bodies) -> list[Term]:
    """All but the observations."""
    weight = seen.share * np.where(seen.measured, 1.0, _FILLED)
    towards = Guidance(told.rotations[:, list(MOVING)], told.spread, weight)
    return [priors.limits(seen.share), smoothness(seen.time), shape, towards]


def first_guess(chain: Chain, seen: Observations, bodies: Bodies, shape: Array | None = None) -> Pose:
    """The network's bodies as one person on the keypoints. shape: (S), when it is known, else the mean."""
    shape = np.zeros(chain.shapes) if shape is None else shape
    rest = chain.rest[0] + chain.rest_shapes[0] @ shape
    return on_keypoints(chain, Pose(bodies.rotations, bodies.pelvis - rest, shape), seen)


def fit_guided(
    chain: Chain,
    seen: Observations,
    shape: ShapePrior,
    told: Bodies,
    on_iteration: Callable[[], None] = lambda: None,
    known_shape: Array | None = None,
) -> Pose:
    """Fit from the network's bodies: pose and translation per frame, and one shape (`known_shape`, if given)."""
    start = first_guess(chain, seen, told, known_shape)
    terms = [reprojection(seen, _DELTA), *guided_terms(seen, shape, told)]
    free = known_shape is None
    return minimise(
        chain, start, terms, ITERATIONS, free_shape=free, tolerance=TOLERANCE, on_iteration=on_iteration
    )[0]
