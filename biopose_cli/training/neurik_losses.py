"""NeurIK's losses (paper, eq. 2): joints, markers, body scales and angles, through the skeleton's kinematics."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from biopose_cli.geometry.euler import rotation_of
from biopose_cli.ik.network import BODIES, INNER, ROOT, Output
from biopose_cli.skeleton.bony_landmarks import landmarks
from biopose_cli.skeleton.extract import Table
from biopose_cli.skeleton.kinematics import Kinematics
from biopose_cli.training.marker_loader import Batch
from biopose_cli.typing import Array


@dataclass(frozen=True)
class Weights:
    """Of eq. 2. Units: joints, markers per m; scales per unit of factor; angles per rad. Our choice."""

    joints: float = 10.0
    markers: float = 10.0
    scales: float = 10.0
    angles: float = 5.0


class Losses:
    """Losses and errors of a network's output.

    Points are compared with the pelvis' origin on the true one, and that origin by itself: a whole body that is a
    decimetre too far away would otherwise drown every error of a limb in the mean of their absolute values.

    places: (M, 3) m, the markers on the unscaled bones of a typical person; the same for estimate and truth, as in the
    paper's FK layer, so that no person's own marker places count as an error.
    """

    def __init__(self, table: Table, places: Array, weights: Weights) -> None:
        self.kinematics = Kinematics(table, torch.float32)
        self.weights = weights
        names = list(table.coordinates)
        self.inner = torch.tensor([names.index(name) for name, _, _ in INNER])
        self.root = torch.tensor([names.index(name) for name in ROOT])
        own = [name for name, _, _ in INNER]
        self.arms = [[own.index(f"arm_{turn}_{side}") for turn in ("flex", "add", "rot")] for side in "rl"]
        self.lower, self.upper = torch.tensor([(low, high) for _, low, high in INNER]).T
        self.middle = (self.lower + self.upper) / 2
        self.bodies = [table.bodies.index(body) for body in BODIES]
        sites = landmarks()
        joints = range(len(table.bodies))
        landmark_bodies = [table.bodies.index(body) for body in sites.bodies]
        self.point_bodies = torch.tensor([*joints, *landmark_bodies, *table.marker_bodies])
        self.point_places = torch.cat(
            [
                self.kinematics.child_places,
                self.kinematics.tensor(sites.places),
                self.kinematics.tensor(places),
            ]
        )
        self.kinds = (len(table.bodies), len(landmark_bodies), len(table.marker_bodies))

    def points(self, inner: Tensor, scale: Tensor) -> tuple[Tensor, ...]:
        """Joints, landmarks and markers (N, ., 3) with the pelvis at the origin. inner: (N, I); scale: (N, B, 3) in the
        order of BODIES."""
        q = inner.new_zeros(len(inner), len(self.kinematics.table.coordinates)).index_copy(
            1, self.inner, inner
        )
        own = torch.empty_like(scale).index_copy(1, torch.tensor(self.bodies), scale)
        frames = self.kinematics.frames(q, own)
        points = self.kinematics.points(frames, self.point_bodies, self.point_places, own)
        groups: tuple[Tensor, ...] = points.split(self.kinds, dim=1)
        return groups

    def _same_names(self, truth: Tensor, guess: Tensor) -> Tensor:
        """The truth with an arm's posture under whichever of its two names is nearer to the guess."""
        truth = truth.clone()
        for arm in self.arms:
            own = truth[..., arm]
            other = own * own.new_tensor([1.0, -1.0, 1.0]) + torch.pi
            other = other - 2 * torch.pi * torch.round((other - self.middle[arm]) / (2 * torch.pi))
            inside = ((other >= self.lower[arm]) & (other <= self.upper[arm])).all(-1)
            near = (other - guess[..., arm]).abs().sum(-1) < (own - guess[..., arm]).abs().sum(-1)
            truth[..., arm] = torch.where((inside & near)[..., None], other, own)
        return truth

    def __call__(self, output: Output, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """The weighted loss, and its parts by name."""
        frames = batch.q.shape[1]
        inner, root = batch.q[..., self.inner], batch.q[..., self.root]
        truth_scale = batch.scale[:, self.bodies]

        def turned(angles: Tensor, scale: Tensor, rotation: Tensor) -> list[Tensor]:
            each = scale[:, None].expand(-1, frames, -1, -1).flatten(0, 1)
            groups = self.points(angles.flatten(0, 1), each)
            return [group @ rotation.flatten(0, 1).transpose(-1, -2) for group in groups]

        with torch.no_grad():
            truth = turned(inner, truth_scale, rotation_of(root[..., :3]))
        guess = turned(output.angles, output.scale, output.rotation)
        joints, marks, markers = (
            torch.linalg.vector_norm(a - b, dim=-1).mean() for a, b in zip(guess, truth, strict=True)
        )
        place = torch.linalg.vector_norm(output.place - root[..., 3:], dim=-1).mean()
        angles = (output.angles - self._same_names(inner, output.angles.detach())).abs().mean()
        scales = (output.scale - truth_scale).abs().mean()
        weights = self.weights
        loss = (
            weights.joints * (joints + marks + place)
            + weights.markers * markers
            + weights.scales * scales
            + weights.angles * angles
        )
        parts = {
            "place_mm": 1000 * place.item(),
            "joints_mm": 1000 * joints.item(),
            "mpblpe_rooted_mm": 1000 * marks.item(),
            "markers_mm": 1000 * markers.item(),
            "angles_deg": float(torch.rad2deg(angles.detach())),
            "scale_percent": 100 * scales.item(),
        }
        return loss, parts
