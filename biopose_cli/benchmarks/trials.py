"""Other people's trials: their markers move a body, our `neurik` stage reads it, their angles are the reference.

It tests what comes after the fit to the video: markers, scaling, zero and inverse kinematics. The files are found by
name in a folder laid out as `TRIALS` says; docs/skeleton.md tells what the figures mean.
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

from biopose_cli.benchmarks.marker_body_fit import Fitted, fit
from biopose_cli.body.markers import MARKER_NAMES, MARKERS
from biopose_cli.body.model import load_body
from biopose_cli.errors import MotionFileError, SettingError
from biopose_cli.geometry import so3
from biopose_cli.ik import stage
from biopose_cli.io.results import Detection, JointKinematics, Refined
from biopose_cli.io.storage import Motion, read_motion
from biopose_cli.io.trc import read_trc
from biopose_cli.metrics.compare import compare
from biopose_cli.progress import Progress
from biopose_cli.settings import Settings
from biopose_cli.skeleton.opensim_ik import run_tool
from biopose_cli.skeleton.osim import load_model, vec3_to_array
from biopose_cli.skeleton.scaling import body_transforms
from biopose_cli.typing import Array

SITES = Path(__file__).parent / "data" / "sites.csv"


@dataclass(frozen=True)
class Files:
    """Of one trial, by name."""

    folder: str
    markers: str
    reference: str  # angles; or a scaled .osim: OpenSim's own inverse kinematics on it
    standing: str | None  # the markers on the standing person: a static trial, or a scaled .osim at zero


TRIALS = (
    Files("opencap_squat", "Squats_0.trc", "Squats_0.mot", "neutral.trc"),
    Files("opencap_squat", "Asym_0.trc", "Asym_0.mot", "neutral.trc"),
    Files("multiview_balance", "balance_reference.trc", "balance_reference.mot", None),
    *(
        Files(
            "lab_walk",
            f"walk_free_0{k}.trc",
            "subject01_gait2392_scaled.osim",
            "subject01_gait2392_scaled.osim",
        )
        for k in (1, 2, 3)
    ),
)
DISTANCE = 5.0  # m, of the camera that the stage is told of
TO_CAMERA = np.diag([1.0, -1.0, -1.0])  # y up -> OpenCV's axes, level
PELVIS_MARKERS = 3  # as few show how a pelvis lies


@dataclass(frozen=True)
class TrialResult:
    """One trial: EST is the `neurik` stage on the fitted body, REF the trial's own angles, degrees.

    coordinates : by name `mae`, `offset`, `mae_offset_removed` and the rest of `compare`'s figures; the same in
        `legs` for the means of the legs
    fit_rms_mm : of the body's sites, with their offsets, about the markers
    residual_mm : root mean square distance of the skeleton's virtual markers from the body's
    frames_per_s : of the stage, scaling included
    notes : what `compare` converted, and the stage's warnings
    """

    name: str
    frames: int
    coordinates: dict[str, dict[str, float | int | None]]
    legs: dict[str, float | int | None]
    fit_rms_mm: float
    residual_mm: float
    frames_per_s: float
    notes: tuple[str, ...]


def fitted_trials(folder: Path, settings: Settings, progress: Progress, every: int = 3) -> list[TrialResult]:
    """Run all trials that are in `folder`; files that are not there are left out with a note.

    Parameters
    ----------
    settings : of the stage; the camera is always level, `height` and `body` are the trial's
    every : use each n-th frame

    Raises
    ------
    SettingError
        The folder holds none of the trials.
    MotionFileError, ModelFileError, SolverError
    """
    results = []
    for files in TRIALS:
        paths = [
            folder / files.folder / name for name in (files.markers, files.reference, files.standing) if name
        ]
        missing = sorted({path.name for path in paths if not path.is_file()})
        if missing:
            progress.note(
                f"{files.folder}/{files.markers} is left out: there is no {' and no '.join(missing)}"
            )
            continue
        results.append(
            _run(paths[0], paths[1], None if files.standing is None else paths[2], settings, progress, every)
        )
    if not results:
        raise SettingError(
            f"{folder} holds no trial", f"Looked for folders {', '.join(sorted({f.folder for f in TRIALS}))}"
        )
    return results


def as_json(results: list[TrialResult]) -> list[dict[str, Any]]:
    """Plain values, one object per trial, keys as of `TrialResult`."""
    return [asdict(result) | {"notes": list(result.notes)} for result in results]


def _run(
    trc: Path, reference: Path, standing: Path | None, settings: Settings, progress: Progress, every: int
) -> TrialResult:
    markers = read_trc(trc)
    still = {} if standing is None else _standing(standing)
    known = [name for name in dict.fromkeys((*markers.names, *still)) if name in sites()]
    named = tuple(sites()[name] for name in known)
    pelvis = [site for site in named if MARKERS[MARKER_NAMES.index(site)].segment == "pelvis"]
    if len(pelvis) < PELVIS_MARKERS:
        raise MotionFileError(
            f"{trc} names too few markers of the pelvis", f"{SITES.name} lists the known ones"
        )
    time = markers.time[::every]
    target = np.full((len(time), len(known), 3), np.nan)
    for column, name in enumerate(known):
        if name in markers.names:
            target[:, column] = markers.positions[::every, markers.names.index(name)]
    places = np.array([still.get(name, np.full(3, np.nan)) for name in known]) if still else None
    progress.start(f"fitting the body to {trc.stem}")
    fitted = fit(load_body(), target, named, _height(trc.parent), places)
    detection, refined = _before_camera(time, fitted)
    began = perf_counter()
    level = replace(settings, camera_pitch=0.0, camera_roll=0.0, body=None)
    joints = stage.run(detection, refined, level, progress)
    seconds = perf_counter() - began
    comparison = compare(_motion(joints), _reference(trc, reference), shift=0.0)
    return TrialResult(
        name=trc.stem,
        frames=len(time),
        coordinates=comparison.coordinates,
        legs=comparison.groups["legs"],
        fit_rms_mm=_rms_mm(fitted.residual),
        residual_mm=_rms_mm(joints.marker_residual),
        frames_per_s=len(time) / seconds,
        notes=(*comparison.notes, *joints.warnings),
    )


def _standing(path: Path) -> dict[str, Array]:
    """Where the markers of the standing person are (3), y up, m, by their names.

    The mean of a static trial; or the markers of a scaled model whose coordinates are all zero.
    """
    if path.suffix == ".trc":
        markers = read_trc(path)
        return dict(zip(markers.names, markers.positions.mean(axis=0), strict=True))
    model = load_model(path)
    frames = body_transforms(model, {})
    places = {}
    for marker in model.getMarkerSet():
        frame = frames[marker.getParentFrame().findBaseFrame().getName()]
        places[marker.getName()] = frame[:3, :3] @ vec3_to_array(marker.get_location()) + frame[:3, 3]
    return places


@cache
def sites() -> dict[str, str]:
    """The virtual marker that somebody's marker stands for, by their name."""
    with SITES.open(encoding="utf-8", newline="") as stream:
        return {row["marker"]: row["site"] for row in csv.DictReader(stream)}


