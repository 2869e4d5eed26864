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

from biopose_cli.artifact import Array, Refined
from biopose_cli.body.model import Body, Posed
from biopose_cli.mesh import rotation
from biopose_cli.mesh.kinematics import MOVING
from biopose_cli.neurik.solver import Solver

_STILL = 1e-5  # m2: a coordinate that moves the markers less than this per rad2 is not told by them
_MOST = np.pi  # rad
BATCH = 256  # frames at once


def pushes(body: Body, posed: Posed, rotations: Array, spread: Array, axes: Array) -> Array:
    """(T, M, 3, 3 J) m: how each doubtful turn moves the markers, one standard deviation of it.

    posed, rotations (T, 24, 3, 3): the bodies, in the camera frame, and their joints' rotations relative to the
    parents. spread: (T, J, 3) rad, J = `MOVING`, about the axes of the turned joint. axes: (3, 3), from the camera's to
    those of the result.
    """
    whole = [rotations[:, 0]]
    for joint in range(1, rotations.shape[1]):
        whole.append(whole[body.parents[joint]] @ rotations[:, joint])
    joints = list(MOVING)
    turns = axes @ np.stack(whole, 1)[:, joints] * spread[:, :, None]  # (T, J, 3, axis)
    arms = (posed.markers[:, :, None] - posed.joints[:, None, joints]).double() @ torch.as_tensor(axes.T)
    arms *= torch.as_tensor(body.carried[:, joints, None])
    moved = torch.linalg.cross(torch.as_tensor(turns)[:, None], arms[..., None], dim=3)  # (T, M, J, 3, axis)
    return np.asarray(moved.transpose(2, 3).flatten(3).numpy())


def deviations(solver: Solver, q: Array, pushed: Array) -> Array:
    """(T, D) rad, m: the standard deviations of the coordinates `q` (T, D), when each column of `pushed`
    (T, M, 3, K), m in ground, is an independent displacement of the model's markers by one standard deviation. NaN for
    what is locked or follows another coordinate."""
    with torch.no_grad():
        jacobian = solver.terms.jacobian(torch.as_tensor(q, dtype=torch.float64))[:, solver.free].flatten(2)
        matrix = jacobian @ jacobian.transpose(1, 2)
        matrix += _STILL * torch.eye(matrix.shape[1], dtype=matrix.dtype)
        pull: Tensor = jacobian @ torch.as_tensor(pushed).flatten(1, 2)
        moved = torch.linalg.solve(matrix, pull)
    result = np.full(q.shape, np.nan)
    result[:, solver.free.numpy()] = np.minimum(moved.square().sum(-1).sqrt().numpy(), _MOST)
    return result


def of_clip(
    solver: Solver,
    body: Body,
    posed: Posed,
    refined: Refined,
    valid: Array,
    axes: Array,
    q: Array,
    columns: list[int],
) -> Array:
    """`deviations` of a clip, NaN in frames without the person; no rows if no network spoke of the body.

    posed: of the `valid` (T) frames alone, in the camera frame. axes: (3, 3), ground from camera. q: (T, D).
    columns: the model's markers among the body's.
    """
    if not len(refined.spread):
        return np.zeros((0, 0))
    vectors = np.concatenate([refined.global_orient[:, None], refined.body_pose], axis=1)
    frames = np.flatnonzero(valid)
    result = np.full(q.shape, np.nan)
    for start in range(0, len(frames), BATCH):
        some = frames[start : start + BATCH]
        here = Posed(*(points[start : start + BATCH] for points in (posed.joints, posed.markers)))
        turns = rotation.exp(vectors[some].astype(np.float64))
        pushed = pushes(body, here, turns, refined.spread[some], axes)
        result[some] = deviations(solver, q[some], pushed[:, columns])
    return result
