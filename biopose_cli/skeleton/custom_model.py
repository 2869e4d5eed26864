"""A user's own model, scaled to the clip's body and driven by the same markers; its muscles and names stay.

The model is measured by its joint centres and scaled so that they lie where the default skeleton's lie (a
model that is already scaled to the subject so keeps its size). It is then set beside the default skeleton in
the static trial, all coordinates at zero, hips on hips, and every marker is fixed to the body that carries
that segment.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from biopose_cli.body.markers import MARKERS
from biopose_cli.errors import ModelFileError
from biopose_cli.skeleton.osim import array3, load_model, matrix, opensim
from biopose_cli.skeleton.scaling import (
    PALMS_IN,
    Calibrated,
    Factors,
    Points,
    apply_scale,
    attach_markers,
    body_frames,
)
from biopose_cli.skeleton.static_trial import Standing
from biopose_cli.typing import Array

# Names that a segment has in the common models, lower case; {s} is the side
_ALIASES: dict[str, tuple[str, ...]] = {
    "pelvis": ("pelvis",),
    "lumbar": ("lumbar", "lumbar5", "lumbar_5", "abdomen"),
    "torso": ("torso", "thorax", "trunk", "upperbody"),
    "head": ("head", "head_neck", "skull", "cerv1", "neck"),
    "femur": ("femur_{s}", "{s}_femur", "thigh_{s}", "{s}_thigh"),
    "tibia": ("tibia_{s}", "{s}_tibia", "shank_{s}", "{s}_shank"),
    "talus": ("talus_{s}", "{s}_talus"),
    "calcn": ("calcn_{s}", "{s}_calcn", "foot_{s}", "{s}_foot"),
    "toes": ("toes_{s}", "{s}_toes"),
    "humerus": ("humerus_{s}", "{s}_humerus", "upperarm_{s}"),
    "ulna": ("ulna_{s}", "{s}_ulna", "forearm_{s}"),
    "radius": ("radius_{s}", "{s}_radius"),
    "hand": ("hand_{s}", "{s}_hand"),
}
_REQUIRED = ("pelvis", "torso", "femur", "tibia", "calcn")
# Which body carries a segment's markers when the model has no such body; none: the markers are left out
_CARRIED_BY = {
    "lumbar": None,
    "head": "torso",
    "toes": "calcn",
    "ulna": "radius",
    "radius": "ulna",
    "hand": "radius",
}
_JOINTS = {  # joint centre: the segment whose inboard joint it is
    "hip": "femur",
    "knee": "tibia",
    "ankle": "talus",
    "toe": "toes",
    "shoulder": "humerus",
    "elbow": "ulna",
    "wrist": "hand",
}
_LIMBS = {  # segments scaled by the distance between two joint centres
    ("femur", "patella"): ("hip", "knee"),
    ("tibia",): ("knee", "ankle"),
    ("talus", "calcn", "toes"): ("ankle", "toe"),
    ("humerus",): ("shoulder", "elbow"),
    ("ulna", "radius", "hand"): ("elbow", "wrist"),
}
_LIMB_BEFORE = {"tibia": "femur", "talus": "tibia", "ulna": "humerus"}  # by the first of a limb's segments

_TIPS = 0.7  # vertical part of an axis: turning about one with less tips the person over


def calibrate(path: Path, default: Calibrated, standing: Standing) -> Calibrated:
    """The model in `path` fitted to the body that the default skeleton was fitted to, with the same mass.

    Raises
    ------
    ModelFileError
        The file is no OpenSim model, or has no body for the pelvis, the trunk, or a thigh, shank or foot.
    """
    model = load_model(path)
    bodies = segment_bodies(model, path)
    _free_root(model)
    own = {"".join(key): name for key, name in bodies.items()}
    target = _joint_centres(default.model, default.pose, _default_bodies(default.model))
    factors = _factors(model, _joint_centres(model, PALMS_IN, bodies), target, bodies)
    apply_scale(model, factors, default.mass)
    pose = {name: value for name, value in default.pose.items() if not name.startswith("pelvis_t")}
    found = _joint_centres(model, pose, bodies)
    shift = (target["hip_r"] + target["hip_l"] - found["hip_r"] - found["hip_l"]) / 2
    places = standing.markers - shift  # the model stays at its origin, the body comes to it
    segments = {marker.name: own[marker.segment] for marker in MARKERS if marker.segment in own}
    names = attach_markers(model, pose, places, segments)
    misfit = {
        name: float(np.linalg.norm(found[name] + shift - target[name])) for name in found if name in target
    }
    return Calibrated(model, names, factors, pose, default.mass, misfit)


def segment_bodies(model: Any, path: Path) -> dict[tuple[str, str], str]:
    """The model's body per segment and side ("_r", "_l" or ""), as far as it has one.

    Raises
    ------
    ModelFileError
    """
    names = {body.getName().lower(): body.getName() for body in model.getBodySet()}
    found: dict[tuple[str, str], str] = {}
    for segment, aliases in _ALIASES.items():
        for side in _sides(aliases):
            match = [names[alias.format(s=side)] for alias in aliases if alias.format(s=side) in names]
            if match:
                found[segment, f"_{side}" if side else ""] = match[0]
    missing = [
        segment + (f"_{side}" if side else "")
        for segment in _REQUIRED
        for side in _sides(_ALIASES[segment])
        if (segment, f"_{side}" if side else "") not in found
    ]
    if missing:
        raise ModelFileError(
            f"the model {path} has no body for {', '.join(missing)}",
            f"It has {', '.join(sorted(names.values()))}. Name them as OpenSim's Rajagopal or gait2392 models do",
        )
    for segment, carrier in _CARRIED_BY.items():
        for side in _sides(_ALIASES[segment]):
            key = (segment, f"_{side}" if side else "")
            by = None if carrier is None else found.get((carrier, key[1])) or found.get((carrier, ""))
            if key not in found and by is not None:
                found[key] = by
    return found


def _free_root(model: Any) -> None:
    """Let the person walk and turn as far as they do: the ranges of the joint to ground are no anatomy.

    The middle one of three turns goes from -90 to 90 degrees, as the default skeleton's: that reaches every attitude,
    and beyond it each would have a second name (`branches.py`). Not if it is the heading, which people turn round.
    """
    for joint in model.getJointSet():
        if joint.getParentFrame().findBaseFrame().getName() != "ground":
            continue
        middle = _middle_turn(joint)
        for index in range(joint.numCoordinates()):
            coordinate = joint.upd_coordinates(index)
            coordinate.setDefaultClamped(coordinate.getName() == middle)
            if coordinate.getName() == middle:
                coordinate.setRangeMin(-np.pi / 2)
                coordinate.setRangeMax(np.pi / 2)


def _middle_turn(joint: Any) -> str | None:
    """The second coordinate of a joint that turns about three perpendicular axes by themselves, if it tips over."""
    upright = matrix(joint.getParentFrame().findTransformInBaseFrame())[1, :3]
    if joint.getConcreteClassName() in {"FreeJoint", "BallJoint", "GimbalJoint"}:
        return str(joint.get_coordinates(1).getName()) if abs(upright[1]) < _TIPS else None
    custom = opensim.CustomJoint.safeDownCast(joint)
    if custom is None:
        return None
    turns = [custom.getSpatialTransform().getTransformAxis(i) for i in range(3)]
    names = [turn.getCoordinateNames() for turn in turns]
    axes = np.stack([array3(turn.getAxis()) for turn in turns])
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    lines = [opensim.LinearFunction.safeDownCast(turn.getFunction()) for turn in turns]
    plain = all(line and (abs(line.getSlope()), line.getIntercept()) == (1.0, 0.0) for line in lines)
    apart = len({name.getValue(0) for name in names if name.size() == 1}) == 3
    square = np.allclose(axes @ axes.T, np.eye(3), atol=1e-6)
    tips = abs(upright @ axes[1]) < _TIPS
    return str(names[1].getValue(0)) if plain and apart and square and tips else None


def _sides(aliases: tuple[str, ...]) -> tuple[str, ...]:
    return ("r", "l") if "{s}" in aliases[0] else ("",)


def _default_bodies(model: Any) -> dict[tuple[str, str], str]:
    return segment_bodies(model, Path("the default skeleton"))


def _joint_centres(model: Any, pose: dict[str, float], bodies: dict[tuple[str, str], str]) -> Points:
    """Where the inboard joints of the limbs turn in a pose, ground, m: the joint's frame on the outer body."""
    frames = body_frames(model, pose)
    inboard = {joint.getChildFrame().findBaseFrame().getName(): joint for joint in model.getJointSet()}
    points: Points = {}
    for name, segment in _JOINTS.items():
        for side in ("_r", "_l"):
            body = bodies.get((segment, side))
            carrier = bodies.get((_CARRIED_BY.get(segment) or "", side))
            if body is None or body == carrier or body not in inboard:
                continue
            frame = inboard[body].getChildFrame()
            transform = frame.findTransformInBaseFrame()
            offset = transform.p()
            local = np.array([offset.get(0), offset.get(1), offset.get(2)])
            points[name + side] = frames[body][:3, :3] @ local + frames[body][:3, 3]
    return points


