"""Fourth stage: the fitted body becomes joint angles, a scaled skeleton and virtual markers in OpenSim's ground."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from biopose_cli.body.markers import MARKER_NAMES, MARKERS
from biopose_cli.body.model import JOINT_NAMES, Body, Posed, load_body
from biopose_cli.device import choose_device
from biopose_cli.errors import PersonError
from biopose_cli.ik import ground
from biopose_cli.ik.balance import balanced_up
from biopose_cli.ik.checkpoint import load_network
from biopose_cli.ik.predict import predict
from biopose_cli.ik.solver import ITERATIONS, Solver
from biopose_cli.ik.trajectory import solve_clip
from biopose_cli.ik.uncertainty import of_clip
from biopose_cli.io.results import LEGS, Detection, Joints, Refined
from biopose_cli.progress import Progress
from biopose_cli.settings import Settings
from biopose_cli.skeleton import custom_model, opensim_ik, scaling
from biopose_cli.skeleton.extract import read_table
from biopose_cli.skeleton.kinematics import Kinematics
from biopose_cli.skeleton.osim import to_xml
from biopose_cli.skeleton.scaling import Calibrated
from biopose_cli.skeleton.static_trial import Standing, soles
from biopose_cli.typing import Array

BATCH = 256  # frames posed at once
AT_LIMIT = np.radians(
    2.0
)  # this near the end of its range a coordinate is held there: the solver never touches it
HELD = 0.25  # share of the frames: more of them at a limit is worth a warning
# standard deviation of a leg's angle, on average over a clip, that is worth a warning
UNSURE = np.radians(10.0)
LARGE_RESIDUAL = 0.03  # m, root mean square over a clip


def run(detection: Detection, refined: Refined, settings: Settings, progress: Progress) -> Joints:
    """Joint angles of every usable frame (`visible | interpolated`); the others hold NaN.

    Raises
    ------
    BodyFileError, ModelFileError, PersonError, SolverError
    """
    valid = detection.visible | detection.interpolated
    if not valid.any():
        raise PersonError("the person is in no frame of the clip")
    body = load_body(settings.body)
    progress.start("scaling the skeleton", None)
    calibrated, standing = scaling.calibrate(body, refined.betas, settings.mass)
    if settings.model is not None:
        calibrated = custom_model.calibrate(settings.model, calibrated, standing)
    posed = _pose(body, refined, valid)
    change = _ground(detection.time[valid], posed, standing, settings)
    markers = np.full((len(valid), len(MARKERS), 3), np.nan)
    markers[valid] = ground.apply(change.matrix, posed.markers.double().numpy())
    guess: Array | None = None
    if settings.ik == "neural" and settings.model is None:
        guess, scale, places = _ask_network(calibrated.model, markers, valid, settings.device)
        if settings.ik_iterations == 0:
            calibrated = scaling.scaled(scale, places, calibrated.mass)
    solver = None if settings.ik == "opensim" else Solver(Kinematics(read_table(calibrated.model)))
    q, residual = _angles(solver, calibrated, markers, detection.time, valid, guess, settings, progress)
    deviation = np.zeros((0, 0))
    if solver is not None:
        deviation = of_clip(solver, body, posed, refined, valid, change.matrix[:3, :3], q)
    factors = calibrated.factors
    return Joints(
        time=detection.time,
        q=q,
        coordinates=np.array(opensim_ik.coordinate_names(calibrated.model)),
        rotational=opensim_ik.rotational(calibrated.model),
        scale=np.stack(list(factors.values())),
        bodies=np.array(list(factors)),
        markers=markers,
        marker_names=np.array(MARKER_NAMES),
        marker_residual=residual,
        valid=valid,
        ground_from_camera=change.matrix,
        deviation=deviation,
        model_xml=to_xml(calibrated.model),
        mass_kg=calibrated.mass,
        mass_source="estimated from the stature" if settings.mass is None else "--mass",
        warnings=(*change.warnings, *_doubts(calibrated.model, q[valid], residual[valid], deviation)),
    )


def _pose(body: Body, refined: Refined, valid: Array) -> Posed:
    """The reduced body in the usable frames, camera frame."""
    betas = torch.as_tensor(refined.betas)
    pose, orient, transl = (
        torch.as_tensor(array[valid]) for array in (refined.body_pose, refined.global_orient, refined.transl)
    )
    parts = []
    with torch.no_grad():
        for start in range(0, len(pose), BATCH):
            part = slice(start, start + BATCH)
            parts.append(body.pose(pose[part], orient[part], betas, transl[part]))
    return Posed(torch.cat([part.joints for part in parts]), torch.cat([part.markers for part in parts]))


def _ground(time: Array, posed: Posed, standing: Standing, settings: Settings) -> ground.Ground:
    markers = posed.markers.double().numpy()
    pelvis = posed.joints[:, JOINT_NAMES.index("pelvis")].double().numpy()
    rasi, lasi, rpsi, lpsi = (
        markers[:, MARKER_NAMES.index(name)] for name in ("RASI", "LASI", "RPSI", "LPSI")
    )
    facing = (rasi + lasi) - (rpsi + lpsi)
    facing /= np.linalg.norm(facing, axis=-1, keepdims=True)
    trunk = np.cross((rasi + rpsi) - (lasi + lpsi), facing)
    trunk /= np.linalg.norm(trunk, axis=-1, keepdims=True)
    under = np.stack(
        [_carried(markers, standing, name, point) for name, point in soles(standing).items()], axis=1
    )
    pitch, roll = settings.camera_pitch, settings.camera_roll
    roughly = ground.up_vector(np.radians(roll or 0.0), np.radians(pitch or 0.0))
    balanced = balanced_up(time, posed.joints.double().numpy(), roughly)
    return ground.camera_to_ground(time, pelvis, facing, trunk, under, pitch, roll, balanced)


def _carried(markers: Array, standing: Standing, name: str, point: Array) -> Array:
    """(T, 3): where a foot carries the point that lies at `point` in the static trial.

    The rigid motion is the best fit of the foot's markers (Kabsch).
    """
    names = [f"{name[-1].upper()}{site}" for site in ("CAL", "MT1", "MT5", "MID")]
    columns = [MARKER_NAMES.index(marker) for marker in names]
    still = standing.markers[columns]
    moving = markers[:, columns]
    centre = moving.mean(axis=1)
    covariance = np.einsum("ki,tkj->tij", still - still.mean(axis=0), moving - centre[:, None])
    left, _, right = np.linalg.svd(covariance)
    sign = np.sign(np.linalg.det(left @ right))
    right[:, 2] *= sign[:, None]
    return np.asarray(centre + (point - still.mean(axis=0)) @ (left @ right))


def _ask_network(
    model: Any, markers: Array, valid: Array, device: str
) -> tuple[Array, scaling.Factors, Array]:
    """NeurIK's word on the clip: q (T, D), NaN in frames without the person; one scale per body; and where the
    markers sit on the unscaled bones of a typical person (M, 3)."""
    network, places = load_network()
    coordinates = opensim_ik.coordinate_names(model)
    q = np.full((len(valid), len(coordinates)), np.nan)
    logs, lengths = [], []
    for start, end in _runs(valid):
        found = predict(network, markers[start:end], coordinates, choose_device(device))
        q[start:end] = found.q
        logs.append(np.log(np.stack(list(found.scale.values()))))
        lengths.append(end - start)
    mean = np.exp(np.average(logs, axis=0, weights=lengths))
    return q, dict(zip(found.scale, mean, strict=True)), places


def _angles(
    solver: Solver | None,
    calibrated: Calibrated,
    markers: Array,
    time: Array,
    valid: Array,
    guess: Array | None,
    settings: Settings,
    progress: Progress,
) -> tuple[Array, Array]:
    """q (T, D) and the markers' residuals (T, M) in m, run of usable frames by run; NaN elsewhere. Without a `solver`,
    OpenSim's."""
    columns = [MARKER_NAMES.index(name) for name in calibrated.markers]
    q = np.full((len(valid), len(opensim_ik.coordinate_names(calibrated.model))), np.nan)
    residual = np.full(markers.shape[:2], np.nan)
    progress.start("inverse kinematics", int(valid.sum()))
    last: Array | None = None  # a person who turned around before a gap is still turned around after it
    for start, end in _runs(valid):
        run = slice(start, end)
        measured = markers[run][:, columns]
        if solver is None:
            solution = opensim_ik.solve(
                calibrated.model, calibrated.markers, measured, time[run], progress, last
            )
            q[run], found = solution.q, solution.markers
        else:
            q[run], found = _solved(
                solver, measured, time[run], None if guess is None else guess[run], settings
            )
            if last is not None:
                q[run] = solver.turned_near(q[run], last)
            progress.advance(end - start)
        last = q[end - 1]
        residual[run, columns] = np.linalg.norm(found - measured, axis=-1)
    return q, residual


