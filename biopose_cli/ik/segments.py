"""The segments' frames as their markers show them: what the network's input is relative to.

Seen from the segment before it, a segment's posture looks the same wherever the person stands, whichever way they
face and however the joints in between are bent, so the network need not learn that. What the markers say is a first
guess only; the network corrects it. A frame is the best fit (Kabsch) of the *template*, a typical person in the zero
pose, to the points that show the segment: x = rotation @ template + place, so at zero all frames are the pelvis'.
C clips, T frames, M markers, P points, G segments; m; rotations are ground from template.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from biopose_cli.body.markers import MARKER_NAMES, MARKERS
from biopose_cli.geometry import so3_torch

# Segment: the one before it, and the points that show it: markers, points between markers, and the centre of the joint
# at its upper end, which is far from the others, so that noise turns a limb little
_SIDED = {
    "femur": ("pelvis", "HIP TH1 TH2 LFC MFC"),
    "tibia": ("femur", "KNEE TB1 TB2 LMAL MMAL"),
    "calcn": ("tibia", "ANKLE CAL MT1 MT5 MID"),
    "humerus": ("torso", "SHOULDER UA1 UA2 LEL MEL"),
    "forearm": ("humerus", "ELBOW RAD ULN PALM2 PALM5"),
    "hand": ("forearm", "WRIST MCP2 MCP5 FIN"),
}
_MIDDLE = ("pelvis", "torso", "head")
_BEFORE = {"pelvis": "pelvis", "torso": "pelvis", "head": "torso"}
# Points as sums of markers. PALM2 and PALM5 stand across the wrist as the knuckles do across the hand: the wrist does
# not twist, so they show how the forearm does, twice as far apart as RAD and ULN
_BETWEEN: dict[str, dict[str, float]] = {
    "KNEE": {"LFC": 0.5, "MFC": 0.5},
    "ANKLE": {"LMAL": 0.5, "MMAL": 0.5},
    "ELBOW": {"LEL": 0.5, "MEL": 0.5},
    "WRIST": {"RAD": 0.5, "ULN": 0.5},
    "PALM2": {"RAD": 0.5, "ULN": 0.5, "MCP2": 0.5, "MCP5": -0.5},
    "PALM5": {"RAD": 0.5, "ULN": 0.5, "MCP2": -0.5, "MCP5": 0.5},
}
# Joint centres that a segment of the trunk carries: where they are at zero, on the right (tables/joints.csv)
_CARRIED = {
    "HIP": ("pelvis", (-0.056276, -0.07849, 0.07726)),
    "SHOULDER": ("torso", (-0.097545, 0.4530, 0.1700)),
}
# Where a marker is looked at from: the segment before its own
_SEEN_FROM = {
    "pelvis": "pelvis", "lumbar": "pelvis", "torso": "pelvis", "head": "torso", "femur": "pelvis", "tibia": "femur",
    "calcn": "tibia", "toes": "calcn", "humerus": "torso", "ulna": "humerus", "radius": "humerus", "hand": "forearm",
}  # fmt: skip
_ENOUGH = 3  # points fix a frame
_POINTS = (*MARKER_NAMES, *(side + name for side, name in product("RL", (*_BETWEEN, *_CARRIED))))


def _members() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Every segment, parents first: the one before it, and its points."""
    groups: dict[str, tuple[str, tuple[str, ...]]] = {}
    for name in _MIDDLE:
        groups[name] = (_BEFORE[name], tuple(m.name for m in MARKERS if m.segment == name))
    for side in "rl":
        for name, (before, sites) in _SIDED.items():
            parent = before if before in _MIDDLE else f"{before}_{side}"
            groups[f"{name}_{side}"] = (parent, tuple(side.upper() + site for site in sites.split()))
    return groups


_GROUPS = _members()
SEGMENTS = tuple(_GROUPS)
BEFORE = tuple(SEGMENTS.index(before) for before, _ in _GROUPS.values())


def membership() -> Tensor:
    """(G, P): 1 where a point (a marker, one between markers, a carried centre) shows a segment."""
    weights = torch.zeros(len(SEGMENTS), len(_POINTS))
    for row, (_, names) in enumerate(_GROUPS.values()):
        weights[row, [_POINTS.index(name) for name in names]] = 1.0
    return weights


def point_sums() -> Tensor:
    """(P, M): the points as sums of markers; nothing for the carried centres."""
    sums = torch.zeros(len(_POINTS), len(MARKER_NAMES))
    sums[: len(MARKER_NAMES)] = torch.eye(len(MARKER_NAMES))
    for side, (name, parts) in product("RL", _BETWEEN.items()):
        for marker, share in parts.items():
            sums[_POINTS.index(side + name), MARKER_NAMES.index(side + marker)] = share
    return sums


def carried(name: str) -> Tensor:
    """(2, 3) m: a joint centre of the trunk at zero, right and left."""
    _, (x, y, z) = _CARRIED[name]
    return torch.tensor([(x, y, z), (x, y, -z)])


def viewpoints() -> Tensor:
    """(M): the segment from which a marker is looked at."""
    found = []
    for marker in MARKERS:
        body, _, side = marker.segment.partition("_")
        before = _SEEN_FROM[body]
        found.append(SEGMENTS.index(before if before in _MIDDLE else f"{before}_{side}"))
    return torch.tensor(found)


