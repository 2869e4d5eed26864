"""The body as a chain of 24 joints that carries the 33 landmarks, with exact derivatives: what the fit moves.

The skin does not matter to the fit, so only what is linear in the shape is kept of a body: its joints at rest and,
for every landmark, a point fixed in the frame of the joint that carries it. Camera frame, metres, float64.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np
import torch

from biopose_cli.geometry import so3
from biopose_cli.io.results import LANDMARKS
from biopose_cli.typing import Array

if TYPE_CHECKING:
    from biopose_cli.body.model import Body

NUM_JOINTS = 24
NUM_BETAS = 10  # SMPL's shape components
FIXED_JOINTS = (22, 23)  # nothing observes the fingers' roots: they stay straight
ACTIVE_JOINTS = tuple(j for j in range(NUM_JOINTS) if j not in FIXED_JOINTS)
LANDMARK_STD = 0.015  # m
DOF = 3 * len(ACTIVE_JOINTS) + 3  # of a frame: a small turn of every moving joint, then the translation


@dataclass(frozen=True)
class Pose:
    """The unknowns: `rotations` (T,24,3,3) relative to the parent (joint 0: to the camera), `transl` (T,3) m and
    `shape_params` (S): SMPL's betas, then the landmarks' own deviations."""

    rotations: Array
    transl: Array
    shape_params: Array

    def retract(self, step: Array, shape_step: Array) -> Pose:
        """Turned and shifted by `step` (T, DOF) and reshaped by `shape_step` (S)."""
        increments = so3.axis_angle_to_matrix(step[:, :-3].reshape(len(step), -1, 3))
        rotations = self.rotations.copy()
        rotations[:, list(ACTIVE_JOINTS)] = rotations[:, list(ACTIVE_JOINTS)] @ increments
        return Pose(rotations, self.transl + step[:, -3:], self.shape_params + shape_step)

    def select(self, frames: slice | Array) -> Pose:
        """Return the same of these frames only."""
        return Pose(self.rotations[frames], self.transl[frames], self.shape_params)


@dataclass(frozen=True)
class KinematicChain:
    """A body reduced to what the landmarks need.

    `rest_joints` (24,3) m and `joint_shapedirs` (24,3,S): joints of the T-pose = rest_joints + joint_shapedirs @ shape.
    `parent_joint` (33): the joint whose frame holds the landmark; `offset` (33,3) and `offset_shapedirs` (33,3,S): its
    place relative to that joint at rest, in the same way.
    """

    parents: tuple[int, ...]
    rest_joints: Array
    joint_shapedirs: Array
    parent_joint: Array
    offset: Array
    offset_shapedirs: Array

    def ancestors(self, joint: int) -> list[int]:
        """`joint` and all joints above it."""
        path = [joint]
        while path[-1] != 0:
            path.append(self.parents[path[-1]])
        return path

    @property
    def num_shape_params(self) -> int:
        """S: SMPL's ten components and the landmarks' deviations."""
        return int(self.joint_shapedirs.shape[-1])


@dataclass(frozen=True)
class PosedBody:
    """A posed chain: `rotations` (T,24,3,3) and `joints` (T,24,3) in the camera frame, `landmarks` (T,33,3)."""

    rotations: Array
    joints: Array
    landmarks: Array


def forward_kinematics(chain: KinematicChain, pose: Pose) -> PosedBody:
    """Forward kinematics, SMPL's: the pelvis stands at its rest place plus the translation."""
    rest_joints = chain.rest_joints + chain.joint_shapedirs @ pose.shape_params
    rotations = np.empty_like(pose.rotations)
    joints = np.empty((len(rotations), NUM_JOINTS, 3))
    for j in range(NUM_JOINTS):
        if j == 0:
            rotations[:, 0] = pose.rotations[:, 0]
            joints[:, 0] = rest_joints[0] + pose.transl
            continue
        p = chain.parents[j]
        rotations[:, j] = rotations[:, p] @ pose.rotations[:, j]
        joints[:, j] = joints[:, p] + rotations[:, p] @ (rest_joints[j] - rest_joints[p])
    offset = chain.offset + chain.offset_shapedirs @ pose.shape_params
    rotated_offset = np.einsum("tlij,lj->tli", rotations[:, chain.parent_joint], offset)
    return PosedBody(rotations, joints, joints[:, chain.parent_joint] + rotated_offset)


