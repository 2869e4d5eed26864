"""Rotations as matrices and rotation vectors (axis times angle, rad), batched over leading axes: torch, differentiable.

`so3` has functions of the same names for NumPy; `tests/geometry/test_so3_agreement.py` holds both to SciPy.
"""

from __future__ import annotations

import torch
from torch import Tensor


def skew(vector: Tensor) -> Tensor:
    """(..., 3) -> (..., 3, 3), the matrix of the cross product `vector` x."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*vector.shape, 3)


def axis_angle_to_matrix(axis_angle: Tensor) -> Tensor:
    """(..., 3) rotation vectors -> (..., 3, 3), Rodrigues' formula."""
    angle = torch.linalg.vector_norm(axis_angle, dim=-1, keepdim=True).clamp(min=1e-8)
    cross_matrix = skew(axis_angle / angle)
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
    """The rotation nearest to `matrix` (..., 3, 3), that with the largest inner product: for drift and averages."""
    left, _, right = torch.linalg.svd(matrix.cpu())  # not every device has it
    flip = torch.ones_like(left[..., 0])
    flip[..., 2] = torch.linalg.det(left @ right).sign()
    rotation: Tensor = (left * flip[..., None, :]) @ right
    return rotation.to(matrix.device)


def geodesic_distance(first: Tensor, second: Tensor) -> Tensor:
    """Angles (...), rad, of the rotations between `first` and `second` (..., 3, 3)."""
    trace = (first.transpose(-1, -2) @ second).diagonal(0, -2, -1).sum(-1)
    return torch.acos(((trace - 1) / 2).clamp(-1, 1))
