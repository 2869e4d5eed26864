"""`biopose bench ik`: our inverse kinematics against OpenSim's InverseKinematicsTool on the same models and markers.

Synthetic trials come from the default skeleton on the default body, so the true angles are known. Real trials are found
by name in a folder of reference trials, each with its scaled model. T frames, M markers, D coordinates; ground frame;
m and rad.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from biopose_cli.body.model import load_body
from biopose_cli.errors import MotionFileError, SettingError
from biopose_cli.ik.solver import Solver
from biopose_cli.io.trc import read_trc, write_trc
from biopose_cli.progress import Progress
from biopose_cli.skeleton.euler_branches import canonical_angles
from biopose_cli.skeleton.extract import ModelSpec, extract_model
from biopose_cli.skeleton.kinematics import Kinematics
from biopose_cli.skeleton.opensim_ik import run_tool
from biopose_cli.skeleton.osim import load_model, to_xml
from biopose_cli.skeleton.scaling import scale_model
from biopose_cli.synthesis.joint_motion import COORDINATES, sample_action
from biopose_cli.typing import Array

MOTIONS = ("walk", "crouch_gait", "squats", "lunges", "reaching", "jumps")
NUM_FRAMES, FRAME_RATE = 200, 60.0
SEED = 4
# folder, scaled model, markers
REAL_TRIALS = (
    *(
        ("opencap_squat", "LaiArnoldModified2017_poly_withArms_weldHand_scaled.osim", f"{name}.trc")
        for name in ("Squats_0", "Asym_0")
    ),
    *(("lab_walk", "subject01_gait2392_scaled.osim", f"walk_free_0{k}.trc") for k in (1, 2, 3)),
    ("multiview_balance", "balance_reference_scaled.osim", "balance_reference.trc"),
)


@dataclass(frozen=True)
class Trial:
    """Files of one trial, and the true pose (T, D) if it is known."""

    name: str
    model: Path
    markers: Path
    gt_q: Array | None = None


def bench_ik(trials: Path | None, progress: Progress) -> dict[str, Any]:
    """Solve every trial without initial values with both solvers, one after the other in this process.

    Timing of ours: construction of the solver and its run. Timing of OpenSim's: `run_tool` (with reading the markers
    and writing the angles) minus loading the model. All markers of the model have equal weights.

    Parameters
    ----------
    trials : folder of reference trials, laid out as in the list of real trials above; None: only synthetic ones
    progress : reports the current trial

    Returns
    -------
    dict
        `trials`: for each, `name`, `frames`, `frames_per_s`, `ratio` of the rates, `marker_rms_mm` (RMS distance
        between model and measured markers), `angle_error_deg` (mean over all independent angles; None without ground
        truth), and the same with the prefix `opensim_` for the tool. `mean`: averages over the trials that have the
        value; rates are those of all frames together. `kinematics_frames_per_s`: markers of the default skeleton,
        batches of 1,000 poses, one thread, single precision.

    Raises
    ------
    SettingError
        The folder holds none of the trials.
    ModelFileError, MotionFileError, SolverError
    """
    results: list[dict[str, Any]] = []
    real = [] if trials is None else _real_trials(trials, progress)
    progress.start("inverse kinematics", len(MOTIONS) + len(real), "trials")
    with tempfile.TemporaryDirectory(prefix="biopose_ik") as folder:
        for trial in (*_synthetic_trials(Path(folder)), *real):
            results.append(_solve_with_both(trial))
            progress.advance()
    return {"trials": results, "mean": _mean(results), "kinematics_frames_per_s": _kinematics_rate()}


def _synthetic_trials(folder: Path) -> Iterator[Trial]:
    model = scale_model(load_body(), np.zeros(10))[0].model
    path = folder / "skeleton.osim"
    path.write_text(to_xml(model), encoding="utf-8")
    kinematics = Kinematics(extract_model(load_model(path)))
    generator = np.random.default_rng(SEED)
    for name in MOTIONS:
        motion = sample_action(name, 1, NUM_FRAMES, FRAME_RATE, generator)[0].astype(float)
        q = motion[:, [COORDINATES.index(coordinate) for coordinate in kinematics.spec.coordinates]]
        markers = kinematics.markers(torch.as_tensor(q)).numpy()
        write_trc(folder / f"{name}.trc", np.arange(NUM_FRAMES) / FRAME_RATE, kinematics.spec.markers, markers)
        yield Trial(name, path, folder / f"{name}.trc", q)


def _kinematics_rate() -> float:
    kinematics = Kinematics(extract_model(scale_model(load_body(), np.zeros(10))[0].model), torch.float32)
    q = torch.zeros(1000, len(kinematics.spec.coordinates))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            kinematics.markers(q)
            start = perf_counter()
            for _ in range(20):
                kinematics.markers(q)
            return 20 * len(q) / (perf_counter() - start)
    finally:
        torch.set_num_threads(threads)


def _real_trials(folder: Path, progress: Progress) -> list[Trial]:
    trials, notes = [], []
    for trial_folder, model, markers in REAL_TRIALS:
        paths = folder / trial_folder / model, folder / trial_folder / markers
        missing = [path.name for path in paths if not path.is_file()]
        if missing:
            notes.append(f"{trial_folder}/{markers} is skipped: missing {' and '.join(missing)}")
        else:
            trials.append(Trial(Path(markers).stem, *paths))
    if not trials:
        trial_folders = ", ".join(sorted({folder_name for folder_name, _, _ in REAL_TRIALS}))
        raise SettingError(f"{folder} holds no trial", f"Looked for folders {trial_folders}")
    for note in notes:
        progress.note(note)
    return trials


def _solve_with_both(trial: Trial) -> dict[str, Any]:
    spec = extract_model(load_model(trial.model))
    start = perf_counter()
    load_model(trial.model)  # again: the first time fills the disk's cache
    load_seconds = perf_counter() - start
    target = _measured_markers(trial, spec)

    start = perf_counter()
    kinematics = Kinematics(spec)
    q = Solver(kinematics).solve(target).q
    seconds = perf_counter() - start

    start = perf_counter()
    time, _, opensim_q = run_tool(trial.markers, trial.model)
    opensim_seconds = max(perf_counter() - start - load_seconds, 1e-9)
    if len(time) != len(target):
        raise MotionFileError(f"OpenSim solved {len(time)} of the {len(target)} frames of {trial.markers}")

    opensim_q = kinematics.apply_couplers(torch.as_tensor(opensim_q)).numpy()
    frames = len(target)
    return {
        "name": trial.name,
        "frames": frames,
        "frames_per_s": frames / seconds,
        "opensim_frames_per_s": frames / opensim_seconds,
        "ratio": opensim_seconds / seconds,
        "marker_rms_mm": _rms_mm(kinematics, q, target),
        "opensim_marker_rms_mm": _rms_mm(kinematics, opensim_q, target),
        "angle_error_deg": _angle_error(spec, q, trial.gt_q),
        "opensim_angle_error_deg": _angle_error(spec, opensim_q, trial.gt_q),
    }


def _measured_markers(trial: Trial, spec: ModelSpec) -> Array:
    """Markers (T, M, 3), m, in the model's order; NaN for those missing from the file."""
    markers = read_trc(trial.markers)
    target = np.full((len(markers.time), len(spec.markers), 3), np.nan)
    for column, name in enumerate(spec.markers):
        if name in markers.names:
            target[:, column] = markers.positions[:, markers.names.index(name)]
    if np.isnan(target).all():
        raise MotionFileError(f"{trial.markers} names no marker of {trial.model}")
    return target


