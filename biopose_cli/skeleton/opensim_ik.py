"""OpenSim's inverse kinematics on virtual markers.

`solve` drives the engine of OpenSim's InverseKinematicsTool (`InverseKinematicsSolver`) in memory, like the tool: all
markers with equal weights, the tool's accuracy, each frame starting from the one before. So the tool itself, with its
default settings on the exported files, gives the same angles (`run_tool` does just that). It stops half a degree short
of the optimum on average, most where few markers observe a joint (toes, wrist), but users can repeat it.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biopose_cli.errors import SolverError
from biopose_cli.progress import Progress
from biopose_cli.skeleton.osim import load_model, opensim, silence_output, vec3
from biopose_cli.typing import Array

ACCURACY = 1e-5  # the InverseKinematicsTool's default
RESTART_RMS = 0.04  # m: a frame with a larger RMS marker distance is solved again from other poses
# Initial poses for a lost frame: standing is the model's default; degrees
_STARTS: tuple[dict[str, float], ...] = (
    {},
    {"hip_flexion_r": 80, "hip_flexion_l": 80, "knee_angle_r": 90, "knee_angle_l": 90},
    {"arm_flex_r": 90, "arm_flex_l": 90},
    {"arm_add_r": -90, "arm_add_l": -90},
    {"pelvis_tilt": -90},
    {"pelvis_tilt": 90},
)
# Coordinates that these poses leave unchanged: the person's position and heading
_KEPT_COORDINATES = ("pelvis_tx", "pelvis_ty", "pelvis_tz", "pelvis_rotation")


@dataclass(frozen=True)
class OpenSimIKSolution:
    """Solution: `q` (T, D) rad and m, and the model's `markers` (T, M, 3) in ground, m."""

    q: Array
    markers: Array


def coordinate_names(model: Any) -> tuple[str, ...]:
    """All coordinates of the model in its own order, dependent ones included."""
    return tuple(coordinate.getName() for coordinate in model.getCoordinateSet())


def is_rotational(model: Any) -> Array:
    """(D) bool: coordinates that OpenSim treats as angles, in degrees in a `.mot`.

    Lengths are excluded, and the patella's coordinate too: its motion is "coupled" and stays in rad in every `.mot`.
    """
    angle = opensim.Coordinate.Rotational
    return np.array([coordinate.getMotionType() == angle for coordinate in model.getCoordinateSet()])


def solve(
    model: Any,
    names: tuple[str, ...],
    markers: Array,
    time: Array,
    progress: Progress,
    start: Array | None = None,
) -> OpenSimIKSolution:
    """Inverse kinematics of one uninterrupted run of frames.

    model: `opensim.Model` that carries the markers `names`.
    markers: (T, M, 3) m, ground, NaN where a marker was not seen. time: (T) s, strictly increasing.
    start: (D) the pose to start from, rad and m; None: the model's default pose.

    Raises
    ------
    SolverError
        OpenSim could not assemble the model on the markers.
    """
    state = model.initSystem()
    coordinates = [model.getCoordinateSet().get(name) for name in coordinate_names(model)]
    if start is not None:
        _set_pose(model, state, dict(zip(coordinate_names(model), start, strict=True)))
    try:
        reference = opensim.MarkersReference(_marker_table(names, markers, time), opensim.SetMarkerWeights(), _meters())
        solver = opensim.InverseKinematicsSolver(model, reference, opensim.SimTKArrayCoordinateReference())
        solver.setAccuracy(ACCURACY)
        marker_order: list[int] = []  # of the solver's markers; available only after assembly
        q = np.empty((len(time), len(coordinates)))
        model_markers = np.empty_like(markers, dtype=float)
        limit = RESTART_RMS
        for frame, timestamp in enumerate(time):
            state.setTime(float(timestamp))
            if frame == 0:
                solver.assemble(state)
                marker_order = [
                    names.index(solver.getMarkerNameForIndex(i)) for i in range(solver.getNumMarkersInUse())
                ]
            else:
                solver.track(state)
            model_markers[frame, marker_order] = _locations(solver, len(marker_order))
            if _rms(model_markers[frame], markers[frame]) > limit:
                model_markers[frame, marker_order] = _solve_from_starts(
                    model, solver, state, marker_order, markers[frame]
                )
                limit = max(
                    RESTART_RMS, 1.5 * _rms(model_markers[frame], markers[frame])
                )  # no better pose: do not ask again
            q[frame] = [coordinate.getValue(state) for coordinate in coordinates]
            progress.advance()
    except RuntimeError as error:
        raise SolverError(f"OpenSim's inverse kinematics failed: {str(error).splitlines()[0]}") from error
    return OpenSimIKSolution(q, model_markers)


