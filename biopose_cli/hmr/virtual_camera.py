"""The virtual camera that points at a person: its keypoints do not depend on the person's position in the image.

Its axis passes through the midpoint of the hips, its image is rotated so that the trunk points up, and its unit is the
size of the person. So the network's input does not depend on position or distance, and its predictions transform back
to the camera exactly. N frames; camera and view frames are OpenCV's (x right, y down, z forward).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from biopose_cli.geometry.camera import MIN_DEPTH, perspective_divide

SHOULDERS, HIPS, BODY = [11, 12], [23, 24], slice(11, 33)
CROP_SCALE = 1.5  # half-extent of a view, over the keypoints' RMS distance from the hips
_ROI_SCALE = 0.32  # half-extent of such a view over the side of the detector network's ROI, approximately
_CONFIDENCE_FLOOR = 0.05  # weight of a keypoint with zero confidence


@dataclass(frozen=True)
class VirtualCamera:
    """Virtual cameras of N frames, with the keypoints in them.

    `rotation` (N, 3, 3): view from camera. `half_fov_tan` (N): tangent of half the field of view.
    `normalized_keypoints` (N, 33, 2): keypoints in units of it. `confidence` (N, 33).
    """

    rotation: Tensor
    half_fov_tan: Tensor
    normalized_keypoints: Tensor
    confidence: Tensor

    def to(self, device: torch.device) -> VirtualCamera:
        """Copy to a device."""
        return VirtualCamera(*(getattr(self, f.name).to(device) for f in fields(self)))

    @property
    def up(self) -> Tensor:
        """Direction (N, 3) of the image's upper edge in the view frame; for a level camera, against gravity."""
        return -self.rotation[..., 1]


def camera_from_keypoints(keypoints: Tensor, confidence: Tensor) -> VirtualCamera:
    """Virtual camera from a person's keypoints.

    keypoints: (N, 33, 2) undistorted, normalised image coordinates (x / z, y / z). confidence: (N, 33), 0..1.
    """
    rays = torch.cat([keypoints, torch.ones_like(keypoints[..., :1])], -1)
    rays = torch.nn.functional.normalize(rays, dim=-1)  # independent of their position in the image
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
    """Virtual camera from the detector network's ROI, without keypoints.

    roi: (N, 4) px (`geometry/roi.py`). focal: (N) px. center: (N, 2) px, the principal point.
    """
    offset = (roi[:, :2] - center) / focal[:, None]
    axis = torch.nn.functional.normalize(torch.cat([offset, torch.ones_like(offset[:, :1])], -1), dim=-1)
    down = torch.stack([-roi[:, 3].sin(), roi[:, 3].cos(), torch.zeros_like(roi[:, 3])], -1)
    down = torch.nn.functional.normalize(down - (down * axis).sum(-1, keepdim=True) * axis, dim=-1)
    rotation = torch.stack([torch.linalg.cross(down, axis), down, axis], dim=1)
    half_fov_tan = _ROI_SCALE * roi[:, 2] / focal
    return VirtualCamera(rotation, half_fov_tan, roi.new_zeros(len(roi), 33, 2), roi.new_zeros(len(roi), 33))


def flip_camera(view: VirtualCamera, mirror_landmark: Tensor) -> VirtualCamera:
    """View of the mirrored image. mirror_landmark: (33) indices of the landmarks on the other side."""
    sign = view.normalized_keypoints.new_tensor([-1.0, 1.0])
    rotation = flip_rotations(view.rotation)
    return VirtualCamera(
        rotation,
        view.half_fov_tan,
        (view.normalized_keypoints * sign)[:, mirror_landmark],
        view.confidence[:, mirror_landmark],
    )


def flip_rotations(rotations: Tensor) -> Tensor:
    """Mirror rotations (..., 3, 3), with x negated."""
    return rotations * rotations.new_tensor([[1.0, -1, -1], [-1, 1, 1], [-1, 1, 1]])


def flip_points(points: Tensor, mirror_landmark: Tensor) -> Tensor:
    """Mirror positions (N, 33, 2) on an image, 0..1. mirror_landmark: (33) indices of those on the other side."""
    return torch.stack([1 - points[..., 0], points[..., 1]], -1)[:, mirror_landmark]
