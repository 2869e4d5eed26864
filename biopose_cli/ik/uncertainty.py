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

from biopose_cli.body.kinematics import MOVING
from biopose_cli.body.markers import MARKER_NAMES
from biopose_cli.body.model import Body, Posed
from biopose_cli.geometry import so3
from biopose_cli.ik.solver import Solver
from biopose_cli.io.results import Refined
from biopose_cli.skeleton.kinematics import cross_matrices
from biopose_cli.typing import Array

_STILL = 1e-5  # m2: a coordinate that moves the markers less than this per rad2 is not told by them
_MOST = np.pi  # rad: nothing is known then
BATCH = 64  # frames at once: they fit into the processor's cache


def pushes(body: Body, posed: Posed, rotations: Array, spread: Array, axes: Array) -> Tensor:
    """(T, 3 J, 3, M) m: how the markers are moved by each doubtful turn, one standard deviation of it.

    posed, rotations (T, 24, 3, 3): the bodies, in the camera frame, and their joints' rotations relative to the
    parents. spread: (T, J, 3) rad, J = `MOVING`, about the axes of the turned joint. axes: (3, 3), from the camera's to
    those of the result.
    """
    whole = [rotations[:, 0]]
    for joint in range(1, rotations.shape[1]):
        whole.append(whole[body.parents[joint]] @ rotations[:, joint])
    joints = list(MOVING)
    turns = axes @ np.stack(whole, 1)[:, joints] * spread[:, :, None]  # (T, J, 3, axis)
    ground = torch.as_tensor(axes).float().T
    markers, centres = posed.markers.float() @ ground, posed.joints[:, joints].float() @ ground
    cross = cross_matrices(torch.as_tensor(turns).float().transpose(2, 3))  # (T, J, axis, 3, 3)
    moved: Tensor = (cross.flatten(1, 3) @ markers.transpose(1, 2)).unflatten(1, cross.shape[1:4])
    moved -= cross @ centres[:, :, None, :, None]
    moved *= torch.as_tensor(body.carried.T[joints, None, None]).float()
    return moved.flatten(1, 2)


def deviations(solver: Solver, q: Array, pushed: Tensor) -> Array:
    """(T, D) rad, m: the standard deviations of the coordinates `q` (T, D), when each of K `pushed` (T, K, 3, M), m in
    ground, is an independent displacement of the model's markers by one standard deviation. NaN for what is locked,
    follows another coordinate, or moves no marker."""
    with torch.no_grad():
        jacobian = solver.terms.jacobian(torch.as_tensor(q, dtype=torch.float64))
        jacobian = jacobian[:, solver.free].flatten(2).float()
        matrix = jacobian @ jacobian.transpose(1, 2)
        told = matrix.diagonal(dim1=1, dim2=2) > _STILL
        matrix += _STILL * torch.eye(jacobian.shape[1])
        moved = torch.linalg.solve(matrix, jacobian @ pushed.flatten(2).transpose(1, 2))
        spread = moved.square().sum(-1).sqrt().clamp(max=_MOST).where(told, torch.nan)
    result = np.full(q.shape, np.nan)
    result[:, solver.free.numpy()] = spread.numpy()
    return result


def of_clip(
    solver: Solver,
    body: Body,
    posed: Posed,
    refined: Refined,
    valid: Array,
    axes: Array,
    q: Array,
) -> Array:
    """`deviations` of a clip, NaN in frames without the person; no rows if no network spoke of the body.

    posed: of the `valid` (T) frames alone, in the camera frame. axes: (3, 3), ground from camera. q: (T, D).
    """
    if not len(refined.spread):
        return np.zeros((0, 0))
    vectors = np.concatenate([refined.global_orient[:, None], refined.body_pose], axis=1)
    columns = [MARKER_NAMES.index(name) for name in solver.kinematics.table.markers]
    frames = np.flatnonzero(valid)
    result = np.full(q.shape, np.nan)
    for start in range(0, len(frames), BATCH):
        some = frames[start : start + BATCH]
        here = Posed(*(points[start : start + BATCH] for points in (posed.joints, posed.markers)))
        turns = so3.exp(vectors[some].astype(np.float64))
        pushed = pushes(body, here, turns, refined.spread[some], axes)
        result[some] = deviations(solver, q[some], pushed[..., columns])
    return result