def _solved(
    solver: Solver, markers: Array, time: Array, guess: Array | None, settings: Settings
) -> tuple[Array, Array]:
    """q (T, D) and the model's markers (T, M, 3): the guess, or the solver's from there, smoothed if asked for."""
    if guess is not None and settings.ik_iterations == 0:
        q = solver.kinematics.coupled(torch.as_tensor(guess))
        return q.numpy(), solver.kinematics.markers(q).numpy()
    steps = ITERATIONS if settings.ik_iterations is None else settings.ik_iterations
    found = solver.solve(markers, guess, iterations=steps)
    if not settings.ik_smoothness:
        return found.q, found.markers
    smooth = solve_clip(solver.kinematics, markers, found.q, smoothness=settings.ik_smoothness, time=time)
    return smooth.q, smooth.markers


def _runs(valid: Array) -> list[tuple[int, int]]:
    """First and one past the last frame of every unbroken run of usable frames."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], valid.astype(int), [0]])))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def _doubts(model: Any, q: Array, residual: Array, deviation: Array) -> tuple[str, ...]:
    """What in the result a user should look at before believing it."""
    doubts = _hard_to_see(opensim_ik.coordinate_names(model), deviation)
    for column, coordinate in enumerate(model.getCoordinateSet()):
        name = coordinate.getName()
        if (
            not coordinate.getDefaultClamped()
            or coordinate.getDefaultLocked()
            or name.startswith(("knee", "elbow"))
        ):
            continue  # a straight knee or elbow is at its limit, and right
        low, high = coordinate.getRangeMin() + AT_LIMIT, coordinate.getRangeMax() - AT_LIMIT
        share = float(np.mean((q[:, column] < low) | (q[:, column] > high)))
        if share > HELD:
            doubts.append(f"{name} is at the end of its range in {share:.0%} of the frames")
    rms = float(np.sqrt(np.nanmean(residual**2)))
    if rms > LARGE_RESIDUAL:
        doubts.append(f"the skeleton misses the body's markers by {rms * 1000:.0f} mm (root mean square)")
    return tuple(doubts)


def _hard_to_see(names: tuple[str, ...], deviation: Array) -> list[str]:
    """Which of the legs' angles are a guess, on average over the clip: a line, or none."""
    legs = [i for i, name in enumerate(names) if name.startswith(LEGS) and len(deviation)]
    means = {
        names[i]: np.mean(known) for i in legs if len(known := deviation[np.isfinite(deviation[:, i]), i])
    }
    unsure = [f"{name} {np.degrees(by):.0f}" for name, by in means.items() if by > UNSURE]
    return [f"hard to see, standard deviations in degrees: {', '.join(unsure)}"] if unsure else []