def run_tool(trc: Path, osim: Path) -> tuple[Array, tuple[str, ...], Array]:
    """OpenSim's own InverseKinematicsTool with default settings on a saved `.trc` and `.osim`, as a user runs
    it.

    Returns time (T) s, coordinate names (D) and q (T, D) in rad and m.

    Raises
    ------
    ModelFileError, SolverError
    """
    model = load_model(osim)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "ik.mot"
        tool = opensim.InverseKinematicsTool()
        tool.setModel(model)
        tool.setMarkerDataFileName(str(trc))
        tool.setStartTime(-np.inf)
        tool.setEndTime(np.inf)
        tool.setOutputMotionFileName(str(out))
        tool.setResultsDir(folder)
        tool.set_report_errors(False)
        try:
            with silence_output():
                tool.run()
            table = opensim.TimeSeriesTable(str(out))
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise SolverError(f"OpenSim's InverseKinematicsTool failed on {trc}: {reason}") from error
        columns = list(table.getColumnLabels())
        names = coordinate_names(model)
        values = table.getMatrix().to_numpy()[:, [columns.index(name) for name in names]]
        time = np.array(table.getIndependentColumn())
    angles = is_rotational(model)
    values[:, angles] = np.radians(values[:, angles])
    return time, names, values


def _meters() -> Any:
    return opensim.Units(opensim.Units.Meters)


def _marker_table(names: tuple[str, ...], markers: Array, time: Array) -> Any:
    table = opensim.TimeSeriesTableVec3()
    table.setColumnLabels(list(names))
    row = opensim.RowVectorVec3(len(names))
    for now, points in zip(time, markers, strict=True):
        for column, point in enumerate(points):
            row[column] = vec3(point)
        table.appendRow(float(now), row)
    rate = (len(time) - 1) / (time[-1] - time[0]) if len(time) > 1 else 1.0
    table.addTableMetaDataString("DataRate", f"{rate:.6f}")
    table.addTableMetaDataString("Units", "m")
    return table


def _locations(solver: Any, count: int) -> Array:
    locations = opensim.SimTKArrayVec3()
    solver.computeCurrentMarkerLocations(locations)
    return np.array([[locations.getElt(i).get(axis) for axis in range(3)] for i in range(count)])


def _rms(model_markers: Array, markers: Array) -> float:
    return float(np.sqrt(np.nanmean(np.sum((model_markers - markers) ** 2, axis=-1))))


def _solve_from_starts(model: Any, solver: Any, state: Any, marker_order: list[int], target: Array) -> Array:
    """Solve one frame again from the poses in `_STARTS` and from where it is; leave the state at the best."""
    coordinates = model.getCoordinateSet()
    values = {name: coordinates.get(name).getValue(state) for name in coordinate_names(model)}
    poses = [values]
    for start in _STARTS:
        pose = {name: 0.0 for name in values if name not in _KEPT_COORDINATES}
        poses.append(values | pose | {name: np.radians(angle) for name, angle in start.items() if name in values})
    best: tuple[float, dict[str, float]] = (np.inf, values)
    for pose in poses:
        rms, _ = _assemble_from(model, solver, state, marker_order, target, pose)
        if rms < best[0]:
            best = rms, {name: coordinates.get(name).getValue(state) for name in values}
    return _assemble_from(model, solver, state, marker_order, target, best[1])[1]


def _assemble_from(
    model: Any, solver: Any, state: Any, marker_order: list[int], target: Array, pose: dict[str, float]
) -> tuple[float, Array]:
    _set_pose(model, state, pose)
    solver.assemble(state)
    model_markers = _locations(solver, len(marker_order))
    return _rms(model_markers, target[marker_order]), model_markers


def _set_pose(model: Any, state: Any, pose: dict[str, float]) -> None:
    for name, value in pose.items():
        coordinate = model.getCoordinateSet().get(name)
        if not coordinate.getLocked(state):
            coordinate.setValue(state, float(value), False)
