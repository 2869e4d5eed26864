"""The pelvis' three angles in OpenSim: its rotation, and back. rad."""

from __future__ import annotations

import torch
from torch import Tensor


def euler_zxy_to_matrix(angles: Tensor) -> Tensor:
    """(..., 3) pelvis_tilt, pelvis_list, pelvis_rotation -> (..., 3, 3): turns about z, then x, then y."""
    (sz, sx, sy), (cz, cx, cy) = angles.sin().unbind(-1), angles.cos().unbind(-1)
    rows = [
        cz * cy - sz * sx * sy, -sz * cx, cz * sy + sz * sx * cy,
        sz * cy + cz * sx * sy, cz * cx, sz * sy - cz * sx * cy,
        -cx * sy, sx, cx * cy,
    ]  # fmt: skip
    return torch.stack(rows, -1).reshape(*angles.shape[:-1], 3, 3)


def matrix_to_euler_zxy(rotation: Tensor) -> Tensor:
    """(..., 3, 3) -> (..., 3), the inverse of `euler_zxy_to_matrix` with pelvis_list within 90 degrees."""
    tilt = torch.atan2(-rotation[..., 0, 1], rotation[..., 1, 1])
    obliquity = torch.asin(rotation[..., 2, 1].clamp(-1, 1))
    heading = torch.atan2(-rotation[..., 2, 0], rotation[..., 2, 2])
    return torch.stack([tilt, obliquity, heading], -1)
