"""Fit the skeleton to a clip's body: scale factors from landmark distances, then the marker positions.

As in a lab with a static trial and OpenSim's ScaleTool: the body stands like the skeleton at zero coordinates
(`static_trial.py`), each rigid body is scaled by distances between landmarks found on both, equally left and right, and
every virtual marker is fixed to its bone at its position in that pose. So the neutral standing pose is zero by
construction.

One exception: `lumbar_extension` takes the small angle that aligns the skeleton's shoulders with the body's, so that
the trunk keeps Rajagopal's meaning (the line from L5/S1 to the shoulders). The forearms are at `pro_sup` 90 degrees,
palms to the thighs; Rajagopal's zero is full supination.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from biopose_cli.body.markers import MARKERS
from biopose_cli.body.model import Body
from biopose_cli.skeleton.build import body_rows, build_model, landmark_rows
from biopose_cli.skeleton.osim import opensim, transform_to_matrix, vec3, vec3_to_array
from biopose_cli.skeleton.static_trial import StaticTrial, pose_static
from biopose_cli.typing import Array

Points = dict[str, Array]
Factors = dict[str, Array]
PALMS_IN = {"pro_sup_r": np.pi / 2, "pro_sup_l": np.pi / 2}
# kg/m2, of adults in the world (men 24.2, women 24.4: NCD Risk Factor Collaboration, Lancet 387, 2016)
MEAN_BMI = 24.3
_JOINT_BODY = {"hip": "femur", "shoulder": "humerus"}  # joint centres: the origin of a body
_MIDPOINTS = {
    "knee": ("knee_lateral", "knee_medial"),
    "ankle": ("ankle_lateral", "ankle_medial"),
    "elbow": ("elbow_lateral", "elbow_medial"),
    "wrist": ("wrist_radial", "wrist_ulnar"),
    "ball": ("ball_medial", "ball_lateral"),
}
_LANDMARK_MARKERS = {"asis": "ASI", "psis": "PSI", "heel": "CAL", "ball_medial": "MT1", "ball_lateral": "MT5"}


@dataclass(frozen=True)
class ScaledModel:
    """A scaled model that carries the markers.

    `markers`: the names it carries, in the order of `MARKERS`. `factors`: (3) per body. `pose`: its
    coordinates (rad, m) in the static trial. `misfit`: distance between skeleton and body there per joint
    centre, m.
    """

    model: Any
    markers: tuple[str, ...]
    factors: Factors
    pose: dict[str, float]
    mass: float
    misfit: dict[str, float]


def scale_model(body: Body, betas: Array, mass: float | None = None) -> tuple[ScaledModel, StaticTrial]:
    """The default skeleton fitted to the body of shape `betas` (10), and the body's static trial.

    mass: kg; None: `estimate_mass`.
    """
    model = build_model()
    _add_landmarks(model)
    generic = skeleton_points(model, PALMS_IN)
    static_trial = pose_static(body, betas, _limb_directions(generic))
    target = body_points(static_trial)
    factors = scale_factors(generic, target)
    if mass is None:
        mass = estimate_mass(float(body.stature(torch.as_tensor(betas, dtype=torch.float32))))
    apply_scale(model, factors, mass)
    pose = PALMS_IN | {"lumbar_extension": _trunk_angle(skeleton_points(model, PALMS_IN), target)}
    static_trial = pose_static(
        body, betas, _limb_directions(skeleton_points(model, pose))
    )  # the arms hang from that trunk
    target = body_points(static_trial)
    pose |= _aligned_pose(skeleton_points(model, pose), target)
    points = skeleton_points(model, pose)
    misfit = {name: float(np.linalg.norm(points[name] - target[name])) for name in static_trial.joint_centers}
    names = attach_markers(model, pose, static_trial.markers, {marker.name: marker.segment for marker in MARKERS})
    return ScaledModel(model, names, factors, pose, mass, misfit), static_trial


def model_from_factors(
    factors: Factors, marker_locations: Array, mass: float, carried: Collection[str] | None = None
) -> ScaledModel:
    """The default skeleton with given factors (3) per body and markers at `marker_locations` (M, 3) on its unscaled
    bones, m.

    carried: the names of the markers that it gets; None: all.
    """
    model = build_model()
    apply_scale(model, factors, mass)
    names = []
    for marker, location in zip(MARKERS, marker_locations, strict=True):
        if carried is not None and marker.name not in carried:
            continue
        body = model.getBodySet().get(marker.segment)
        model.addMarker(opensim.Marker(marker.name, body, vec3(location * factors[marker.segment])))
        names.append(marker.name)
    model.finalizeConnections()
    return ScaledModel(model, tuple(names), factors, {}, mass, {})


def unscaled_model(marker_locations: Array) -> ScaledModel:
    """The default skeleton as it is in the tables, with markers at `marker_locations` (M, 3) on its bones, m."""
    rows = body_rows()
    factors = {row["body"]: np.ones(3) for row in rows}
    return model_from_factors(factors, marker_locations, sum(float(row["mass_kg"]) for row in rows))


def estimate_mass(stature: float) -> float:
    """Body mass in kg of someone `stature` m tall with the mean body-mass index.

    The fitted body's volume is no better: keypoints determine a body's lengths, not its girth.
    """
    return MEAN_BMI * stature**2


def skeleton_points(model: Any, pose: dict[str, float]) -> Points:
    """Joint centres and landmarks (the model's markers) (3) of the default skeleton in a pose, ground, m.

    Where the skin shows a joint (knee, ankle, elbow, wrist), its centre is the midpoint of the two landmarks, on the
    skeleton as on the body: a few mm from the skeleton's joint.
    """
    transforms = body_transforms(model, pose)
    points = {
        f"{joint}_{side}": transforms[f"{bone}_{side}"][:3, 3] for joint, bone in _JOINT_BODY.items() for side in "rl"
    }
    points["back"] = transforms["lumbar"][:3, 3]
    for marker in model.getMarkerSet():
        transform = transforms[marker.getParentFrame().findBaseFrame().getName()]
        points[marker.getName()] = transform[:3, :3] @ vec3_to_array(marker.get_location()) + transform[:3, 3]
    return points | _midpoints(points)


def body_points(static_trial: StaticTrial) -> Points:
    """The same points on the body."""
    points = {
        f"{name}_{side}": static_trial.marker(f"{side.upper()}{site}")
        for name, site in _LANDMARK_MARKERS.items()
        for side in "rl"
    }
    points |= {
        "c7": static_trial.marker("C7"),
        "clavicle": static_trial.marker("CLAV"),
        "vertex": static_trial.marker("HTOP"),
    }
    return points | static_trial.joint_centers | {f"ball_{side}": _midpoints(points)[f"ball_{side}"] for side in "rl"}


def scale_factors(skeleton: Points, body: Points) -> Factors:
    """(3) per rigid body: the ratio of a length on the body to that on the skeleton.

    Limbs: one factor along the bone for all axes. Trunk: upwards by the height of the shoulders over the
    hips, sideways by the width of hips and shoulders, forwards by the depth between ASIS and PSIS, and
    between C7 and the suprasternal notch.
    """

    def ratio(start: str, end: str, axis: int | None = None) -> float:
        """Ratio of the distance between two points, mean of both sides; along one axis if given."""

        def length(points: Points) -> float:
            sides = [(start, end)] if start in points else [(f"{start}_{s}", f"{end}_{s}") for s in "rl"]
            vectors = [points[b] - points[a] for a, b in sides]
            return float(np.mean([np.linalg.norm(d) if axis is None else abs(d[axis]) for d in vectors]))

        return length(body) / length(skeleton)

    up = ratio("hip", "shoulder", axis=1)
    chest = np.array([ratio("c7", "clavicle"), up, ratio("shoulder_r", "shoulder_l")])
    factors: Factors = {
        "pelvis": np.array([ratio("asis", "psis", axis=0), up, ratio("hip_r", "hip_l")]),
        "lumbar": chest,
        "torso": chest,
        "head": np.full(3, ratio("c7", "vertex")),
    }
    limbs = {
        ("femur", "patella"): ratio("hip", "knee"),
        ("tibia",): ratio("knee", "ankle"),
        ("talus", "calcn", "toes"): ratio("heel", "ball"),
        ("humerus",): ratio("shoulder", "elbow"),
        ("ulna", "radius", "hand"): ratio("elbow", "wrist"),
    }
    for bones, factor in limbs.items():
        factors |= {f"{bone}_{side}": np.full(3, factor) for bone in bones for side in "rl"}
    return factors


def apply_scale(model: Any, factors: Factors, mass: float) -> None:
    """Scale the model in place by OpenSim's `Model.scale`, to a total mass in kg with the generic distribution."""
    scales = opensim.ScaleSet()
    for name, factor in factors.items():
        scale = opensim.Scale()
        scale.setSegmentName(name)
        scale.setScaleFactors(vec3(factor))
        scale.setApply(True)
        scales.cloneAndAppend(scale)
    model.scale(model.initSystem(), scales, True, float(mass))


def attach_markers(model: Any, pose: dict[str, float], positions: Array, segments: dict[str, str]) -> tuple[str, ...]:
    """Replace the model's markers by those named in `segments` (marker -> body), fixed where they lie in
    `pose`.

    positions: (M, 3) m, ground, in the order of `MARKERS`. Returns the names, in that order.
    """
    model.updMarkerSet().clearAndDestroy()
    transforms = body_transforms(model, pose)
    names: list[str] = []
    for marker, position in zip(MARKERS, positions, strict=True):
        if marker.name not in segments:
            continue
        transform = transforms[segments[marker.name]]
        local = transform[:3, :3].T @ (position - transform[:3, 3])
        model.addMarker(opensim.Marker(marker.name, model.getBodySet().get(segments[marker.name]), vec3(local)))
        names.append(marker.name)
    model.finalizeConnections()
    return tuple(names)


def body_transforms(model: Any, pose: dict[str, float]) -> dict[str, Array]:
    """(4, 4) ground from body, per body, with the coordinates in `pose` (rad, m) and all others at zero.

    Coordinates that the model locks keep their locked value; couplers are respected.
    """
    state = model.initSystem()
    for coordinate in model.getCoordinateSet():
        if not coordinate.getLocked(state):
            coordinate.setValue(state, pose.get(coordinate.getName(), 0.0), False)
    model.assemble(state)
    model.realizePosition(state)
    return {body.getName(): transform_to_matrix(body.getTransformInGround(state)) for body in model.getBodySet()}


def _add_landmarks(model: Any) -> None:
    """Add the landmarks to the generic model as markers, so that they are scaled with it."""
    for row in landmark_rows():
        location = vec3([float(row[key]) for key in ("x_m", "y_m", "z_m")])
        model.addMarker(opensim.Marker(row["landmark"], model.getBodySet().get(row["body"]), location))
    model.finalizeConnections()


def _limb_directions(points: Points) -> dict[str, Array]:
    limbs = {"hip": "knee", "knee": "ankle", "shoulder": "elbow", "elbow": "wrist"}
    vectors = {
        f"{start}_{s}": points[f"{end}_{s}"] - points[f"{start}_{s}"] for start, end in limbs.items() for s in "rl"
    }
    return {name: vector / np.linalg.norm(vector) for name, vector in vectors.items()}


def _midpoints(points: Points) -> Points:
    return {
        f"{name}_{side}": (points[f"{first}_{side}"] + points[f"{second}_{side}"]) / 2
        for name, (first, second) in _MIDPOINTS.items()
        for side in "rl"
        if f"{first}_{side}" in points
    }


def _trunk_angle(skeleton: Points, body: Points) -> float:
    """Rotation about z (rad) that aligns the skeleton's shoulders over L5/S1 with the body's."""

    def shoulders(points: Points, base: Array) -> float:
        offset = (points["shoulder_r"] + points["shoulder_l"]) / 2 - base
        return float(np.arctan2(offset[1], offset[0]))

    def hips(points: Points) -> Array:
        return np.asarray((points["hip_r"] + points["hip_l"]) / 2)

    base = skeleton["back"]
    return shoulders(body, base - hips(skeleton) + hips(body)) - shoulders(skeleton, base)


def _aligned_pose(skeleton: Points, body: Points) -> dict[str, float]:
    shift = ((body["hip_r"] + body["hip_l"]) - (skeleton["hip_r"] + skeleton["hip_l"])) / 2
    return {f"pelvis_t{axis}": float(value) for axis, value in zip("xyz", shift, strict=True)}
