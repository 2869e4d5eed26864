"""The segments' frames from their markers: references for the network's input.

Relative to the parent segment, a segment's posture does not depend on the person's position and heading or on the
joints in between, so the network need not learn that. These frames are only an initial estimate, which the network
corrects. A frame is the best fit (Kabsch) of the *template*, a typical person in the zero pose, to the segment's
points: x = rotation @ template + position, so at zero all frames equal the pelvis'. C clips, T frames, M markers, P
points, G segments; m; rotations are ground from template.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from biopose_cli.body.markers import MARKER_NAMES, MARKERS
from biopose_cli.geometry import so3_torch

# Segment: its parent, and its points: markers, points between markers, and the centre of the joint at its proximal end,
# which is far from the others, so that noise hardly rotates a limb
_LIMBS = {
    "femur": ("pelvis", "HIP TH1 TH2 LFC MFC"),
    "tibia": ("femur", "KNEE TB1 TB2 LMAL MMAL"),
    "calcn": ("tibia", "ANKLE CAL MT1 MT5 MID"),
    "humerus": ("torso", "SHOULDER UA1 UA2 LEL MEL"),
    "forearm": ("humerus", "ELBOW RAD ULN PALM2 PALM5"),
    "hand": ("forearm", "WRIST MCP2 MCP5 FIN"),
}
_TRUNK = ("pelvis", "torso", "head")
_TRUNK_PARENT = {"pelvis": "pelvis", "torso": "pelvis", "head": "torso"}
# Points as sums of markers. PALM2 and PALM5 lie across the wrist as the knuckles do across the hand: the wrist has no
# axial rotation, so they show the forearm's, twice as far apart as RAD and ULN
_VIRTUAL_POINTS: dict[str, dict[str, float]] = {
    "KNEE": {"LFC": 0.5, "MFC": 0.5},
    "ANKLE": {"LMAL": 0.5, "MMAL": 0.5},
    "ELBOW": {"LEL": 0.5, "MEL": 0.5},
    "WRIST": {"RAD": 0.5, "ULN": 0.5},
    "PALM2": {"RAD": 0.5, "ULN": 0.5, "MCP2": 0.5, "MCP5": -0.5},
    "PALM5": {"RAD": 0.5, "ULN": 0.5, "MCP2": -0.5, "MCP5": 0.5},
}
# Joint centres that a segment of the trunk carries: where they are at zero, on the right (tables/joints.csv)
_JOINT_CENTER_OFFSETS = {
    "HIP": ("pelvis", (-0.056276, -0.07849, 0.07726)),
    "SHOULDER": ("torso", (-0.097545, 0.4530, 0.1700)),
}
# Reference of a marker: the parent of its segment
_REFERENCE_SEGMENT = {
    "pelvis": "pelvis", "lumbar": "pelvis", "torso": "pelvis", "head": "torso", "femur": "pelvis", "tibia": "femur",
    "calcn": "tibia", "toes": "calcn", "humerus": "torso", "ulna": "humerus", "radius": "humerus", "hand": "forearm",
}  # fmt: skip
_MIN_POINTS = 3  # the fewest points that determine a frame
_POINTS = (
    *MARKER_NAMES,
    *(side + name for side, name in product("RL", (*_VIRTUAL_POINTS, *_JOINT_CENTER_OFFSETS))),
)


def _segment_groups() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Every segment, parents first: its parent and its points."""
    groups: dict[str, tuple[str, tuple[str, ...]]] = {}
    for name in _TRUNK:
        groups[name] = (_TRUNK_PARENT[name], tuple(m.name for m in MARKERS if m.segment == name))
    for side in "rl":
        for name, (parent_name, sites) in _LIMBS.items():
            parent = parent_name if parent_name in _TRUNK else f"{parent_name}_{side}"
            groups[f"{name}_{side}"] = (parent, tuple(side.upper() + site for site in sites.split()))
    return groups


_GROUPS = _segment_groups()
SEGMENTS = tuple(_GROUPS)
PARENT = tuple(SEGMENTS.index(parent) for parent, _ in _GROUPS.values())


def segment_membership() -> Tensor:
    """(G, P): 1 if a point (a marker, one between markers, a joint centre) belongs to a segment."""
    weights = torch.zeros(len(SEGMENTS), len(_POINTS))
    for row, (_, names) in enumerate(_GROUPS.values()):
        weights[row, [_POINTS.index(name) for name in names]] = 1.0
    return weights


def virtual_point_weights() -> Tensor:
    """(P, M): the points as sums of markers; zero for the joint centres of the trunk."""
    weights = torch.zeros(len(_POINTS), len(MARKER_NAMES))
    weights[: len(MARKER_NAMES)] = torch.eye(len(MARKER_NAMES))
    for side, (name, parts) in product("RL", _VIRTUAL_POINTS.items()):
        for marker, weight in parts.items():
            weights[_POINTS.index(side + name), MARKER_NAMES.index(side + marker)] = weight
    return weights


def joint_center_offsets(name: str) -> Tensor:
    """(2, 3) m: position of a joint centre of the trunk at zero, right and left."""
    _, (x, y, z) = _JOINT_CENTER_OFFSETS[name]
    return torch.tensor([(x, y, z), (x, y, -z)])


def reference_segments() -> Tensor:
    """(M): reference segment of each marker."""
    indices = []
    for marker in MARKERS:
        body, _, side = marker.segment.partition("_")
        reference = _REFERENCE_SEGMENT[body]
        indices.append(SEGMENTS.index(reference if reference in _TRUNK else f"{reference}_{side}"))
    return torch.tensor(indices)


