"""The BSK: 24 rigid bodies built from the tables beside this file, with Rajagopal 2016's names, frames and conventions.

The tables hold the middle line and the right side, one source per row; the left side is their mirror image (z
is the subject's right). Lengths in m, angles in rad, masses in kg. Bodies: pelvis, lumbar, torso, head, and
per side femur, patella, tibia, talus, calcn, toes, humerus, ulna, radius, hand.

Differences from Rajagopal 2016 (doi 10.1109/TBME.2016.2586891): its torso is three bodies here, lumbar, torso
and head (lumbar and torso move as one, so every angle keeps its meaning; the head has a neck); subtalar, mtp
and head (lumbar and torso are rigidly connected, so angles keep their meaning; the head has a neck); subtalar, mtp
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from biopose_cli.io.atomic import atomic_write
from biopose_cli.skeleton.osim import opensim, vec3

Row = dict[str, str]
MODEL_NAME = "BioPose"
AXIS_NAMES = ("rotation1", "rotation2", "rotation3", "translation1", "translation2", "translation3")
_UNIT = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def build_model() -> Any:
    """The generic skeleton as an `opensim.Model`, without markers and muscles, ready for `initSystem`."""
    model = opensim.Model()
    model.setName(MODEL_NAME)
    model.set_credits("BioPose's 24-body skeleton; facts from Rajagopal et al. 2016 and the sources in its tables")
    model.set_gravity(vec3((0.0, -9.80665, 0.0)))
    for row in body_rows():
        model.addBody(_body(row))
    for row in joint_rows():
        model.addJoint(_joint(model, row))
    model.finalizeFromProperties()
    for row in coordinate_rows():
        _set_range(model.updCoordinateSet().get(row["coordinate"]), row)
        if row["follows"]:
            model.addConstraint(_coupler(row))
    model.finalizeConnections()
    return model


def write_model(path: Path) -> None:
    """Write the generic skeleton as an `.osim` file.

    Raises
    ------
    DiskFullError, OutputError
    """
    with atomic_write(path) as temporary:
        build_model().printToXML(str(temporary))


def body_rows() -> list[Row]:
    """One row per body, both sides."""
    return list(_both_sides("bodies", "body", flip=("com_z_m",)))


def joint_rows() -> list[Row]:
    """One row per joint, both sides: parent and child body, and the joint's frame in each (x y z, body-fixed XYZ)."""
    flip = ("parent_z_m", "child_z_m", "parent_rx_rad", "parent_ry_rad", "child_rx_rad", "child_ry_rad")
    return list(_both_sides("joints", "joint", flip))


def coordinate_rows() -> list[Row]:
    """One row per coordinate, both sides; `follows` names the coordinate that a coupled one copies."""
    return list(_both_sides("coordinates", "coordinate"))


def landmark_rows() -> list[Row]:
    """One row per bony landmark of the generic skeleton, both sides, in the frame of its body."""
    return list(_both_sides("landmarks", "landmark", flip=("z_m",)))


def axis_rows(joint: str) -> dict[str, Row]:
    """The moving axes of a joint by name (`rotation1` ... `translation3`), in the joint's frame.

    A mirrored rotation is about the negative mirrored axis, a mirrored translation along the mirrored axis.
    """
    mirrored = joint.endswith("_l")
    rows = {row["axis"]: row for row in _read_csv("axes") if row["joint"] == (joint[:-2] + "_r" if mirrored else joint)}
    if not mirrored:
        return rows
    flips = {name: ("x", "y") if name.startswith("rotation") else ("z",) for name in rows}
    return {name: _mirror(row, flips[name]) for name, row in rows.items()}


def spline_points(function: str) -> tuple[list[float], list[float]]:
    """The knots of a function in the tables: abscissae (rad) and values (rad or m)."""
    rows = [row for row in _read_csv("splines") if row["function"] == function]
    return [float(row["x"]) for row in rows], [float(row["y"]) for row in rows]


