"""The virtual camera through a person: keypoints as it sees them do not depend on where in the picture the person is.

Its axis goes through the middle of the hips, its image is turned so that the trunk points up, and its unit is the size
of the person. So a network sees people alike wherever they stand, near or far, and what it says is carried back to the
whole picture exactly. N frames; camera and view frames are OpenCV's (x right, y down, z forward).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

SHOULDERS, HIPS, BODY = [11, 12], [23, 24], slice(11, 33)
REACH = 1.5  # of the keypoints' root mean square distance from the hips: half of the view
_OF_ROI = 0.32  # of the side of what the detector's network looks at is about half of such a view
_TRUST = 0.05  # of a keypoint without confidence


@dataclass(frozen=True)
class View:
    """`rotation` (N, 3, 3): view from camera. `half` (N): tangent of half the view's angle. `rays` (N, 33, 2): the
    keypoints in units of it. `confidence` (N, 33)."""

    rotation: Tensor
    half: Tensor
    rays: Tensor
    confidence: Tensor

    def to(self, device: torch.device) -> View:
        """The same there."""
        return View(*(getattr(self, f.name).to(device) for f in fields(self)))

    @property
    def up(self) -> Tensor:
        """(N, 3): where the picture's upper edge is, as the view sees it; for a level camera, against gravity."""
        return -self.rotation[..., 1]


def view_of(keypoints: Tensor, confidence: Tensor) -> View:
    """The view of a person. keypoints: (N, 33, 2) undistorted, in units of the focal length from the principal point
    (x / z, y / z). confidence: (N, 33), 0..1."""
    rays = torch.cat([keypoints, torch.ones_like(keypoints[..., :1])], -1)
    rays = torch.nn.functional.normalize(rays, dim=-1)  # alike wherever in the picture they are
    axis = torch.nn.functional.normalize(rays[:, HIPS].mean(1), dim=-1)
    trunk = rays[:, SHOULDERS].mean(1) - rays[:, HIPS].mean(1)
    down = (trunk * axis).sum(-1, keepdim=True) * axis - trunk
    down = torch.nn.functional.normalize(down, dim=-1)
    rotation = torch.stack([torch.linalg.cross(down, axis), down, axis], dim=1)
    seen = rays @ rotation.transpose(1, 2)
    flat = seen[..., :2] / seen[..., 2:].clamp(min=0.1)
    weight = confidence[:, BODY].square() + _TRUST
    spread = (weight * flat[:, BODY].square().sum(-1)).sum(1) / weight.sum(1)
    half = REACH * spread.sqrt().clamp(min=1e-4)
    return View(rotation, half, flat / half[:, None, None], confidence)


def view_of_roi(roi: Tensor, focal: Tensor, centre: Tensor) -> View:
    """The view of the square that the detector's network looked at, without keypoints. roi: (N, 4) px
    (`geometry/roi.py`). focal: (N) px. centre: (N, 2) px, the principal point."""
    aside = (roi[:, :2] - centre) / focal[:, None]
    axis = torch.nn.functional.normalize(torch.cat([aside, torch.ones_like(aside[:, :1])], -1), dim=-1)
    down = torch.stack([-roi[:, 3].sin(), roi[:, 3].cos(), torch.zeros_like(roi[:, 3])], -1)
    down = torch.nn.functional.normalize(down - (down * axis).sum(-1, keepdim=True) * axis, dim=-1)
    rotation = torch.stack([torch.linalg.cross(down, axis), down, axis], dim=1)
    half = _OF_ROI * roi[:, 2] / focal
    return View(rotation, half, roi.new_zeros(len(roi), 33, 2), roi.new_zeros(len(roi), 33))


def mirrored(view: View, sides: Tensor) -> View:
    """The view of the mirrored picture. sides: (33) the landmark on the other side."""
    flip = view.rays.new_tensor([-1.0, 1.0])
    turn = mirrored_rotations(view.rotation)
    return View(turn, view.half, (view.rays * flip)[:, sides], view.confidence[:, sides])


def mirrored_rotations(rotations: Tensor) -> Tensor:
    """Rotations (..., 3, 3) as a mirror shows them, x negated."""
    return rotations * rotations.new_tensor([[1.0, -1, -1], [-1, 1, 1], [-1, 1, 1]])


def mirrored_places(places: Tensor, sides: Tensor) -> Tensor:
    """Places (N, 33, 2) on a picture, 0..1, on its mirror image. sides: (33) the landmark on the other side."""
    return torch.stack([1 - places[..., 0], places[..., 1]], -1)[:, sides]
