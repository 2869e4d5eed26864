"""By how much the joint angles may be wrong: the network's doubt about the body, carried over to the skeleton.

MQ-HMR says of every frame by how much each joint may be turned wrongly. A joint that is turned a little takes all
markers beyond it along, and moved markers change the angles that inverse kinematics finds; both to first order, with
exact Jacobians. Errors about different joints and axes count as independent; the person's shape, the skeleton and the
way the camera leaned count as known. How often the result holds: `docs/accuracy.md`.

T frames, M markers, D coordinates of the skeleton, J doubtful joints of the body; m and rad.
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

_UNOBSERVABLE = 1e-5  # m2: a coordinate that moves the markers less than this per rad2 is not told by them
_MAX_STD = np.pi  # rad: nothing is known then
BATCH = 64  # frames at once: they fit into the processor's cache


def marker_displacements(
    body: Body, posed: BodyOutput, rotations: Array, rotation_std: Array, ground_from_camera: Array
) -> Tensor:
    """(T, 3 J, 3, M) m: how the markers are moved by each doubtful turn, one standard deviation of it.

    posed, rotations (T, 24, 3, 3): the bodies, in the camera frame, and their joints' rotations relative to the
    parents. rotation_std: (T, J, 3) rad, J = `ACTIVE_JOINTS`, about the axes of the turned joint. ground_from_camera:
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
    """(T, D) rad, m: the standard deviations of the coordinates `q` (T, D), when each of K `displacements` (T, K, 3,
    M), m in ground, is an independent displacement of the model's markers by one standard deviation. NaN for what is
    locked, follows another coordinate, or moves no marker."""
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
    """`propagate_std` of a clip, NaN in frames without the person; no rows if no network spoke of the body.

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
