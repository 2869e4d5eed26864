"""Rotations: the pelvis' three angles in OpenSim, the network's six numbers, the nearest to a matrix. rad."""

from __future__ import annotations

import torch
from torch import Tensor


def rotation_of(angles: Tensor) -> Tensor:
    """(..., 3) pelvis_tilt, pelvis_list, pelvis_rotation -> (..., 3, 3): turns about z, then x, then y."""
    (sz, sx, sy), (cz, cx, cy) = angles.sin().unbind(-1), angles.cos().unbind(-1)
    rows = [
        cz * cy - sz * sx * sy, -sz * cx, cz * sy + sz * sx * cy,
        sz * cy + cz * sx * sy, cz * cx, sz * sy - cz * sx * cy,
        -cx * sy, sx, cx * cy,
    ]  # fmt: skip
    return torch.stack(rows, -1).reshape(*angles.shape[:-1], 3, 3)


def angles_of(rotation: Tensor) -> Tensor:
    """(..., 3, 3) -> (..., 3), the inverse of `rotation_of` with pelvis_list within 90 degrees."""
    tilt = torch.atan2(-rotation[..., 0, 1], rotation[..., 1, 1])
    across = torch.asin(rotation[..., 2, 1].clamp(-1, 1))
    heading = torch.atan2(-rotation[..., 2, 0], rotation[..., 2, 2])
    return torch.stack([tilt, across, heading], -1)


def nearest_rotation(matrix: Tensor) -> Tensor:
    """(..., 3, 3) -> (..., 3, 3): the proper rotation with the largest inner product."""
    left, _, right = torch.linalg.svd(matrix.cpu())  # not every device has it
    flip = torch.ones_like(left[..., 0])
    flip[..., 2] = torch.linalg.det(left @ right).sign()
    rotation: Tensor = (left * flip[..., None, :]) @ right
    return rotation.to(matrix.device)


def orthonormal(six: Tensor) -> Tensor:
    """(..., 6) -> (..., 3, 3): the continuous representation of rotations (Zhou et al., CVPR 2019), two columns made
    orthonormal; zero is the identity."""
    unit = torch.eye(3, dtype=six.dtype, device=six.device)
    first = torch.nn.functional.normalize(six[..., :3] + unit[0], dim=-1)
    second = six[..., 3:] + unit[1]
    second = torch.nn.functional.normalize(second - (first * second).sum(-1, keepdim=True) * first, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-1)
