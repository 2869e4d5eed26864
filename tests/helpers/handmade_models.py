"""Tiny OpenSim models with one of everything, and what OpenSim itself says of a model's poses."""

from __future__ import annotations

from typing import Any

import numpy as np

from biopose_cli.skeleton.extract import ModelSpec
from biopose_cli.skeleton.osim import opensim, transform_to_matrix, vec3, vec3_to_array
from biopose_cli.typing import Array

JOINTS = (
    "WeldJoint",
    "PinJoint",
    "SliderJoint",
    "UniversalJoint",
    "GimbalJoint",
    "BallJoint",
    "PlanarJoint",
    "FreeJoint",
)
_COORDINATES = {
    "WeldJoint": 0,
    "UniversalJoint": 2,
    "GimbalJoint": 3,
    "BallJoint": 3,
    "PlanarJoint": 3,
    "FreeJoint": 6,
}


def chain(*joints: str) -> Any:
    """A model whose bodies hang one on the other by joints of these kinds, frames and markers placed at random."""
    generator = np.random.default_rng(3)
    model, parent = opensim.Model(), None
    for number, kind in enumerate(joints):
        parent = hang(model, f"body{number}", parent, kind, generator)
    model.finalizeConnections()
    return model


def hang(
    model: Any,
    name: str,
    parent: Any,
    kind: str,
    generator: np.random.Generator,
    transform: Any = None,
) -> Any:
    """Add the body `name` to the model on `parent` (None: ground), with two markers; returns the body."""
    body = opensim.Body(name, 1.0, vec3([0, 0, 0]), opensim.Inertia(0.1, 0.1, 0.1))
    model.addBody(body)

    def place() -> Any:
        return vec3(generator.uniform(-0.4, 0.4, 3))

    ends = [parent or model.getGround(), place(), place(), body, place(), place()]
    extra = {"EllipsoidJoint": [vec3([0.1, 0.1, 0.1])], "CustomJoint": [transform]}.get(kind, [])
    joint = getattr(opensim, kind)(f"{name}_joint", *ends, *extra)
    if kind != "CustomJoint":
        for index in range(_COORDINATES.get(kind, 1)):
            joint.upd_coordinates(index).setName(f"{name}_q{index}")
    model.addJoint(joint)
    for marker in "ab":
        model.addMarker(opensim.Marker(f"{name}_{marker}", body, place()))
    return body


def spatial_transform(functions: dict[int, tuple[str, Any]], axes: Array) -> Any:
    """Axis -> (coordinate's name, function); the other axes stay at zero. axes: (6, 3)."""
    transform = opensim.SpatialTransform()
    for slot in range(6):
        axis = transform.updTransformAxis(slot)
        axis.setAxis(vec3(axes[slot]))
        if slot in functions:
            name, function = functions[slot]
            names = opensim.ArrayStr()
            names.append(name)
            axis.setCoordinateNames(names)
            axis.set_function(function)
        else:
            axis.set_function(opensim.Constant(0.0))
    return transform


def curved() -> Any:
    """Custom joints with every kind of function along skewed axes, and couplers that follow couplers."""
    generator = np.random.default_rng(5)
    model, parent = opensim.Model(), None
    for number in range(3):
        axes = generator.normal(size=(6, 3))
        own = f"c{number}"
        functions = {
            0: (own, opensim.LinearFunction(1.0, 0.0)),
            1: (
                own,
                opensim.PolynomialFunction(opensim.Vector.createFromMat(np.array([0.2, -0.3, 0.5, 0.1]))),
            ),
            3: (own, spline()),
            4: (own, multiplied(spline(), -0.4)),
            5: (f"slide{number}", opensim.LinearFunction(1.0, 0.0)),
        }
        parent = hang(
            model, f"body{number}", parent, "CustomJoint", generator, spatial_transform(functions, axes)
        )
    couple(model, "c2", "c1", spline())
    couple(model, "c1", "c0", opensim.LinearFunction(-0.7, 0.2))
    model.finalizeConnections()
    return model


def spline() -> Any:
    """Knots from -1 to 1.2 rad: poses outside them see the straight ends."""
    function = opensim.SimmSpline()
    for x, y in ((-1.0, 0.3), (-0.3, -0.1), (0.2, 0.25), (0.9, 0.2), (1.2, -0.4)):
        function.addPoint(x, y)
    return function


def multiplied(function: Any, factor: float) -> Any:
    function.thisown = False  # the multiplier takes it over
    return opensim.MultiplierFunction(function, factor)


def couple(model: Any, dependent: str, leader: str, function: Any) -> None:
    coupler = opensim.CoordinateCouplerConstraint()
    coupler.setName(f"{dependent}_follows")
    leaders = opensim.ArrayStr()
    for name in leader.split():
        leaders.append(name)
    coupler.setIndependentCoordinateNames(leaders)
    coupler.setDependentCoordinateName(dependent)
    function.thisown = False  # the coupler takes it over
    coupler.setFunction(function)
    model.addConstraint(coupler)


def random_poses(table: ModelSpec, count: int, generator: np.random.Generator, widest: float = 2.5) -> Array:
    """(count, D) inside the ranges and `widest`; locked coordinates at their value."""
    q = generator.uniform(
        np.maximum(table.ranges[:, 0], -widest),
        np.minimum(table.ranges[:, 1], widest),
        (count, len(table.ranges)),
    )
    q[:, table.locked] = table.defaults[table.locked]
    return q


def opensims(model: Any, table: ModelSpec, q: Array) -> tuple[Array, Array, Array]:
    """OpenSim's body frames (B, J, 4, 4), markers (B, M, 3) and joint centres (B, J, 3), in the table's order."""
    state = model.initSystem()
    bodies = [model.getBodySet().get(name) for name in table.bodies]
    children = {j.getChildFrame().findBaseFrame().getName(): j.getChildFrame() for j in model.getJointSet()}
    frames, markers, centres = [], [], []
    for pose in q:
        for coordinate, value in zip(model.getCoordinateSet(), pose, strict=True):
            if not coordinate.getLocked(state):
                coordinate.setValue(state, float(value), False)
        model.realizePosition(state)
        frames.append([transform_to_matrix(body.getTransformInGround(state)) for body in bodies])
        markers.append([vec3_to_array(marker.getLocationInGround(state)) for marker in model.getMarkerSet()])
        centres.append([vec3_to_array(children[name].getPositionInGround(state)) for name in table.bodies])
    return np.array(frames), np.array(markers).reshape(len(q), -1, 3), np.array(centres)
