"""Rotation matrices in torch: of vectors, of the networks' six numbers, the nearest to a matrix. rad."""

from __future__ import annotations

import torch
from torch import Tensor


def axis_angle_to_matrix(axis_angle: Tensor) -> Tensor:
    """(..., 3) rotation vectors -> (..., 3, 3), Rodrigues' formula."""
    angle = torch.linalg.vector_norm(axis_angle, dim=-1, keepdim=True).clamp(min=1e-8)
    x, y, z = (axis_angle / angle).unbind(-1)
    zero = torch.zeros_like(x)
    cross_matrix = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    sine, versine = angle.sin()[..., None], 1 - angle.cos()[..., None]
    rotation: Tensor = (
        torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
        + sine * cross_matrix
        + versine * (cross_matrix @ cross_matrix)
    )
    return rotation


def rotation_6d_to_matrix(rot6d: Tensor) -> Tensor:
    """(..., 6) -> (..., 3, 3): the continuous representation of rotations (Zhou et al., CVPR 2019), two columns made
    orthonormal."""
    first = torch.nn.functional.normalize(rot6d[..., :3], dim=-1)
    second = rot6d[..., 3:] - (first * rot6d[..., 3:]).sum(-1, keepdim=True) * first
    second = torch.nn.functional.normalize(second, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-1)


def project_to_so3(matrix: Tensor) -> Tensor:
    """(..., 3, 3) -> (..., 3, 3): the proper rotation with the largest inner product."""
    left, _, right = torch.linalg.svd(matrix.cpu())  # not every device has it
    flip = torch.ones_like(left[..., 0])
    flip[..., 2] = torch.linalg.det(left @ right).sign()
    rotation: Tensor = (left * flip[..., None, :]) @ right
    return rotation.to(matrix.device)