def segment_frames(
    markers: Tensor, visible: Tensor, template: Tensor, segment_points: Tensor, point_weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Rotation (C, T, G, 3, 3), position (C, T, G, 3), and whether (C, T, G) the segment's own markers show it.

    markers: (C, T, M, 3), finite also where not `visible` (C, T, M). template: (M, 3). segment_points:
    `segment_membership()`. point_weights: `virtual_point_weights()`.

    A segment with fewer than three seen points moves with the one before it. A pelvis with fewer takes its frame of
    the nearest moment that shows enough, moved with the centre of all markers; in a clip without any it is upright,
    facing along x.
    """
    flags = visible.to(markers.dtype)
    marker_center = (flags[..., None] * markers).sum(2, keepdim=True) / flags.sum(2)[..., None, None].clamp(min=1.0)
    points = point_weights @ (markers - marker_center)  # small numbers: what follows cancels
    point_valid = ((1.0 - flags) @ point_weights.abs().T < 1e-3).to(
        flags.dtype
    )  # a point is valid if all its markers are
    template = point_weights @ template
    num_trunk = len(_TRUNK)
    trunk_frames = _fit_frames(points, point_valid, template, segment_points[:num_trunk])
    if not bool(trunk_frames.valid.all()):
        _fill_pelvis(trunk_frames)
        _inherit_parent(trunk_frames, range(1, num_trunk))
    points, template = _with_joint_centers(points, template, trunk_frames)
    limb_frames = _fit_frames(points, point_valid, template, segment_points[num_trunk:])
    frames = _SegmentFrames(*(torch.cat(both, 2) for both in zip(trunk_frames, limb_frames, strict=True)))
    if not bool(frames.valid.all()):
        _inherit_parent(frames, range(num_trunk, len(SEGMENTS)))
    return frames.rotation, frames.position + marker_center, frames.valid


class _SegmentFrames(NamedTuple):
    """rotation (C, T, G, 3, 3), position (C, T, G, 3), valid (C, T, G). `scale` (C, T, G, 1): how large the points lie
    against the template's, about `template_center` (C, T, G, 3) in the template."""

    rotation: Tensor
    position: Tensor
    valid: Tensor
    scale: Tensor
    template_center: Tensor


def _fit_frames(points: Tensor, point_valid: Tensor, template: Tensor, segment_points: Tensor) -> _SegmentFrames:
    weights = segment_points * point_valid[:, :, None]  # (C, T, G, P)
    count = weights.sum(-1, keepdim=True)
    safe_count = count.clamp(min=1.0)
    centroid, template_centroid = weights @ points / safe_count, weights @ template / safe_count
    products = (points[..., :, None] * template[:, None]).flatten(-2)  # (C, T, P, 9)
    covariance = (weights @ products).unflatten(-1, (3, 3)) - safe_count[..., None] * centroid[
        ..., None
    ] * template_centroid[..., None, :]
    rotation = so3_torch.project_to_so3(covariance)
    position = centroid - (rotation @ template_centroid[..., None])[..., 0]
    variance = weights @ points.square().sum(-1, keepdim=True) / safe_count - centroid.square().sum(-1, keepdim=True)
    template_variance = weights @ template.square().sum(-1, keepdim=True) / safe_count - template_centroid.square().sum(
        -1, keepdim=True
    )
    scale = (variance.clamp(min=0.0) / template_variance.clamp(min=1e-6)).sqrt()
    return _SegmentFrames(rotation, position, count[..., 0] >= _MIN_POINTS, scale, template_centroid)


def _with_joint_centers(points: Tensor, template: Tensor, trunk_frames: _SegmentFrames) -> tuple[Tensor, Tensor]:
    """Add the joint centres of the trunk, scaled with it, to the points."""
    points, template = points.clone(), template.clone()
    for name, (segment, _) in _JOINT_CENTER_OFFSETS.items():
        row = _TRUNK.index(segment)
        template_center, scale = trunk_frames.template_center[:, :, row], trunk_frames.scale[:, :, row]
        for side, offset in zip("RL", joint_center_offsets(name).to(template), strict=True):
            column = _POINTS.index(side + name)
            template[column] = offset
            scaled_offset = template_center + scale * (offset - template_center)
            points[:, :, column] = (
                trunk_frames.position[:, :, row] + (trunk_frames.rotation[:, :, row] @ scaled_offset[..., None])[..., 0]
            )
    return points, template


def _inherit_parent(frames: _SegmentFrames, segments: Iterable[int]) -> None:
    """Let segments without enough points move with their parents, in place."""
    for segment in segments:
        hidden, parent = ~frames.valid[:, :, segment], PARENT[segment]
        for values in (frames.rotation, frames.position):
            values[:, :, segment][hidden] = values[:, :, parent][hidden]


def _fill_pelvis(frames: _SegmentFrames) -> None:
    """Give the pelvis, relative to the markers' centre, the frame of the nearest valid moment, in place."""
    valid = frames.valid[:, :, 0]
    time_index = torch.arange(valid.shape[1], device=valid.device)
    distance = (time_index[:, None] - time_index).abs() + len(time_index) * (~valid)[:, None]  # (C, T, T)
    nearest = distance.argmin(-1)
    clips = torch.arange(len(valid), device=valid.device)[:, None]
    frames.rotation[:, :, 0][~valid] = torch.eye(3, dtype=frames.rotation.dtype, device=valid.device)
    frames.position[:, :, 0][~valid] = 0.0
    frames.scale[:, :, 0][~valid] = 1.0
    frames.rotation[:, :, 0] = frames.rotation[:, :, 0][clips, nearest]
    frames.position[:, :, 0] = frames.position[:, :, 0][clips, nearest]
