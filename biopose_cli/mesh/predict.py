"""MQ-HMR on the keypoints of a clip: every frame by itself, seen straight and in a mirror.

N frames; camera frame: OpenCV's; m, px.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from biopose_cli import turns
from biopose_cli.artifact import Array
from biopose_cli.body.model import OTHER_SIDE
from biopose_cli.detect.network import SIDES
from biopose_cli.mesh.network import MQHMR, Recovered
from biopose_cli.mesh.view import View, mirrored, view_of

BATCH = 512  # frames in work at once


@dataclass(frozen=True)
class Bodies:
    """`rotations` (N, 24, 3, 3): SMPL's, the root's in the camera frame. `betas` (N, 10). `pelvis` (N, 3) m: the pelvis
    joint in the camera frame."""

    rotations: Array
    betas: Array
    pelvis: Array

    def part(self, frames: Array | slice) -> Bodies:
        return Bodies(self.rotations[frames], self.betas[frames], self.pelvis[frames])


def recover(
    network: MQHMR, keypoints: Array, confidence: Array, matrix: Array, stature: float | None = None
) -> Bodies:
    """What the network says of each frame: the mean of the picture and its mirror image.

    keypoints: (N, 33, 2) px without lens distortion, finite. confidence: (N, 33). matrix: (3, 3) or (N, 3, 3).
    stature: m. Computed where the network is.
    """
    device = network.mean.device
    focal = np.stack([matrix[..., 0, 0], matrix[..., 1, 1]], -1)[..., None, :]
    flat = torch.as_tensor((keypoints - matrix[..., None, :2, 2]) / focal).float().to(device)
    trust = torch.as_tensor(confidence).float().to(device)
    parts = []
    with torch.inference_mode():
        for some, sure in zip(flat.split(BATCH), trust.split(BATCH), strict=True):
            tall = torch.full((len(some),), torch.nan if stature is None else stature, device=device)
            view = view_of(some, sure)
            parts.append(_both(network, view, tall))
    rotations, betas, pelvis = (
        torch.cat(values).cpu().double().numpy() for values in zip(*parts, strict=True)
    )
    return Bodies(rotations, betas, pelvis)


def _both(network: MQHMR, view: View, stature: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rotations, betas and pelvis in the camera frame, of the view and its mirror image together."""
    straight = network(view, stature)
    other = _unmirrored(network(mirrored(view, torch.as_tensor(SIDES, device=stature.device)), stature))
    rotations = turns.nearest(straight.rotations + other.rotations)
    pelvis = (straight.pelvis + other.pelvis) / 2
    back = view.rotation.transpose(1, 2)
    rotations = torch.cat([(back @ rotations[:, 0])[:, None], rotations[:, 1:]], 1)
    return rotations, (straight.betas + other.betas) / 2, (back @ pelvis[..., None])[..., 0]


def _unmirrored(found: Recovered) -> Recovered:
    """What was recovered from a mirror image, for the picture itself."""
    sign = found.rotations.new_tensor([[1.0, -1, -1], [-1, 1, 1], [-1, 1, 1]])
    flip = found.pelvis.new_tensor([-1.0, 1, 1])
    return Recovered(
        found.rotations[:, list(OTHER_SIDE)] * sign, found.betas, found.pelvis * flip, found.tokens
    )
