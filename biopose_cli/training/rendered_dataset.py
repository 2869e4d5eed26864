"""Batches of rendered pictures for the image branch: the detector's keypoints and maps of them, and the truth.

Like `Views`, a batch depends on the seed and its number only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import torch
from torch import Tensor

from biopose_cli.body.blazepose import SIDES
from biopose_cli.body.kinematics import BETAS, Chain, load_chain
from biopose_cli.body.model import OTHER_SIDE, Body
from biopose_cli.body.smpl_torch import Figure
from biopose_cli.geometry import roi as geometry
from biopose_cli.geometry import so3_torch
from biopose_cli.hmr.virtual_camera import (
    View,
    mirrored,
    mirrored_places,
    mirrored_rotations,
    view_of,
    view_of_roi,
)
from biopose_cli.synthesis.keypoint_error_bank import as_real
from biopose_cli.synthesis.rendered_detections import Looks
from biopose_cli.synthesis.rendered_images import Pictures
from biopose_cli.training.synthetic_dataset import KNOWN, MEASURED, Batch
from biopose_cli.typing import Array

_FLIP = torch.tensor([-1.0, 1, 1])


class Sights:
    """Batches of `count` pictures, straight and mirrored ones. taps: of the pictures', whose maps are read. keypoints:
    False leaves them out, and the view is that of the square that the detector's network looked at."""

    def __init__(
        self,
        body: Body,
        pictures: Pictures,
        count: int,
        seed: int,
        taps: Sequence[str],
        *,
        keypoints: bool = True,
    ) -> None:
        self.pictures, self.count, self.seed = pictures, count, seed
        self.taps = taps
        chain = load_chain(body)
        straight = _seen(body, chain, pictures.looks, keypoints)
        self.all = _joined(straight, _mirror(straight, Figure(chain)))

    def __len__(self) -> int:
        return 2 * len(self.pictures)

    def batch(self, step: int) -> Batch:
        """The batch number `step`."""
        rng = np.random.default_rng((self.seed, step))
        return self.part(rng.integers(0, len(self), self.count), rng)

    def part(self, chosen: Array, rng: np.random.Generator) -> Batch:
        """These samples (N); those from `len(pictures)` on are the mirrored ones. Half of the statures are given, with
        an error."""
        index, count = torch.as_tensor(chosen), len(self.pictures)
        noise = torch.as_tensor(rng.normal(0, MEASURED, len(chosen))).float()
        known = torch.as_tensor(rng.random(len(chosen)) < KNOWN)
        maps = self.pictures.of(chosen % count, chosen >= count, self.taps)
        whole = self.all
        return Batch(
            view=View(*(getattr(whole.view, f.name)[index] for f in fields(View))),
            stature=torch.where(known, whole.stature[index] + noise, torch.nan),
            rotations=whole.rotations[index],
            betas=whole.betas[index],
            pelvis=whole.pelvis[index],
            joints=whole.joints[index],
            landmarks=whole.landmarks[index],
            maps=[torch.as_tensor(one) for one in maps] or None,
            places=None if whole.places is None else whole.places[index],
        )


def _joined(one: Batch, other: Batch) -> Batch:
    def both(name: str) -> Tensor:
        return torch.cat([getattr(one, name), getattr(other, name)])

    views = (torch.cat([getattr(one.view, f.name), getattr(other.view, f.name)]) for f in fields(View))
    return Batch(
        view=View(*views),
        stature=both("stature"),
        rotations=both("rotations"),
        betas=both("betas"),
        pelvis=both("pelvis"),
        joints=both("joints"),
        landmarks=both("landmarks"),
        places=None if one.places is None else both("places"),
    )


def _seen(body: Body, chain: Chain, looks: Looks, keypoints: bool) -> Batch:
    """All looks, straight."""
    focal, centre = _tensor(looks.focal), torch.as_tensor(looks.size).float() / 2
    local, betas, pelvis = _before_camera(chain, looks)
    joints, landmarks = Figure(chain)(local, betas)
    flat = (_tensor(as_real(looks, body)) - centre) / focal[:, None, None]
    if keypoints:
        view = view_of(flat, _tensor(looks.confidence))
    else:
        view = view_of_roi(_tensor(looks.roi), focal, centre.expand(len(focal), 2))
    turn = view.rotation
    on_crop = [
        geometry.to_crop(k, r) / geometry.CROP for k, r in zip(looks.keypoints, looks.roi, strict=True)
    ]
    with torch.no_grad():
        stature = body.stature(betas)
    return Batch(
        view=view,
        stature=stature,
        rotations=torch.cat([(turn @ local[:, 0])[:, None], local[:, 1:]], 1),
        betas=betas,
        pelvis=(turn @ pelvis[..., None])[..., 0],
        joints=joints @ turn.transpose(1, 2),
        landmarks=landmarks @ turn.transpose(1, 2),
        places=_tensor(np.array(on_crop)) if keypoints else None,
    )


def _before_camera(chain: Chain, looks: Looks) -> tuple[Tensor, Tensor, Tensor]:
    """Rotations (N, 24, 3, 3), the root's in the camera frame, betas (N, 10) and the pelvis (N, 3) m there."""
    camera, betas = _tensor(looks.rotation), _tensor(looks.betas)
    local = so3_torch.of_vectors(_tensor(looks.pose))
    local = torch.cat([(camera @ local[:, 0])[:, None], local[:, 1:]], 1)
    rest = _tensor(chain.rest[0]) + betas @ _tensor(chain.rest_shapes[0, :, :BETAS]).T
    pelvis = (camera @ (_tensor(looks.transl) + rest)[..., None])[..., 0] + _tensor(looks.translation)
    return local, betas, pelvis


def _mirror(batch: Batch, figure: Figure) -> Batch:
    sides = torch.as_tensor(SIDES)
    rotations = mirrored_rotations(batch.rotations[:, list(OTHER_SIDE)])
    joints, landmarks = figure(rotations, batch.betas)
    return replace(
        batch,
        view=mirrored(batch.view, sides),
        rotations=rotations,
        pelvis=batch.pelvis * _FLIP,
        joints=joints,
        landmarks=landmarks,
        places=None if batch.places is None else mirrored_places(batch.places, sides),
    )


def _tensor(values: Array) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(values)).float()
