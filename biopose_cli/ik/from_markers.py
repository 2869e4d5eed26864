"""Joint angles from measured markers: no body, no camera, only positions in OpenSim's ground frame.

NeurIK gives a start and the bones' scales; the markers sit where they do on a typical person. So the markers must lie
on the sites of `body/data/markers.csv`, and angles keep the difference of a person's skin from the typical one. Nothing
predicts how wrong the markers are, so there are no standard deviations.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np
import torch

from biopose_cli.body.markers import MARKER_NAMES, MARKERS
from biopose_cli.errors import PersonError, SettingError
from biopose_cli.ik.solver import Solver
from biopose_cli.ik.stage import predict_initial, solve_angles, warnings_of
from biopose_cli.io.results import JointKinematics
from biopose_cli.progress import NullProgress, Progress
from biopose_cli.settings import Settings
from biopose_cli.skeleton import opensim_ik
from biopose_cli.skeleton.build import build_model
from biopose_cli.skeleton.extract import extract_model
from biopose_cli.skeleton.kinematics import Kinematics
from biopose_cli.skeleton.osim import to_xml
from biopose_cli.skeleton.scaling import Factors, ScaledModel, estimate_mass, model_from_factors
from biopose_cli.typing import Array

MIN_PELVIS_MARKERS = 3  # they fix the root of the skeleton
MIN_VISIBLE = 0.5  # share of the named markers that a frame must hold to get angles; our choice
_PELVIS = frozenset(marker.name for marker in MARKERS if marker.segment == "pelvis")


def run(
    time: Array, markers: Array, names: Sequence[str], settings: Settings, progress: Progress | None = None
) -> JointKinematics:
    """Joint angles of every frame that holds enough markers; the others hold NaN.

    Parameters
    ----------
    time
        (T) s, strictly increasing.
    markers
        (T, N, 3) m, OpenSim's ground frame (y up, floor at y = 0), NaN where a marker was not seen.
    names
        The N names, of `MARKER_NAMES`, in any order.
    settings
        Read: `ik`, `ik_iterations`, `ik_smoothness`, `mass`, `height` (for the mass), `device`.

    Raises
    ------
    SettingError
        Names that do not exist, occur twice or leave the pelvis open; shapes that do not agree; `model` is set.
    PersonError
        No frame holds enough of the markers.
    SolverError
    """
    progress = progress or NullProgress()
    time, markers = np.asarray(time, np.float64), np.asarray(markers, np.float64)
    _check(time, markers, names, settings)
    columns = [MARKER_NAMES.index(name) for name in names]
    measured = np.full((len(time), len(MARKERS), 3), np.nan)
    measured[:, columns] = markers
    valid = _valid_frames(markers, names)
    if not valid.any():
        raise PersonError(f"no frame holds {MIN_PELVIS_MARKERS} markers of the pelvis and half of all markers")
    progress.start("scaling the skeleton", None)
    initial_q, factors, marker_locations = predict_initial(build_model(), measured, valid, settings.device)
    mass, mass_source = _mass(factors, marker_locations, settings)
    scaled_model = model_from_factors(factors, marker_locations, mass, names)
    solver = None if settings.ik == "opensim" else Solver(Kinematics(extract_model(scaled_model.model)))
    q, residual = solve_angles(solver, scaled_model, measured, time, valid, initial_q, settings, progress)
    return JointKinematics(
        time=time,
        q=q,
        coordinates=np.array(opensim_ik.coordinate_names(scaled_model.model)),
        rotational=opensim_ik.is_rotational(scaled_model.model),
        scale=np.stack(list(factors.values())),
        bodies=np.array(list(factors)),
        markers=markers,
        marker_names=np.array(names),
        marker_residual=residual[:, columns],
        valid=valid,
        ground_from_camera=np.eye(4),
        model_xml=to_xml(scaled_model.model),
        mass_kg=mass,
        mass_source=mass_source,
        warnings=warnings_of(scaled_model.model, q[valid], residual[valid], np.zeros((0, 0))),
    )


def _check(time: Array, markers: Array, names: Sequence[str], settings: Settings) -> None:
    if time.ndim != 1 or markers.shape != (len(time), len(names), 3):
        raise SettingError(
            f"time {time.shape}, markers {markers.shape} and {len(names)} names do not go together",
            "Give (T), (T, N, 3) and N names",
        )
    if not np.isfinite(time).all() or (np.diff(time) <= 0).any():
        raise SettingError("the times do not increase", "Give each frame's time in seconds")
    for name in names:
        if name not in MARKER_NAMES:
            nearest = difflib.get_close_matches(name, MARKER_NAMES, n=1, cutoff=0.0)[0]
            raise SettingError(f"there is no marker {name!r}", f"Did you mean {nearest!r}? MARKER_NAMES lists them")
    if len(set(names)) < len(names):
        raise SettingError("a marker's name occurs twice", "Give every marker once")
    if len(_PELVIS & set(names)) < MIN_PELVIS_MARKERS:
        raise SettingError(
            f"under {MIN_PELVIS_MARKERS} markers of the pelvis", f"They are {', '.join(sorted(_PELVIS))}"
        )
    if settings.model is not None:
        raise SettingError("markers go with BioPose's own skeleton only", "Leave out model")


def _valid_frames(markers: Array, names: Sequence[str]) -> Array:
    """(T) bool: frames with half of the markers and with enough of the pelvis."""
    visible: Array = np.asarray(np.isfinite(markers).all(axis=2))
    pelvis = np.array([name in _PELVIS for name in names])
    enough_pelvis = visible[:, pelvis].sum(axis=1) >= MIN_PELVIS_MARKERS
    return np.asarray((visible.mean(axis=1) >= MIN_VISIBLE) & enough_pelvis)


def _mass(factors: Factors, marker_locations: Array, settings: Settings) -> tuple[float, str]:
    """Body mass in kg, and where it comes from."""
    if settings.mass is not None:
        return settings.mass, "--mass"
    if settings.height is not None:
        return estimate_mass(settings.height), "estimated from --height"
    return estimate_mass(_stature(model_from_factors(factors, marker_locations, 1.0))), "estimated from the scales"


def _stature(scaled_model: ScaledModel) -> float:
    """From the lowest to the highest marker of the skeleton at zero, m: heel to vertex, about."""
    kinematics = Kinematics(extract_model(scaled_model.model))
    zero = torch.zeros(1, len(kinematics.spec.coordinates), dtype=torch.float64)
    return float(np.ptp(kinematics.markers(zero)[0, :, 1].numpy()))
