"""What is read from a model, and which models are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from biopose_cli.errors import ModelFileError
from biopose_cli.skeleton.build import build_model, coordinate_rows
from biopose_cli.skeleton.extract import GROUND, extract_model
from biopose_cli.skeleton.osim import opensim, vec3
from tests.helpers.handmade_models import chain, couple, curved, hang, spatial_transform, spline


def test_the_default_skeleton_is_read_whole() -> None:
    model, rows = build_model(), coordinate_rows()
    table = extract_model(model)
    assert table.coordinates == tuple(row["coordinate"] for row in rows)
    np.testing.assert_allclose(table.ranges[:, 0], [float(row["min"]) for row in rows], atol=1e-9)
    assert sorted(table.bodies) == sorted(body.getName() for body in model.getBodySet())
    followers = [row["coordinate"] for row in rows if row["follows"]]
    assert [table.coordinates[c.dependent] for c in table.couplers] == followers
    lengths = [name for name, angle in zip(table.coordinates, table.is_angle, strict=True) if not angle]
    assert lengths == ["pelvis_tx", "pelvis_ty", "pelvis_tz"]


def test_parents_come_before_their_children() -> None:
    """Also where the file names a child's joint first."""
    model = opensim.Model()
    bodies = [opensim.Body(name, 1.0, vec3([0, 0, 0]), opensim.Inertia(1, 1, 1)) for name in "abc"]
    for body in bodies:
        model.addBody(body)
    for parent, child in ((1, 2), (0, 1)):
        model.addJoint(opensim.PinJoint(f"pin{child}", bodies[parent], bodies[child]))
    model.addJoint(opensim.PinJoint("pin0", model.getGround(), bodies[0]))
    model.finalizeConnections()
    table = extract_model(model)
    assert table.bodies == ("a", "b", "c")
    assert table.parents == (GROUND, 0, 1)
    assert table.joint_of.tolist() == [table.bodies.index({"pin2": "c", "pin1": "b", "pin0": "a"}[n.split("_")[0]])
                                       for n in table.coordinates]  # fmt: skip
    assert table.ancestors.tolist() == [[True, True, True], [False, True, True], [False, False, True]]


def test_locked_and_unclamped_coordinates_are_told_apart() -> None:
    model = chain("PinJoint", "PinJoint")
    first, second = model.updCoordinateSet().get(0), model.updCoordinateSet().get(1)
    first.set_locked(True)
    first.set_default_value(0.3)
    second.set_clamped(True)
    table = extract_model(model)
    assert table.locked.tolist() == [True, False]
    assert table.clamped.tolist() == [bool(first.getDefaultClamped()), True]
    assert table.defaults[0] == pytest.approx(0.3)


def test_couplers_stand_in_the_order_of_their_chain() -> None:
    table = extract_model(curved())
    assert [table.coordinates[coupler.dependent] for coupler in table.couplers] == ["c1", "c2"]


def test_couplers_that_are_off_are_left_out() -> None:
    model = curved()
    model.updConstraintSet().get(0).set_isEnforced(False)
    assert _dependents(model) == ["c1"]


def _tied() -> Any:
    model = chain("PinJoint", "PinJoint", "PinJoint")
    first, last = (model.getBodySet().get(name) for name in ("body0", "body2"))
    tie = opensim.ConstantDistanceConstraint(first, vec3([0, 0, 0]), last, vec3([0, 0, 0]), 0.1)
    tie.setName("string")
    model.addConstraint(tie)
    model.finalizeConnections()
    return model


def test_a_constraint_that_is_off_hinders_nothing() -> None:
    model = _tied()
    model.updConstraintSet().get(0).set_isEnforced(False)
    assert _dependents(model) == []


def _dependents(model: Any) -> list[str]:
    table = extract_model(model)
    return [table.coordinates[coupler.dependent] for coupler in table.couplers]


def _loop() -> Any:
    model = chain("PinJoint", "PinJoint")
    bodies = model.getBodySet()
    model.addJoint(opensim.PinJoint("back", bodies.get(1), bodies.get(0)))
    model.finalizeConnections()
    return model


def _ellipsoid() -> Any:
    return chain("PinJoint", "EllipsoidJoint")


def _two_leaders() -> Any:
    model = chain("PinJoint", "PinJoint", "PinJoint")
    couple(model, "body2_q0", "body0_q0 body1_q0", opensim.LinearFunction(1.0, 0.0))
    model.finalizeConnections()
    return model


def _circle() -> Any:
    model = chain("PinJoint", "PinJoint")
    couple(model, "body0_q0", "body1_q0", opensim.LinearFunction(1.0, 0.0))
    couple(model, "body1_q0", "body0_q0", opensim.LinearFunction(1.0, 0.0))
    model.finalizeConnections()
    return model


def _odd_function() -> Any:
    model = opensim.Model()
    functions = {0: ("q", opensim.Sine(1.0, 1.0, 0.0)), 3: ("q", spline())}
    hang(
        model, "body", None, "CustomJoint", np.random.default_rng(0),
        spatial_transform(functions, np.eye(3)[[0, 1, 2, 0, 1, 2]]),
    )  # fmt: skip
    model.finalizeConnections()
    return model


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_loop, "two joints|loop"),
        (_ellipsoid, "EllipsoidJoint"),
        (_two_leaders, "several others"),
        (_circle, "circle"),
        (_odd_function, "Sine"),
        (_tied, "string is a ConstantDistanceConstraint.*--ik opensim"),
    ],
)
def test_a_model_that_cannot_be_read_is_named(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(ModelFileError, match=said):
        extract_model(make())
