"""Lifting: one frame's 33 keypoints to the body's pose in 3D, by a small network of this project's own.

The network sees the keypoints as rays of a *virtual camera* that looks at the person's middle and keeps the image
upright, divided by the person's angular size; so neither the place in the image nor the focal length matters to it
beyond that size. It gives the global rotations of 22 joints in that camera, as the first two columns of each matrix
(Zhou et al., "On the continuity of rotation representations in neural networks", 2019), and ten shape components. Seen
once more in the mirror and averaged. `biopose_cli.training.lifter` trains it; `weights/lifter.md` is its card.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from biopose_cli.artifact import LANDMARKS, Array
from biopose_cli.errors import AssetError
from biopose_cli.mesh.kinematics import BETAS, HANDS, JOINTS, MOVING

WEIGHTS = Path(__file__).parents[1] / "weights" / "lifter.safetensors"
PARENTS = (0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
OTHER_JOINT = (0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22)
OTHER_LANDMARK = (0, 4, 5, 6, 1, 2, 3, 8, 7, 10, 9, *(i + (1 if i % 2 else -1) for i in range(11, LANDMARKS)))
HIPS = (23, 24)
UNSEEN = 0.02  # a keypoint of less confidence is hidden from the network
WIDTH, BLOCKS = 640, 2
_LEAST_WEIGHT = 0.1  # of a keypoint in the person's middle and size, however unsure
_FEATURES = 3 * LANDMARKS + 1
_CHUNK = 1024  # frames at a time


@dataclass(frozen=True)
class Lifted:
    """T lifted frames; NaN where a frame holds no keypoints.

    `rotations` (T,24,3,3): relative to the parent (joint 0: to the camera); `landmarks` (T,33,3) m: camera axes,
    from the middle of the hips, for the shape that the network saw; `betas` (T,10); `spread` (24,3) rad: root mean
    square error of `rotations` on people held out of training, about the joint's own axes (R exp(e)).
    """

    rotations: Array
    landmarks: Array
    betas: Array
    spread: Array


class Skeleton(nn.Module):
    """The body as a chain that carries the landmarks (`kinematics.Chain`) in torch, N poses at a time."""

    def __init__(self, shapes: int) -> None:
        super().__init__()
        self.register_buffer("rest", torch.zeros(JOINTS, 3))
        self.register_buffer("rest_shapes", torch.zeros(JOINTS, 3, shapes))
        self.register_buffer("carrier", torch.zeros(LANDMARKS, dtype=torch.int64))
        self.register_buffer("local", torch.zeros(LANDMARKS, 3))
        self.register_buffer("local_shapes", torch.zeros(LANDMARKS, 3, shapes))
        self.rest: Tensor
        self.rest_shapes: Tensor
        self.carrier: Tensor
        self.local: Tensor
        self.local_shapes: Tensor

    def forward(self, rotations: Tensor, shape: Tensor) -> tuple[Tensor, Tensor]:
        """Joints (N,24,3) and landmarks (N,33,3) from the pelvis, m, for global `rotations` (N,24,3,3) and `shape`
        (N,S)."""
        rest = self.rest + (self.rest_shapes @ shape.T).movedim(-1, 0)
        parents = torch.tensor(PARENTS)
        bones = rotations[:, parents] @ (rest - rest[:, parents])[..., None]
        joints = _ancestors() @ bones[..., 0]
        local = self.local + (self.local_shapes @ shape.T).movedim(-1, 0)
        arms = rotations[:, self.carrier] @ local[..., None]
        return joints, joints[:, self.carrier] + arms[..., 0]


class Lifter(nn.Module):
    """The network with the skeleton it was trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.skeleton = Skeleton(BETAS)
        self.register_buffer("spread", torch.zeros(JOINTS, 3))
        self.spread: Tensor
        self.first = nn.Linear(_FEATURES, WIDTH)
        self.blocks = nn.ModuleList(_Block() for _ in range(BLOCKS))
        self.last = nn.Linear(WIDTH, 6 * len(MOVING) + BETAS)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Global rotations (N,24,3,3) in the virtual camera and shapes (N,10) from `view`'s features."""
        return self.read(self.raw(features))

    def raw(self, features: Tensor) -> Tensor:
        """What the layers say, (N, 6 * 22 + 10)."""
        hidden = self.first(features)
        for block in self.blocks:
            hidden = block(hidden)
        output: Tensor = self.last(hidden)
        return output

    def read(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Rotations and shapes from `raw`'s output."""
        columns = output[:, :-BETAS].reshape(len(output), len(MOVING), 2, 3)
        upright = torch.eye(3)[:2] * torch.tensor([1.0, -1.0, 0.0])  # who stands and faces the camera's way
        return with_hands(orthonormal(columns + upright)), output[:, -BETAS:]


class _Block(nn.Module):
    """Two layers beside the way straight through."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.inner = nn.Linear(WIDTH, WIDTH)
        self.outer = nn.Linear(WIDTH, WIDTH)

    def forward(self, hidden: Tensor) -> Tensor:
        added: Tensor = self.outer(nn.functional.gelu(self.inner(self.norm(hidden))))
        return hidden + added


def lift(keypoints: Array, confidence: Array, matrix: Array) -> Lifted:
    """Lift every frame on its own.

    Parameters
    ----------
    keypoints
        (T,33,2) px without lens distortion; a frame with a NaN gives NaN.
    confidence
        (T,33), 0..1; what is below `UNSEEN` is ignored, wherever it is.
    matrix
        (3,3), px.

    Raises
    ------
    AssetError
        The weights that belong to the program are missing or damaged.
    """
    lifter = load_lifter()
    frames = len(keypoints)
    rotations = np.full((frames, JOINTS, 3, 3), np.nan)
    landmarks = np.full((frames, LANDMARKS, 3), np.nan)
    betas = np.full((frames, BETAS), np.nan)
    usable = np.flatnonzero(np.isfinite(keypoints).all((1, 2)) & np.isfinite(confidence).all(1))
    rays = (keypoints - matrix[:2, 2]) / np.diag(matrix)[:2]
    for start in range(0, len(usable), _CHUNK):
        some = usable[start : start + _CHUNK]
        with torch.inference_mode():
            turned, shape, points = lift_rays(
                lifter, torch.from_numpy(rays[some]).float(), torch.from_numpy(confidence[some]).float()
            )
            rotations[some] = relative(turned.double()).numpy()
        landmarks[some], betas[some] = points.numpy(), shape.numpy()
    return Lifted(rotations, landmarks, betas, lifter.spread.double().numpy())


def lift_rays(lifter: Lifter, rays: Tensor, confidence: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Global rotations (N,24,3,3) in the camera, shapes (N,10) and landmarks (N,33,3) from the middle of the hips, for
    `rays` (N,33,2) as x / z and y / z, averaged with what the mirror shows."""
    features, turn = view(rays, confidence)
    straight, shape = lifter(features)
    mirrored, other_shape = lifter(view(*mirror(rays, confidence))[0])
    middle = straight + mirror_rotations(mirrored)
    # the mirror of a view is the view of the mirror, so both are in the same virtual camera
    rotations = turn.mT[:, None] @ orthonormal(middle.mT[..., :2, :])
    shape = (shape + other_shape) / 2
    _, landmarks = lifter.skeleton(rotations, shape)
    return rotations, shape, landmarks - landmarks[:, HIPS].mean(1, keepdim=True)


def view(rays: Tensor, confidence: Tensor) -> tuple[Tensor, Tensor]:
    """What the network sees of `rays` (N,33,2) and `confidence` (N,33): features (N,100), and the rotation (N,3,3) from
    the camera to the virtual camera."""
    seen = confidence >= UNSEEN
    weight = confidence.clamp_min(_LEAST_WEIGHT) * seen + 1e-9
    weight = (weight / weight.sum(1, keepdim=True))[..., None]
    turn = facing((weight * rays).sum(1))
    inside = torch.cat([rays, torch.ones_like(rays[..., :1])], -1) @ turn.mT
    flat = inside[..., :2] / inside[..., 2:].clamp_min(0.05)
    size = (weight * flat.square()).sum((1, 2)).sqrt().clamp_min(1e-4)
    flat = flat / size[:, None, None] * seen[..., None]
    features = torch.cat([flat.flatten(1), confidence * seen, 3 + size.log()[:, None]], 1)
    return features, turn


def facing(centre: Tensor) -> Tensor:
    """The smallest rotation (N,3,3) that turns the ray through `centre` (N,2) to the optical axis."""
    direction = nn.functional.normalize(torch.cat([centre, torch.ones_like(centre[:, :1])], 1), dim=1)
    x, y, z = direction.unbind(1)
    # Rodrigues' formula for the axis (y, -x, 0), of which sine and cosine of the angle are known
    share = 1 / (1 + z)
    rows = [1 - x * x * share, -x * y * share, -x, -x * y * share, 1 - y * y * share, -y, x, y, z]
    return torch.stack(rows, 1).reshape(-1, 3, 3)


def mirror(rays: Tensor, confidence: Tensor) -> tuple[Tensor, Tensor]:
    """The same person in the mirror: x turned round, left and right exchanged."""
    order = torch.tensor(OTHER_LANDMARK)
    return rays[:, order] * rays.new_tensor([-1.0, 1.0]), confidence[:, order]


def mirror_rotations(rotations: Tensor) -> Tensor:
    """Rotations (N,24,3,3) of a mirrored body (local ones or in the camera) as the body's own."""
    swap = rotations.new_tensor([-1.0, 1.0, 1.0])
    return swap[:, None] * rotations[:, torch.tensor(OTHER_JOINT)] * swap


def orthonormal(columns: Tensor) -> Tensor:
    """Rotations (...,3,3) from approximate first two columns (...,2,3), by Gram and Schmidt's method."""
    first = nn.functional.normalize(columns[..., 0, :], dim=-1)
    second = columns[..., 1, :]
    second = nn.functional.normalize(second - (first * second).sum(-1, keepdim=True) * first, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], -1)