def _height(folder: Path) -> float | None:
    """The stature in m that OpenCap's `metadata.yaml` states."""
    path = folder / "metadata.yaml"
    stated = re.search(r"^height_m:\s*([\d.]+)", path.read_text("utf-8"), re.M) if path.is_file() else None
    return float(stated[1]) if stated else None


def _reference(trc: Path, reference: Path) -> Motion:
    if reference.suffix == ".mot":
        return read_motion(reference)
    time, names, q = run_tool(trc, reference)
    angles = [not name.endswith(("_tx", "_ty", "_tz")) for name in names]
    return Motion(time, names, np.where(angles, np.degrees(q), q))


def _motion(joints: JointKinematics) -> Motion:
    values = np.where(joints.rotational, np.degrees(joints.q), joints.q)
    return Motion(joints.time, tuple(str(name) for name in joints.coordinates), values)


def _before_camera(time: Array, fitted: Fitted) -> tuple[Detection, Refined]:
    """The fitted body before a level camera, as the stages before `neurik` would hand it on."""
    frames = len(time)
    with torch.no_grad():
        betas = torch.as_tensor(fitted.betas, dtype=torch.float32)
        root = load_body().rest_joints(betas)[0].double().numpy()  # the root turns about this point
    pelvis = (fitted.transl + root) @ TO_CAMERA
    pelvis += [0.0, 0.0, DISTANCE] - pelvis.mean(axis=0)
    detection = Detection(
        time=time,
        frame=np.arange(frames),
        image_size=np.array([1920, 1080]),
        visible=np.ones(frames, np.bool_),
        swapped=np.zeros(frames, np.bool_),
        interpolated=np.zeros(frames, np.bool_),
        people_box=np.zeros((1, frames, 4)),
        camera_matrix=np.eye(3),
        dist_coeffs=np.zeros(5),
        box=np.zeros((frames, 4)),
        roi=np.zeros((frames, 4)),
        confidence=np.zeros((frames, 33)),
        keypoints_2d=np.zeros((frames, 33, 2)),
        landmarks_3d=np.zeros((frames, 33, 3)),
    )
    refined = Refined(
        body_pose=fitted.body_pose,
        global_orient=so3.matrix_to_axis_angle(TO_CAMERA @ so3.axis_angle_to_matrix(fitted.global_orient)),
        betas=fitted.betas,
        transl=pelvis - root,
        query_tokens=np.zeros((frames, 0, 1)),
        reprojection_px=np.zeros(frames),
    )
    return detection, refined


def _rms_mm(distances: Array) -> float:
    return float(1000 * np.sqrt(np.nanmean(distances**2)))
