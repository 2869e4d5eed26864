"""The kinematic chain (`kinematics.py`) in torch, with one shape per person: for training and evaluating networks.

N people; the pelvis joint at the origin, in the frame of the first rotation; m.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from biopose_cli.body.kinematics import NUM_JOINTS, KinematicChain


class SMPLKinematics(nn.Module):
    """Joints and landmarks of posed bodies, with gradients. `chain`: of the body."""

    rest_joints: Tensor
    joint_shapedirs: Tensor
    offset: Tensor
    offset_shapedirs: Tensor
    parent_joint: Tensor

    def __init__(self, chain: KinematicChain) -> None:
        super().__init__()
        self.parents = chain.parents
        self.register_buffer("rest_joints", torch.as_tensor(chain.rest_joints).float())
        self.register_buffer("joint_shapedirs", torch.as_tensor(chain.joint_shapedirs).float())
        self.register_buffer("offset", torch.as_tensor(chain.offset).float())
        self.register_buffer("offset_shapedirs", torch.as_tensor(chain.offset_shapedirs).float())
        self.register_buffer("parent_joint", torch.as_tensor(chain.parent_joint))

    def forward(self, rotations: Tensor, shape_params: Tensor) -> tuple[Tensor, Tensor]:
        """Joints (N, 24, 3) and landmarks (N, 33, 3).

        rotations: (N, 24, 3, 3), each relative to the parent's. shape_params: (N, S), betas and then the landmarks'
        offsets, or betas alone (N, 10).
        """
        count = shape_params.shape[1]
        global_rotations = self.global_rotations(rotations)
        rest_joints = self.rest_joints + (self.joint_shapedirs[..., :count].flatten(0, 1) @ shape_params.T).T.unflatten(
            1, (NUM_JOINTS, 3)
        )
        positions = [torch.zeros_like(rest_joints[:, 0])]
        for joint in range(1, NUM_JOINTS):
            parent = self.parents[joint]
            bone = (rest_joints[:, joint] - rest_joints[:, parent])[..., None]
            positions.append(positions[parent] + (global_rotations[:, parent] @ bone)[..., 0])
        joints = torch.stack(positions, 1)
        offset = self.offset + (self.offset_shapedirs[..., :count].flatten(0, 1) @ shape_params.T).T.unflatten(
            1, self.offset.shape
        )
        rotated_offset = global_rotations[:, self.parent_joint] @ offset[..., None]
        return joints, joints[:, self.parent_joint] + rotated_offset[..., 0]

    def global_rotations(self, rotations: Tensor) -> Tensor:
        """Global rotations (N, 24, 3, 3) of the segments, in the frame of the first of the `rotations`."""
        result = [rotations[:, 0]]
        for joint in range(1, NUM_JOINTS):
            result.append(result[self.parents[joint]] @ rotations[:, joint])
        return torch.stack(result, 1)
