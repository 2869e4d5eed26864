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

JOINTS = 24
BETAS = 10  # SMPL's shape components
HANDS = (22, 23)  # nothing observes the fingers' roots: they stay straight
MOVING = tuple(j for j in range(JOINTS) if j not in HANDS)
DEVIATION = 0.015  # m
DOF = 3 * len(MOVING) + 3  # of a frame: a small turn of every moving joint, then the translation


@dataclass(frozen=True)
class Pose:
    """The unknowns: `rotations` (T,24,3,3) relative to the parent (joint 0: to the camera), `transl` (T,3) m and
    `shape` (S): SMPL's betas, then the landmarks' own deviations."""

    rotations: Array
    transl: Array
    shape: Array

    def moved(self, step: Array, shape_step: Array) -> Pose:
        """Turned and shifted by `step` (T, DOF) and reshaped by `shape_step` (S)."""
        turns = so3.exp(step[:, :-3].reshape(len(step), -1, 3))
        rotations = self.rotations.copy()
        rotations[:, list(MOVING)] = rotations[:, list(MOVING)] @ turns
        return Pose(rotations, self.transl + step[:, -3:], self.shape + shape_step)

    def part(self, frames: slice | Array) -> Pose:
        return Pose(self.rotations[frames], self.transl[frames], self.shape)


@dataclass(frozen=True)
class Chain:
    """A body reduced to what the landmarks need.

    `rest` (24,3) m and `rest_shapes` (24,3,S): joints of the T-pose = rest + rest_shapes @ shape. `carrier` (33):
    the joint whose frame holds the landmark; `local` (33,3) and `local_shapes` (33,3,S): its place relative to the
    carrier at rest, in the same way.
    """

    parents: tuple[int, ...]
    rest: Array
    rest_shapes: Array
    carrier: Array
    local: Array
    local_shapes: Array

    def ancestors(self, joint: int) -> list[int]:
        """`joint` and all joints above it."""
        chain = [joint]
        while chain[-1] != 0:
            chain.append(self.parents[chain[-1]])
        return chain

    @property
    def shapes(self) -> int:
        """S: SMPL's ten components and the landmarks' deviations."""
        return int(self.rest_shapes.shape[-1])


@dataclass(frozen=True)
class Placed:
    """A posed chain: `rotations` (T,24,3,3) and `joints` (T,24,3) in the camera frame, `landmarks` (T,33,3)."""

    rotations: Array
    joints: Array
    landmarks: Array


def place(chain: Chain, pose: Pose) -> Placed:
    """Forward kinematics, SMPL's: the pelvis stands at its rest place plus the translation."""
    rest = chain.rest + chain.rest_shapes @ pose.shape
    rotations = np.empty_like(pose.rotations)
    joints = np.empty((len(rotations), JOINTS, 3))
    for j in range(JOINTS):
        if j == 0:
            rotations[:, 0] = pose.rotations[:, 0]
            joints[:, 0] = rest[0] + pose.transl
            continue
        p = chain.parents[j]
        rotations[:, j] = rotations[:, p] @ pose.rotations[:, j]
        joints[:, j] = joints[:, p] + rotations[:, p] @ (rest[j] - rest[p])
    local = chain.local + chain.local_shapes @ pose.shape
    turned = np.einsum("tlij,lj->tli", rotations[:, chain.carrier], local)
    return Placed(rotations, joints, joints[:, chain.carrier] + turned)


def jacobian(chain: Chain, placed: Placed) -> tuple[Array, Array]:
    """Derivatives of the landmarks: by the frame's unknowns (T,33,3,DOF) and by the shape (T,33,3,S)."""
    frames = len(placed.joints)
    by_pose = np.zeros((frames, LANDMARKS, 3, DOF))
    by_pose[..., -3:] = np.eye(3)
    by_shape = np.empty((frames, LANDMARKS, 3, chain.shapes))
    carried = _joint_shapes(chain, placed)
    for carrier in np.unique(chain.carrier):
        which = np.flatnonzero(chain.carrier == carrier)
        for j in chain.ancestors(int(carrier)):
            column = 3 * MOVING.index(j)
            arm = placed.landmarks[:, which] - placed.joints[:, j, None]
            by_pose[:, which, :, column : column + 3] = -so3.skew(arm) @ placed.rotations[:, j, None]
        turned = np.einsum("tij,ljs->tlis", placed.rotations[:, carrier], chain.local_shapes[which])
        by_shape[:, which] = carried[:, carrier, None] + turned
    return by_pose, by_shape