def _factors(model: Any, own: Points, target: Points, bodies: dict[tuple[str, str], str]) -> Factors:
    """(3) per body of the user's model. What its joints do not show is taken from what they do show nearest by: another
    model's factors would change the size of one that is already scaled."""

    def ratio(*path: str, axis: int | None = None) -> float | None:
        """Of the way along joint centres, both sides together; along one axis if given."""
        sides = (
            [path] if path[0][-2:] in {"_r", "_l"} else [[name + s for name in path] for s in ("_r", "_l")]
        )
        lengths = []
        for points in (target, own):
            if not all(name in points for side in sides for name in side):
                return None
            steps = [points[b] - points[a] for side in sides for a, b in pairwise(side)]
            lengths.append(sum(np.linalg.norm(step) if axis is None else abs(step[axis]) for step in steps))
        return float(lengths[0] / lengths[1])

    legs = ratio("hip", "knee", "ankle") or ratio("hip", "knee") or 1.0
    across = ratio("hip_r", "hip_l") or legs
    up = ratio("hip", "shoulder", axis=1) or legs
    wide = ratio("shoulder_r", "shoulder_l") or across
    chest = np.array([wide, up, wide])
    measured: dict[str, Array] = {
        bodies["pelvis", ""]: np.array([across, up, across]),
        bodies["torso", ""]: chest,
    }
    for segment in ("lumbar", "head"):
        if (segment, "") in bodies:
            measured.setdefault(bodies[segment, ""], chest)
    limbs: dict[str, float] = {}
    for segments, (start, end) in _LIMBS.items():
        first = segments[0]
        limbs[first] = ratio(start, end) or limbs.get(_LIMB_BEFORE.get(first, ""), up)
        for segment in segments:
            for side in ("_r", "_l"):
                body = bodies.get((segment, side))
                if body is not None and body not in measured:
                    measured[body] = np.full(3, limbs[first])
    return _spread(model, measured)


def _spread(model: Any, measured: Factors) -> Factors:
    """Give every other body (patella, vertebrae, scapula) the factor of the body it hangs on."""
    factors = dict(measured)
    pending = {body.getName() for body in model.getBodySet()} - set(factors)
    links = [
        (joint.getParentFrame().findBaseFrame().getName(), joint.getChildFrame().findBaseFrame().getName())
        for joint in model.getJointSet()
    ]
    while pending:
        ready = {child: parent for parent, child in links if child in pending and parent in factors}
        if not ready:
            factors |= dict.fromkeys(pending, np.ones(3))
            break
        factors |= {child: factors[parent] for child, parent in ready.items()}
        pending -= set(ready)
    return factors
