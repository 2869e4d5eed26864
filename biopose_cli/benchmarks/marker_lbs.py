"""Points on the default body's skin in any pose and shape, with exact derivatives, for `bodyfit`.

T-pose: x left, y up, z forward; m, rad, float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from biopose_cli.body.kinematics import ACTIVE_JOINTS, DOF, NUM_BETAS, NUM_JOINTS, KinematicChain, PosedBody
from biopose_cli.body.markers import MARKER_NAMES
from biopose_cli.body.model import DEFAULT_BODY, Body
from biopose_cli.body.smpl_io import read_body
from biopose_cli.geometry import so3
from biopose_cli.mesh_fit.costs import State
from biopose_cli.typing import Array

SOLE_RADIUS = 0.02  # m: the sole's vertex is the lowest this near, seen from above


@dataclass(frozen=True)
class Skin:
    """Points on the skin: `rest` (P,3) m and `shapes` (P,3,S) in the T-pose, `weights` (P,24) of the joints."""

    rest: Array
    shapes: Array
    weights: Array

    def place(self, state: State) -> Array:
        """(T,P,3) m."""
        return np.asarray(np.einsum("pj,tpji->tpi", self.weights, self._carried(state)))

    def _carried(self, state: State) -> Array:
        """(T,P,24,3): where each joint alone would carry each point."""
        shape, placed = state.pose.shape_params, state.posed
        joints = state.chain.rest_joints + state.chain.joint_shapedirs @ shape
        local = (self.rest + self.shapes @ shape)[:, None] - joints
        return np.asarray(placed.joints[:, None] + np.einsum("tjik,pjk->tpji", placed.rotations, local))

    def jacobian(self, state: State) -> tuple[Array, Array]:
        """Derivatives by the frame's unknowns (T,P,3,DOF) and by the shape (T,P,3,S)."""
        placed, chain = state.posed, state.chain
        carried = self.weights[..., None] * self._carried(state)
        frames, points = carried.shape[:2]
        by_pose = np.zeros((frames, points, 3, DOF))
        by_pose[..., -3:] = np.eye(3)
        for k, joint in enumerate(ACTIVE_JOINTS):
            moved = [j for j in range(NUM_JOINTS) if joint in chain.ancestors(j)]
            weight = self.weights[:, moved].sum(1)
            which = np.flatnonzero(weight)
            arm = carried[:, which][:, :, moved].sum(2) - weight[which, None] * placed.joints[:, joint, None]
            turned = -so3.skew(arm) @ placed.rotations[:, joint, None]
            by_pose[:, which, :, 3 * k : 3 * k + 3] = turned
        return by_pose, self._by_shape(chain, placed)

    def _by_shape(self, chain: KinematicChain, placed: PosedBody) -> Array:
        """The points of a joint's frame move with the joint, and in the frame by their own shape less the joint's."""
        joints = np.empty((*placed.joints.shape, chain.num_shape_params))
        joints[:, 0] = chain.joint_shapedirs[0]
        for j in range(1, NUM_JOINTS):
            parent = chain.parents[j]
            bone = chain.joint_shapedirs[j] - chain.joint_shapedirs[parent]
            joints[:, j] = joints[:, parent] + placed.rotations[:, parent] @ bone
        joints -= placed.rotations @ chain.joint_shapedirs
        blended = np.einsum("pj,tjik->tpik", self.weights, placed.rotations)
        return np.asarray(np.einsum("pj,tjis->tpis", self.weights, joints) + blended @ self.shapes)


def reduced(body: Body, markers: int) -> tuple[KinematicChain, Array]:
    """The chain of joints, and the mesh (V,3,1+S) at rest: its mean and its change by shape; no landmarks."""
    arrays = read_body(DEFAULT_BODY)
    mesh = np.concatenate([arrays.v_template[..., None], arrays.shapedirs], axis=-1).astype(np.float64)
    mesh = np.pad(mesh, ((0, 0), (0, 0), (0, 3 * markers)))
    joints = np.einsum("jv,vcs->jcs", arrays.J_regressor, mesh)
    nothing = np.zeros((0, 3))
    chain = KinematicChain(
        body.parents, joints[..., 0], joints[..., 1:], np.zeros(0, np.int64), nothing,
        np.zeros((0, 3, mesh.shape[-1] - 1)),
    )  # fmt: skip
    return chain, mesh


def skin_points(mesh: Array, vertices: Array, offsets: Array | None = None) -> Skin:
    """The `vertices` (P) of a `reduced` mesh; with `offsets` (P) m, each moves by its last shape components."""
    shapes = mesh[vertices, :, 1:]
    if offsets is not None:
        for place, spread in enumerate(offsets):
            at = NUM_BETAS + 3 * place
            shapes[place, :, at : at + 3] = spread * np.eye(3)
    weights = read_body(DEFAULT_BODY).weights[vertices].astype(np.float64)
    return Skin(mesh[vertices, :, 0], shapes, weights)


def sole_vertices(body: Body, mesh: Array) -> Array:
    """Under each foot the vertex below the heel and the one below the ball, right then left."""
    rest = mesh[..., 0]
    vertices = []
    for side in "RL":
        heel, inner, outer = (
            rest[body.marker_vertices[MARKER_NAMES.index(side + site)]] for site in ("CAL", "MT1", "MT5")
        )
        ball = (inner + outer) / 2
        for place in (heel + 0.15 * (ball - heel), ball):
            near = np.flatnonzero(np.linalg.norm((rest - place)[:, [0, 2]], axis=1) < SOLE_RADIUS)
            vertices.append(near[np.argmin(rest[near, 1])])
    return np.array(vertices)