def _rms_mm(kinematics: Kinematics, q: Array, target: Array) -> float:
    with torch.no_grad():
        pred = kinematics.markers(torch.as_tensor(q)).numpy()
    return float(1000 * np.sqrt(np.nanmean(((pred - target) ** 2).sum(axis=-1))))


def _angle_error(spec: ModelSpec, q: Array, gt_q: Array | None) -> float | None:
    """Mean absolute error, degrees, modulo full turns."""
    if gt_q is None:
        return None
    included = spec.is_angle & ~spec.locked
    included[[coupler.dependent for coupler in spec.couplers]] = False
    difference = (canonical_angles(spec, q) - canonical_angles(spec, gt_q))[:, included]
    return float(np.degrees(np.abs((difference + np.pi) % (2 * np.pi) - np.pi)).mean())


def _mean(results: list[dict[str, Any]]) -> dict[str, float | None]:
    mean: dict[str, float | None] = {}
    frames = np.array([result["frames"] for result in results])
    rates = ("frames_per_s", "opensim_frames_per_s")
    ours, theirs = (frames.sum() / (frames / [result[rate] for result in results]).sum() for rate in rates)
    mean |= {
        "frames_per_s": float(ours),
        "opensim_frames_per_s": float(theirs),
        "ratio": float(ours / theirs),
    }
    for key in ("marker_rms_mm", "opensim_marker_rms_mm", "angle_error_deg", "opensim_angle_error_deg"):
        values = [result[key] for result in results if result[key] is not None]
        mean[key] = float(np.mean(values)) if values else None
    return mean
