"""A small body and a clip made from it, so that the truth of a fit is known exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from biopose_cli.body.kinematics import (
    ACTIVE_JOINTS,
    NUM_JOINTS,
    KinematicChain,
    Pose,
    build_kinematic_chain,
    forward_kinematics,
)
from biopose_cli.geometry import so3
from biopose_cli.io.results import Detection
from biopose_cli.mesh_fit.priors import mean_pose
from biopose_cli.typing import Array

PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
# a left half (m, x left, y up, z forward); the right half is its mirror image
HALF = {
    0: (0, 0.95, 0.03), 1: (0.085, 0.87, 0.02), 3: (0, 1.05, 0), 4: (0.10, 0.49, 0.02), 6: (0, 1.19, 0),
    7: (0.09, 0.08, -0.03), 9: (0, 1.24, 0.03), 10: (0.11, 0.03, 0.09), 12: (0, 1.46, -0.01), 13: (0.08, 1.37, 0),
    15: (0, 1.53, 0.04), 16: (0.17, 1.40, -0.01), 18: (0.43, 1.39, -0.04), 20: (0.68, 1.39, -0.04),
    22: (0.77, 1.39, -0.06),
}  # fmt: skip


class StickBody:
    """What the fit needs of a body: taller by 4 % with the first shape component, longer legs with the second."""

    parents = PARENTS

    def __init__(self) -> None:
        rest = np.zeros((NUM_JOINTS, 3))
        for joint, place_ in HALF.items():
            rest[joint] = place_
        for joint in (2, 5, 8, 11, 14, 17, 19, 21, 23):
            rest[joint] = rest[joint - 1] * (-1, 1, 1)
        self._rest = torch.tensor(rest, dtype=torch.float32)

    def rest_joints(self, betas: Tensor) -> Tensor:
        legs = torch.zeros(NUM_JOINTS, 3)
        legs[[4, 5, 7, 8, 10, 11], 1] = -0.02
        return self._rest * (1 + 0.04 * betas[0]) + legs * betas[1]

    def stature(self, betas: Tensor) -> Tensor:
        return 1.7 * (1 + 0.04 * betas[0]) + 0.02 * betas[1]


@dataclass(frozen=True)
class Clip:
    chain: KinematicChain
    pose: Pose
    detection: Detection


MATRIX = np.array([[1000.0, 0, 500], [0, 1000, 500], [0, 0, 1]])


def make_detection(
    chain: KinematicChain, pose: Pose, time: Array, noise: float = 0.0, seed: int = 0
) -> Detection:
    """Keypoints of `pose` in a 1000 x 1000 px image, and a 3D guess that is 5 cm off."""
    generator = np.random.default_rng(seed)
    points = forward_kinematics(chain, pose).landmarks
    image = points[..., :2] / points[..., 2:] * 1000 + 500
    frames = len(time)
    none = np.zeros(frames, bool)
    guess = points - points[:, [23, 24]].mean(1, keepdims=True)
    return Detection(
        time=time,
        frame=np.arange(frames),
        image_size=(1000, 1000),
        box=np.concatenate([image.min(1), image.max(1)], 1),
        roi=np.tile([500.0, 500, 640, 0], (frames, 1)),
        keypoints_2d=image + noise * generator.normal(size=image.shape),
        confidence=np.full((frames, 33), 0.95),
        landmarks_3d=guess + 0.05 * generator.normal(size=(1, 33, 3)),
        visible=~none,
        swapped=none,
        interpolated=none,
        people_box=np.zeros((1, frames, 4)),
        camera_matrix=MATRIX,
        dist_coeffs=np.zeros(5),
    )


def make_pose(time: Array, shape: Array) -> Pose:
    """A person 3 m away who turned to the camera swings arms and legs."""
    phase = np.random.default_rng(1).uniform(0, 2 * np.pi, (1, len(ACTIVE_JOINTS), 3))
    swing = 0.12 * np.sin(4 * time[:, None, None] + phase)
    swing[:, [ACTIVE_JOINTS.index(j) for j in (4, 5)], 1:] = 0
    rotations = np.broadcast_to(np.eye(3), (len(time), NUM_JOINTS, 3, 3)).copy()
    rotations[:, list(ACTIVE_JOINTS[1:])] = so3.axis_angle_to_matrix(mean_pose() + swing[:, 1:])
    rotations[:, 0] = so3.axis_angle_to_matrix(np.array([np.pi, 0, 0])) @ so3.axis_angle_to_matrix(
        swing[:, 0] + [0, 0.6, 0]
    )
    transl = np.array([0, -0.95, 3.2]) + 0.1 * np.sin(2 * time)[:, None] * [1, 0, 0.3]
    return Pose(rotations, transl, shape)


@pytest.fixture(scope="session")
def chain() -> KinematicChain:
    return build_kinematic_chain(StickBody())  # type: ignore[arg-type]


@pytest.fixture
def clip(chain: KinematicChain) -> Clip:
    time = np.cumsum(np.random.default_rng(2).uniform(0.02, 0.05, 20))
    shape = np.zeros(chain.num_shape_params)
    shape[:2] = 0.8, -0.5
    pose = make_pose(time, shape)
    return Clip(chain, pose, make_detection(chain, pose, time))
