"""The neurik stage: joint angles, a scaled skeleton and virtual markers in OpenSim's ground, from the fitted body."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from biopose_cli.body.markers import MARKER_NAMES, MARKERS
from biopose_cli.body.model import JOINT_NAMES, Body, BodyOutput, load_body
from biopose_cli.device import choose_device
from biopose_cli.errors import PersonError
from biopose_cli.geometry.rigid import align_points
from biopose_cli.geometry.runs import runs
from biopose_cli.ik import ground
from biopose_cli.ik.balance import up_from_center_of_mass
from biopose_cli.ik.checkpoint import load_network
from biopose_cli.ik.predict import predict
from biopose_cli.ik.solver import ITERATIONS, Solver
from biopose_cli.ik.trajectory import solve_trajectory
from biopose_cli.ik.uncertainty import joint_angle_std
from biopose_cli.io.results import LEG_COORDINATES, JointKinematics, Refined
from biopose_cli.progress import NullProgress, Progress
from biopose_cli.settings import Settings
from biopose_cli.skeleton import custom_model, opensim_ik, scaling
from biopose_cli.skeleton.extract import extract_model
from biopose_cli.skeleton.kinematics import Kinematics
from biopose_cli.skeleton.osim import to_xml
from biopose_cli.skeleton.scaling import ScaledModel
from biopose_cli.skeleton.static_trial import StaticTrial, sole_points
from biopose_cli.typing import Array

BATCH = 256  # frames posed at once
# closer to the end of its range, a coordinate counts as at its limit: the solver never reaches it exactly
LIMIT_MARGIN = np.radians(2.0)
AT_LIMIT_FRACTION = 0.25  # fraction of frames at a limit that causes a warning
# standard deviation of a leg's angle, mean over a clip, that causes a warning
LARGE_STD = np.radians(10.0)
LARGE_RESIDUAL = 0.03  # m, root mean square over a clip


def run(
    time: Array, valid: Array, refined: Refined, settings: Settings, progress: Progress | None = None
) -> JointKinematics:
    """Joint angles of every valid frame; the others hold NaN.

    Parameters
    ----------
    time
        (T) s, strictly increasing.
    valid
        (T) bool: the frames in which the body is known.
    refined
        The body in T frames, camera frame; its numbers in the other frames are not used.

    Raises
    ------
    BodyFileError, ModelFileError, PersonError, SolverError
    """
    progress = progress or NullProgress()
    if not valid.any():
        raise PersonError("the person is in no frame of the clip")
    body = load_body(settings.body)
    progress.start("scaling the skeleton", None)
    scaled_model, static_trial = scaling.scale_model(body, refined.betas, settings.mass)
    if settings.model is not None:
        scaled_model = custom_model.scale_custom_model(settings.model, scaled_model, static_trial)
    posed = _pose(body, refined, valid)
    camera_ground = _ground(time[valid], posed, static_trial, settings)
    markers = np.full((len(valid), len(MARKERS), 3), np.nan)
    markers[valid] = ground.transform_points(camera_ground.matrix, posed.markers.double().numpy())
    initial_q: Array | None = None
    if settings.ik == "neural" and settings.model is None:
        initial_q, scale, marker_locations = predict_initial(scaled_model.model, markers, valid, settings.device)
        if settings.ik_iterations == 0:
            scaled_model = scaling.model_from_factors(scale, marker_locations, scaled_model.mass)
    solver = None if settings.ik == "opensim" else Solver(Kinematics(extract_model(scaled_model.model)))
    q, residual = solve_angles(solver, scaled_model, markers, time, valid, initial_q, settings, progress)
    q_std = np.zeros((0, 0))
    if solver is not None:
        q_std = joint_angle_std(solver, body, posed, refined, valid, camera_ground.matrix[:3, :3], q)
    factors = scaled_model.factors
    return JointKinematics(
        time=time,
        q=q,
        coordinates=np.array(opensim_ik.coordinate_names(scaled_model.model)),
        rotational=opensim_ik.is_rotational(scaled_model.model),
        scale=np.stack(list(factors.values())),
        bodies=np.array(list(factors)),
        markers=markers,
        marker_names=np.array(MARKER_NAMES),
        marker_residual=residual,
        valid=valid,
        ground_from_camera=camera_ground.matrix,
        q_std=q_std,
        model_xml=to_xml(scaled_model.model),
        mass_kg=scaled_model.mass,
        mass_source="estimated from the stature" if settings.mass is None else "--mass",
        warnings=(*camera_ground.warnings, *warnings_of(scaled_model.model, q[valid], residual[valid], q_std)),
    )


def _pose(body: Body, refined: Refined, valid: Array) -> BodyOutput:
    """The reduced body in the usable frames, camera frame."""
    betas = torch.as_tensor(refined.betas)
    pose, orient, transl = (
        torch.as_tensor(array[valid]) for array in (refined.body_pose, refined.global_orient, refined.transl)
    )
    parts = []
    with torch.no_grad():
        for start in range(0, len(pose), BATCH):
            rows = slice(start, start + BATCH)
            parts.append(body.pose(pose[rows], orient[rows], betas, transl[rows]))
    return BodyOutput(torch.cat([part.joints for part in parts]), torch.cat([part.markers for part in parts]))


def _ground(time: Array, posed: BodyOutput, static_trial: StaticTrial, settings: Settings) -> ground.Ground:
    markers = posed.markers.double().numpy()
    pelvis = posed.joints[:, JOINT_NAMES.index("pelvis")].double().numpy()
    rasi, lasi, rpsi, lpsi = (markers[:, MARKER_NAMES.index(name)] for name in ("RASI", "LASI", "RPSI", "LPSI"))
    facing = (rasi + lasi) - (rpsi + lpsi)
    facing /= np.linalg.norm(facing, axis=-1, keepdims=True)
    trunk = np.cross((rasi + rpsi) - (lasi + lpsi), facing)
    trunk /= np.linalg.norm(trunk, axis=-1, keepdims=True)
    sole_positions = np.stack(
        [_rigid_body_point(markers, static_trial, name, point) for name, point in sole_points(static_trial).items()],
        axis=1,
    )
    pitch, roll = settings.camera_pitch, settings.camera_roll
    approximate_up = ground.up_vector(np.radians(roll or 0.0), np.radians(pitch or 0.0))
    balance_up = up_from_center_of_mass(time, posed.joints.double().numpy(), approximate_up)
    return ground.camera_to_ground(time, pelvis, facing, trunk, sole_positions, pitch, roll, balance_up)


def _rigid_body_point(markers: Array, static_trial: StaticTrial, name: str, point: Array) -> Array:
    """Position (T, 3) of the foot-fixed point that is at `point` in the static trial.

    The rigid motion is the best fit of the foot's markers.
    """
    names = [f"{name[-1].upper()}{site}" for site in ("CAL", "MT1", "MT5", "MID")]
    columns = [MARKER_NAMES.index(marker) for marker in names]
    static_points = static_trial.markers[columns]
    return align_points(static_points, markers[:, columns]).apply(point[None])[:, 0]


def predict_initial(model: Any, markers: Array, valid: Array, device: str) -> tuple[Array, scaling.Factors, Array]:
    """NeurIK's word on the clip: q (T, D), NaN in frames without the person; one scale per body; and where the
    markers sit on the unscaled bones of a typical person (M, 3)."""
    network, marker_locations = load_network()
    coordinates = opensim_ik.coordinate_names(model)
    q = np.full((len(valid), len(coordinates)), np.nan)
    log_scales, lengths = [], []
    for start, end in runs(valid):
        prediction = predict(network, markers[start:end], coordinates, choose_device(device))
        q[start:end] = prediction.q
        log_scales.append(np.log(np.stack(list(prediction.scale.values()))))
        lengths.append(end - start)
    mean_scale = np.exp(np.average(log_scales, axis=0, weights=lengths))
    return q, dict(zip(prediction.scale, mean_scale, strict=True)), marker_locations


def solve_angles(
    solver: Solver | None,
    scaled_model: ScaledModel,
    markers: Array,
    time: Array,
    valid: Array,
    initial_q: Array | None,
    settings: Settings,
    progress: Progress,
) -> tuple[Array, Array]:
    """q (T, D) and the markers' residuals (T, M) in m, run of usable frames by run; NaN elsewhere. Without a `solver`,
    OpenSim's."""
    columns = [MARKER_NAMES.index(name) for name in scaled_model.markers]
    q = np.full((len(valid), len(opensim_ik.coordinate_names(scaled_model.model))), np.nan)
    residual = np.full(markers.shape[:2], np.nan)
    progress.start("inverse kinematics", int(valid.sum()))
    previous_pose: Array | None = None  # a person who turned around before a gap is still turned around after it
    for start, end in runs(valid):
        rows = slice(start, end)
        measured = markers[rows][:, columns]
        if solver is None:
            solution = opensim_ik.solve(
                scaled_model.model, scaled_model.markers, measured, time[rows], progress, previous_pose
            )
            q[rows], model_markers = solution.q, solution.markers
        else:
            q[rows], model_markers = _solve_interval(
                solver, measured, time[rows], None if initial_q is None else initial_q[rows], settings
            )
            if previous_pose is not None:
                q[rows] = solver.unwrap_to(q[rows], previous_pose)
            progress.advance(end - start)
        previous_pose = q[end - 1]
        residual[rows, columns] = np.linalg.norm(model_markers - measured, axis=-1)
    return q, residual


