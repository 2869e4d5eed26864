"""Initial values of the fit: the trunk's orientation from 3D landmarks, the translation from the keypoints."""

from __future__ import annotations

import numpy as np

from biopose_cli.body.kinematics import ACTIVE_JOINTS, NUM_JOINTS, KinematicChain, Pose, forward_kinematics
from biopose_cli.geometry import so3
from biopose_cli.geometry.camera import unproject
from biopose_cli.mesh_fit.observations import Observations
from biopose_cli.mesh_fit.priors import mean_pose
from biopose_cli.typing import Array

LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_HIP, RIGHT_HIP = 11, 12, 23, 24
_DEFAULT_DEPTH = 4.0  # m, used only if there are no keypoints


def initial_pose(chain: KinematicChain, observations: Observations, shape: Array | None = None) -> Pose:
    """The mean pose with the orientation of the 3D landmarks' trunk, translated to the keypoints."""
    frames = len(observations.time)
    rotations = np.broadcast_to(np.eye(3), (frames, NUM_JOINTS, 3, 3)).copy()
    rotations[:, list(ACTIVE_JOINTS[1:])] = so3.axis_angle_to_matrix(mean_pose())
    if observations.usable.any():
        rotations[:, 0] = so3.interpolate(
            trunk_orientation(observations.landmarks_3d), observations.usable, observations.time
        )
    else:
        rotations[:, 0] = np.diag([1.0, -1, -1])  # upright, facing the camera
    shape = np.zeros(chain.num_shape_params) if shape is None else shape
    pose = Pose(rotations, np.tile([0.0, 0.0, _DEFAULT_DEPTH], (frames, 1)), shape)
    return align_translation(chain, pose, observations)


def trunk_orientation(landmarks: Array) -> Array:
    """Frame of the trunk (T,3,3), columns left, up, forward, from 3D landmarks (T,33,3)."""
    up = landmarks[:, [LEFT_SHOULDER, RIGHT_SHOULDER]].mean(1) - landmarks[:, [LEFT_HIP, RIGHT_HIP]].mean(1)
    lateral = landmarks[:, LEFT_HIP] - landmarks[:, RIGHT_HIP]
    lateral = lateral + 0.5 * (landmarks[:, LEFT_SHOULDER] - landmarks[:, RIGHT_SHOULDER])
    up = up / np.maximum(np.linalg.norm(up, axis=-1, keepdims=True), 1e-9)
    left = lateral - (lateral * up).sum(-1, keepdims=True) * up
    left = left / np.maximum(np.linalg.norm(left, axis=-1, keepdims=True), 1e-9)
    return np.stack([left, up, np.cross(left, up)], -1)


def align_translation(chain: KinematicChain, pose: Pose, observations: Observations) -> Pose:
    """The same pose, moved so that its landmarks best meet the keypoints' rays (linear least squares per frame)."""
    offset = forward_kinematics(chain, pose).landmarks - pose.transl[:, None]
    rays = unproject(observations.keypoints, observations.camera_matrix)
    # (offset + t)_xy = ray (offset + t)_z, twice per landmark
    rows = np.zeros((*rays.shape, 3))
    rows[..., 0, 0] = rows[..., 1, 1] = 1
    rows[..., 2] = -rays
    rhs = rays * offset[..., 2:] - offset[..., :2]
    weight = observations.weight[..., None, None]
    normal = np.einsum("tlki,tlkj->tij", weight * rows, rows) + 1e-9 * np.eye(3)
    transl = np.linalg.solve(normal, np.einsum("tlki,tlk->ti", weight * rows, rhs)[..., None])[..., 0]
    valid = np.flatnonzero(observations.usable & (transl[:, 2] > 0.2))
    if not len(valid):
        return pose
    filled = [np.interp(observations.time, observations.time[valid], transl[valid, axis]) for axis in range(3)]
    return Pose(pose.rotations, np.stack(filled, -1), pose.shape_params)
