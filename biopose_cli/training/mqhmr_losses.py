"""MQ-HMR's losses (paper, eq. 1): SMPL's parameters, points in 3D, and points in the picture."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.linalg import vector_norm

from biopose_cli.body.kinematics import MOVING
from biopose_cli.body.smpl_torch import Figure
from biopose_cli.geometry import so3
from biopose_cli.hmr.model import Recovered
from biopose_cli.metrics.points import points_errors
from biopose_cli.training.synthetic_dataset import Batch

# By which the exponential's spread of normal errors is their standard deviation: 3 over the mean length of a vector of
# three standard normal numbers
_AS_NORMAL = 1.880


@dataclass(frozen=True)
class Weights:
    """Of eq. 1. Units: rotations (square of the Frobenius norm, the mean of those against the parents and of those in
    the view), betas (square), points per m, picture per half a view. Our choice."""

    rotations: float = 1.0
    betas: float = 0.02
    points: float = 10.0
    picture: float = 2.0


class MeshLosses:
    """Losses and errors of what the network recovered. figure: of the body."""

    def __init__(self, figure: Figure, weights: Weights) -> None:
        self.figure, self.weights = figure, weights

    def __call__(self, found: Recovered, truth: Batch) -> Tensor:
        """The weighted sum of eq. 1."""
        joints, landmarks = self.figure(found.rotations, found.betas)
        moving = list(MOVING)
        local = (found.rotations[:, moving] - truth.rotations[:, moving]).square().sum((-1, -2)).mean()
        turned, true = (self.figure.turned(x.rotations)[:, moving] for x in (found, truth))
        rotations = (local + (turned - true).square().sum((-1, -2)).mean()) / 2
        betas = (found.betas - truth.betas).square().mean()
        points = vector_norm(joints - truth.joints, dim=-1).mean()
        points = points + vector_norm(landmarks - truth.landmarks, dim=-1).mean()
        picture = self._picture(landmarks + found.pelvis[:, None], truth)
        weights = self.weights
        loss: Tensor = (
            weights.rotations * rotations
            + weights.betas * betas
            + weights.points * points
            + weights.picture * picture
        )
        return loss

    def errors(self, found: Recovered, truth: Batch) -> dict[str, float]:
        """Of the limb points, mm: the hips' middle laid on the true one, and after Procrustes alignment; of the
        rotations, degrees, the root's apart; of the landmarks in the picture, parts of half the view."""
        with torch.no_grad():
            _, landmarks = self.figure(found.rotations, found.betas)
            angles = torch.rad2deg(angles_between(found.rotations, truth.rotations))
            points = points_errors(landmarks.cpu().numpy(), truth.landmarks.cpu().numpy())
            return {
                "mpjpe_mm": points["mpjpe_mm"],
                "pa_mpjpe_mm": points["pa_mpjpe_mm"],
                "root_deg": angles[:, 0].mean().item(),
                "joints_deg": angles[:, list(MOVING[1:])].mean().item(),
                "picture": self._picture(landmarks + found.pelvis[:, None], truth).item(),
            }

    @staticmethod
    def doubt(found: Recovered, truth: Batch) -> Tensor:
        """How badly `spread` tells the errors of the rotations: their negative log likelihood, with the tails of an
        exponential in three dimensions; what a spread is worth does not change the rotations."""
        moving = list(MOVING)
        turns = found.rotations[:, moving].detach().transpose(-1, -2) @ truth.rotations[:, moving]
        error = torch.as_tensor(so3.log(turns.cpu().double().numpy())).to(found.spread)
        length = vector_norm(error / found.spread, dim=-1)
        likelihood: Tensor = (_AS_NORMAL * length + found.spread.log().sum(-1)).mean()
        return likelihood

    @staticmethod
    def _picture(points: Tensor, truth: Batch) -> Tensor:
        """Mean distance from the true points (not the detected ones) in the picture, in halves of the view."""
        true = truth.landmarks + truth.pelvis[:, None]
        flat = [x[..., :2] / x[..., 2:].clamp(min=0.3) for x in (points, true)]
        mean: Tensor = (vector_norm(flat[0] - flat[1], dim=-1) / truth.view.half[:, None]).mean()
        return mean


def angles_between(one: Tensor, other: Tensor) -> Tensor:
    """Angles (...), rad, of the turns between rotations (..., 3, 3)."""
    trace = (one.transpose(-1, -2) @ other).diagonal(0, -2, -1).sum(-1)
    return torch.acos(((trace - 1) / 2).clamp(-1, 1))
