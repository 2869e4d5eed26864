"""Where the fit starts: the trunk's orientation from the network's 3D landmarks, the place from the keypoints."""

from __future__ import annotations

import numpy as np

from biopose_cli.body.kinematics import JOINTS, MOVING, Chain, Pose, place
from biopose_cli.geometry import so3
from biopose_cli.mesh_fit.observations import Observations
from biopose_cli.mesh_fit.priors import mean_pose
from biopose_cli.typing import Array

LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_HIP, RIGHT_HIP = 11, 12, 23, 24
_DEFAULT_DEPTH = 4.0  # m, only where no keypoint tells


def first_pose(chain: Chain, seen: Observations, shape: Array | None = None) -> Pose:
    """The mean pose, turned as the trunk of the network's 3D landmarks, placed on the keypoints."""
    frames = len(seen.time)
    rotations = np.broadcast_to(np.eye(3), (frames, JOINTS, 3, 3)).copy()
    rotations[:, list(MOVING[1:])] = so3.exp(mean_pose())
    if seen.usable.any():
        rotations[:, 0] = so3.interpolate(trunk_orientation(seen.guess), seen.usable, seen.time)
    else:
        rotations[:, 0] = np.diag([1.0, -1, -1])  # upright, facing the camera
    shape = np.zeros(chain.shapes) if shape is None else shape
    pose = Pose(rotations, np.tile([0.0, 0.0, _DEFAULT_DEPTH], (frames, 1)), shape)
    return on_keypoints(chain, pose, seen)


def trunk_orientation(landmarks: Array) -> Array:
    """Frame of the trunk (T,3,3), columns left, up, forward, from 3D landmarks (T,33,3)."""
    up = landmarks[:, [LEFT_SHOULDER, RIGHT_SHOULDER]].mean(1) - landmarks[:, [LEFT_HIP, RIGHT_HIP]].mean(1)
    across = landmarks[:, LEFT_HIP] - landmarks[:, RIGHT_HIP]
    across = across + 0.5 * (landmarks[:, LEFT_SHOULDER] - landmarks[:, RIGHT_SHOULDER])
    up = up / np.maximum(np.linalg.norm(up, axis=-1, keepdims=True), 1e-9)
    left = across - (across * up).sum(-1, keepdims=True) * up
    left = left / np.maximum(np.linalg.norm(left, axis=-1, keepdims=True), 1e-9)
    return np.stack([left, up, np.cross(left, up)], -1)


def on_keypoints(chain: Chain, pose: Pose, seen: Observations) -> Pose:
    """The same pose, moved so that its landmarks best meet the keypoints' rays (linear least squares per frame)."""
    offset = place(chain, pose).landmarks - pose.transl[:, None]
    focal, centre = np.diag(seen.matrix)[:2], seen.matrix[:2, 2]
    rays = (seen.keypoints - centre) / focal
    # (offset + t)_xy = ray (offset + t)_z, twice per landmark
    rows = np.zeros((*rays.shape, 3))
    rows[..., 0, 0] = rows[..., 1, 1] = 1
    rows[..., 2] = -rays
    right = rays * offset[..., 2:] - offset[..., :2]
    weight = seen.weight[..., None, None]
    normal = np.einsum("tlki,tlkj->tij", weight * rows, rows) + 1e-9 * np.eye(3)
    transl = np.linalg.solve(normal, np.einsum("tlki,tlk->ti", weight * rows, right)[..., None])[..., 0]
    known = np.flatnonzero(seen.usable & (transl[:, 2] > 0.2))
    if not len(known):
        return pose
    filled = [np.interp(seen.time, seen.time[known], transl[known, axis]) for axis in range(3)]
    return Pose(pose.rotations, np.stack(filled, -1), pose.shape)
