"""The detector's errors, measured on rendered people (`looks.py`), to be put on synthetic keypoints.

An error depends on the posture and on where it is seen from: a hidden wrist is guessed, crossed legs are confused. So
errors are kept with the posture at which they were made, all 33 of a person together, and drawn by posture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from biopose_cli.body.blazepose import SIDES
from biopose_cli.body.kinematics import BETAS, Placed, Pose, load_chain, place, read_table
from biopose_cli.body.model import OTHER_SIDE, Body
from biopose_cli.detect.blazepose import LIMBS
from biopose_cli.geometry import roi as geometry
from biopose_cli.geometry import so3
from biopose_cli.io.atomic import replacing
from biopose_cli.io.results import LANDMARKS
from biopose_cli.synthesis.mocap import INDEX
from biopose_cli.synthesis.rendered_detections import Looks
from biopose_cli.typing import Array

NEIGHBOURS = 16  # near entries, of which one is drawn for the legs, one for the arms, one for the rest
# No error comes twice as it is in the bank: a network would know the entry by its 33 confidences, and by it the posture
_TURNED, _SCALED, _JITTER = 0.35, 0.3, 0.5  # rad, of logarithms, px of the crop
_UNSURE = 0.5  # of confidences, as logits
_LEAST = 1e-3
_TOGETHER = [
    np.union1d(pairs, [0] if 11 in pairs else []).astype(int) for pairs in LIMBS
]  # the nose is in no pair
_LIMBS = ("hip", "shoulder", "elbow", "wrist", "knee", "ankle", "foot")
# by what postures are compared: the other joints lie between these
_COMPARED = [INDEX["head"], *(INDEX[f"{side}_{name}"] for side in ("left", "right") for name in _LIMBS)]
# m, (up, forward): what tools/fit_landmarks.py adds to the renders' hips and knees because real people's sit lower and
# further forward (docs/mesh.md). The bank is of errors made on renders. Against the shifted landmarks they would
# contain that shift as an error of its own, and a network that learns from shifted landmarks with these errors on them
# would learn to take it off again. So here the landmarks are where renders have them.
_REAL = {"hip": (-0.015, 0.010), "knee": (-0.006, 0.0)}


@dataclass(frozen=True)
class Bank:
    """N looks at people. `residual` (N, 33, 2): detected keypoint minus the body's landmark, px of the 256 px crop, in
    the crop's axes; `confidence` (N, 33); `posture` (N, 24, 3) m: joints from the pelvis as the crop shows them, in the
    axes of a camera that looks at the crop's centre and is rolled with it (x right, y down, z away)."""

    residual: Array
    confidence: Array
    posture: Array

    @staticmethod
    def of(looks: Looks, body: Body) -> Bank:
        """The errors in `looks` at people of `body`'s shapes."""
        residual, posture = [], []
        for k, (joints, _, drawn) in enumerate(people(looks, body)):
            seen = (looks.keypoints[k], image(looks, k, drawn))
            found, true = (geometry.to_crop(points, looks.roi[k]) for points in seen)
            turn = _facing(looks.roi[k], looks.focal[k], looks.size) @ looks.rotation[k]
            residual.append(found - true)
            posture.append((joints - joints[0]) @ turn.T)
        return Bank(
            np.array(residual, np.float32), looks.confidence.astype(np.float32), np.array(posture, np.float32)
        )

    def save(self, path: Path) -> None:
        with replacing(path) as temporary:
            np.savez_compressed(
                temporary, **{field.name: getattr(self, field.name) for field in fields(self)}
            )

    @staticmethod
    def load(path: Path) -> Bank:
        with np.load(path, allow_pickle=False) as stored:
            return Bank(**{field.name: stored[field.name] for field in fields(Bank)})

    def draw(self, posture: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Errors (B, 33, 2), px of the crop, and confidences (B, 33) for postures (B, 24, 3) as the bank has them.

        Legs, arms, and trunk with head each err as in one of `NEIGHBOURS` near entries, a little turned and
        scaled. Half of the postures are compared with the mirrored bank (that is, they are mirrored, and so is what is
        found), so that left and right err alike.
        """
        count = len(posture)
        flip = torch.rand(count, generator=random) < 0.5
        asked = torch.where(
            flip[:, None, None], posture[:, list(OTHER_SIDE)] * posture.new_tensor([-1.0, 1, 1]), posture
        )
        places, half_squares, residuals, confidences = self._tensors
        # half the squared distance, but for what is the same for all entries
        distance = torch.addmm(half_squares, asked[:, _COMPARED].flatten(1).float(), places.T, alpha=-1)
        # the nearest of each of as many groups: as good as the nearest of all, and found sooner
        near = NEIGHBOURS * distance.unflatten(1, (-1, NEIGHBOURS)).argmin(1) + torch.arange(NEIGHBOURS)
        near = near[:, : len(residuals)]  # of a bank of less entries the other groups are empty
        residual, confidence = torch.empty(count, LANDMARKS, 2), torch.empty(count, LANDMARKS)
        for limbs in _TOGETHER:
            pick = torch.randint(near.shape[1], (count, 1), generator=random)
            entry = near.gather(1, pick)
            residual[:, limbs] = _varied(residuals[entry, limbs], random)
            confidence[:, limbs] = confidences[entry, limbs]
        residual += _JITTER * torch.randn(residual.shape, generator=random)
        doubt = _UNSURE * torch.randn(confidence.shape, generator=random)
        confidence = (confidence.logit(_LEAST) + doubt).sigmoid()
        mirror = residual[:, SIDES] * residual.new_tensor([-1.0, 1])
        return (
            torch.where(flip[:, None, None], mirror, residual),
            torch.where(flip[:, None], confidence[:, SIDES], confidence),
        )

    def apart(self, every: int) -> tuple[Bank, Bank]:
        """All but the last entries, one of `every`, and these: to learn from the one and check with the other (people
        who share a room follow each other). A bank that is too small for that is both."""
        count = len(self.posture) // every
        if not count:
            return self, self
        rest, kept = (
            Bank(*(getattr(self, field.name)[chosen] for field in fields(self)))
            for chosen in (slice(-count), slice(-count, None))
        )
        return rest, kept

    @cached_property
    def _tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compared places (M, 45), half their squared length (M), residuals and confidences (N); M is a multiple of
        `NEIGHBOURS`, and what is more than N infinitely far."""
        places = torch.as_tensor(self.posture)[:, _COMPARED].flatten(1)
        more = (0, -len(places) % NEIGHBOURS)
        return (
            torch.nn.functional.pad(places, (0, 0, *more)),
            torch.nn.functional.pad(places.square().sum(1) / 2, more, value=torch.inf),
            torch.as_tensor(self.residual),
            torch.as_tensor(self.confidence),
        )


def _varied(residual: Tensor, random: torch.Generator) -> Tensor:
    """Errors (B, L, 2), each person's turned and scaled as a whole."""
    angle, size = torch.randn(2, len(residual), 1, generator=random)
    angle, size = _TURNED * angle, (_SCALED * size).exp()
    x, y = residual.unbind(-1)
    turned = torch.stack([angle.cos() * x - angle.sin() * y, angle.sin() * x + angle.cos() * y], -1)
    varied: Tensor = size[..., None] * turned
    return varied


def as_real(looks: Looks, body: Body) -> Array:
    """The keypoints (N, 33, 2) px that the detector found on people of `body`'s shapes, moved to where real people's
    would be: by what `_REAL` is in the picture."""
    moved = [
        image(looks, k, real) - image(looks, k, drawn)
        for k, (_, real, drawn) in enumerate(people(looks, body))
    ]
    return np.asarray(looks.keypoints + np.array(moved))


def people(looks: Looks, body: Body) -> Iterator[tuple[Array, Array, Array]]:
    """Everybody's joints (24, 3), landmarks (33, 3) as real people have them, and as renders show them; world, m."""
    chain, shift = load_chain(body), _shift()
    rest = np.zeros(chain.shapes)
    with torch.no_grad():
        mean, statures = body.stature(torch.zeros(BETAS)), body.stature(torch.as_tensor(looks.betas).float())
    for k, grown in enumerate((statures / mean).double().numpy()):
        shape = rest.copy()
        shape[:BETAS] = looks.betas[k]
        placed = place(chain, Pose(so3.exp(looks.pose[k : k + 1]), looks.transl[k : k + 1], shape))
        yield placed.joints[0], placed.landmarks[0], _unshifted(placed, chain.carrier, grown * shift)


def image(looks: Looks, k: int, points: Array) -> Array:
    """Points (33, 3) of the world in picture k, px."""
    seen = points @ looks.rotation[k].T + looks.translation[k]
    return np.asarray(seen[:, :2] / seen[:, 2:] * looks.focal[k] + looks.size / 2)


def _shift() -> Array:
    """`_REAL` for every landmark, (33, 3) m in the axes of its carrier."""
    shift = np.zeros((LANDMARKS, 3))
    for landmark, row in enumerate(read_table("landmarks.csv")):
        shift[landmark, 1:] = _REAL.get(row["group"], (0, 0))
    return shift


def _unshifted(placed: Placed, carrier: Array, shift: Array) -> Array:
    """The landmarks (33, 3) of one posed body, in its frame, without a shift (33, 3) in their carriers' axes."""
    turned = placed.rotations[0, carrier] @ shift[..., None]
    return np.asarray(placed.landmarks[0] - turned[..., 0])


def _facing(roi: Array, focal: float, size: Array) -> Array:
    """(3, 3): from the camera's axes to those of one that looks at the ROI's centre and is rolled with it."""
    ray = np.array([*(roi[:2] - size / 2) / focal, 1.0])
    roll = so3.exp(np.array([0, 0, -roi[3]]))
    return np.asarray(roll @ so3.between(ray, np.array([0, 0, 1.0])))