def _joint_shapes(chain: Chain, placed: Placed) -> Array:
    """Derivative of the joints by the shape, (T,24,3,S)."""
    result = np.empty((*placed.joints.shape, chain.shapes))
    result[:, 0] = chain.rest_shapes[0]
    for j in range(1, JOINTS):
        p = chain.parents[j]
        bone = chain.rest_shapes[j] - chain.rest_shapes[p]
        result[:, j] = result[:, p] + placed.rotations[:, p] @ bone
    return result


def load_chain(body: Body) -> Chain:
    """Reduce `body` to its chain, with the landmarks of `data/landmarks.csv` (see docs/mesh.md).

    A landmark stands at `origin` (a joint at rest) plus x, y, z (m, body of mean shape, axes of the T-pose: x left,
    y up, z forward) and turns with `carrier`. Its offset grows with the stature. What a network takes for a hip or an
    ankle also differs between people and their clothes: landmarks of the same `group` deviate together, mirrored, by
    three more shape components of `DEVIATION` m each.
    """
    betas = torch.zeros(BETAS + 1, BETAS)
    betas[1:] = torch.eye(BETAS)
    with torch.no_grad():
        rest_all = torch.stack([body.rest_joints(b).reshape(JOINTS, 3) for b in betas]).double().numpy()
        statures = np.array([float(body.stature(b)) for b in betas])
    rest, rest_shapes = rest_all[0], np.moveaxis(rest_all[1:] - rest_all[0], 0, -1)
    growth = statures[1:] / statures[0] - 1
    carrier, origin, offset = landmark_table()
    deviations = _deviations()
    local_shapes = rest_shapes[origin] - rest_shapes[carrier] + offset[:, :, None] * growth
    return Chain(
        parents=tuple(int(p) for p in body.parents),
        rest=rest,
        rest_shapes=np.concatenate([rest_shapes, np.zeros((JOINTS, *deviations.shape[1:]))], axis=-1),
        carrier=carrier,
        local=rest[origin] - rest[carrier] + offset,
        local_shapes=np.concatenate([local_shapes, deviations], axis=-1),
    )


def _deviations() -> Array:
    """How the landmarks move with the components of their groups, (33,3,3 G) m."""
    rows = read_table("landmarks.csv")
    groups = sorted({row["group"] for row in rows})
    result = np.zeros((LANDMARKS, 3, 3 * len(groups)))
    for landmark, row in enumerate(rows):
        at = 3 * groups.index(row["group"])
        side = -1.0 if row["name"].startswith("right_") else 1.0
        result[landmark, :, at : at + 3] = DEVIATION * np.diag([side, 1, 1])
    return result


def landmark_table() -> tuple[Array, Array, Array]:
    """`carrier` (33), `origin` (33) and `offset` (33,3) m of `data/landmarks.csv`."""
    rows = read_table("landmarks.csv")
    carrier = np.array([int(row["carrier"]) for row in rows])
    origin = np.array([int(row["origin"]) for row in rows])
    offset = np.array([[float(row[axis]) for axis in "xyz"] for row in rows])
    return carrier, origin, offset


def landmark_noise() -> Array:
    """Standard deviation of BlazePose's landmarks about those places, (33), px of its 256 px crop."""
    return np.array([float(row["sigma"]) for row in read_table("landmarks.csv")])


def read_table(name: str) -> list[dict[str, str]]:
    """The rows of `data/name`; lines that begin with # say where they come from."""
    text = resources.files("biopose_cli.body").joinpath("data", name).read_text(encoding="utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
