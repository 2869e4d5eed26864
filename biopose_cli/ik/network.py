"""NeurIK: joint angles and bone scales from virtual markers in a window of frames (paper, section 3.3).

As in the paper: every marker's coordinates go through a linear embedding, 1-D convolutions over the markers mix
neighbours, each frame's embedding is flattened, learned positions in time are added, a transformer encoder attends over
the frames, and heads read off `q` (inside every coordinate's range by construction) and the scales. Sizes are our
choice (the paper gives none), and so are three additions. Markers are given as seen from the pelvis and from the
segment before their own, as the markers themselves show these (`segments.py`); the heads correct that pelvis, and the
angles that the segments' attitudes to each other say in closed form (`analytic_init.py`). A flag says which markers
were seen. The lengths between named sites are given beside the coordinates, because a scale is a ratio of lengths.

C clips, W frames of a window, M markers; m and rad.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from biopose_cli.body.markers import MARKER_NAMES
from biopose_cli.geometry import so3_torch
from biopose_cli.ik.analytic_init import (
    SEGMENT_COORDINATES,
    coordinate_columns,
    initial_angles,
    wrap_into_range,
)
from biopose_cli.ik.segments import (
    PARENT,
    SEGMENTS,
    joint_center_offsets,
    reference_segments,
    segment_frames,
    segment_membership,
    virtual_point_weights,
)
from biopose_cli.skeleton.build import body_rows, coordinate_rows

PELVIS_COORDINATES = ("pelvis_tilt", "pelvis_list", "pelvis_rotation", "pelvis_tx", "pelvis_ty", "pelvis_tz")
JOINT_COORDINATES = tuple(  # the coordinates that the network gives itself; the patella follows its knee
    (row["coordinate"], float(row["min"]), float(row["max"]))
    for row in coordinate_rows()
    if row["coordinate"] not in PELVIS_COORDINATES and not row["follows"]
)
BODIES = tuple(row["body"] for row in body_rows())
# The freedom that scaling has (`skeleton/scaling.py`): left as right, a limb alike along all its axes.
_SCALE_GROUPS: dict[str, tuple[tuple[str, str], ...]] = {
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
# Lengths of the body that hardly depend on posture: between the midpoints of two groups of markers
_SEGMENT_LENGTHS: tuple[tuple[str, str], ...] = (
    ("RASI", "LASI"), ("RASI LASI", "RPSI LPSI"), ("C7", "CLAV"), ("C7", "SACR"), ("RSHO", "LSHO"), ("C7", "HTOP"),
    ("T8", "STRN"), ("CLAV", "STRN"), ("RRIB", "LRIB"),
    *((f"{s}{a}", f"{s}{b}") for s in "RL" for a, b in (
        ("LFC", "LMAL"), ("MFC", "MMAL"), ("LFC", "MFC"), ("LMAL", "MMAL"), ("CAL", "MT1"), ("CAL", "MT5"),
        ("SHO", "LEL"), ("SHO", "MEL"), ("LEL", "RAD"), ("MEL", "ULN"), ("RAD", "ULN"), ("TH1", "LFC"), ("UA1", "LEL"),
    )),
    *((f"{s}HIP", f"{s}LFC {s}MFC") for s in "RL"),
)  # fmt: skip
_JOINT_COORDINATE_NAMES = [name for name, _, _ in JOINT_COORDINATES]
_THREE_AXIS_JOINTS = [
    [_JOINT_COORDINATE_NAMES.index(name) for name in names] for names in SEGMENT_COORDINATES.values() if len(names) == 3
]
_TOE_MARKERS = [MARKER_NAMES.index(name) for name in ("RTOE", "LTOE")]
_INIT_MARGIN = 0.02  # of a range: at its very end the guess could not be corrected
_LENGTH_MEAN, _LENGTH_STD = 0.25, 0.15  # m, of those lengths


def smooth_over_time(values: Tensor) -> Tensor:
    """(C, W, N): a weighted mean over nine frames (a triangle), of fewer at the ends."""
    frames = torch.arange(values.shape[1], device=values.device)
    weights = (5.0 - (frames[:, None] - frames).abs()).clamp(min=0.0)
    return (weights / weights.sum(1, keepdim=True)) @ values


@dataclass(frozen=True)
class NeurIKConfig:
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
class NeurIKOutput:
    """Prediction for C windows.

    `angles` (C, W, I) rad, in the order of JOINT_COORDINATES. `pelvis_orientation` (C, W, 3, 3) and
    `pelvis_position` (C, W, 3): the pelvis in ground.
    `log_scale` (C, S): natural logarithms, in the order of the scale groups; `scale` (C, B, 3) per body.
    """

    angles: Tensor
    pelvis_orientation: Tensor
    pelvis_position: Tensor
    log_scale: Tensor
    scale: Tensor


class NeurIK(nn.Module):
    """The network. `template` (M, 3): a typical person's markers in the skeleton's zero pose, pelvis at the origin;
    `axes` (J, 3, 3) and `toe_joints` (2, 2, 3): what `analytic_init.joint_axes` gives."""

    template: Tensor
    axes: Tensor
    toe_joints: Tensor
    segment_points: Tensor
    point_weights: Tensor
    reference_segments: Tensor
    parents: Tensor
    lower: Tensor
    upper: Tensor
    scale_basis: Tensor
    segment_ends: Tensor
    hip_offsets: Tensor
    identity_6d: Tensor

    def __init__(self, config: NeurIKConfig, template: Tensor, axes: Tensor, toe_joints: Tensor) -> None:
        super().__init__()
        # True: train its large layers in bfloat16, several times as fast on processors that have it
        self.mixed_precision = False
        self.config = config
        num_markers, num_lengths = len(MARKER_NAMES), len(_SEGMENT_LENGTHS)
        self.register_buffer("template", template.float())
        self.register_buffer("axes", axes.float())
        self.register_buffer("toe_joints", toe_joints.float())
        self.register_buffer("segment_points", segment_membership(), persistent=False)
        self.register_buffer("point_weights", virtual_point_weights(), persistent=False)
        self.register_buffer("reference_segments", reference_segments(), persistent=False)
        self.register_buffer("parents", torch.tensor(PARENT), persistent=False)
        self.register_buffer("lower", torch.tensor([low for _, low, _ in JOINT_COORDINATES]), persistent=False)
        self.register_buffer("upper", torch.tensor([high for _, _, high in JOINT_COORDINATES]), persistent=False)
        self.columns = coordinate_columns(_JOINT_COORDINATE_NAMES)
        self.register_buffer("scale_basis", scale_groups(), persistent=False)
        self.register_buffer("segment_ends", _segment_ends(), persistent=False)
        self.register_buffer("hip_offsets", joint_center_offsets("HIP"), persistent=False)
        self.register_buffer("identity_6d", torch.tensor([1.0, 0, 0, 0, 1, 0]), persistent=False)
        self.embed = nn.Linear(7, config.channels)
        self.marker_embed = nn.Parameter(0.02 * torch.randn(num_markers, config.channels))
        self.convolutions = nn.ModuleList(
            nn.Conv1d(config.channels, config.channels, config.kernel, padding=config.kernel // 2)
            for _ in range(config.convolutions)
        )
        self.token_proj = nn.Linear(num_markers * config.channels, config.width)
        self.global_proj = nn.Linear(15 + 2 * num_lengths + 10 * len(SEGMENTS) + len(JOINT_COORDINATES), config.width)
        self.pos_embed = nn.Parameter(0.02 * torch.randn(config.window, config.width))
        layer = nn.TransformerEncoderLayer(
            config.width,
            config.heads,
            config.feedforward,
            dropout=0.0,
            activation="relu",
            batch_first=True,
            norm_first=True,
        )
        self.temporal_encoder = nn.TransformerEncoder(
            layer, config.layers, norm=nn.LayerNorm(config.width), enable_nested_tensor=False
        )
        self.pose_head = _head(config.width, 3 * len(JOINT_COORDINATES) + 9)
        self.scale_head = _head(config.width, len(_SCALE_GROUPS))

    def forward(self, markers: Tensor, visible: Tensor) -> NeurIKOutput:
        """markers (C, W, M, 3) in ground, finite also where not visible; visible (C, W, M) bool."""
        with torch.no_grad():
            rotations, positions, segment_valid = segment_frames(
                markers, visible, self.template, self.segment_points, self.point_weights
            )
        pelvis_orientation, pelvis_position = rotations[:, :, 0], positions[:, :, 0]
        flags = visible[..., None].to(markers.dtype)
        markers_in_pelvis = (markers - pelvis_position[:, :, None]) @ pelvis_orientation * flags
        reference_rotations = rotations[:, :, self.reference_segments].transpose(-1, -2)
        markers_in_reference = (reference_rotations @ (markers - positions[:, :, self.reference_segments])[..., None])[
            ..., 0
        ]
        markers_in_reference = torch.where(visible[..., None], markers_in_reference, self.template)
        x = (
            self.embed(torch.cat([markers_in_pelvis, markers_in_reference - self.template, flags], -1))
            + self.marker_embed
        )
        x = x.flatten(0, 1).transpose(1, 2).contiguous()  # its gradient is four times as fast so
        relative_rotations = rotations[:, :, self.parents].transpose(-1, -2) @ rotations
        init_angles = self._analytic_init(relative_rotations, markers_in_reference)
        context = torch.cat(
            [
                self._global_features(markers_in_pelvis, flags, pelvis_orientation, pelvis_position),
                relative_rotations.flatten(2),
                segment_valid.to(relative_rotations.dtype),
                init_angles - 0.5,
            ],
            dim=-1,
        )
        context = self.global_proj(context) + self.pos_embed
        # half precision for the large products only: what is added from layer to layer stays in single precision
        with self._autocast(x.device.type):
            for convolution in self.convolutions:
                x = x + convolution(nn.functional.relu(x))
            x = nn.functional.relu(x).flatten(1)
            tokens = self.token_proj(x).unflatten(0, markers.shape[:2]).float()
            tokens = self.temporal_encoder(tokens + context).float()
        pose, log_scale = self.pose_head(tokens), 0.1 * self.scale_head(tokens).mean(1)
        num_angles = len(JOINT_COORDINATES)
        correction, init_gate, smoothing_gate, rot6d, offset = pose.split(
            [num_angles, num_angles, num_angles, 6, 3], dim=-1
        )
        init_logits = torch.logit(init_angles)
        init_logits = torch.lerp(init_logits, smooth_over_time(init_logits), torch.sigmoid(smoothing_gate))
        rotation_correction, offset = (
            so3_torch.rotation_6d_to_matrix(self.identity_6d + 0.1 * rot6d),
            0.05 * offset,
        )
        return NeurIKOutput(
            angles=self.lower
            + (self.upper - self.lower) * torch.sigmoid(2 * torch.sigmoid(init_gate) * init_logits + correction),
            pelvis_orientation=pelvis_orientation @ rotation_correction,
            pelvis_position=pelvis_position + (pelvis_orientation @ offset[..., None])[..., 0],
            log_scale=log_scale,
            scale=self.scale_factors(log_scale),
        )

    def _autocast(self, device: str) -> AbstractContextManager[object]:
        """Half precision for the large products while training, if `mixed_precision`."""
        if not (self.mixed_precision and self.training):
            return nullcontext()
        from torch.nn.attention import SDPBackend, sdpa_kernel

        stack = ExitStack()
        stack.enter_context(torch.autocast(device, torch.bfloat16))
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))  # windows are short: the fused kernels take longer then
        return stack

    def _analytic_init(self, relative_rotations: Tensor, markers_in_reference: Tensor) -> Tensor:
        """(C, W, I): the first guess of the angles, in parts of their ranges, a little inside."""
        angles = initial_angles(
            relative_rotations,
            markers_in_reference[:, :, _TOE_MARKERS],
            self.axes,
            self.toe_joints,
            self.template,
        )
        angles = angles[..., self.columns]
        center = (self.lower + self.upper) / 2
        angles = angles - 2 * torch.pi * torch.round((angles - center) / (2 * torch.pi))
        for triple in _THREE_AXIS_JOINTS:
            angles[..., triple] = wrap_into_range(angles[..., triple], self.lower[triple], self.upper[triple])
        return ((angles - self.lower) / (self.upper - self.lower)).clamp(_INIT_MARGIN, 1 - _INIT_MARGIN)

    def scale_factors(self, log_scale: Tensor) -> Tensor:
        """(..., S) -> (..., B, 3)."""
        scale: Tensor = (log_scale @ self.scale_basis.flatten(0, 1).T).exp().unflatten(-1, (len(BODIES), 3))
        return scale

    def _global_features(
        self, markers_in_pelvis: Tensor, flags: Tensor, pelvis_orientation: Tensor, pelvis_position: Tensor
    ) -> Tensor:
        """(C, W, 15 + 2L): up in the pelvis, how it moves through the window, and the lengths with their flags."""
        middle = pelvis_orientation.shape[1] // 2
        origin = pelvis_orientation[:, middle : middle + 1].transpose(-1, -2)
        displacement = (origin @ (pelvis_position - pelvis_position[:, middle : middle + 1])[..., None])[..., 0]
        relative_rotation = (origin @ pelvis_orientation).flatten(-2)
        hips = self.hip_offsets.expand(*markers_in_pelvis.shape[:2], 2, 3)
        points = torch.cat([markers_in_pelvis, hips], dim=2)
        point_valid = torch.cat([flags, torch.ones_like(hips[..., :1])], dim=2)[..., 0]
        first, second = self.segment_ends
        length_valid = ((point_valid @ first.T) > 0.99) & (
            (point_valid @ second.T) > 0.99
        )  # all markers of both ends are there
        lengths = torch.linalg.vector_norm(first @ points - second @ points, dim=-1)
        lengths = (lengths - _LENGTH_MEAN) / _LENGTH_STD * length_valid
        return torch.cat(
            [
                pelvis_orientation[..., 1, :],
                displacement,
                relative_rotation,
                lengths,
                length_valid.to(lengths.dtype),
            ],
            dim=-1,
        )


def scale_groups() -> Tensor:
    """(B, 3, S): 1 where a scale group rules the axis of a body."""
    groups = torch.zeros(len(BODIES), 3, len(_SCALE_GROUPS))
    for column, members in enumerate(_SCALE_GROUPS.values()):
        for segment, axes in members:
            for row, body in enumerate(BODIES):
                if body in {segment, f"{segment}_r", f"{segment}_l"}:
                    groups[row, ["xyz".index(axis) for axis in axes], column] = 1.0
    return groups


def _segment_ends() -> Tensor:
    """(2, L, M + 2): weights of the markers, then of the right and left hip, at the two ends of every length."""
    names = (*MARKER_NAMES, "RHIP", "LHIP")
    weights = torch.zeros(2, len(_SEGMENT_LENGTHS), len(names))
    for row, pair in enumerate(_SEGMENT_LENGTHS):
        for end, sites in enumerate(pair):
            for site in sites.split():
                weights[end, row, names.index(site)] = 1 / len(sites.split())
    return weights


def _head(width: int, outputs: int) -> nn.Sequential:
    last = nn.Linear(width, outputs)
    nn.init.normal_(last.weight, std=0.01)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), last)
