"""A user's own model, scaled to the clip's body and driven by the same markers; its muscles and names are kept.

The model is measured by its joint centres and scaled so that they coincide with the default skeleton's (so a model that
is already scaled to the subject keeps its size). It is then placed in the static trial like the default skeleton, all
coordinates at zero, hips aligned, and every marker is fixed to the body of its segment.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from biopose_cli.body.markers import MARKERS
from biopose_cli.errors import ModelFileError
from biopose_cli.skeleton.osim import load_model, opensim, transform_to_matrix, vec3_to_array
from biopose_cli.skeleton.scaling import (
    PALMS_IN,
    Factors,
    Points,
    ScaledModel,
    apply_scale,
    attach_markers,
    body_transforms,
)
from biopose_cli.skeleton.static_trial import StaticTrial
from biopose_cli.typing import Array

# Names of segments in the common models, lower case; {s} is the side
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
# Body that carries a segment's markers if the model lacks the segment; none: the markers are dropped
_FALLBACK_BODY = {
    "lumbar": None,
    "head": "torso",
    "toes": "calcn",
    "ulna": "radius",
    "radius": "ulna",
    "hand": "radius",
}
_JOINT_SEGMENT = {  # joint centre: the segment whose inboard joint it is
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
_PARENT_LIMB = {"tibia": "femur", "talus": "tibia", "ulna": "humerus"}  # by the first of a limb's segments

_MAX_UPRIGHT = 0.7  # vertical component of an axis: rotation about an axis with less tips the person over


def scale_custom_model(path: Path, default: ScaledModel, static_trial: StaticTrial) -> ScaledModel:
    """The model in `path` fitted to the body that the default skeleton was fitted to, with the same mass.

    Raises
    ------
    ModelFileError
        The file is not an OpenSim model, or has no body for the pelvis, the trunk, or a thigh, shank or foot.
    """
    model = load_model(path)
    bodies = segment_bodies(model, path)
    _free_root(model)
    segment_body = {"".join(key): name for key, name in bodies.items()}
    target_centers = _joint_centers(default.model, default.pose, _default_bodies(default.model))
    factors = _scale_factors(model, _joint_centers(model, PALMS_IN, bodies), target_centers, bodies)
    apply_scale(model, factors, default.mass)
    pose = {name: value for name, value in default.pose.items() if not name.startswith("pelvis_t")}
    model_centers = _joint_centers(model, pose, bodies)
    shift = (target_centers["hip_r"] + target_centers["hip_l"] - model_centers["hip_r"] - model_centers["hip_l"]) / 2
    marker_positions = static_trial.markers - shift  # the model stays at its origin, the body is moved to it
    segments = {marker.name: segment_body[marker.segment] for marker in MARKERS if marker.segment in segment_body}
    names = attach_markers(model, pose, marker_positions, segments)
    misfit = {
        name: float(np.linalg.norm(model_centers[name] + shift - target_centers[name]))
        for name in model_centers
        if name in target_centers
    }
    return ScaledModel(model, names, factors, pose, default.mass, misfit)


def segment_bodies(model: Any, path: Path) -> dict[tuple[str, str], str]:
    """The model's body per segment and side ("_r", "_l" or ""), as far as it has one.

    Raises
    ------
    ModelFileError
    """
    names = {body.getName().lower(): body.getName() for body in model.getBodySet()}
    bodies: dict[tuple[str, str], str] = {}
    for segment, aliases in _ALIASES.items():
        for side in _sides(aliases):
            match = [names[alias.format(s=side)] for alias in aliases if alias.format(s=side) in names]
            if match:
                bodies[segment, f"_{side}" if side else ""] = match[0]
    missing = [
        segment + (f"_{side}" if side else "")
        for segment in _REQUIRED
        for side in _sides(_ALIASES[segment])
        if (segment, f"_{side}" if side else "") not in bodies
    ]
    if missing:
        raise ModelFileError(
            f"the model {path} has no body for {', '.join(missing)}",
            f"It has {', '.join(sorted(names.values()))}. Name them as OpenSim's Rajagopal or gait2392 models do",
        )
    for segment, fallback in _FALLBACK_BODY.items():
        for side in _sides(_ALIASES[segment]):
            key = (segment, f"_{side}" if side else "")
            fallback_body = None if fallback is None else bodies.get((fallback, key[1])) or bodies.get((fallback, ""))
            if key not in bodies and fallback_body is not None:
                bodies[key] = fallback_body
    return bodies


def _free_root(model: Any) -> None:
    """Unlock the range of the root joint: its ranges are not anatomical.

    The middle one of three rotations has the range -90 to 90 degrees, as in the default skeleton. That reaches every
    orientation; beyond it, each would have a second set of angles (`euler_branches.py`). The heading is excepted, since
    people turn around.
    """
    for joint in model.getJointSet():
        if joint.getParentFrame().findBaseFrame().getName() != "ground":
            continue
        middle_axis = _middle_axis(joint)
        for index in range(joint.numCoordinates()):
            coordinate = joint.upd_coordinates(index)
            coordinate.setDefaultClamped(coordinate.getName() == middle_axis)
            if coordinate.getName() == middle_axis:
                coordinate.setRangeMin(-np.pi / 2)
                coordinate.setRangeMax(np.pi / 2)


def _middle_axis(joint: Any) -> str | None:
    """The second coordinate of a joint with three perpendicular axes, each with its own coordinate, if it tips over."""
    upright = transform_to_matrix(joint.getParentFrame().findTransformInBaseFrame())[1, :3]
    if joint.getConcreteClassName() in {"FreeJoint", "BallJoint", "GimbalJoint"}:
        return str(joint.get_coordinates(1).getName()) if abs(upright[1]) < _MAX_UPRIGHT else None
    custom = opensim.CustomJoint.safeDownCast(joint)
    if custom is None:
        return None
    rotations = [custom.getSpatialTransform().getTransformAxis(i) for i in range(3)]
    names = [rotation.getCoordinateNames() for rotation in rotations]
    axes = np.stack([vec3_to_array(rotation.getAxis()) for rotation in rotations])
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    functions = [opensim.LinearFunction.safeDownCast(rotation.getFunction()) for rotation in rotations]
    direct = all(
        function and (abs(function.getSlope()), function.getIntercept()) == (1.0, 0.0) for function in functions
    )
    distinct = len({name.getValue(0) for name in names if name.size() == 1}) == 3
    orthogonal = np.allclose(axes @ axes.T, np.eye(3), atol=1e-6)
    tips = abs(upright @ axes[1]) < _MAX_UPRIGHT
    return str(names[1].getValue(0)) if direct and distinct and orthogonal and tips else None


def _sides(aliases: tuple[str, ...]) -> tuple[str, ...]:
    return ("r", "l") if "{s}" in aliases[0] else ("",)


def _default_bodies(model: Any) -> dict[tuple[str, str], str]:
    return segment_bodies(model, Path("the default skeleton"))


def _joint_centers(model: Any, pose: dict[str, float], bodies: dict[tuple[str, str], str]) -> Points:
    """Positions of the limbs' inboard joints in a pose, ground, m: the joint's frame on the child body."""
    transforms = body_transforms(model, pose)
    inboard = {joint.getChildFrame().findBaseFrame().getName(): joint for joint in model.getJointSet()}
    points: Points = {}
    for name, segment in _JOINT_SEGMENT.items():
        for side in ("_r", "_l"):
            body = bodies.get((segment, side))
            fallback = bodies.get((_FALLBACK_BODY.get(segment) or "", side))
            if body is None or body == fallback or body not in inboard:
                continue
            joint_frame = inboard[body].getChildFrame()
            transform = joint_frame.findTransformInBaseFrame()
            offset = transform.p()
            local = np.array([offset.get(0), offset.get(1), offset.get(2)])
            points[name + side] = transforms[body][:3, :3] @ local + transforms[body][:3, 3]
    return points


def _scale_factors(
    model: Any, model_centers: Points, target_centers: Points, bodies: dict[tuple[str, str], str]
) -> Factors:
    """Factors (3) per body of the user's model.

    Factors that its joints do not determine are taken from the nearest ones they do: factors of another model would
    change the size of one that is already scaled.
    """

    def ratio(*path: str, axis: int | None = None) -> float | None:
        """Ratio of the length along joint centres, both sides together; along one axis if given."""
        sides = [path] if path[0][-2:] in {"_r", "_l"} else [[name + s for name in path] for s in ("_r", "_l")]
        lengths = []
        for points in (target_centers, model_centers):
            if not all(name in points for side in sides for name in side):
                return None
            steps = [points[b] - points[a] for side in sides for a, b in pairwise(side)]
            lengths.append(sum(np.linalg.norm(step) if axis is None else abs(step[axis]) for step in steps))
        return float(lengths[0] / lengths[1])

    leg_ratio = ratio("hip", "knee", "ankle") or ratio("hip", "knee") or 1.0
    hip_ratio = ratio("hip_r", "hip_l") or leg_ratio
    trunk_ratio = ratio("hip", "shoulder", axis=1) or leg_ratio
    shoulder_ratio = ratio("shoulder_r", "shoulder_l") or hip_ratio
    chest = np.array([shoulder_ratio, trunk_ratio, shoulder_ratio])
    measured: dict[str, Array] = {
        bodies["pelvis", ""]: np.array([hip_ratio, trunk_ratio, hip_ratio]),
        bodies["torso", ""]: chest,
    }
    for segment in ("lumbar", "head"):
        if (segment, "") in bodies:
            measured.setdefault(bodies[segment, ""], chest)
    limbs: dict[str, float] = {}
    for segments, (start, end) in _LIMBS.items():
        first = segments[0]
        limbs[first] = ratio(start, end) or limbs.get(_PARENT_LIMB.get(first, ""), trunk_ratio)
        for segment in segments:
            for side in ("_r", "_l"):
                body = bodies.get((segment, side))
                if body is not None and body not in measured:
                    measured[body] = np.full(3, limbs[first])
    return _propagate_factors(model, measured)


def _propagate_factors(model: Any, measured: Factors) -> Factors:
    """Give every other body (patella, vertebrae, scapula) the factor of its parent."""
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
