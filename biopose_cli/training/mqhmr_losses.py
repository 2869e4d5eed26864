"""MQ-HMR's losses (paper, eq. 1): SMPL parameters, 3D points, and reprojection."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.linalg import vector_norm

from biopose_cli.body.kinematics import ACTIVE_JOINTS
from biopose_cli.body.smpl_torch import SMPLKinematics
from biopose_cli.geometry import so3, so3_torch
from biopose_cli.geometry.camera import perspective_divide
from biopose_cli.hmr.model import SMPLPrediction
from biopose_cli.metrics.points import landmark_errors
from biopose_cli.training.synthetic_dataset import MQHMRBatch

# Scale of the exponential distribution whose errors have the same mean length as normal ones with std 1:
# 3 over the mean length of a vector of three standard normal numbers
_LAPLACE_TO_NORMAL_STD = 1.880
_MIN_DEPTH = 0.3  # m: what an untrained network puts nearer or behind counts as if it were here


@dataclass(frozen=True)
class LossWeights:
    """Weights of eq. 1; the values are our choice.

    Units: rotations (squared Frobenius norm, averaged over parent-relative and view-frame rotations), betas (squared),
    points per m, reprojection per half-extent of the view.
    """

    rotations: float = 1.0
    betas: float = 0.02
    joints: float = 10.0
    reprojection: float = 2.0


class MQHMRLosses:
    """Losses and errors of MQ-HMR's predictions. smpl: kinematics of the body."""

    def __init__(self, smpl: SMPLKinematics, weights: LossWeights) -> None:
        self.smpl, self.weights = smpl, weights

    def __call__(self, pred: SMPLPrediction, gt: MQHMRBatch) -> Tensor:
        """Weighted sum of eq. 1, a scalar."""
        joints, landmarks = self.smpl(pred.rotations, pred.betas)
        active = list(ACTIVE_JOINTS)
        local_error = (pred.rotations[:, active] - gt.rotations[:, active]).square().sum((-1, -2)).mean()
        pred_global, gt_global = (self.smpl.global_rotations(x.rotations)[:, active] for x in (pred, gt))
        rotation_error = (local_error + (pred_global - gt_global).square().sum((-1, -2)).mean()) / 2
        betas_error = (pred.betas - gt.betas).square().mean()
        point_error = vector_norm(joints - gt.joints, dim=-1).mean()
        point_error = point_error + vector_norm(landmarks - gt.landmarks, dim=-1).mean()
        reprojection_error = self._reprojection(landmarks + pred.pelvis[:, None], gt)
        weights = self.weights
        loss: Tensor = (
            weights.rotations * rotation_error
            + weights.betas * betas_error
            + weights.joints * point_error
            + weights.reprojection * reprojection_error
        )
        return loss

    def errors(self, pred: SMPLPrediction, gt: MQHMRBatch) -> dict[str, float]:
        """Validation errors by name.

        Limb points in mm, with hips aligned and after Procrustes alignment; rotations in degrees, the root separately;
        reprojected landmarks in half-extents of the view.
        """
        with torch.no_grad():
            _, landmarks = self.smpl(pred.rotations, pred.betas)
            angles = torch.rad2deg(so3_torch.geodesic_distance(pred.rotations, gt.rotations))
            points = landmark_errors(landmarks.cpu().numpy(), gt.landmarks.cpu().numpy())
            return {
                "mpjpe_mm": points["mpjpe_mm"],
                "pa_mpjpe_mm": points["pa_mpjpe_mm"],
                "root_deg": angles[:, 0].mean().item(),
                "joints_deg": angles[:, list(ACTIVE_JOINTS[1:])].mean().item(),
                "reprojection": self._reprojection(landmarks + pred.pelvis[:, None], gt).item(),
            }

    @staticmethod
    def rotation_nll(pred: SMPLPrediction, gt: MQHMRBatch) -> Tensor:
        """Negative log-likelihood of the rotation errors under a 3-D Laplace distribution with the predicted std.

        Gradients do not reach the rotations.
        """
        active = list(ACTIVE_JOINTS)
        relative = pred.rotations[:, active].detach().transpose(-1, -2) @ gt.rotations[:, active]
        error = torch.as_tensor(so3.matrix_to_axis_angle(relative.cpu().double().numpy())).to(pred.rotation_std)
        normalized_error = vector_norm(error / pred.rotation_std, dim=-1)
        nll: Tensor = (_LAPLACE_TO_NORMAL_STD * normalized_error + pred.rotation_std.log().sum(-1)).mean()
        return nll

    @staticmethod
    def _reprojection(points: Tensor, gt: MQHMRBatch) -> Tensor:
        """Mean distance to the projected true points (not the detected ones), in half-extents of the view."""
        gt_points = gt.landmarks + gt.pelvis[:, None]
        projected = [perspective_divide(x, _MIN_DEPTH) for x in (points, gt_points)]
        mean: Tensor = (vector_norm(projected[0] - projected[1], dim=-1) / gt.view.half_fov_tan[:, None]).mean()
        return mean
