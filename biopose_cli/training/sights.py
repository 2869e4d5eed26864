"""Batches of rendered pictures for the image branch: the detector's keypoints and maps of them, and the truth.

Like `Views`, a batch depends on the seed and its number only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from biopose_cli import turns
from biopose_cli.artifact import Array
from biopose_cli.body.model import OTHER_SIDE, Body
from biopose_cli.detect import roi as geometry
from biopose_cli.detect.network import SIDES
from biopose_cli.mesh.figure import Figure
from biopose_cli.mesh.kinematics import BETAS, Chain, load_chain
from biopose_cli.mesh.taps import DEFAULT
from biopose_cli.mesh.view import View, mirrored, view_of, view_of_roi
from biopose_cli.training.keypoint_noise import real_shift
from biopose_cli.training.looks import Looks
from biopose_cli.training.pictures import Pictures
from biopose_cli.training.views import KNOWN, MEASURED, Batch

_SIGN = torch.tensor([[1.0, -1, -1], [-1, 1, 1], [-1, 1, 1]])  # of a rotation seen in a mirror
_FLIP = torch.tensor([-1.0, 1, 1])
_TRUTH = [field.name for field in fields(Batch) if field.name not in ("view", "maps")]


class Sights:
    """Batches of `count` pictures, straight and mirrored ones. taps: whose maps are read, of `DEFAULT`. keypoints:
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
        self.taps = [DEFAULT.index(tap) for tap in taps]
        chain = load_chain(body)
        straight = _seen(body, chain, pictures.looks, keypoints)
        self.all = _joined(straight, _mirror(straight, Figure(chain)))

    def __len__(self) -> int:
        return 2 * len(self.pictures)

    def batch(self, step: int) -> Batch:
        """The batch number `step`."""
        rng = np.random.default_rng((self.seed, step))
        batch = self.part(rng.integers(0, len(self), self.count))
        noise = torch.as_tensor(rng.normal(0, MEASURED, self.count)).float()
        known = torch.as_tensor(rng.random(self.count) < KNOWN)
        return replace(batch, stature=torch.where(known, batch.stature + noise, torch.nan))

    def part(self, chosen: Array) -> Batch:
        """These samples; those from `len(pictures)` on are the mirrored ones. With true statures."""
        index = torch.as_tensor(chosen)
        rest: dict[str, Any] = {name: getattr(self.all, name)[index] for name in _TRUTH}
        view = View(*(getattr(self.all.view, f.name)[index] for f in fields(View)))
        maps = self.pictures.of(chosen % len(self.pictures), chosen >= len(self.pictures), self.taps)
        return Batch(**rest, view=view, maps=[torch.as_tensor(one) for one in maps] or None)


def _joined(one: Batch, other: Batch) -> Batch:
    rest: dict[str, Any] = {name: torch.cat([getattr(one, name), getattr(other, name)]) for name in _TRUTH}
    views = (torch.cat([getattr(one.view, f.name), getattr(other.view, f.name)]) for f in fields(View))
    return Batch(**rest, view=View(*views))


def _seen(body: Body, chain: Chain, looks: Looks, keypoints: bool) -> Batch:
    """All looks, straight."""
    focal, centre = _tensor(looks.focal), torch.as_tensor(looks.size).float() / 2
    camera, betas = _tensor(looks.rotation), _tensor(looks.betas)
    local = turns.of_vectors(_tensor(looks.pose))
    local = torch.cat([(camera @ local[:, 0])[:, None], local[:, 1:]], 1)
    figure = Figure(chain)
    joints, landmarks = figure(local, betas)
    rest = figure.rest[0] + betas @ figure.rest_shapes[0, :, :BETAS].T
    pelvis = (camera @ (_tensor(looks.transl) + rest)[..., None])[..., 0] + _tensor(looks.translation)
    # renders show hips and knees where the body has them, real people a little elsewhere (`keypoint_noise.py`)
    drawn = Figure(replace(chain, local=chain.local - real_shift()))(local, betas)[1]
    real, drawn = (points + pelvis[:, None] for points in (landmarks, drawn))
    shift = real[..., :2] / real[..., 2:] - drawn[..., :2] / drawn[..., 2:]
    flat = (_tensor(looks.keypoints) - centre) / focal[:, None, None] + shift
    if keypoints:
        view = view_of(flat, _tensor(looks.confidence))
    else:
        view = view_of_roi(_tensor(looks.roi), focal, centre.expand(len(focal), 2))
    turn = view.rotation
    places = [geometry.to_crop(k, r) / geometry.CROP for k, r in zip(looks.keypoints, looks.roi, strict=True)]
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
        places=_tensor(np.array(places)),
    )


def _mirror(batch: Batch, figure: Figure) -> Batch:
    rotations = batch.rotations[:, list(OTHER_SIDE)] * _SIGN
    joints, landmarks = figure(rotations, batch.betas)
    assert batch.places is not None
    places = batch.places[:, torch.as_tensor(SIDES)]
    return replace(
        batch,
        view=mirrored(batch.view, torch.as_tensor(SIDES)),
        rotations=rotations,
        pelvis=batch.pelvis * _FLIP,
        joints=joints,
        landmarks=landmarks,
        places=torch.stack([1 - places[..., 0], places[..., 1]], -1),
    )


def _tensor(values: Array) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(values)).float()