def _solve_interval(
    solver: Solver, markers: Array, time: Array, initial_q: Array | None, settings: Settings
) -> tuple[Array, Array]:
    """q (T, D) and the model's markers (T, M, 3): the prediction, or the solver's result from it."""
    if initial_q is not None and settings.ik_iterations == 0:
        q = solver.kinematics.apply_couplers(torch.as_tensor(initial_q))
        return q.numpy(), solver.kinematics.markers(q).numpy()
    iterations = ITERATIONS if settings.ik_iterations is None else settings.ik_iterations
    solution = solver.solve(markers, initial_q, iterations=iterations)
    if not settings.ik_smoothness:
        return solution.q, solution.markers
    smooth = solve_trajectory(solver.kinematics, markers, solution.q, smoothness=settings.ik_smoothness, time=time)
    return smooth.q, smooth.markers


def warnings_of(model: Any, q: Array, residual: Array, q_std: Array) -> tuple[str, ...]:
    """What in the result a user should look at before believing it."""
    warnings = _uncertain_leg_warnings(opensim_ik.coordinate_names(model), q_std)
    for column, coordinate in enumerate(model.getCoordinateSet()):
        name = coordinate.getName()
        if not coordinate.getDefaultClamped() or coordinate.getDefaultLocked() or name.startswith(("knee", "elbow")):
            continue  # a straight knee or elbow is correctly at its limit
        low, high = coordinate.getRangeMin() + LIMIT_MARGIN, coordinate.getRangeMax() - LIMIT_MARGIN
        fraction = float(np.mean((q[:, column] < low) | (q[:, column] > high)))
        if fraction > AT_LIMIT_FRACTION:
            warnings.append(f"{name} is at the end of its range in {fraction:.0%} of the frames")
    rms = float(np.sqrt(np.nanmean(residual**2)))
    if rms > LARGE_RESIDUAL:
        warnings.append(f"the skeleton misses the body's markers by {rms * 1000:.0f} mm (root mean square)")
    return tuple(warnings)


def _uncertain_leg_warnings(names: tuple[str, ...], q_std: Array) -> list[str]:
    """At most one line: the angles of the legs with a large standard deviation, on average over the clip."""
    legs = [i for i, name in enumerate(names) if name.startswith(LEG_COORDINATES) and len(q_std)]
    mean_std = {names[i]: np.mean(finite) for i in legs if len(finite := q_std[np.isfinite(q_std[:, i]), i])}
    uncertain = [f"{name} {np.degrees(std):.0f}" for name, std in mean_std.items() if std > LARGE_STD]
    return [f"uncertain angles, standard deviations in degrees: {', '.join(uncertain)}"] if uncertain else []