def segment_frames(
    markers: Tensor, seen: Tensor, template: Tensor, members: Tensor, sums: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Rotation (C, T, G, 3, 3), place (C, T, G, 3), and whether (C, T, G) the segment's own markers show it.

    markers: (C, T, M, 3), finite also where not `seen` (C, T, M). template: (M, 3). members: `membership()`.
    sums: `point_sums()`.

    A segment with fewer than three seen points moves with the one before it. A pelvis with fewer takes its frame of
    the nearest moment that shows enough, moved with the centre of all markers; in a clip without any it is upright,
    facing along x.
    """
    flags = seen.to(markers.dtype)
    middle = (flags[..., None] * markers).sum(2, keepdim=True) / flags.sum(2)[..., None, None].clamp(min=1.0)
    points = sums @ (markers - middle)  # small numbers: what follows cancels
    known = ((1.0 - flags) @ sums.abs().T < 1e-3).to(flags.dtype)  # a point is known if all its markers are
    template = sums @ template
    trunk = len(_MIDDLE)
    upper = _fitted(points, known, template, members[:trunk])
    if not bool(upper.shown.all()):
        _fill_pelvis(upper)
        _follow(upper, range(1, trunk))
    points, template = _with_centres(points, template, upper)
    limbs = _fitted(points, known, template, members[trunk:])
    frames = _Frames(*(torch.cat(both, 2) for both in zip(upper, limbs, strict=True)))
    if not bool(frames.shown.all()):
        _follow(frames, range(trunk, len(SEGMENTS)))
    return frames.rotation, frames.place + middle, frames.shown


class _Frames(NamedTuple):
    """rotation (C, T, G, 3, 3), place (C, T, G, 3), shown (C, T, G). `size` (C, T, G, 1): how large the points lie
    against the template's, about `centre` (C, T, G, 3) in the template."""

    rotation: Tensor
    place: Tensor
    shown: Tensor
    size: Tensor
    centre: Tensor


def _fitted(points: Tensor, known: Tensor, template: Tensor, members: Tensor) -> _Frames:
    weights = members * known[:, :, None]  # (C, T, G, P)
    count = weights.sum(-1, keepdim=True)
    some = count.clamp(min=1.0)
    there, own = weights @ points / some, weights @ template / some
    products = (points[..., :, None] * template[:, None]).flatten(-2)  # (C, T, P, 9)
    spread = (weights @ products).unflatten(-1, (3, 3)) - some[..., None] * there[..., None] * own[
        ..., None, :
    ]
    rotation = so3_torch.nearest(spread)
    place = there - (rotation @ own[..., None])[..., 0]
    wide = weights @ points.square().sum(-1, keepdim=True) / some - there.square().sum(-1, keepdim=True)
    typical = weights @ template.square().sum(-1, keepdim=True) / some - own.square().sum(-1, keepdim=True)
    size = (wide.clamp(min=0.0) / typical.clamp(min=1e-6)).sqrt()
    return _Frames(rotation, place, count[..., 0] >= _ENOUGH, size, own)


def _with_centres(points: Tensor, template: Tensor, trunk: _Frames) -> tuple[Tensor, Tensor]:
    """Put the joint centres that the trunk carries, as large as it is, into the points."""
    points, template = points.clone(), template.clone()
    for name, (carrier, _) in _CARRIED.items():
        row = _MIDDLE.index(carrier)
        middle, size = trunk.centre[:, :, row], trunk.size[:, :, row]
        for side, centre in zip("RL", carried(name).to(template), strict=True):
            column = _POINTS.index(side + name)
            template[column] = centre
            inside = middle + size * (centre - middle)
            points[:, :, column] = (
                trunk.place[:, :, row] + (trunk.rotation[:, :, row] @ inside[..., None])[..., 0]
            )
    return points, template


def _follow(frames: _Frames, segments: Iterable[int]) -> None:
    """Let segments that are not shown move with the one before them, in place."""
    for segment in segments:
        hidden, before = ~frames.shown[:, :, segment], BEFORE[segment]
        for values in (frames.rotation, frames.place):
            values[:, :, segment][hidden] = values[:, :, before][hidden]


def _fill_pelvis(frames: _Frames) -> None:
    """Give the pelvis, relative to the markers' centre, the frame of the nearest moment that shows it, in place."""
    good = frames.shown[:, :, 0]
    moments = torch.arange(good.shape[1], device=good.device)
    far = (moments[:, None] - moments).abs() + len(moments) * (~good)[:, None]  # (C, T, T)
    nearest = far.argmin(-1)
    clips = torch.arange(len(good), device=good.device)[:, None]
    frames.rotation[:, :, 0][~good] = torch.eye(3, dtype=frames.rotation.dtype, device=good.device)
    frames.place[:, :, 0][~good] = 0.0
    frames.size[:, :, 0][~good] = 1.0
    frames.rotation[:, :, 0] = frames.rotation[:, :, 0][clips, nearest]
    frames.place[:, :, 0] = frames.place[:, :, 0][clips, nearest]
