"""Published trials: the body is fitted to their markers, our `neurik` stage estimates angles, theirs are the reference.

It tests what comes after the fit to the video: markers, scaling, zero and inverse kinematics. The files are found by
name in a folder laid out as `TRIALS` says; docs/how/skeleton.md tells what the figures mean.
"""

from __future__ import annotations

import csv
import re
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from biopose_cli.benchmarks.marker_body_fit import FittedBody, fit_body
from biopose_cli.body.markers import MARKER_NAMES, MARKERS
from biopose_cli.body.model import load_body
from biopose_cli.errors import MotionFileError, SettingError
from biopose_cli.geometry import so3
from biopose_cli.ik import stage
from biopose_cli.io.results import JointKinematics, Refined
from biopose_cli.io.storage import Motion, read_motion
from biopose_cli.io.trc import read_trc
from biopose_cli.metrics.compare import compare
from biopose_cli.progress import Progress
from biopose_cli.settings import Settings
from biopose_cli.skeleton.opensim_ik import run_tool
from biopose_cli.skeleton.osim import load_model, vec3_to_array
from biopose_cli.skeleton.scaling import body_transforms
from biopose_cli.typing import Array

SITES_FILE = Path(__file__).parent / "data" / "sites.csv"


@dataclass(frozen=True)
class TrialFiles:
    """File names of one trial."""

    folder: str
    markers: str
    reference: str  # angles; or a scaled .osim, on which OpenSim's own inverse kinematics runs
    static: str | None  # the markers of the standing person: a static trial, or a scaled .osim at zero angles


TRIALS = (
    TrialFiles("opencap_squat", "Squats_0.trc", "Squats_0.mot", "neutral.trc"),
    TrialFiles("opencap_squat", "Asym_0.trc", "Asym_0.mot", "neutral.trc"),
    TrialFiles("multiview_balance", "balance_reference.trc", "balance_reference.mot", None),
    *(
        TrialFiles(
            "lab_walk",
            f"walk_free_0{k}.trc",
            "subject01_gait2392_scaled.osim",
            "subject01_gait2392_scaled.osim",
        )
        for k in (1, 2, 3)
    ),
)
CAMERA_DISTANCE = 5.0  # m, of the virtual camera
CAMERA_FROM_Y_UP = np.diag([1.0, -1.0, -1.0])  # y up -> OpenCV's axes, level
MIN_PELVIS_MARKERS = 3  # the fewest that determine the pelvis


@dataclass(frozen=True)
class TrialResult:
    """One trial: EST is the `neurik` stage on the fitted body, REF the trial's own angles, degrees.

    coordinates : by name `mae`, `offset`, `mae_offset_removed` and the other values of `compare`; `legs` has the means
        of
        the legs
    fit_rms_mm : RMS distance of the body's sites, with their offsets, from the markers
    residual_mm : RMS distance of the skeleton's virtual markers from the body's
    frames_per_s : of the stage, with scaling
    notes : conversions by `compare`, and the stage's warnings
    """

    name: str
    frames: int
    coordinates: dict[str, dict[str, float | int | None]]
    legs: dict[str, float | int | None]
    fit_rms_mm: float
    residual_mm: float
    frames_per_s: float
    notes: tuple[str, ...]


def evaluate_trials(folder: Path, settings: Settings, progress: Progress, stride: int = 3) -> list[TrialResult]:
    """Run all trials in `folder`; missing files are skipped with a note.

    Parameters
    ----------
    folder : of the trials
    settings : of the stage; the camera is always level, `height` and `body` are the trial's
    progress : reports the current trial
    stride : use every `stride`-th frame

    Raises
    ------
    SettingError
        The folder holds none of the trials.
    MotionFileError, ModelFileError, SolverError
    """
    results = []
    for files in TRIALS:
        paths = [folder / files.folder / name for name in (files.markers, files.reference, files.static) if name]
        missing = sorted({path.name for path in paths if not path.is_file()})
        if missing:
            progress.note(f"{files.folder}/{files.markers} is skipped: missing {' and '.join(missing)}")
            continue
        results.append(
            _evaluate_trial(paths[0], paths[1], None if files.static is None else paths[2], settings, progress, stride)
        )
    if not results:
        raise SettingError(
            f"{folder} holds no trial", f"Looked for folders {', '.join(sorted({f.folder for f in TRIALS}))}"
        )
    return results


def as_json(results: list[TrialResult]) -> list[dict[str, Any]]:
    """Plain values, one object per trial, with the keys of `TrialResult`."""
    return [asdict(result) | {"notes": list(result.notes)} for result in results]


