"""NeurIK: from virtual markers over a window of frames to joint angles and bone scales (paper, section 3.3).

As in the paper: every marker's coordinates go through a linear embedding, 1-D convolutions over the markers mix
neighbours, each frame's embedding is flattened, learned positions in time are added, a transformer encoder looks over
the frames, and heads read off `q` (inside every coordinate's range by construction) and the scales. Sizes are our
choice (the paper gives none), and so are three additions. Markers are given as seen from the pelvis and from the
segment before their own, as the markers themselves show these (`segments.py`); the heads correct that pelvis, and the
angles that the segments' attitudes to each other say in closed form (`guess.py`). A flag says which markers were seen.
The lengths between named sites are given beside the coordinates, because a scale is a ratio of lengths.

C clips, W frames of a window, M markers; m and rad.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from biopose_cli.body.markers import MARKER_NAMES
from biopose_cli.geometry import so3_torch
from biopose_cli.ik.analytic_init import JOINTS, columns, guess_angles, in_range
from biopose_cli.ik.segments import (
    BEFORE,
    SEGMENTS,
    carried,
    membership,
    point_sums,
    segment_frames,
    viewpoints,
)
from biopose_cli.skeleton.build import body_rows, coordinate_rows

ROOT = ("pelvis_tilt", "pelvis_list", "pelvis_rotation", "pelvis_tx", "pelvis_ty", "pelvis_tz")
INNER = tuple(  # the coordinates that the network gives itself; the patella follows its knee
    (row["coordinate"], float(row["min"]), float(row["max"]))
    for row in coordinate_rows()
    if row["coordinate"] not in ROOT and not row["follows"]
)
BODIES = tuple(row["body"] for row in body_rows())
# The freedom that scaling has (`skeleton/scaling.py`): left as right, a limb alike along all its axes.
_SCALES: dict[str, tuple[tuple[str, str], ...]] = {
    "up": (("pelvis", "y"), ("lumbar", "y"), ("torso", "y")),
    "pelvis depth": (("pelvis", "x"),),
    "pelvis width": (("pelvis", "z"),),
    "chest depth": (("lumbar", "x"), ("torso", "x")),
    "chest width": (("lumbar", "z"), ("torso", "z")),
    "head": (("head", "xyz"),),
    "thigh": (("femur", "xyz"), ("patella", "xyz")),
    "shank": (("tibia", "xyz"),),
    "foot": (("talus", "xyz"), ("calcn", "xyz"), ("toes", "xyz")),
    "upper arm": (("humerus", "xyz"),),
    "forearm": (("ulna", "xyz"), ("radius", "xyz"), ("hand", "xyz")),
}
# Lengths of the body that posture hardly changes: between the middles of two groups of markers
_LENGTHS: tuple[tuple[str, str], ...] = (
    ("RASI", "LASI"), ("RASI LASI", "RPSI LPSI"), ("C7", "CLAV"), ("C7", "SACR"), ("RSHO", "LSHO"), ("C7", "HTOP"),
    ("T8", "STRN"), ("CLAV", "STRN"), ("RRIB", "LRIB"),
    *((f"{s}{a}", f"{s}{b}") for s in "RL" for a, b in (
        ("LFC", "LMAL"), ("MFC", "MMAL"), ("LFC", "MFC"), ("LMAL", "MMAL"), ("CAL", "MT1"), ("CAL", "MT5"),
        ("SHO", "LEL"), ("SHO", "MEL"), ("LEL", "RAD"), ("MEL", "ULN"), ("RAD", "ULN"), ("TH1", "LFC"), ("UA1", "LEL"),
    )),
    *((f"{s}HIP", f"{s}LFC {s}MFC") for s in "RL"),
)  # fmt: skip
_NAMES = [name for name, _, _ in INNER]
_TRIPLES = [[_NAMES.index(name) for name in names] for names in JOINTS.values() if len(names) == 3]
_TOES = [MARKER_NAMES.index(name) for name in ("RTOE", "LTOE")]
_MARGIN = 0.02  # of a range: at its very end the guess could not be corrected
_TYPICAL, _SPREAD = 0.25, 0.15  # m, of those lengths


def smoothed(values: Tensor) -> Tensor:
    """(C, W, N): a weighted mean over nine frames (a triangle), of fewer at the ends."""
    frames = torch.arange(values.shape[1], device=values.device)
    weights = (5.0 - (frames[:, None] - frames).abs()).clamp(min=0.0)
    return (weights / weights.sum(1, keepdim=True)) @ values


@dataclass(frozen=True)
class Size:
    """The network's dimensions. `window`: frames; `width`: of the transformer's tokens."""

    window: int = 32
    channels: int = 24
    convolutions: int = 2
    kernel: int = 5
    width: int = 256
    layers: int = 4
    heads: int = 8
    feedforward: int = 768


@dataclass(frozen=True)
class Output:
    """What the network says of C windows.

    `angles` (C, W, I) rad, in the order of INNER. `rotation` (C, W, 3, 3) and `place` (C, W, 3): the pelvis in ground.
    `log_scale` (C, S): natural logarithms, in the order of the scale groups; `scale` (C, B, 3) per body.
    """

    angles: Tensor
    rotation: Tensor
    place: Tensor
    log_scale: Tensor
    scale: Tensor


class NeurIK(nn.Module):
    """The network. `template` (M, 3): a typical person's markers in the skeleton's zero pose, pelvis at the origin;
    `axes` (J, 3, 3) and `toe_joints` (2, 2, 3): what `guess.joint_axes` gives."""

    template: Tensor
    axes: Tensor
    toe_joints: Tensor
    members: Tensor
    sums: Tensor
    views: Tensor
    before: Tensor
    lower: Tensor
    upper: Tensor
    expand: Tensor
    ends: Tensor
    hips: Tensor
    unit: Tensor

    def __init__(self, size: Size, template: Tensor, axes: Tensor, toe_joints: Tensor) -> None:
        super().__init__()
        # True: train its large layers in bfloat16, several times as fast on processors that have it
        self.mixed = False
        self.size = size
        markers, lengths = len(MARKER_NAMES), len(_LENGTHS)
        self.register_buffer("template", template.float())
        self.register_buffer("axes", axes.float())
        self.register_buffer("toe_joints", toe_joints.float())
        self.register_buffer("members", membership(), persistent=False)
        self.register_buffer("sums", point_sums(), persistent=False)
        self.register_buffer("views", viewpoints(), persistent=False)
        self.register_buffer("before", torch.tensor(BEFORE), persistent=False)
        self.register_buffer("lower", torch.tensor([low for _, low, _ in INNER]), persistent=False)
        self.register_buffer("upper", torch.tensor([high for _, _, high in INNER]), persistent=False)
        self.columns = columns(_NAMES)
        self.register_buffer("expand", scale_groups(), persistent=False)
        self.register_buffer("ends", _ends(), persistent=False)
        self.register_buffer("hips", carried("HIP"), persistent=False)
        self.register_buffer("unit", torch.tensor([1.0, 0, 0, 0, 1, 0]), persistent=False)
        self.embed = nn.Linear(7, size.channels)
        self.identity = nn.Parameter(0.02 * torch.randn(markers, size.channels))
        self.convolutions = nn.ModuleList(
            nn.Conv1d(size.channels, size.channels, size.kernel, padding=size.kernel // 2)
            for _ in range(size.convolutions)
        )
        self.flatten = nn.Linear(markers * size.channels, size.width)
        self.context = nn.Linear(15 + 2 * lengths + 10 * len(SEGMENTS) + len(INNER), size.width)
        self.positions = nn.Parameter(0.02 * torch.randn(size.window, size.width))
        layer = nn.TransformerEncoderLayer(
            size.width,
            size.heads,
            size.feedforward,
            dropout=0.0,
            activation="relu",
            batch_first=True,
            norm_first=True,
        )
        self.temporal = nn.TransformerEncoder(
            layer, size.layers, norm=nn.LayerNorm(size.width), enable_nested_tensor=False
        )
        self.pose = _head(size.width, 3 * len(INNER) + 9)
        self.shape = _head(size.width, len(_SCALES))

    def forward(self, markers: Tensor, seen: Tensor) -> Output:
        """markers (C, W, M, 3) in ground, finite also where not seen; seen (C, W, M) bool."""
        with torch.no_grad():
            rotations, places, shown = segment_frames(markers, seen, self.template, self.members, self.sums)
        rotation, place = rotations[:, :, 0], places[:, :, 0]
        flags = seen[..., None].to(markers.dtype)
        local = (markers - place[:, :, None]) @ rotation * flags
        views = rotations[:, :, self.views].transpose(-1, -2)
        near = (views @ (markers - places[:, :, self.views])[..., None])[..., 0]
        near = torch.where(seen[..., None], near, self.template)
        x = self.embed(torch.cat([local, near - self.template, flags], -1)) + self.identity
        x = x.flatten(0, 1).transpose(1, 2).contiguous()  # its gradient is four times as fast so
        bent = rotations[:, :, self.before].transpose(-1, -2) @ rotations
        guess = self._guess(bent, near)
        context = torch.cat(
            [
                self._context(local, flags, rotation, place),
                bent.flatten(2),
                shown.to(bent.dtype),
                guess - 0.5,
            ],
            dim=-1,
        )
        context = self.context(context) + self.positions
        # half precision for the large products only: what is added from layer to layer stays in single precision
        with self._half(x.device.type):
            for convolution in self.convolutions:
                x = x + convolution(nn.functional.relu(x))
            x = nn.functional.relu(x).flatten(1)
            tokens = self.flatten(x).unflatten(0, markers.shape[:2]).float()
            tokens = self.temporal(tokens + context).float()
        pose, log_scale = self.pose(tokens), 0.1 * self.shape(tokens).mean(1)
        count = len(INNER)
        correction, trust, calm, six, shift = pose.split([count, count, count, 6, 3], dim=-1)
        said = torch.logit(guess)
        said = torch.lerp(said, smoothed(said), torch.sigmoid(calm))
        turn, shift = so3_torch.of_six(self.unit + 0.1 * six), 0.05 * shift
        return Output(
            angles=self.lower
            + (self.upper - self.lower) * torch.sigmoid(2 * torch.sigmoid(trust) * said + correction),
            rotation=rotation @ turn,
            place=place + (rotation @ shift[..., None])[..., 0],
            log_scale=log_scale,
            scale=self.scales(log_scale),
        )

    def _half(self, device: str) -> AbstractContextManager[object]:
        """Half precision for the large products while training, if `mixed`."""
        if not (self.mixed and self.training):
            return nullcontext()
        from torch.nn.attention import SDPBackend, sdpa_kernel

        both = ExitStack()
        both.enter_context(torch.autocast(device, torch.bfloat16))
        both.enter_context(
            sdpa_kernel(SDPBackend.MATH)
        )  # windows are short: the fused kernels take longer then
        return both

    def _guess(self, bent: Tensor, near: Tensor) -> Tensor:
        """(C, W, I): the first guess of the angles, in parts of their ranges, a little inside."""
        found = guess_angles(bent, near[:, :, _TOES], self.axes, self.toe_joints, self.template)
        found = found[..., self.columns]
        middle = (self.lower + self.upper) / 2
        found = found - 2 * torch.pi * torch.round((found - middle) / (2 * torch.pi))
        for triple in _TRIPLES:
            found[..., triple] = in_range(found[..., triple], self.lower[triple], self.upper[triple])
        return ((found - self.lower) / (self.upper - self.lower)).clamp(_MARGIN, 1 - _MARGIN)

    def scales(self, log_scale: Tensor) -> Tensor:
        """(..., S) -> (..., B, 3)."""
        scale: Tensor = (log_scale @ self.expand.flatten(0, 1).T).exp().unflatten(-1, (len(BODIES), 3))
        return scale

    def _context(self, local: Tensor, flags: Tensor, rotation: Tensor, place: Tensor) -> Tensor:
        """(C, W, 15 + 2L): up in the pelvis, how it moves through the window, and the lengths with their flags."""
        middle = rotation.shape[1] // 2
        origin = rotation[:, middle : middle + 1].transpose(-1, -2)
        moved = (origin @ (place - place[:, middle : middle + 1])[..., None])[..., 0]
        turned = (origin @ rotation).flatten(-2)
        hips = self.hips.expand(*local.shape[:2], 2, 3)
        points = torch.cat([local, hips], dim=2)
        known = torch.cat([flags, torch.ones_like(hips[..., :1])], dim=2)[..., 0]
        first, second = self.ends
        whole = ((known @ first.T) > 0.99) & ((known @ second.T) > 0.99)  # all markers of both ends are there
        lengths = torch.linalg.vector_norm(first @ points - second @ points, dim=-1)
        lengths = (lengths - _TYPICAL) / _SPREAD * whole
        return torch.cat([rotation[..., 1, :], moved, turned, lengths, whole.to(lengths.dtype)], dim=-1)


def scale_groups() -> Tensor:
    """(B, 3, S): 1 where a scale group rules the axis of a body."""
    groups = torch.zeros(len(BODIES), 3, len(_SCALES))
    for column, members in enumerate(_SCALES.values()):
        for segment, axes in members:
            for row, body in enumerate(BODIES):
                if body in {segment, f"{segment}_r", f"{segment}_l"}:
                    groups[row, ["xyz".index(axis) for axis in axes], column] = 1.0
    return groups


def _ends() -> Tensor:
    """(2, L, M + 2): weights of the markers, then of the right and left hip, at the two ends of every length."""
    names = (*MARKER_NAMES, "RHIP", "LHIP")
    weights = torch.zeros(2, len(_LENGTHS), len(names))
    for row, pair in enumerate(_LENGTHS):
        for end, sites in enumerate(pair):
            for site in sites.split():
                weights[end, row, names.index(site)] = 1 / len(sites.split())
    return weights


def _head(width: int, outputs: int) -> nn.Sequential:
    last = nn.Linear(width, outputs)
    nn.init.normal_(last.weight, std=0.01)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), last)
