"""A body with SMPL's parameters: vertices, joints and virtual markers from shape and pose, in torch.

Posing is that of `smplx.SMPL`. There are two versions of a body: the whole mesh, for rendering, and a *reduced* one
with only the marker vertices and one pseudo-vertex per joint, for all computations per frame. Frame of reference:
SMPL's (x to the subject's left, y up, z forward) at rest; m and rad.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import smplx
import torch
from smplx.utils import Struct
from torch import Tensor

from biopose_cli.body.markers import MARKERS
from biopose_cli.body.smpl_io import BodyArrays, read_body
from biopose_cli.typing import Array

DEFAULT_BODY = Path(__file__).parent / "data" / "default_body.npz"
JOINT_NAMES = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle",
    "right_ankle", "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head",
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hand",
    "right_hand",
)  # fmt: skip
MIRROR_JOINT = tuple(  # joint on the other side, for each joint
    JOINT_NAMES.index(name.replace("left", "#").replace("right", "left").replace("#", "right")) for name in JOINT_NAMES
)
# smplx needs vertices for 21 extra joints. They belong to SMPL's mesh and are not used here.
EXTRA_JOINTS = dict.fromkeys(("nose", "reye", "leye", "rear", "lear"), 0)


@dataclass(frozen=True)
class BodyOutput:
    """The reduced body in T frames."""

    joints: Tensor  # (T, 24, 3) m
    markers: Tensor  # (T, M, 3) m, in the order of `markers.MARKERS`


class _SMPLLayer(smplx.SMPL):  # type: ignore[misc]
    """`smplx.SMPL` for files with ten shape components (its default is 300, with a printed warning for fewer)."""

    SHAPE_SPACE_DIM = 10


class Body:
    """A loaded body. Shapes: T frames, V vertices, F faces, M markers; `betas` is (10,) for a whole clip
    or (T, 10).
    """

    def __init__(self, arrays: BodyArrays) -> None:
        self.version = arrays.version
        self.faces: Array = arrays.f
        self.parents: tuple[int, ...] = (-1, *(int(p) for p in arrays.kintree_table[0, 1:]))
        is_smpl = len(arrays.v_template) == 6890  # SMPL's own mesh
        ids = [marker.smpl_vertex if is_smpl else marker.vertex for marker in MARKERS]
        self.marker_vertices = np.array(ids, np.int64)
        self._mesh = _make_layer(arrays)
        self._reduced = _make_layer(_reduce(arrays, self.marker_vertices))
        heights = arrays.shapedirs[:, 1]
        self._heights = torch.from_numpy(np.column_stack([arrays.v_template[:, 1], heights])).float()

    def pose(self, body_pose: Tensor, global_orient: Tensor, betas: Tensor, transl: Tensor) -> BodyOutput:
        """Joints and markers, differentiable with respect to all four parameters.

        `body_pose` (T, 23, 3) and `global_orient` (T, 3) are axis-angle in rad; `transl` (T, 3) in m. As in SMPL, the
        root rotates about the pelvis joint of the shaped body at rest, `rest_joints(betas)[0]`, whose position is that
        point plus `transl`.
        """
        output = _forward(self._reduced, body_pose, global_orient, betas, transl)
        markers = output.vertices[:, : len(MARKERS)]
        return BodyOutput(joints=output.joints[:, : len(JOINT_NAMES)], markers=markers)

    def vertices(self, body_pose: Tensor, global_orient: Tensor, betas: Tensor, transl: Tensor) -> Tensor:
        """The whole mesh (T, V, 3), m; arguments as in `pose`.

        The helper vertices inside the default body belong to no face.
        """
        vertices: Tensor = _forward(self._mesh, body_pose, global_orient, betas, transl).vertices
        return vertices

    @cached_property
    def marker_joint_weights(self) -> Array:
        """Weights (M, 24) with which each marker follows a rotation of each joint.

        They are the sum of its skinning weights over the joint and its descendants.
        """
        joints = len(self.parents)
        subtree = np.eye(joints)
        for joint in range(joints - 1, 0, -1):
            subtree[self.parents[joint]] += subtree[joint]
        weights = self._reduced.lbs_weights[: len(MARKERS)].double().numpy()
        return np.asarray(weights @ subtree.T)

    def rest(self, betas: Tensor) -> BodyOutput:
        """The T-pose of `betas` (10,), as one frame."""
        zero = betas.new_zeros
        return self.pose(zero(1, 23, 3), zero(1, 3), betas, zero(1, 3))

    def rest_joints(self, betas: Tensor) -> Tensor:
        """Joints of the T-pose (24, 3) for `betas` (10,), m."""
        return self.rest(betas).joints[0]

    def stature(self, betas: Tensor) -> Tensor:
        """Standing height in m, between the highest and the lowest vertex of the T-pose: () for (10,),
        (T,) for (T, 10).
        """
        heights = self._heights[:, 0] + betas @ self._heights[:, 1:].T
        return heights.amax(-1) - heights.amin(-1)

    def betas_for_stature(self, height: float, betas: Tensor | None = None) -> Tensor:
        """The shape (10,) with stature `height` m nearest to `betas` (None: the mean), in standard deviations.

        Stature is linear in the shape as long as the same two vertices are highest and lowest, so a few Newton steps
        are exact.
        """
        shape = torch.zeros(10) if betas is None else betas.detach().clone()
        for _ in range(5):
            shape.requires_grad_(True)
            stature = self.stature(shape)
            (slope,) = torch.autograd.grad(stature, shape)
            shape = shape.detach() + slope * (height - stature.item()) / slope.square().sum()
        return shape


def load_body(path: Path | None = None) -> Body:
    """Load the body in `path` (an official SMPL .pkl or an .npz of that form), or the free default body.

    Raises
    ------
    BodyFileError
        The file is missing, is not an SMPL body, or is not safe to load.
    """
    return Body(read_body(DEFAULT_BODY if path is None else path))


def _make_layer(arrays: BodyArrays) -> _SMPLLayer:
    layer = _SMPLLayer(
        "",
        data_struct=Struct(**vars(arrays)),
        vertex_ids=EXTRA_JOINTS,
        use_hands=False,
        use_feet_keypoints=False,
        create_betas=False,
        create_global_orient=False,
        create_body_pose=False,
        create_transl=False,
    )
    layer.requires_grad_(False)
    return layer


def _reduce(arrays: BodyArrays, vertices: Array) -> BodyArrays:
    """The body with only these vertices, followed by one pseudo-vertex per joint at the joint's rest position."""
    regressor = arrays.J_regressor
    joints = len(regressor)
    count = len(vertices) + joints
    return BodyArrays(
        v_template=np.concatenate([arrays.v_template[vertices], regressor @ arrays.v_template]),
        shapedirs=np.concatenate([arrays.shapedirs[vertices], np.einsum("jv,vck->jck", regressor, arrays.shapedirs)]),
        posedirs=np.concatenate(
            [arrays.posedirs[vertices], np.zeros((joints, *arrays.posedirs.shape[1:]), np.float32)]
        ),
        J_regressor=np.eye(count, dtype=np.float32)[-joints:],
        weights=np.concatenate([arrays.weights[vertices], np.eye(joints, dtype=np.float32)]),
        kintree_table=arrays.kintree_table,
        f=np.zeros((0, 3), np.int64),
        version=arrays.version,
    )


def _forward(
    layer: _SMPLLayer, body_pose: Tensor, global_orient: Tensor, betas: Tensor, transl: Tensor
) -> smplx.utils.SMPLOutput:
    frames = len(body_pose)
    return layer(
        betas=betas.reshape(-1, betas.shape[-1]).expand(frames, -1),
        body_pose=body_pose.reshape(frames, -1),
        global_orient=global_orient,
        transl=transl,
    )
