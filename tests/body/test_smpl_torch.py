"""The torch figure against the fitted chain in numpy."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from biopose_cli.body.kinematics import NUM_BETAS, Pose, build_kinematic_chain, forward_kinematics
from biopose_cli.body.model import load_body
from biopose_cli.body.smpl_torch import SMPLKinematics


def test_joints_and_landmarks_are_those_of_the_chain() -> None:
    chain = build_kinematic_chain(load_body())
    rotations = Rotation.random(3 * 24, random_state=0).as_matrix().reshape(3, 24, 3, 3)
    shape = np.random.default_rng(1).normal(size=chain.num_shape_params)
    placed = forward_kinematics(chain, Pose(rotations, np.zeros((3, 3)), shape))
    turned, one = torch.as_tensor(rotations).float(), torch.as_tensor(shape).float().expand(3, -1)
    joints, landmarks = SMPLKinematics(chain)(turned, one)
    root = placed.joints[:, :1]
    np.testing.assert_allclose(joints.numpy(), placed.joints - root, atol=1e-5)
    np.testing.assert_allclose(landmarks.numpy(), placed.landmarks - root, atol=1e-5)
    own, bare = np.where(np.arange(chain.num_shape_params) < NUM_BETAS, shape, 0), one[:, :NUM_BETAS]
    placed = forward_kinematics(chain, Pose(rotations, np.zeros((3, 3)), own))
    np.testing.assert_allclose(
        SMPLKinematics(chain)(turned, bare)[1].numpy(), placed.landmarks - root, atol=1e-5
    )


def test_segments_are_turned_by_all_joints_above_them() -> None:
    chain = build_kinematic_chain(load_body())
    local = Rotation.random(24, random_state=2).as_matrix()
    turned = SMPLKinematics(chain).global_rotations(torch.as_tensor(local)[None])[0].numpy()
    for joint in (0, 5, 21):
        expected = np.eye(3)
        for above in reversed(chain.ancestors(joint)):
            expected = expected @ local[above]
        np.testing.assert_allclose(turned[joint], expected, atol=1e-12)
