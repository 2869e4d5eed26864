"""MQ-HMR on the keypoints of a clip: every frame by itself, seen straight and in a mirror.

N frames; camera frame: OpenCV's; m, px.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from biopose_cli.body.blazepose import SIDES
from biopose_cli.body.kinematics import MOVING
from biopose_cli.body.model import OTHER_SIDE
from biopose_cli.errors import SettingError
from biopose_cli.geometry import so3_torch
from biopose_cli.geometry.roi import CROP, to_crop
from biopose_cli.hmr.model import MQHMR, Recovered
from biopose_cli.hmr.virtual_camera import (
    View,
    mirrored,
    mirrored_places,
    mirrored_rotations,
    view_of,
    view_of_roi,
)
from biopose_cli.typing import Array

_OTHER_MOVING = [MOVING.index(OTHER_SIDE[joint]) for joint in MOVING]
BATCH = 512  # frames in work at once


@dataclass(frozen=True)
class Bodies:
    """`rotations` (N, 24, 3, 3): SMPL's, the root's in the camera frame. `betas` (N, 10). `pelvis` (N, 3) m: the pelvis
    joint in the camera frame. `spread` (N, 22, 3) rad: by how much the rotations of `MOVING` may be wrong, about each
    axis of the joint."""

    rotations: Array
    betas: Array
    pelvis: Array
    spread: Array

    def part(self, frames: Array | slice) -> Bodies:
        return Bodies(self.rotations[frames], self.betas[frames], self.pelvis[frames], self.spread[frames])


@dataclass(frozen=True)
class Pictures:
    """N frames as the detector's network saw them. `roi` (N, 4) px: where it looked (`geometry/roi.py`). `keypoints` (N,
    33, 2) px: where in the picture, with the lens's distortion, it found them. `maps`: for each of the network's taps
    (N, 2, side, side, channels), of the crop and of its mirror image (`taps.py`)."""

    roi: Array
    keypoints: Array
    maps: list[Array]


def recover(
    network: MQHMR,
    keypoints: Array,
    confidence: Array,
    matrix: Array,
    stature: float | None = None,
    pictures: Pictures | None = None,
) -> Bodies:
    """What the network says of each frame: the mean of the picture and its mirror image.

    keypoints: (N, 33, 2) px without lens distortion, finite. confidence: (N, 33). matrix: (3, 3) or (N, 3, 3).
    stature: m. pictures: for a network that looks at them; without, it does with the keypoints. Computed where the
    network is.

    Raises
    ------
    SettingError
        The network knows no keypoints, and there are no pictures.
    """
    if pictures is None and not network.size.keypoints:
        raise SettingError("this network sees pictures only", "Choose one that knows keypoints")
    device = network.mean.device
    matrix = np.broadcast_to(matrix, (len(keypoints), 3, 3))
    focal = np.stack([matrix[:, 0, 0], matrix[:, 1, 1]], -1)[:, None]
    flat = torch.as_tensor((keypoints - matrix[:, None, :2, 2]) / focal).float().to(device)
    trust = torch.as_tensor(confidence).float().to(device)
    parts = []
    with torch.inference_mode():
        for start in range(0, max(1, len(flat)), BATCH):
            some = slice(start, start + BATCH)
            tall = torch.full((len(flat[some]),), torch.nan if stature is None else stature, device=device)
            view = view_of(flat[some], trust[some])
            if pictures is None:
                parts.append(_both(network, view, tall))
                continue
            roi, places = pictures.roi[some], None
            if network.size.keypoints:
                on_crop = [to_crop(k, r) / CROP for k, r in zip(pictures.keypoints[some], roi, strict=True)]
                places = _tensor(np.array(on_crop), device)
            else:
                view = view_of_roi(
                    *(_tensor(x, device) for x in (roi, matrix[some, 0, 0], matrix[some, :2, 2]))
                )
            maps = [_tensor(one[some], device) for one in pictures.maps]
            parts.append(_both(network, view, tall, maps, places))
    return Bodies(*(torch.cat(values).cpu().double().numpy() for values in zip(*parts, strict=True)))


def _both(
    network: MQHMR,
    view: View,
    stature: Tensor,
    maps: list[Tensor] | None = None,
    places: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rotations, betas, pelvis and spread in the camera frame, of the view and its mirror image together."""
    sides = torch.as_tensor(SIDES, device=stature.device)
    own, turned = (None if maps is None else [one[:, k] for one in maps] for k in (0, 1))
    there = None if places is None else mirrored_places(places, sides)
    straight = network(view, stature, own, places)
    other = _unmirrored(network(mirrored(view, sides), stature, turned, there))
    rotations = so3_torch.nearest(straight.rotations + other.rotations)
    pelvis = (straight.pelvis + other.pelvis) / 2
    back = view.rotation.transpose(1, 2)
    rotations = torch.cat([(back @ rotations[:, 0])[:, None], rotations[:, 1:]], 1)
    betas, spread = ((getattr(straight, name) + getattr(other, name)) / 2 for name in ("betas", "spread"))
    return rotations, betas, (back @ pelvis[..., None])[..., 0], spread


def _unmirrored(found: Recovered) -> Recovered:
    """What was recovered from a mirror image, for the picture itself."""
    flip = found.pelvis.new_tensor([-1.0, 1, 1])
    return Recovered(
        mirrored_rotations(found.rotations[:, list(OTHER_SIDE)]),
        found.betas,
        found.pelvis * flip,
        found.tokens,
        found.spread[:, _OTHER_MOVING],
    )


def _tensor(values: Array, device: torch.device) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(values)).float().to(device)
