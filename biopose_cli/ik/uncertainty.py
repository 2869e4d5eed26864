"""Standard deviations of the joint angles: MQ-HMR's predicted rotation uncertainty, propagated to the skeleton.

MQ-HMR predicts the standard deviation of each joint's rotation in every frame. A small rotation of a joint moves all
markers distal to it, and moved markers change the result of inverse kinematics; both are linearised with exact
Jacobians. Errors of different joints and axes are treated as independent; the person's shape, the skeleton and the
camera's tilt as known. Calibration: the accuracy page of the documentation.

T frames, M markers, D coordinates of the skeleton, J joints of the body with a standard deviation; m and rad.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from biopose_cli.body.kinematics import ACTIVE_JOINTS
from biopose_cli.body.markers import MARKER_NAMES
from biopose_cli.body.model import Body, BodyOutput
from biopose_cli.geometry import so3, so3_torch
from biopose_cli.ik.solver import Solver
from biopose_cli.io.results import Refined
from biopose_cli.typing import Array

_UNOBSERVABLE = 1e-5  # m2: a coordinate that moves the markers less than this per rad2 is unobservable
_MAX_STD = np.pi  # rad: corresponds to no information
BATCH = 64  # frames at once: they fit into the processor's cache


def marker_displacements(
    body: Body, posed: BodyOutput, rotations: Array, rotation_std: Array, ground_from_camera: Array
) -> Tensor:
    """(T, 3 J, 3, M) m: marker displacements due to one standard deviation of each rotation.

    posed, rotations (T, 24, 3, 3): the bodies, in the camera frame, and their joints' rotations relative to the
    parents. rotation_std: (T, J, 3) rad, J = `ACTIVE_JOINTS`, about the axes of the rotated joint. ground_from_camera:
    (3, 3), from the camera's axes to those of the result.
    """
    global_rotations = [rotations[:, 0]]
    for joint in range(1, rotations.shape[1]):
        global_rotations.append(global_rotations[body.parents[joint]] @ rotations[:, joint])
    joints = list(ACTIVE_JOINTS)
    rotation_vectors = (
        ground_from_camera @ np.stack(global_rotations, 1)[:, joints] * rotation_std[:, :, None]
    )  # (T, J, 3, axis)
    to_ground = torch.as_tensor(ground_from_camera).float().T
    markers, joint_centers = posed.markers.float() @ to_ground, posed.joints[:, joints].float() @ to_ground
    cross = so3_torch.skew(torch.as_tensor(rotation_vectors).float().transpose(2, 3))  # (T, J, axis, 3, 3)
    displacements: Tensor = (cross.flatten(1, 3) @ markers.transpose(1, 2)).unflatten(1, cross.shape[1:4])
    displacements -= cross @ joint_centers[:, :, None, :, None]
    displacements *= torch.as_tensor(body.marker_joint_weights.T[joints, None, None]).float()
    return displacements.flatten(1, 2)


def propagate_std(solver: Solver, q: Array, displacements: Tensor) -> Array:
    """Standard deviations (T, D), rad or m, of the coordinates `q` (T, D).

    Each of K `displacements` (T, K, 3, M), m in ground, is an independent displacement of the model's markers by one
    standard deviation. NaN for coordinates that are locked, follow another one, or move no marker.
    """
    with torch.no_grad():
        jacobian = solver.marker_equations.jacobian(torch.as_tensor(q, dtype=torch.float64))
        jacobian = jacobian[:, solver.free].flatten(2).float()
        matrix = jacobian @ jacobian.transpose(1, 2)
        observable = matrix.diagonal(dim1=1, dim2=2) > _UNOBSERVABLE
        matrix += _UNOBSERVABLE * torch.eye(jacobian.shape[1])
        coordinate_changes = torch.linalg.solve(matrix, jacobian @ displacements.flatten(2).transpose(1, 2))
        std = coordinate_changes.square().sum(-1).sqrt().clamp(max=_MAX_STD).where(observable, torch.nan)
    result = np.full(q.shape, np.nan)
    result[:, solver.free.numpy()] = std.numpy()
    return result


def joint_angle_std(
    solver: Solver,
    body: Body,
    posed: BodyOutput,
    refined: Refined,
    valid: Array,
    ground_from_camera: Array,
    q: Array,
) -> Array:
    """`propagate_std` for a clip, NaN in frames without the person; no rows without predicted standard deviations.

    posed: of the `valid` (T) frames alone, in the camera frame. ground_from_camera: (3, 3). q: (T, D).
    """
    if not len(refined.rotation_std):
        return np.zeros((0, 0))
    axis_angles = np.concatenate([refined.global_orient[:, None], refined.body_pose], axis=1)
    columns = [MARKER_NAMES.index(name) for name in solver.kinematics.spec.markers]
    frames = np.flatnonzero(valid)
    result = np.full(q.shape, np.nan)
    for start in range(0, len(frames), BATCH):
        rows = frames[start : start + BATCH]
        chunk = BodyOutput(*(points[start : start + BATCH] for points in (posed.joints, posed.markers)))
        rotations = so3.axis_angle_to_matrix(axis_angles[rows].astype(np.float64))
        displacements = marker_displacements(body, chunk, rotations, refined.rotation_std[rows], ground_from_camera)
        result[rows] = propagate_std(solver, q[rows], displacements[..., columns])
    return result
