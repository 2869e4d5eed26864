"""NeurIK's losses (paper, eq. 2): joints, markers, body scales and angles, through the skeleton's kinematics."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from biopose_cli.geometry.euler import euler_zxy_to_matrix
from biopose_cli.geometry.euler_branches import nearest_branch
from biopose_cli.ik.network import BODIES, JOINT_COORDINATES, PELVIS_COORDINATES, NeurIKOutput
from biopose_cli.skeleton.bony_landmarks import load_bony_landmarks
from biopose_cli.skeleton.extract import ModelSpec
from biopose_cli.skeleton.kinematics import Kinematics
from biopose_cli.training.marker_loader import NeurIKBatch
from biopose_cli.typing import Array


@dataclass(frozen=True)
class LossWeights:
    """Weights of eq. 2; the values are our choice.

    Units: joints and markers per m, scales per factor, angles per rad.
    """

    joints: float = 10.0
    markers: float = 10.0
    scales: float = 10.0
    angles: float = 5.0


class NeurIKLosses:
    """Losses and errors of NeurIK's predictions.

    Points are compared with the pelvis at the origin, and the pelvis separately. Otherwise a body that is predicted
    0.1 m too far away would hide all errors of the limbs.

    Parameters
    ----------
    spec : skeleton
    marker_locations : (M, 3) m, a typical person's markers on the unscaled bones. Both prediction and truth use them,
        as in the paper's FK layer, so that a person's individual marker positions do not count as errors.
    weights : of the terms of eq. 2
    """

    def __init__(self, spec: ModelSpec, marker_locations: Array, weights: LossWeights) -> None:
        self.kinematics = Kinematics(spec, torch.float32)
        self.weights = weights
        names = list(spec.coordinates)
        self.inner = torch.tensor([names.index(name) for name, _, _ in JOINT_COORDINATES])
        self.root = torch.tensor([names.index(name) for name in PELVIS_COORDINATES])
        inner_names = [name for name, _, _ in JOINT_COORDINATES]
        self.arms = [[inner_names.index(f"arm_{motion}_{side}") for motion in ("flex", "add", "rot")] for side in "rl"]
        self.ranges = torch.tensor([(low, high) for _, low, high in JOINT_COORDINATES])
        self.bodies = [spec.bodies.index(body) for body in BODIES]
        bony_landmarks = load_bony_landmarks()
        joints = range(len(spec.bodies))
        landmark_bodies = [spec.bodies.index(body) for body in bony_landmarks.bodies]
        self.point_bodies = torch.tensor([*joints, *landmark_bodies, *spec.marker_bodies])
        self.point_locations = torch.cat(
            [
                self.kinematics.joint_positions,
                self.kinematics.tensor(bony_landmarks.locations),
                self.kinematics.tensor(marker_locations),
            ]
        )
        self.group_sizes = (len(spec.bodies), len(landmark_bodies), len(spec.marker_bodies))

    def points(self, inner: Tensor, scale: Tensor) -> tuple[Tensor, ...]:
        """Joints, landmarks and markers (N, ., 3), m, with the pelvis at the origin.

        inner: (N, I) coordinates other than the root's, rad. scale: (N, B, 3) in the order of BODIES.
        """
        q = inner.new_zeros(len(inner), len(self.kinematics.spec.coordinates)).index_copy(1, self.inner, inner)
        body_scale = torch.empty_like(scale).index_copy(1, torch.tensor(self.bodies), scale)
        frames = self.kinematics.body_transforms(q, body_scale)
        points = self.kinematics.points(frames, self.point_bodies, self.point_locations, body_scale)
        point_groups: tuple[Tensor, ...] = points.split(self.group_sizes, dim=1)
        return point_groups

    def _nearest_branch(self, gt: Tensor, pred: Tensor) -> Tensor:
        """True angles, with each arm's posture on the Euler branch nearer to the prediction."""
        gt = gt.clone()
        for arm in self.arms:
            gt[..., arm] = nearest_branch(gt[..., arm], pred[..., arm], self.ranges[arm])
        return gt

    def __call__(self, output: NeurIKOutput, batch: NeurIKBatch) -> tuple[Tensor, dict[str, float]]:
        """The weighted loss, and its terms by name."""
        frames = batch.q.shape[1]
        inner, root = batch.q[..., self.inner], batch.q[..., self.root]
        gt_scale = batch.scale[:, self.bodies]

        def posed_points(angles: Tensor, scale: Tensor, rotation: Tensor) -> list[Tensor]:
            frame_scale = scale[:, None].expand(-1, frames, -1, -1).flatten(0, 1)
            groups = self.points(angles.flatten(0, 1), frame_scale)
            return [group @ rotation.flatten(0, 1).transpose(-1, -2) for group in groups]

        with torch.no_grad():
            gt_points = posed_points(inner, gt_scale, euler_zxy_to_matrix(root[..., :3]))
        pred_points = posed_points(output.angles, output.scale, output.pelvis_orientation)
        joint_error, landmark_error, marker_error = (
            torch.linalg.vector_norm(a - b, dim=-1).mean() for a, b in zip(pred_points, gt_points, strict=True)
        )
        pelvis_error = torch.linalg.vector_norm(output.pelvis_position - root[..., 3:], dim=-1).mean()
        angle_error = (output.angles - self._nearest_branch(inner, output.angles.detach())).abs().mean()
        scale_error = (output.scale - gt_scale).abs().mean()
        weights = self.weights
        loss = (
            weights.joints * (joint_error + landmark_error + pelvis_error)
            + weights.markers * marker_error
            + weights.scales * scale_error
            + weights.angles * angle_error
        )
        parts = {
            "pelvis_mm": 1000 * pelvis_error.item(),
            "joints_mm": 1000 * joint_error.item(),
            "mpblpe_rooted_mm": 1000 * landmark_error.item(),
            "markers_mm": 1000 * marker_error.item(),
            "angles_deg": float(torch.rad2deg(angle_error.detach())),
            "scale_percent": 100 * scale_error.item(),
        }
        return loss, parts