def _evaluate_trial(
    trc: Path, reference: Path, static: Path | None, settings: Settings, progress: Progress, stride: int
) -> TrialResult:
    markers = read_trc(trc)
    static_markers = {} if static is None else _static_markers(static)
    marker_names = [name for name in dict.fromkeys((*markers.names, *static_markers)) if name in site_by_marker()]
    site_names = tuple(site_by_marker()[name] for name in marker_names)
    pelvis_sites = [site for site in site_names if MARKERS[MARKER_NAMES.index(site)].segment == "pelvis"]
    if len(pelvis_sites) < MIN_PELVIS_MARKERS:
        raise MotionFileError(f"{trc} has too few pelvis markers", f"{SITES_FILE.name} lists the known ones")
    time = markers.time[::stride]
    target = np.full((len(time), len(marker_names), 3), np.nan)
    for column, name in enumerate(marker_names):
        if name in markers.names:
            target[:, column] = markers.positions[::stride, markers.names.index(name)]
    static_positions = (
        np.array([static_markers.get(name, np.full(3, np.nan)) for name in marker_names]) if static_markers else None
    )
    progress.start(f"fitting the body to {trc.stem}")
    fitted = fit_body(load_body(), target, site_names, _height(trc.parent), static_positions)
    refined = _to_camera_frame(fitted)
    start = perf_counter()
    level_settings = replace(settings, camera_pitch=0.0, camera_roll=0.0, body=None)
    kinematics = stage.run(time, np.ones(len(time), bool), refined, level_settings, progress)
    seconds = perf_counter() - start
    comparison = compare(_motion_of(kinematics), _reference_motion(trc, reference), shift=0.0)
    return TrialResult(
        name=trc.stem,
        frames=len(time),
        coordinates=comparison.coordinates,
        legs=comparison.groups["legs"],
        fit_rms_mm=_rms_mm(fitted.residual),
        residual_mm=_rms_mm(kinematics.marker_residual),
        frames_per_s=len(time) / seconds,
        notes=(*comparison.notes, *kinematics.warnings),
    )


def _static_markers(path: Path) -> dict[str, Array]:
    """Positions (3), m, y up, of the standing person's markers, by name.

    They are the mean of a static trial, or the markers of a scaled model at zero coordinates.
    """
    if path.suffix == ".trc":
        markers = read_trc(path)
        return dict(zip(markers.names, markers.positions.mean(axis=0), strict=True))
    model = load_model(path)
    transforms = body_transforms(model, {})
    positions = {}
    for marker in model.getMarkerSet():
        frame = transforms[marker.getParentFrame().findBaseFrame().getName()]
        positions[marker.getName()] = frame[:3, :3] @ vec3_to_array(marker.get_location()) + frame[:3, 3]
    return positions


@cache
def site_by_marker() -> dict[str, str]:
    """Map from the trials' marker names to ours."""
    with SITES_FILE.open(encoding="utf-8", newline="") as stream:
        return {row["marker"]: row["site"] for row in csv.DictReader(stream)}


def _height(folder: Path) -> float | None:
    """Stature in m from OpenCap's `metadata.yaml`."""
    path = folder / "metadata.yaml"
    match = re.search(r"^height_m:\s*([\d.]+)", path.read_text("utf-8"), re.M) if path.is_file() else None
    return float(match[1]) if match else None


def _reference_motion(trc: Path, reference: Path) -> Motion:
    if reference.suffix == ".mot":
        return read_motion(reference)
    time, names, q = run_tool(trc, reference)
    angles = [not name.endswith(("_tx", "_ty", "_tz")) for name in names]
    return Motion(time, names, np.where(angles, np.degrees(q), q))


def _motion_of(kinematics: JointKinematics) -> Motion:
    return Motion(kinematics.time, tuple(str(name) for name in kinematics.coordinates), kinematics.file_values)


def _to_camera_frame(fitted: FittedBody) -> Refined:
    """The fitted body before a level camera, as the stages before `neurik` would hand it on."""
    frames = len(fitted.transl)
    with torch.no_grad():
        betas = torch.as_tensor(fitted.betas, dtype=torch.float32)
        root = load_body().rest_joints(betas)[0].double().numpy()  # the root rotates about this point
    pelvis = (fitted.transl + root) @ CAMERA_FROM_Y_UP
    pelvis += [0.0, 0.0, CAMERA_DISTANCE] - pelvis.mean(axis=0)
    return Refined(
        body_pose=fitted.body_pose,
        global_orient=so3.matrix_to_axis_angle(CAMERA_FROM_Y_UP @ so3.axis_angle_to_matrix(fitted.global_orient)),
        betas=fitted.betas,
        transl=pelvis - root,
        query_tokens=np.zeros((frames, 0, 1)),
        reprojection_px=np.zeros(frames),
    )


def _rms_mm(distances: Array) -> float:
    return float(1000 * np.sqrt(np.nanmean(distances**2)))
