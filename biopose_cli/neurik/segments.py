"""The segments' frames as their markers show them: what the network's input is relative to.

Seen from the segment before it, a segment's posture looks the same wherever the person stands, whichever way they
face and however the joints in between are bent, so the network need not learn that. What the markers say is a first
guess only; the network corrects it. A frame is the best fit (Kabsch) of the *template*, all markers of a typical
person in the zero pose, to the seen markers: x = rotation @ template + place, so at zero all frames are the pelvis'.
C clips, T frames, M markers, G segments; m; rotations are ground from template.
"""

from __future__ import annotations

import torch
from torch import Tensor

from biopose_cli.body.markers import MARKER_NAMES, MARKERS
from biopose_cli.neurik.pelvis import nearest_rotation

# Segment: the one before it, and the points that show it. ELBOW is half way between its two markers, on the axis
# of the joint, so that the forearm's frame does not lean to the upper arm's
_SIDED = {
    "femur": ("pelvis", "TH1 TH2 LFC MFC"),
    "tibia": ("femur", "TB1 TB2 LMAL MMAL"),
    "calcn": ("tibia", "CAL MT1 MT5 MID"),
    "humerus": ("torso", "UA1 UA2 LEL MEL"),
    "forearm": ("humerus", "ELBOW RAD ULN"),
    "hand": ("forearm", "MCP2 MCP5 FIN"),
}
_MIDDLE = ("pelvis", "torso", "head")
_BEFORE = {"pelvis": "pelvis", "torso": "pelvis", "head": "torso"}
# Where a marker is looked at from: the segment before its own
_SEEN_FROM = {
    "pelvis": "pelvis", "lumbar": "pelvis", "torso": "pelvis", "head": "torso", "femur": "pelvis", "tibia": "femur",
    "calcn": "tibia", "toes": "calcn", "humerus": "torso", "ulna": "humerus", "radius": "humerus", "hand": "forearm",
}  # fmt: skip
_ENOUGH = 3  # points fix a frame
_MIDDLES = {"RELBOW": ("RLEL", "RMEL"), "LELBOW": ("LLEL", "LMEL")}
_POINTS = (*MARKER_NAMES, *_MIDDLES)


def _members() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Every segment, parents first: the one before it, and its markers."""
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
    """(G, P): 1 where a point (the markers, then the elbows' middles) shows a segment."""
    weights = torch.zeros(len(SEGMENTS), len(_POINTS))
    for row, (_, names) in enumerate(_GROUPS.values()):
        weights[row, [_POINTS.index(name) for name in names]] = 1.0
    return weights


def _with_middles(values: Tensor, dim: int) -> Tensor:
    """Append the means of the elbows' markers along an axis of the markers."""
    pairs = torch.tensor([[MARKER_NAMES.index(n) for n in names] for names in _MIDDLES.values()]).T
    ends = [values.index_select(dim, one.to(values.device)) for one in pairs]
    return torch.cat([values, (ends[0] + ends[1]) / 2], dim=dim)


def viewpoints() -> Tensor:
    """(M): the segment from which a marker is looked at."""
    found = []
    for marker in MARKERS:
        body, _, side = marker.segment.partition("_")
        before = _SEEN_FROM[body]
        found.append(SEGMENTS.index(before if before in _MIDDLE else f"{before}_{side}"))
    return torch.tensor(found)


def segment_frames(
    markers: Tensor, seen: Tensor, template: Tensor, members: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Rotation (C, T, G, 3, 3), place (C, T, G, 3), and whether (C, T, G) the segment's own markers show it.

    markers: (C, T, M, 3), finite also where not `seen` (C, T, M). template: (M, 3). members: `membership()`.

    A segment with fewer than three seen markers moves with the one before it. A pelvis with fewer takes its frame of
    the nearest moment that shows enough, moved with the centre of all markers; in a clip without any it is upright,
    facing along x.
    """
    known = _with_middles(seen.to(markers.dtype), 2).floor()  # a middle is known if both ends are
    weights = members * known[:, :, None]  # (C, T, G, P)
    count = weights.sum(-1, keepdim=True)
    some = count.clamp(min=1.0)
    flags = seen[..., None].to(markers.dtype)
    middle = (flags * markers).sum(2, keepdim=True) / flags.sum(2, keepdim=True).clamp(min=1.0)
    points = _with_middles(markers - middle, 2)  # small numbers: the sums below cancel
    template = _with_middles(template, 0)
    centre, own = weights @ points / some, weights @ template / some
    products = (points[..., :, None] * template[:, None]).flatten(-2)  # (C, T, M, 9)
    spread = (weights @ products).unflatten(-1, (3, 3)) - some[..., None] * centre[..., None] * own[
        ..., None, :
    ]
    rotation = nearest_rotation(spread)
    place = centre - (rotation @ own[..., None])[..., 0]
    shown = count[..., 0] >= _ENOUGH
    rotations, places = [*rotation.unbind(2)], [*place.unbind(2)]
    if not bool(shown.all()):
        rotations[0], places[0] = _filled(rotations[0], places[0], shown[:, :, 0])
        for segment, before in enumerate(BEFORE[1:], start=1):
            known = shown[:, :, segment, None]
            places[segment] = torch.where(known, places[segment], places[before])
            rotations[segment] = torch.where(known[..., None], rotations[segment], rotations[before])
    return torch.stack(rotations, 2), torch.stack(places, 2) + middle, shown


def _filled(rotation: Tensor, place: Tensor, good: Tensor) -> tuple[Tensor, Tensor]:
    """The pelvis' frames (C, T, ...), relative to the markers' centre; of the nearest moment where it is not shown."""
    frames = torch.arange(good.shape[1], device=good.device)
    far = (frames[:, None] - frames).abs() + len(frames) * (~good)[:, None]  # (C, T, T)
    nearest = far.argmin(-1)
    clips = torch.arange(len(good), device=good.device)[:, None]
    upright = torch.eye(3, dtype=rotation.dtype, device=rotation.device)
    rotation = torch.where(good[..., None, None], rotation, upright)
    place = torch.where(good[..., None], place, 0.0)
    return rotation[clips, nearest], place[clips, nearest]
