"""MQ-HMR: from a look at a person to SMPL's pose, shape and camera (paper, section 3.2).

The paper's part: K pose queries that start as nothing look at each other, at the multi-scale maps of an image encoder
by deformable attention, and pass a feed-forward layer, L times over (`decoder.py`); heads read rotations, shape and
camera off them. Ours, and the default: the detected keypoints enter too. A residual network (`Lifter`) lifts them to a
first pose, and gives tokens to which the queries attend; what the queries say is added to that pose. Any input can be
absent: without keypoints the first pose is a learned constant, and the network is the paper's.

Segments are turned in the view, not against their parents: what is seen of one does not depend on the others, and is
learned from fewer views so.

N people; the view frame of `view.py` (x right, y down, z forward); m.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from biopose_cli.body.kinematics import BETAS, JOINTS, MOVING
from biopose_cli.body.smpl_io import SMPL_PARENTS
from biopose_cli.geometry import so3_torch
from biopose_cli.hmr.backbones.blazepose import CROP, TapNeck, channels
from biopose_cli.hmr.backbones.vit import ViT, ViTEncoder
from biopose_cli.hmr.decoder import Decoder
from biopose_cli.hmr.virtual_camera import View
from biopose_cli.io.results import LANDMARKS

_TURNS = len(MOVING)  # the hands' roots stay straight
_PARENTS = [MOVING.index(SMPL_PARENTS[joint - 1]) for joint in MOVING[1:]]
_CODE = 6 * _TURNS + BETAS + 3
_STATURE, _STATURE_SPREAD = 1.70, 0.10  # m
_SIZE = 0.65  # m: half of a view is about so large at the person
_LOOKS = 3 * LANDMARKS + 6
_UNTRAINED = 0.3  # rad
_DOUBTS = math.log(0.01), math.log(2.0)  # rad, least and most


@dataclass(frozen=True)
class Size:
    """The network's dimensions. `hidden`, `blocks`: of the lifter. `queries`, `width`, `layers`, `heads`: of the
    decoder; no layers: the lifter alone. `taps`: of the detector's network (`taps.py`), by name, with blanks between;
    `encoder`: in their place, the size of a vision transformer (`vit.py`), and the `scales` of its maps; neither: no
    images. `points`: that a head samples on each map."""

    keypoints: bool = True
    hidden: int = 1024
    blocks: int = 3
    queries: int = 96
    width: int = 128
    layers: int = 3
    heads: int = 4
    taps: str = ""
    encoder: str = ""
    scales: str = "1 4 8 16"
    points: int = 4

    @property
    def maps(self) -> int:
        """How many the decoder looks at."""
        return len((self.scales if self.encoder else self.taps).split())

    @property
    def seen(self) -> list[str]:
        """What the network is to be given of a picture, by the names of `taps.py`."""
        return [CROP] if self.encoder else self.taps.split()


@dataclass(frozen=True)
class Recovered:
    """`rotations` (N, 24, 3, 3): SMPL's, the root's in the view frame. `betas` (N, 10). `pelvis` (N, 3) m: the pelvis
    joint in the view frame. `tokens` (N, K, width): the queries after the last layer. `spread` (N, 22, 3) rad: by how
    much the rotations of `MOVING` may be wrong, about each axis of the joint."""

    rotations: Tensor
    betas: Tensor
    pelvis: Tensor
    tokens: Tensor
    spread: Tensor


class MQHMR(nn.Module):
    """The network. `mean` (22, 6): how the segments of the typical pose are turned (first two columns), from which all
    is counted. `doubt`, learned when all else is (`training/uncertainty_head.py`), says how wrong it may be in a frame."""

    mean: Tensor

    def __init__(self, size: Size, mean: Tensor) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("mean", mean.float())
        self.first = nn.Parameter(torch.zeros(_CODE))
        self.lifter = Lifter(size) if size.keypoints else None
        self.decoder = (
            Decoder(size.queries, size.width, size.layers, size.heads, size.maps, size.points, _TURNS + 2)
            if size.layers
            else None
        )
        self.neck = TapNeck(channels(size.taps.split()), size.width) if size.taps else None
        scales = tuple(int(scale) for scale in size.scales.split())
        self.encoder = ViTEncoder(ViT(size.encoder), size.width, scales) if size.encoder else None
        if self.decoder is not None:
            self.pose_head = _nothing(nn.Linear(size.width, 6))
            self.shape_head = _nothing(nn.Linear(size.width, BETAS))
            self.camera_head = _nothing(nn.Linear(size.width, 3))
        self.doubt = _nothing(nn.Linear(size.hidden if size.keypoints else size.width, 3 * _TURNS))
        nn.init.constant_(self.doubt.bias, math.log(_UNTRAINED))

    def forward(
        self,
        view: View,
        stature: Tensor,
        maps: list[Tensor] | None = None,
        places: Tensor | None = None,
    ) -> Recovered:
        """stature: (N) m, NaN where it is not known. maps: of the taps, each (N, H, W, channels), or, for an encoder,
        the crops (N, 256, 256, 3), RGB 0..255. places: (N, 33, 2) the keypoints on them, 0..1."""
        code = self.first.expand(len(stature), -1)
        memory = known = None
        if self.lifter is not None:
            lifted, memory, known = self.lifter(view, stature)
            code = code + lifted
        tokens = code.new_zeros(len(code), 0, self.size.width)
        if self.decoder is not None:
            if maps is not None and self.neck is not None:
                maps = self.neck(maps)
            elif maps is not None and self.encoder is not None:
                maps = self.encoder(maps[0].movedim(-1, 1).float() / 255)
            tokens, read = self.decoder(len(code), memory, maps, places)
            angles, shape, camera = read.split([_TURNS, 1, 1], dim=1)
            heads = [
                self.pose_head(angles).flatten(1),
                self.shape_head(shape[:, 0]),
                self.camera_head(camera[:, 0]),
            ]
            code = code + torch.cat(heads, 1)
        doubt = self.doubt(tokens.mean(1) if known is None else known).float().clamp(*_DOUBTS)
        # in bfloat16, while training, rotations would be bent by half a degree
        with torch.autocast(code.device.type, enabled=False):
            return self._recovered(code.float(), view, tokens, doubt.exp().unflatten(1, (_TURNS, 3)))

    def _recovered(self, code: Tensor, view: View, tokens: Tensor, spread: Tensor) -> Recovered:
        six, betas, camera = code.split([6 * _TURNS, BETAS, 3], dim=1)
        turned = so3_torch.of_six(self.mean + six.unflatten(1, (_TURNS, 6)))
        moving = torch.cat([turned[:, :1], turned[:, _PARENTS].transpose(-1, -2) @ turned[:, 1:]], 1)
        unit = torch.eye(3, dtype=code.dtype, device=code.device).expand(len(code), JOINTS - _TURNS, 3, 3)
        depth = _SIZE * camera[:, 0].exp() / view.half
        aside = camera[:, 1:] * (view.half * depth)[:, None]
        pelvis = torch.cat([aside, depth[:, None]], 1)
        return Recovered(torch.cat([moving, unit], 1), betas, pelvis, tokens, spread)


class Lifter(nn.Module):
    """Keypoints, as seen in the view, to a first code of the pose and a token for every keypoint."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.enter = nn.Linear(_LOOKS, size.hidden)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(size.hidden),
                nn.Linear(size.hidden, size.hidden),
                nn.GELU(),
                nn.Linear(size.hidden, size.hidden),
            )
            for _ in range(size.blocks)
        )
        last = nn.Linear(size.hidden, _CODE)
        with torch.no_grad():
            last.weight.mul_(0.1)
        self.leave = nn.Sequential(nn.LayerNorm(size.hidden), last)
        self.tokens = size.layers > 0
        if self.tokens:
            self.point = nn.Linear(3, size.width)
            self.whole = nn.Linear(size.hidden, size.width)
            self.identity = nn.Parameter(0.02 * torch.randn(LANDMARKS, size.width))

    def forward(self, view: View, stature: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """(N, code); tokens (N, 33, width) if there is a decoder; and what the code is read off, (N, hidden)."""
        points = torch.cat([view.rays, view.confidence[..., None]], -1)
        known = torch.isfinite(stature)
        tall = torch.where(known, (stature - _STATURE) / _STATURE_SPREAD, 0.0)
        rest = [view.half.log()[:, None], view.up, tall[:, None], known[:, None].to(tall)]
        x = self.enter(torch.cat([points.flatten(1), *rest], 1))
        for block in self.blocks:
            x = x + block(x)
        norm, last = self.leave
        known = norm(x)
        if not self.tokens:
            return last(known), None, known
        return last(known), self.point(points) + self.identity + self.whole(x)[:, None], known


def _nothing(layer: nn.Linear) -> nn.Linear:
    """A head that says nothing before it has learned."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
