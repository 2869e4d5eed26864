"""The virtual camera through a person: keypoints as it sees them do not depend on where in the picture the person is.

Its axis goes through the middle of the hips, its image is turned so that the trunk points up, and its unit is the size
of the person. So a network sees people alike wherever they stand, near or far, and what it says is carried back to the
whole picture exactly. N frames; camera and view frames are OpenCV's (x right, y down, z forward).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from biopose_cli.geometry.camera import MIN_DEPTH, perspective_divide

SHOULDERS, HIPS, BODY = [11, 12], [23, 24], slice(11, 33)
CROP_SCALE = 1.5  # of the keypoints' root mean square distance from the hips: half of the view
_ROI_SCALE = 0.32  # of the side of what the detector's network looks at is about half of such a view
_CONFIDENCE_FLOOR = 0.05  # of a keypoint without confidence


@dataclass(frozen=True)
class VirtualCamera:
    """`rotation` (N, 3, 3): view from camera. `half_fov_tan` (N): tangent of half the view's angle.
    `normalized_keypoints` (N, 33, 2): the keypoints in units of it. `confidence` (N, 33)."""

    rotation: Tensor
    half_fov_tan: Tensor
    normalized_keypoints: Tensor
    confidence: Tensor

    def to(self, device: torch.device) -> VirtualCamera:
        """The same there."""
        return VirtualCamera(*(getattr(self, f.name).to(device) for f in fields(self)))

    @property
    def up(self) -> Tensor:
        """(N, 3): where the picture's upper edge is, as the view sees it; for a level camera, against gravity."""
        return -self.rotation[..., 1]


def camera_from_keypoints(keypoints: Tensor, confidence: Tensor) -> VirtualCamera:
    """The view of a person. keypoints: (N, 33, 2) undistorted, in units of the focal length from the principal point
    (x / z, y / z). confidence: (N, 33), 0..1."""
    rays = torch.cat([keypoints, torch.ones_like(keypoints[..., :1])], -1)
    rays = torch.nn.functional.normalize(rays, dim=-1)  # alike wherever in the picture they are
    axis = torch.nn.functional.normalize(rays[:, HIPS].mean(1), dim=-1)
    trunk = rays[:, SHOULDERS].mean(1) - rays[:, HIPS].mean(1)
    down = (trunk * axis).sum(-1, keepdim=True) * axis - trunk
    down = torch.nn.functional.normalize(down, dim=-1)
    rotation = torch.stack([torch.linalg.cross(down, axis), down, axis], dim=1)
    rotated_rays = rays @ rotation.transpose(1, 2)
    projected = perspective_divide(rotated_rays, MIN_DEPTH)
    weight = confidence[:, BODY].square() + _CONFIDENCE_FLOOR
    mean_square = (weight * projected[:, BODY].square().sum(-1)).sum(1) / weight.sum(1)
    half_fov_tan = CROP_SCALE * mean_square.sqrt().clamp(min=1e-4)
    return VirtualCamera(rotation, half_fov_tan, projected / half_fov_tan[:, None, None], confidence)


def camera_from_roi(roi: Tensor, focal: Tensor, center: Tensor) -> VirtualCamera:
    """The view of the square that the detector's network looked at, without keypoints. roi: (N, 4) px
    (`geometry/roi.py`). focal: (N) px. center: (N, 2) px, the principal point."""
    offset = (roi[:, :2] - center) / focal[:, None]
    axis = torch.nn.functional.normalize(torch.cat([offset, torch.ones_like(offset[:, :1])], -1), dim=-1)
    down = torch.stack([-roi[:, 3].sin(), roi[:, 3].cos(), torch.zeros_like(roi[:, 3])], -1)
    down = torch.nn.functional.normalize(down - (down * axis).sum(-1, keepdim=True) * axis, dim=-1)
    rotation = torch.stack([torch.linalg.cross(down, axis), down, axis], dim=1)
    half_fov_tan = _ROI_SCALE * roi[:, 2] / focal
    return VirtualCamera(rotation, half_fov_tan, roi.new_zeros(len(roi), 33, 2), roi.new_zeros(len(roi), 33))


def flip_camera(view: VirtualCamera, mirror_landmark: Tensor) -> VirtualCamera:
    """The view of the mirrored picture. mirror_landmark: (33) the one on the other side."""
    sign = view.normalized_keypoints.new_tensor([-1.0, 1.0])
    rotation = flip_rotations(view.rotation)
    return VirtualCamera(
        rotation,
        view.half_fov_tan,
        (view.normalized_keypoints * sign)[:, mirror_landmark],
        view.confidence[:, mirror_landmark],
    )


def flip_rotations(rotations: Tensor) -> Tensor:
    """Rotations (..., 3, 3) as a mirror shows them, x negated."""
    return rotations * rotations.new_tensor([[1.0, -1, -1], [-1, 1, 1], [-1, 1, 1]])


def flip_points(points: Tensor, mirror_landmark: Tensor) -> Tensor:
    """Places (N, 33, 2) on a picture, 0..1, on its mirror image. mirror_landmark: (33) the one on the other side."""
    return torch.stack([1 - points[..., 0], points[..., 1]], -1)[:, mirror_landmark]