def landmark_jacobian(chain: KinematicChain, posed: PosedBody) -> tuple[Array, Array]:
    """Derivatives of the landmarks: by the frame's unknowns (T,33,3,DOF) and by the shape (T,33,3,S)."""
    frames = len(posed.joints)
    by_pose = np.zeros((frames, LANDMARKS, 3, DOF))
    by_pose[..., -3:] = np.eye(3)
    by_shape = np.empty((frames, LANDMARKS, 3, chain.num_shape_params))
    joint_jacobian = _shape_jacobian(chain, posed)
    for parent_joint in np.unique(chain.parent_joint):
        indices = np.flatnonzero(chain.parent_joint == parent_joint)
        for j in chain.ancestors(int(parent_joint)):
            column = 3 * ACTIVE_JOINTS.index(j)
            lever = posed.landmarks[:, indices] - posed.joints[:, j, None]
            by_pose[:, indices, :, column : column + 3] = -so3.skew(lever) @ posed.rotations[:, j, None]
        rotated = np.einsum("tij,ljs->tlis", posed.rotations[:, parent_joint], chain.offset_shapedirs[indices])
        by_shape[:, indices] = joint_jacobian[:, parent_joint, None] + rotated
    return by_pose, by_shape


def _shape_jacobian(chain: KinematicChain, posed: PosedBody) -> Array:
    """Derivative of the joints by the shape, (T,24,3,S)."""
    result = np.empty((*posed.joints.shape, chain.num_shape_params))
    result[:, 0] = chain.joint_shapedirs[0]
    for j in range(1, NUM_JOINTS):
        p = chain.parents[j]
        bone_shapedirs = chain.joint_shapedirs[j] - chain.joint_shapedirs[p]
        result[:, j] = result[:, p] + posed.rotations[:, p] @ bone_shapedirs
    return result


def build_kinematic_chain(body: Body) -> KinematicChain:
    """Reduce `body` to its chain, with the landmarks of `data/landmarks.csv` (see docs/how/mesh.md).

    A landmark stands at `origin` (a joint at rest) plus x, y, z (m, body of mean shape, axes of the T-pose: x left,
    y up, z forward) and turns with `carrier`. Its offset grows with the stature. What a network takes for a hip or an
    ankle also differs between people and their clothes: landmarks of the same `group` deviate together, mirrored, by
    three more shape components of `LANDMARK_STD` m each.
    """
    betas = torch.zeros(NUM_BETAS + 1, NUM_BETAS)
    betas[1:] = torch.eye(NUM_BETAS)
    with torch.no_grad():
        rest_by_beta = torch.stack([body.rest_joints(b).reshape(NUM_JOINTS, 3) for b in betas]).double().numpy()
        statures = np.array([float(body.stature(b)) for b in betas])
    rest_joints, joint_shapedirs = rest_by_beta[0], np.moveaxis(rest_by_beta[1:] - rest_by_beta[0], 0, -1)
    stature_gradient = statures[1:] / statures[0] - 1
    parent_joint, origin, offset = landmark_table()
    landmark_modes = _landmark_modes()
    offset_shapedirs = joint_shapedirs[origin] - joint_shapedirs[parent_joint] + offset[:, :, None] * stature_gradient
    return KinematicChain(
        parents=tuple(int(p) for p in body.parents),
        rest_joints=rest_joints,
        joint_shapedirs=np.concatenate([joint_shapedirs, np.zeros((NUM_JOINTS, *landmark_modes.shape[1:]))], axis=-1),
        parent_joint=parent_joint,
        offset=rest_joints[origin] - rest_joints[parent_joint] + offset,
        offset_shapedirs=np.concatenate([offset_shapedirs, landmark_modes], axis=-1),
    )


def _landmark_modes() -> Array:
    """How the landmarks move with the components of their groups, (33,3,3 G) m."""
    rows = read_csv("landmarks.csv")
    groups = sorted({row["group"] for row in rows})
    result = np.zeros((LANDMARKS, 3, 3 * len(groups)))
    for landmark, row in enumerate(rows):
        column = 3 * groups.index(row["group"])
        side = -1.0 if row["name"].startswith("right_") else 1.0
        result[landmark, :, column : column + 3] = LANDMARK_STD * np.diag([side, 1, 1])
    return result


def landmark_table() -> tuple[Array, Array, Array]:
    """`parent_joint` (33), `origin` (33) and `offset` (33,3) m of `data/landmarks.csv`."""
    rows = read_csv("landmarks.csv")
    parent_joint = np.array([int(row["carrier"]) for row in rows])
    origin = np.array([int(row["origin"]) for row in rows])
    offset = np.array([[float(row[axis]) for axis in "xyz"] for row in rows])
    return parent_joint, origin, offset


def landmark_std() -> Array:
    """Standard deviation of BlazePose's landmarks about those places, (33), px of its 256 px crop."""
    return np.array([float(row["sigma"]) for row in read_csv("landmarks.csv")])


def read_csv(name: str) -> list[dict[str, str]]:
    """The rows of `data/name`; lines that begin with # say where they come from."""
    text = resources.files("biopose_cli.body").joinpath("data", name).read_text(encoding="utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
