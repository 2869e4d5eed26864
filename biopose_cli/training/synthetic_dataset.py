"""Synthetic views without end: random people in random poses before phone-like cameras, as a detector would see them.

A batch depends on the seed and its number only, so a run that is resumed sees what an uninterrupted one sees.
N views; camera and view frames are OpenCV's (x right, y down, z forward); m.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from biopose_cli.body.kinematics import BETAS, load_chain
from biopose_cli.body.model import Body
from biopose_cli.body.smpl_torch import Figure
from biopose_cli.geometry import so3_torch
from biopose_cli.geometry.roi import CROP, MARGIN
from biopose_cli.hmr.virtual_camera import HIPS, View, view_of
from biopose_cli.synthesis.keypoint_error_bank import Bank
from biopose_cli.synthesis.pose_sampler import Postures

POOL = 1 << 16  # poses at once
RENEWED = 200  # batches after which they are drawn anew
_SHAPE_LIMIT = 2.5  # standard deviations of a shape component
_DEVIATION = 0.8  # of the landmarks' own places, in units of `kinematics.DEVIATION`
_NEAR, _FAR = 1.6, 10.0  # m
_ASIDE = (18.0, 9.0)  # degrees, standard deviation of where the person is in the picture
_PITCH, _ROLL = (4.0, 10.0), 5.0  # degrees: mean and spread, downwards; spread
_STEEP, _STEEPNESS = 0.1, 30.0  # share of cameras that look steeply down or up, and their spread
KNOWN = 0.5  # share of people whose stature is given
MEASURED = 0.01  # m, error of a given stature
_OUTLINE = 1.07  # of the outermost landmark's distance from the hips: the skin's (median of rendered people)


@dataclass(frozen=True)
class Batch:
    """Input `view` and `stature` (N, NaN where not given); truth, in the view frame: `rotations` (N, 24, 3, 3),
    `betas` (N, 10), `pelvis` (N, 3), and from these `joints` (N, 24, 3) and `landmarks` (N, 33, 3) from the pelvis.
    Of pictures also the taps' `maps`, each (N, H, W, channels), and `places` (N, 33, 2) of the keypoints on them."""

    view: View
    stature: Tensor
    rotations: Tensor
    betas: Tensor
    pelvis: Tensor
    joints: Tensor
    landmarks: Tensor
    maps: list[Tensor] | None = None
    places: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """The same there."""
        moved = {
            f.name: value.to(device)
            for f in fields(self)
            if isinstance(value := getattr(self, f.name), Tensor)
        }
        maps = None if self.maps is None else [one.to(device) for one in self.maps]
        return replace(self, view=self.view.to(device), maps=maps, **moved)


class Views:
    """Batches of `count` views. bank: the detector's errors."""

    def __init__(self, body: Body, postures: Postures, bank: Bank, count: int, seed: int) -> None:
        self.postures, self.bank, self.count, self.seed = postures, bank, count, seed
        self.chain = load_chain(body)
        self.figure = Figure(self.chain)
        zero = torch.zeros(BETAS, requires_grad=True)
        stature = body.stature(zero)
        (self.growth,) = torch.autograd.grad(stature.sum(), zero)
        self.mean_stature = float(stature.detach())
        self._pool: tuple[int, Tensor] = (-1, torch.zeros(0))

    def batch(self, step: int) -> Batch:
        """The batch number `step`."""
        random = torch.Generator().manual_seed(int(np.random.default_rng((self.seed, step)).integers(2**62)))
        pool = self._poses(step // RENEWED)
        with torch.no_grad():
            chosen = torch.randint(len(pool), (self.count,), generator=random)
            return self._seen(pool[chosen], random)

    def _poses(self, number: int) -> Tensor:
        """(POOL, 24, 3, 3)"""
        if self._pool[0] != number:
            vectors = self.postures.draw(POOL, np.random.default_rng((self.seed, number, 1)))
            self._pool = (number, so3_torch.of_vectors(torch.as_tensor(vectors)))
        return self._pool[1]

    def _seen(self, rotations: Tensor, random: torch.Generator) -> Batch:
        def normal(*shape: int) -> Tensor:
            return torch.randn(self.count, *shape, generator=random)

        def uniform() -> Tensor:
            return torch.rand(self.count, generator=random)

        betas = normal(BETAS).clamp(-_SHAPE_LIMIT, _SHAPE_LIMIT)
        extra = _DEVIATION * normal(self.chain.shapes - BETAS)
        camera = _cameras(self.count, random)
        rotations = torch.cat([(camera @ rotations[:, 0])[:, None], rotations[:, 1:]], 1)
        joints, landmarks = self.figure(rotations, betas)
        _, shown = self.figure(rotations, torch.cat([betas, extra], 1))

        aside = torch.deg2rad(normal(2) * torch.tensor(_ASIDE)).clamp(-0.6, 0.6).tan()
        way = torch.nn.functional.normalize(torch.cat([aside, torch.ones(self.count, 1)], 1), dim=1)
        far = _NEAR * (_FAR / _NEAR) ** uniform()
        pelvis = far[:, None] * way
        points = shown + pelvis[:, None]
        keypoints = points[..., :2] / points[..., 2:].clamp(min=0.2)
        view = self._noisy(keypoints, joints, random)

        turn = view.rotation
        stature = self.mean_stature + betas @ self.growth + MEASURED * normal()
        return Batch(
            view=view,
            stature=torch.where(uniform() < KNOWN, stature, torch.nan),
            rotations=torch.cat([(turn @ rotations[:, 0])[:, None], rotations[:, 1:]], 1),
            betas=betas,
            pelvis=(turn @ pelvis[..., None])[..., 0],
            joints=joints @ turn.transpose(1, 2),
            landmarks=landmarks @ turn.transpose(1, 2),
        )

    def _noisy(self, keypoints: Tensor, joints: Tensor, random: torch.Generator) -> View:
        """The view of keypoints (N, 33, 2) with the detector's errors on them."""
        exact = view_of(keypoints, torch.ones(keypoints.shape[:2]))
        residual, confidence = self.bank.draw(joints @ exact.rotation.transpose(1, 2), random)
        flat = exact.rays * exact.half[:, None, None]
        reach = _OUTLINE * torch.linalg.vector_norm(flat - flat[:, HIPS].mean(1, keepdim=True), dim=-1).amax(
            1
        )
        flat = flat + residual * (2 * MARGIN * reach / CROP)[:, None, None]
        rays = torch.cat([flat, torch.ones_like(flat[..., :1])], -1) @ exact.rotation
        return view_of(rays[..., :2] / rays[..., 2:].clamp(min=0.1), confidence)


def _cameras(count: int, random: torch.Generator) -> Tensor:
    """Camera from world (y up), (N, 3, 3): any heading, nearly level, nearly upright."""
    heading = 2 * torch.pi * torch.rand(count, generator=random)
    pitch, roll = torch.randn(2, count, generator=random)
    spread = torch.where(torch.rand(count, generator=random) < _STEEP, _STEEPNESS, _PITCH[1])
    pitch, roll = torch.deg2rad(_PITCH[0] + spread * pitch), torch.deg2rad(_ROLL * roll)
    zero = torch.zeros(count)
    angles = (
        torch.stack([zero, zero, roll], 1),
        torch.stack([pitch, zero, zero], 1),
        torch.stack([zero, heading, zero], 1),
    )
    level = torch.diag(torch.tensor([1.0, -1.0, -1.0]))  # facing the person: x right, y down, z away
    about_z, about_x, about_y = (so3_torch.of_vectors(angle) for angle in angles)
    camera: Tensor = about_z @ about_x @ level @ about_y
    return camera