@cache
def _read_csv(name: str) -> tuple[Row, ...]:
    text = resources.files("biopose_cli.skeleton").joinpath(f"tables/{name}.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


def _both_sides(table: str, key: str, flip: tuple[str, ...] = ()) -> Iterator[Row]:
    """The rows of a table, every run of right-side rows followed by its mirror image."""
    right_rows: list[Row] = []
    for row in _read_csv(table):
        if not _is_right_side(row[key]):
            yield from (_mirror(right, flip) for right in right_rows)
            right_rows = []
        else:
            right_rows.append(row)
        yield row
    yield from (_mirror(right, flip) for right in right_rows)


def _is_right_side(name: str) -> bool:
    return name.endswith("_r") or "_r_" in name


def _mirror(row: Row, flip: tuple[str, ...]) -> Row:
    def mirrored(key: str, value: str) -> str:
        if key in flip:
            return f"{-float(value):.12g}"
        if key == "mesh":
            return value.replace("r_", "l_") if value.startswith("r_") else value.replace("_rv", "_lv")
        return value[:-2] + "_l" if value.endswith("_r") else value.replace("_r_beta", "_l_beta")

    return {key: value if key == "source" else mirrored(key, value) for key, value in row.items()}


def _vec3_of(row: Row, *keys: str) -> Any:
    return vec3([float(row[key]) for key in keys])


def _body(row: Row) -> Any:
    moments = [float(row[key]) for key in ("ixx_kgm2", "iyy_kgm2", "izz_kgm2")]
    center_of_mass = _vec3_of(row, "com_x_m", "com_y_m", "com_z_m")
    body = opensim.Body(row["body"], float(row["mass_kg"]), center_of_mass, opensim.Inertia(*moments, 0.0, 0.0, 0.0))
    for number, mesh in enumerate(_both_sides("geometry", "body", ("z_m",))):
        if mesh["body"] == row["body"]:
            _attach_mesh(body, mesh, number)
    return body


def _attach_mesh(body: Any, row: Row, number: int) -> None:
    """Show a bone mesh of OpenSim's standard geometry folder on the body, shifted if the row has an offset."""
    mesh = opensim.Mesh(row["mesh"])
    scale = float(row["scale"])
    mesh.set_scale_factors(vec3((scale, scale, scale)))
    if float(row["x_m"]) == float(row["y_m"]) == float(row["z_m"]) == 0.0:
        body.attachGeometry(mesh)
        return
    offset = opensim.Transform(_vec3_of(row, "x_m", "y_m", "z_m"))
    frame = opensim.PhysicalOffsetFrame(f"{row['body']}_geometry_{number}", body, offset)
    frame.attachGeometry(mesh)
    body.addComponent(frame)


def _joint(model: Any, row: Row) -> Any:
    def frame(side: str) -> tuple[Any, Any, Any]:
        name = row[side]
        body = model.getGround() if name == "ground" else model.getBodySet().get(name)
        translation = _vec3_of(row, *(f"{side}_{axis}_m" for axis in "xyz"))
        return body, translation, _vec3_of(row, *(f"{side}_r{axis}_rad" for axis in "xyz"))

    axes = axis_rows(row["joint"])
    if not axes:
        return opensim.WeldJoint(row["joint"], *frame("parent"), *frame("child"))
    return opensim.CustomJoint(row["joint"], *frame("parent"), *frame("child"), _spatial_transform(axes))


def _spatial_transform(axes: dict[str, Row]) -> Any:
    """OpenSim needs six axes, the three of a kind independent: those not in the table are constant."""
    transform = opensim.SpatialTransform()
    free = {
        kind: [unit for unit in _UNIT if not any(_parallel(unit, row) for row in axes.values() if kind in row["axis"])]
        for kind in ("rotation", "translation")
    }
    for index, name in enumerate(AXIS_NAMES):
        # the owner of each sub-object stays in a variable: chained temporaries crash the bindings
        axis = transform.updTransformAxis(index)
        if name not in axes:
            axis.setAxis(vec3(free[name[:-1]].pop(0)))
            axis.set_function(opensim.Constant(0.0))
            continue
        row = axes[name]
        axis.setAxis(_vec3_of(row, "x", "y", "z"))
        if row["coordinate"]:
            names = opensim.ArrayStr()
            names.append(row["coordinate"])
            axis.setCoordinateNames(names)
        function = _function(row["function"])
        axis.set_function(function)
    return transform


def _parallel(unit: tuple[float, float, float], row: Row) -> bool:
    dot = sum(a * float(row[key]) for a, key in zip(unit, "xyz", strict=True))
    return abs(dot) > 0.9


def _function(name: str) -> Any:
    if name == "linear":
        return opensim.LinearFunction(1.0, 0.0)
    x, y = spline_points(name)
    if not x:
        return opensim.Constant(float(name))
    spline = opensim.SimmSpline()
    for abscissa, value in zip(x, y, strict=True):
        spline.addPoint(abscissa, value)
    return spline


def _set_range(coordinate: Any, row: Row) -> None:
    coordinate.setRangeMin(float(row["min"]))
    coordinate.setRangeMax(float(row["max"]))
    coordinate.setDefaultValue(float(row["default"]))
    coordinate.setDefaultClamped(True)


def _coupler(row: Row) -> Any:
    constraint = opensim.CoordinateCouplerConstraint()
    constraint.setName(f"{row['joint'].rsplit('_', 1)[0]}_{row['follows']}_con")
    independent = opensim.ArrayStr()
    independent.append(row["follows"])
    constraint.setIndependentCoordinateNames(independent)
    constraint.setDependentCoordinateName(row["coordinate"])
    function = opensim.LinearFunction(1.0, 0.0)
    function._markAdopted()  # the constraint takes it over
    constraint.setFunction(function)
    return constraint