def with_hands(moving: Tensor) -> Tensor:
    """All 24 global rotations from the 22 of `MOVING`: hands go with the wrists."""
    order = [MOVING.index(PARENTS[j] if j in HANDS else j) for j in range(JOINTS)]
    return moving[:, torch.tensor(order)]


def relative(rotations: Tensor) -> Tensor:
    """Rotations (N,24,3,3) relative to the parents' from global ones; the pelvis's stays."""
    local = rotations[:, torch.tensor(PARENTS)].mT @ rotations
    return torch.cat([rotations[:, :1], local[:, 1:]], 1)


@cache
def _ancestors() -> Tensor:
    """(24,24): 1 where the column's joint is the row's or above it, but not the pelvis."""
    table = torch.zeros(JOINTS, JOINTS)
    for joint in range(1, JOINTS):
        table[joint] = table[PARENTS[joint]]
        table[joint, joint] = 1
    return table


@cache
def load_lifter(path: Path = WEIGHTS) -> Lifter:
    """The trained network.

    Raises
    ------
    AssetError
        The file is missing, damaged, or of another network.
    """
    lifter = Lifter()
    try:
        stored = load_file(path)
        lifter.load_state_dict({name: v if v.dtype == torch.int64 else v.float() for name, v in stored.items()})
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = "is missing" if isinstance(error, FileNotFoundError) else "is damaged"
        raise AssetError(
            f"the lifting network's weights {reason}: {path}", "Install BioPose again; the file belongs to it"
        ) from error
    if not all(math.isfinite(float(v.sum())) for v in lifter.state_dict().values()):
        raise AssetError(f"the lifting network's weights hold no finite numbers: {path}")
    return lifter.eval().requires_grad_(False)
