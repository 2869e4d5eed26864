"""Any OpenSim model as flat arrays for its kinematics, read once through OpenSim's API.

A joint moves its child body by `X = P [R1 R2 R3 | sum t_i a_i] C^-1`: P and C are the joint's frames on the
parent and the child body, R_i the rotation about the i-th rotation axis, t_i the displacement along the i-th
translation axis a_i; each is a function of one coordinate (or constant). That covers OpenSim's Custom, Pin,
Slider, Universal, Gimbal, Ball, Planar, Free and Weld joints with Constant, LinearFunction, SimmSpline,
PolynomialFunction and MultiplierFunction. Of the constraints it covers CoordinateCouplerConstraint. J bodies
(each with its inboard joint), D coordinates, M markers; m and rad.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from biopose_cli.errors import ModelFileError
from biopose_cli.skeleton.osim import opensim, transform_to_matrix, vec3_to_array
from biopose_cli.typing import Array

GROUND = -1
_X, _Y, _Z = np.eye(3)
# Rotation and translation axes of OpenSim's fixed joint types, in the order of their coordinates
_FIXED_JOINT_AXES: dict[str, tuple[tuple[Array, ...], tuple[Array, ...]]] = {
    "WeldJoint": ((), ()),
    "PinJoint": ((_Z,), ()),
    "SliderJoint": ((), (_X,)),
    "UniversalJoint": ((_X, _Y), ()),
    "GimbalJoint": ((_X, _Y, _Z), ()),
    "BallJoint": ((_X, _Y, _Z), ()),
    "PlanarJoint": ((_Z,), (_X, _Y)),
    "FreeJoint": ((_X, _Y, _Z), (_X, _Y, _Z)),
}


@dataclass(frozen=True, eq=False)
class Function:
    """A function of one coordinate, multiplied by `factor`.

    `coefficients`: of a polynomial, highest power first (a constant has one, a linear function two).
    `knots` (K, 3), for a spline instead: abscissa, value, slope; cubic between the knots, linear outside.
    """

    coordinate: int = -1  # -1: none, the function is constant
    coefficients: tuple[float, ...] = (0.0,)
    knots: Array | None = None
    factor: float = 1.0


@dataclass(frozen=True, eq=False)
class Coupler:
    """Coordinate `dependent` is `function` of another one."""

    dependent: int
    function: Function


@dataclass(frozen=True, eq=False)
class ModelSpec:
    """An OpenSim model as arrays. Bodies are in the order of the tree: parents come first."""

    bodies: tuple[str, ...]
    parents: tuple[int, ...]  # (J) index of the parent body, -1 for ground
    parent_frames: Array  # (J, 4, 4) P: parent body from joint frame
    child_frames: Array  # (J, 4, 4) C: child body from joint frame
    # (J, 6, 3), in the joint's frame: three rotation axes, of unit length; then three translation axes, of which the
    # length does not affect the displacement, but OpenSim's `Model.scale` multiplies by it
    axes: Array
    functions: tuple[tuple[Function, ...], ...]  # (J)(6)
    coordinates: tuple[str, ...]  # in the model's own order
    ranges: Array  # (D, 2)
    clamped: Array  # (D) bool: the range is kept
    locked: Array  # (D) bool: stays at its default
    defaults: Array  # (D)
    is_angle: Array  # (D) bool: rad, otherwise m
    couplers: tuple[Coupler, ...]  # in the order in which they can be evaluated
    markers: tuple[str, ...]
    marker_bodies: Array  # (M) int
    marker_locations: Array  # (M, 3) in the body's frame

    @property
    def joint_of(self) -> Array:
        """(D) int: the body that a coordinate moves."""
        owner = np.full(len(self.coordinates), -1)
        for joint, functions in enumerate(self.functions):
            for function in functions:
                if function.coordinate >= 0:
                    owner[function.coordinate] = joint
        return owner

    @property
    def ancestors(self) -> Array:
        """(J, J) bool: [a, b] is True if b is a or a descendant of a."""
        is_ancestor = np.eye(len(self.bodies), dtype=bool)
        for body, parent in enumerate(self.parents):
            if parent != GROUND:
                is_ancestor[:, body] |= is_ancestor[:, parent]
        return is_ancestor


def extract_model(model: Any) -> ModelSpec:
    """Arrays of a model (an `opensim.Model` that is connected).

    Raises
    ------
    ModelFileError
        It has an unsupported joint, function or enforced constraint, or bodies that form a loop.
    """
    model.initSystem()
    coordinates = tuple(c.getName() for c in model.getCoordinateSet())
    index = {name: i for i, name in enumerate(coordinates)}
    joints = list(_in_tree_order(model))
    bodies = tuple(_child(joint) for joint in joints)
    body_index = {name: i for i, name in enumerate(bodies)} | {"ground": GROUND}
    axes, functions = zip(*(_axes(joint, index) for joint in joints), strict=True)
    markers = list(model.getMarkerSet())
    return ModelSpec(
        bodies=bodies,
        parents=tuple(body_index[_parent(joint)] for joint in joints),
        parent_frames=np.stack([transform_to_matrix(j.getParentFrame().findTransformInBaseFrame()) for j in joints]),
        child_frames=np.stack([transform_to_matrix(j.getChildFrame().findTransformInBaseFrame()) for j in joints]),
        axes=np.stack(axes),
        functions=functions,
        coordinates=coordinates,
        ranges=np.array([(c.getRangeMin(), c.getRangeMax()) for c in model.getCoordinateSet()]).reshape(-1, 2),
        clamped=np.array([c.getDefaultClamped() for c in model.getCoordinateSet()], bool),
        locked=np.array([c.getDefaultLocked() for c in model.getCoordinateSet()], bool),
        defaults=np.array([c.getDefaultValue() for c in model.getCoordinateSet()], float),
        is_angle=np.array([_is_angle(c) for c in model.getCoordinateSet()], bool),
        couplers=_couplers(model, index),
        markers=tuple(marker.getName() for marker in markers),
        marker_bodies=np.array([body_index[_base(marker.getParentFrame())] for marker in markers], int),
        marker_locations=np.array([_marker_location(marker) for marker in markers]).reshape(-1, 3),
    )


def _base(frame: Any) -> str:
    return str(frame.findBaseFrame().getName())


def _child(joint: Any) -> str:
    return _base(joint.getChildFrame())


def _parent(joint: Any) -> str:
    return _base(joint.getParentFrame())


def _in_tree_order(model: Any) -> Iterator[Any]:
    pending = list(model.getJointSet())
    attached = {"ground"}
    while pending:
        ready = [joint for joint in pending if _parent(joint) in attached and _child(joint) not in attached]
        if not ready:
            names = ", ".join(joint.getName() for joint in pending)
            raise ModelFileError(f"the model's bodies form a loop or are not connected, at the joints {names}")
        for joint in ready:
            if _child(joint) in attached:
                raise ModelFileError(f"the model moves the body {_child(joint)} by two joints")
            attached.add(_child(joint))
            yield joint
        pending = [joint for joint in pending if joint not in ready]


def _axes(joint: Any, index: dict[str, int]) -> tuple[Array, tuple[Function, ...]]:
    """(6, 3) axes and the functions along them."""
    kind = joint.getConcreteClassName()
    if kind == "CustomJoint":
        return _spatial_transform(opensim.CustomJoint.safeDownCast(joint), index)
    if kind not in _FIXED_JOINT_AXES:
        raise ModelFileError(
            f"the joint {joint.getName()} is a {kind}",
            f"Supported: CustomJoint, {', '.join(_FIXED_JOINT_AXES)}",
        )
    axes, functions = np.tile(_X, (6, 1)), [Function()] * 6
    names = [joint.get_coordinates(i).getName() for i in range(joint.numCoordinates())]
    rotations, translations = _FIXED_JOINT_AXES[kind]
    slots = [*range(len(rotations)), *(3 + i for i in range(len(translations)))]
    for slot, axis, name in zip(slots, (*rotations, *translations), names, strict=True):
        axes[slot], functions[slot] = axis, Function(index[name], (1.0, 0.0))
    return axes, tuple(functions)


def _spatial_transform(joint: Any, index: dict[str, int]) -> tuple[Array, tuple[Function, ...]]:
    transform = joint.getSpatialTransform()
    axes, functions = np.empty((6, 3)), []
    for i in range(6):
        axis = transform.getTransformAxis(i)
        names = axis.getCoordinateNames()
        if names.size() > 1:
            raise ModelFileError(f"an axis of the joint {joint.getName()} depends on several coordinates")
        coordinate = index[names.getValue(0)] if names.size() else -1
        direction = vec3_to_array(axis.getAxis())
        axes[i] = direction / np.linalg.norm(direction) if i < 3 else direction
        functions.append(_function(axis.getFunction(), coordinate, joint.getName()))
    return axes, tuple(functions)


def _function(function: Any, coordinate: int, owner: str) -> Function:
    kind = function.getConcreteClassName()
    cast = getattr(opensim, kind).safeDownCast(function)
    if kind == "Constant":
        return Function(-1, (cast.getValue(),))
    if kind == "LinearFunction":
        return Function(coordinate, (cast.getSlope(), cast.getIntercept()))
    if kind == "PolynomialFunction":
        coefficients = cast.getCoefficients()
        return Function(coordinate, tuple(coefficients.get(i) for i in range(coefficients.size())))
    if kind == "MultiplierFunction":
        inner = _function(cast.getFunction(), coordinate, owner)
        return Function(inner.coordinate, inner.coefficients, inner.knots, inner.factor * cast.getScale())
    if kind == "SimmSpline":
        return Function(coordinate, knots=_knots(cast))
    raise ModelFileError(
        f"{owner} uses a {kind}",
        "Supported: Constant, LinearFunction, PolynomialFunction, SimmSpline, MultiplierFunction",
    )


def _knots(spline: Any) -> Array:
    derivative_order = opensim.StdVectorInt()
    derivative_order.append(0)
    rows = []
    for i in range(spline.getNumberOfPoints()):
        x = spline.getX(i)
        rows.append((x, spline.getY(i), spline.calcDerivative(derivative_order, opensim.Vector(1, x))))
    return np.array(rows)


def _couplers(model: Any, index: dict[str, int]) -> tuple[Coupler, ...]:
    pending = []
    for constraint in model.getConstraintSet():
        if not constraint.get_isEnforced():
            continue
        coupler = opensim.CoordinateCouplerConstraint.safeDownCast(constraint)
        if coupler is None:
            raise ModelFileError(
                f"the model's constraint {constraint.getName()} is a {constraint.getConcreteClassName()}, and only "
                "coordinate couplers can be kept",
                "Call with --ik opensim, which keeps it, or set its isEnforced to false",
            )
        names = coupler.getIndependentCoordinateNames()
        if names.getSize() != 1:
            raise ModelFileError(f"the coupler {constraint.getName()} makes a coordinate depend on several others")
        function = _function(coupler.getFunction(), index[names.get(0)], constraint.getName())
        pending.append(Coupler(index[coupler.getDependentCoordinateName()], function))
    ordered: list[Coupler] = []
    while pending:  # a coupler may depend on another one
        waiting = {coupler.dependent for coupler in pending}
        ready = [coupler for coupler in pending if coupler.function.coordinate not in waiting]
        if not ready:
            raise ModelFileError("the model's coordinate couplers depend on each other in a circle")
        ordered += ready
        pending = [coupler for coupler in pending if coupler not in ready]
    return tuple(ordered)


def _is_angle(coordinate: Any) -> bool:
    """Coupled motions (a patella's) count as angles: only pure translations are lengths."""
    return bool(coordinate.getMotionType() != opensim.Coordinate.Translational)


def _marker_location(marker: Any) -> Array:
    frame = transform_to_matrix(marker.getParentFrame().findTransformInBaseFrame())
    return np.asarray(frame[:3, :3] @ vec3_to_array(marker.get_location()) + frame[:3, 3])
