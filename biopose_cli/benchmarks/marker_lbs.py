"""Points on the default body's skin in any pose and shape, with exact derivatives, for `marker_body_fit.py`.

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

SOLE_RADIUS = 0.02  # m: the sole's vertex is the lowest within this horizontal distance


@dataclass(frozen=True)
class SkinPoints:
    """Points on the skin: `rest_points` (P,3) m and `shapedirs` (P,3,S) in the T-pose, `skinning_weights` (P,24)."""

    rest_points: Array
    shapedirs: Array
    skinning_weights: Array

    def positions(self, state: State) -> Array:
        """(T,P,3) m."""
        return np.asarray(np.einsum("pj,tpji->tpi", self.skinning_weights, self._rigid_positions(state)))

    def _rigid_positions(self, state: State) -> Array:
        """Positions (T,P,24,3), m, of each point if rigidly attached to each joint."""
        shape_params, posed = state.pose.shape_params, state.posed
        joints = state.chain.rest_joints + state.chain.joint_shapedirs @ shape_params
        offset = (self.rest_points + self.shapedirs @ shape_params)[:, None] - joints
        return np.asarray(posed.joints[:, None] + np.einsum("tjik,pjk->tpji", posed.rotations, offset))

    def jacobian(self, state: State) -> tuple[Array, Array]:
        """Derivatives with respect to the frame's unknowns (T,P,3,DOF) and the shape (T,P,3,S)."""
        posed, chain = state.posed, state.chain
        weighted_positions = self.skinning_weights[..., None] * self._rigid_positions(state)
        frames, points = weighted_positions.shape[:2]
        pose_jacobian = np.zeros((frames, points, 3, DOF))
        pose_jacobian[..., -3:] = np.eye(3)
        for k, joint in enumerate(ACTIVE_JOINTS):
            descendants = [j for j in range(NUM_JOINTS) if joint in chain.ancestors(j)]
            weight = self.skinning_weights[:, descendants].sum(1)
            affected = np.flatnonzero(weight)
            lever = (
                weighted_positions[:, affected][:, :, descendants].sum(2)
                - weight[affected, None] * posed.joints[:, joint, None]
            )
            derivative = -so3.skew(lever) @ posed.rotations[:, joint, None]
            pose_jacobian[:, affected, :, 3 * k : 3 * k + 3] = derivative
        return pose_jacobian, self._shape_jacobian(chain, posed)

    def _shape_jacobian(self, chain: KinematicChain, posed: PosedBody) -> Array:
        """In a joint's frame, a point moves with its own shape direction minus the joint's."""
        joints = np.empty((*posed.joints.shape, chain.num_shape_params))
        joints[:, 0] = chain.joint_shapedirs[0]
        for j in range(1, NUM_JOINTS):
            parent = chain.parents[j]
            bone_shapedirs = chain.joint_shapedirs[j] - chain.joint_shapedirs[parent]
            joints[:, j] = joints[:, parent] + posed.rotations[:, parent] @ bone_shapedirs
        joints -= posed.rotations @ chain.joint_shapedirs
        blended_rotations = np.einsum("pj,tjik->tpik", self.skinning_weights, posed.rotations)
        return np.asarray(
            np.einsum("pj,tjis->tpis", self.skinning_weights, joints) + blended_rotations @ self.shapedirs
        )


def build_marker_body(body: Body, num_markers: int) -> tuple[KinematicChain, Array]:
    """The kinematic chain, and the rest mesh (V,3,1+S): its mean and shape directions; no landmarks."""
    arrays = read_body(DEFAULT_BODY)
    mesh = np.concatenate([arrays.v_template[..., None], arrays.shapedirs], axis=-1).astype(np.float64)
    mesh = np.pad(mesh, ((0, 0), (0, 0), (0, 3 * num_markers)))
    joints = np.einsum("jv,vcs->jcs", arrays.J_regressor, mesh)
    no_landmarks = np.zeros((0, 3))
    chain = KinematicChain(
        body.parents, joints[..., 0], joints[..., 1:], np.zeros(0, np.int64), no_landmarks,
        np.zeros((0, 3, mesh.shape[-1] - 1)),
    )  # fmt: skip
    return chain, mesh


def build_skin_points(mesh: Array, vertices: Array, offset_std: Array | None = None) -> SkinPoints:
    """Select the `vertices` (P) of the mesh; with `offset_std` (P) m, the last shape components move each of them."""
    shapedirs = mesh[vertices, :, 1:]
    if offset_std is not None:
        for index, std in enumerate(offset_std):
            column = NUM_BETAS + 3 * index
            shapedirs[index, :, column : column + 3] = std * np.eye(3)
    skinning_weights = read_body(DEFAULT_BODY).weights[vertices].astype(np.float64)
    return SkinPoints(mesh[vertices, :, 0], shapedirs, skinning_weights)


def sole_vertices(body: Body, mesh: Array) -> Array:
    """Indices of the vertices below the heel and the ball of each foot, right foot first."""
    rest_vertices = mesh[..., 0]
    vertices = []
    for side in "RL":
        heel, inner, outer = (
            rest_vertices[body.marker_vertices[MARKER_NAMES.index(side + site)]] for site in ("CAL", "MT1", "MT5")
        )
        ball = (inner + outer) / 2
        for sole_point in (heel + 0.15 * (ball - heel), ball):
            candidates = np.flatnonzero(np.linalg.norm((rest_vertices - sole_point)[:, [0, 2]], axis=1) < SOLE_RADIUS)
            vertices.append(candidates[np.argmin(rest_vertices[candidates, 1])])
    return np.array(vertices)
