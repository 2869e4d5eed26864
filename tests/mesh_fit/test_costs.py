from __future__ import annotations

import numpy as np
import pytest

from biopose_cli.body.kinematics import DOF, NUM_BETAS, KinematicChain, Pose
from biopose_cli.geometry import so3
from biopose_cli.mesh_fit.contact import FootContact
from biopose_cli.mesh_fit.costs import (
    Cost,
    JointLimits,
    Landmarks3D,
    Reprojection,
    ShapePrior,
    Smoothness,
    State,
)
from biopose_cli.mesh_fit.network_prior import RotationPrior
from biopose_cli.mesh_fit.priors import GaussianMixture, PosePrior
from biopose_cli.mesh_fit.standing import StraightKnees
from biopose_cli.optim.banded import BandedNormalEquations
from biopose_cli.typing import Array
from tests.helpers.stick_body import MATRIX, Clip, make_pose

FRAMES = 4
TIME = np.array([0.0, 0.03, 0.08, 0.1])
ONES = np.ones((FRAMES, 33))
RANDOM = np.random.default_rng(5)
SHARES = RANDOM.uniform(0, 1, (FRAMES, 33))
MIXTURE = GaussianMixture(np.array([0.0, 0.5]), RANDOM.normal(size=(2, 63)), RANDOM.normal(size=(2, 63, 63)))
TERMS: dict[str, Cost] = {
    "reprojection": Reprojection(RANDOM.uniform(300, 700, (FRAMES, 33, 2)), MATRIX, 20 * ONES, SHARES, 2.0),
    "landmarks": Landmarks3D(RANDOM.normal(size=(FRAMES, 33, 3)), SHARES, 0.1, 2.0),
    "prior": PosePrior(MIXTURE, RANDOM.uniform(0, 1, FRAMES)),
    "guidance": RotationPrior(
        so3.axis_angle_to_matrix(RANDOM.normal(size=(FRAMES, 22, 3))),
        RANDOM.uniform(0.1, 0.4, (FRAMES, 22, 3)),
        RANDOM.uniform(0, 1, FRAMES),
    ),
    "limits": JointLimits(np.full((21, 3), -0.05), np.full((21, 3), 0.05), 0.05, RANDOM.uniform(0, 1, FRAMES)),
    "smoothness": Smoothness(TIME, np.full(22, 40.0), np.full(3, 15.0), 3.0),
    "shape": ShapePrior(0.5, 1.7, 0.03 * RANDOM.normal(size=NUM_BETAS), 1.8, 0.1),
    "standing": StraightKnees(RANDOM.uniform(0, 1, (FRAMES, 2))),
    "planted": FootContact(TIME, RANDOM.uniform(0, 1, (FRAMES - 1, 4)), 0.05),
}  # fmt: skip


@pytest.mark.parametrize("name", TERMS)
def test_gradient_is_that_of_the_energy(name: str, chain: KinematicChain) -> None:
    term = TERMS[name]
    pose = make_pose(TIME, np.linspace(-1, 1, chain.num_shape_params))
    system = BandedNormalEquations(FRAMES, DOF, chain.num_shape_params)
    term.add_to(State(chain, pose), system)
    directions = np.random.default_rng(7).normal(size=(6, FRAMES * DOF + chain.num_shape_params))
    directions[0, : FRAMES * DOF] = 0  # the shape alone
    for direction in directions:
        step, shape = direction[: FRAMES * DOF].reshape(FRAMES, DOF), direction[FRAMES * DOF :]
        slope = (_energy(term, chain, pose, step, shape, 1e-6) - _energy(term, chain, pose, step, shape, -1e-6)) / 2e-6
        predicted = (system.gradient * step).sum() + system.shape_gradient @ shape
        assert predicted == pytest.approx(slope, rel=1e-4, abs=1e-4)


def _energy(term: Cost, chain: KinematicChain, pose: Pose, step: Array, shape: Array, size: float) -> float:
    return term.energy(State(chain, pose.retract(size * step, size * shape)))


def test_smoothness_knows_true_time(clip: Clip) -> None:
    """Even motion costs nothing, however unevenly it is sampled; pretending the frames were even makes it cost."""
    time = np.array([0.0, 0.02, 0.10, 0.11, 0.2])
    transl = np.array([0, 0, 3.0]) + time[:, None] * [1.0, 0, 0.5]
    pose = Pose(np.broadcast_to(np.eye(3), (5, 24, 3, 3)).copy(), transl, np.zeros(clip.chain.num_shape_params))
    state = State(clip.chain, pose)
    turning, moving = np.full(22, 40.0), np.full(3, 15.0)
    assert Smoothness(time, turning, moving, 3.0).energy(state) == pytest.approx(0, abs=1e-18)
    assert Smoothness(np.linspace(0, 0.2, 5), turning, moving, 3.0).energy(state) > 0.1


def test_frames_without_keypoints_have_no_cost(clip: Clip) -> None:
    weight = np.ones((20, 33))
    weight[7:9] = 0
    keypoints = np.zeros((20, 33, 2))
    term = Reprojection(keypoints, MATRIX, np.ones((20, 33)), weight, 2.0)
    other = keypoints.copy()
    other[7:9] = 1e6
    state = State(clip.chain, clip.pose)
    assert term.energy(state) == Reprojection(other, MATRIX, np.ones((20, 33)), weight, 2.0).energy(state)
    system = BandedNormalEquations(20, DOF, clip.chain.num_shape_params)
    term.add_to(state, system)
    assert not system.gradient[7:9].any()
    assert system.gradient[6].any()
