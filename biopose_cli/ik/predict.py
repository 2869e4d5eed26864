"""NeurIK on a clip of any length: overlapping windows, blended, with one set of bone scales.

T frames, M markers, D coordinates, B bodies; ground frame; m and rad.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from biopose_cli.geometry import so3_torch
from biopose_cli.geometry.euler import matrix_to_euler_zxy
from biopose_cli.ik.network import BODIES, JOINT_COORDINATES, PELVIS_COORDINATES, NeurIK
from biopose_cli.typing import Array

WINDOW_BATCH = 32  # windows per forward pass


@dataclass(frozen=True)
class Prediction:
    """`q` (T, D) in the requested order; `scale`: factors (3) by body, for the whole clip."""

    q: Array
    scale: dict[str, Array]


def predict(
    network: NeurIK, markers: Array, coordinates: Sequence[str], device: torch.device | str = "cpu"
) -> Prediction:
    """Predict joint angles and bone scales of a clip.

    markers: (T, M, 3) m in the order of MARKERS, NaN where not visible. coordinates: names of the model's coordinates;
    those that the network does not predict (a coupled patella) are zero.

    Windows overlap by half. A frame's angles are the weighted mean over its windows, with larger weights near a
    window's middle. A clip shorter than a window is padded with its last frame.
    """
    points = torch.as_tensor(markers, dtype=torch.float32)
    visible = torch.isfinite(points).all(-1)
    points = torch.where(visible[..., None], points, 0.0)
    frames, window = len(points), network.config.window
    starts = _starts(frames, window)
    rows = (starts[:, None] + torch.arange(window)).clamp(max=frames - 1)  # (N, W)
    weight = (torch.arange(window) + 0.5).minimum(window - torch.arange(window) - 0.5) / window
    in_clip = (starts[:, None] + torch.arange(window)) < frames
    total_weight = torch.zeros(frames, 1).index_add(0, rows.flatten(), (weight * in_clip).reshape(-1, 1))

    def blend(parts: list[Tensor]) -> Tensor:
        """(N, W, ...) per window -> (T, ...)."""
        values = torch.cat(parts).flatten(2)
        weighted = (values * (weight * in_clip)[..., None]).flatten(0, 1)
        return torch.zeros(frames, values.shape[-1]).index_add(0, rows.flatten(), weighted) / total_weight

    network = network.to(device)
    outputs = []
    with torch.inference_mode():
        for chunk in rows.split(WINDOW_BATCH):
            outputs.append(network(points[chunk].to(device), visible[chunk].to(device)))
        scale = network.scale_factors(torch.cat([o.log_scale for o in outputs]).mean(0)).cpu().double().numpy()
    angles = blend([o.angles.cpu() for o in outputs])
    pelvis_position = blend([o.pelvis_position.cpu() for o in outputs])
    pelvis_orientation = so3_torch.project_to_so3(
        blend([o.pelvis_orientation.cpu() for o in outputs]).unflatten(-1, (3, 3))
    )
    pelvis_angles = np.unwrap(matrix_to_euler_zxy(pelvis_orientation).double().numpy(), axis=0)
    values = np.concatenate([pelvis_angles, pelvis_position.double().numpy(), angles.double().numpy()], axis=1)
    names = (*PELVIS_COORDINATES, *(name for name, _, _ in JOINT_COORDINATES))
    q = np.zeros((frames, len(coordinates)))
    for column, name in enumerate(coordinates):
        if name in names:
            q[:, column] = values[:, names.index(name)]
    return Prediction(q, dict(zip(BODIES, scale, strict=True)))


def _starts(frames: int, window: int) -> Tensor:
    """First frames of windows that overlap by half and end with the clip."""
    last = max(frames - window, 0)
    starts = [*range(0, last, window // 2), last]
    return torch.tensor(starts)
