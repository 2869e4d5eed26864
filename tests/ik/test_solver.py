"""The solver finds poses from markers alone, keeps what it must keep, and does not mind missing markers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares

from biopose_cli.body.model import load_body
from biopose_cli.ik.solver import Solver
from biopose_cli.skeleton.euler_branches import canonical_angles
from biopose_cli.skeleton.extract import extract_model
from biopose_cli.skeleton.kinematics import Kinematics
from biopose_cli.skeleton.osim import opensim
from biopose_cli.skeleton.scaling import scale_model
from biopose_cli.synthesis.joint_motion import COORDINATES, sample, sample_action
from biopose_cli.typing import Array
from tests.helpers.handmade_models import chain

INDEX = {name: column for column, name in enumerate(COORDINATES)}


@pytest.fixture(scope="module")
def solver() -> Solver:
    torch.set_num_threads(1)
    table = extract_model(scale_model(load_body(), np.zeros(10))[0].model)
    assert table.coordinates == COORDINATES
    return Solver(Kinematics(table))


@pytest.fixture(scope="module")
def walk(solver: Solver) -> Array:
    q = sample_action("walk", 1, 60, 60.0, np.random.default_rng(3))[0].astype(float)
    return canonical_angles(solver.kinematics.spec, q)


def _markers(solver: Solver, q: Array) -> Array:
    return np.asarray(solver.kinematics.markers(torch.as_tensor(q)))


def _degrees(solver: Solver, found: Array, true: Array) -> Array:
    angles = solver.kinematics.spec.is_angle
    return np.degrees(np.abs((found - true + np.pi) % (2 * np.pi) - np.pi))[:, angles]


def test_a_walk_is_found_from_nothing(solver: Solver, walk: Array) -> None:
    markers = _markers(solver, walk)
    found = solver.solve(markers)
    assert _degrees(solver, found.q, walk).max() < 0.05
    assert found.rms.max() < 1e-6
    np.testing.assert_allclose(found.markers, markers, atol=1e-5)


def test_wild_motion_is_found_from_nothing(solver: Solver) -> None:
    lost = []
    for q in sample(6, 60, 60.0, np.random.default_rng(8)):
        found = solver.solve(_markers(solver, q.astype(float)))
        lost.append(found.rms > 0.001)
    assert np.mean(lost) < 0.003


def test_a_single_frame_is_found(solver: Solver, walk: Array) -> None:
    assert solver.solve(_markers(solver, walk[:1])).rms.max() < 1e-6


def test_turned_the_other_way_and_lying(solver: Solver, walk: Array) -> None:
    for name, angle in (("pelvis_rotation", 170.0), ("pelvis_tilt", -85.0), ("pelvis_tilt", 85.0)):
        q = walk.copy()
        q[:, INDEX[name]] += np.radians(angle)
        assert solver.solve(_markers(solver, q)).rms.max() < 1e-6


def test_a_start_is_improved_by_few_iterations(solver: Solver, walk: Array) -> None:
    generator = np.random.default_rng(0)
    start = walk + np.radians(3) * generator.normal(size=walk.shape)
    found = solver.solve(_markers(solver, walk), start, iterations=5)
    assert _degrees(solver, found.q, walk).max() < 0.05


def test_wrong_frames_of_a_start_are_rescued_unless_the_limit_is_low(solver: Solver, walk: Array) -> None:
    start = walk.copy()
    start[10, INDEX["pelvis_rotation"]] += np.pi
    start[10, INDEX["arm_flex_r"] : INDEX["arm_rot_r"] + 1] = [1.5, -2.0, 1.5]
    start[10, INDEX["hip_flexion_l"]] = 2.0
    markers = _markers(solver, walk)
    assert solver.solve(markers, start).rms.max() < 1e-6
    assert solver.solve(markers, start, iterations=61).rms.max() < 1e-6
    assert solver.solve(markers, start, iterations=2).rms[10] > 0.01


def test_unlike_markers_of_a_whole_trial_end_the_rescue(solver: Solver, walk: Array) -> None:
    """Frames that no pose explains stay, at the best that was found."""
    markers = _markers(solver, walk)
    markers[20:30] += np.random.default_rng(0).normal(0, 0.05, markers[20:30].shape)
    found = solver.solve(markers)
    assert found.rms[20:30].min() > 0.02
    assert np.delete(found.rms, slice(20, 30)).max() < 1e-6


def test_missing_markers_do_not_matter_while_enough_are_left(solver: Solver, walk: Array) -> None:
    markers = _markers(solver, walk)
    generator = np.random.default_rng(1)
    markers[generator.random(markers.shape[:2]) < 0.1] = np.nan
    found = solver.solve(markers)
    assert np.median(_degrees(solver, found.q, walk)) < 1e-3
    assert found.rms.max() < 1e-5
    assert np.isfinite(found.markers).all()


def test_what_no_marker_shows_stays_at_its_start(solver: Solver, walk: Array) -> None:
    table = solver.kinematics.spec
    markers = _markers(solver, walk)
    joint = table.joint_of[INDEX["wrist_flex_r"]]
    markers[:, table.ancestors[joint, table.marker_bodies]] = np.nan
    start = walk.copy()
    start[:, INDEX["wrist_flex_r"]] = 0.4
    found = solver.solve(markers, start + np.radians(0.5) * (np.arange(42) == INDEX["knee_angle_l"]))
    np.testing.assert_allclose(found.q[:, INDEX["wrist_flex_r"]], 0.4, atol=1e-9)
    np.testing.assert_allclose(found.q[:, INDEX["knee_angle_l"]], walk[:, INDEX["knee_angle_l"]], atol=1e-4)


def test_a_frame_without_markers_is_finite(solver: Solver, walk: Array) -> None:
    markers = _markers(solver, walk)
    markers[5] = np.nan
    found = solver.solve(markers)
    assert np.isfinite(found.q).all()
    assert np.delete(found.rms, 5).max() < 1e-6


def test_a_target_beyond_a_range_ends_on_the_limit_as_the_constrained_optimum(
    solver: Solver, walk: Array
) -> None:
    table = solver.kinematics.spec
    knee = INDEX["knee_angle_r"]
    q = walk[:1].copy()
    q[:, knee] = table.ranges[knee, 0] - 0.2  # bent the wrong way
    markers = _markers(solver, q)
    found = solver.solve(markers, walk[:1])
    assert found.q[0, knee] == table.ranges[knee, 0]
    free = np.flatnonzero(solver.free.numpy())

    def residual(x: Array) -> Array:
        pose = walk[0].copy()
        pose[free] = x
        return np.asarray(_markers(solver, pose[None]) - markers).ravel()

    low, high = solver.lower.numpy()[free], solver.upper.numpy()[free]
    best = least_squares(
        residual, np.clip(found.q[0, free], low + 1e-6, high - 1e-6), bounds=(low, high), xtol=1e-12
    )
    cost = 0.5 * float((residual(found.q[0, free]) ** 2).sum())
    assert cost <= best.cost * (1 + 1e-6)
    assert cost > 1e-5


def test_heavier_markers_are_met_better(solver: Solver, walk: Array) -> None:
    generator = np.random.default_rng(2)
    markers = _markers(solver, walk) + generator.normal(0, 0.01, (len(walk), 69, 3))
    weights = np.ones(69)
    heavy = np.arange(69) % 14 == 0
    weights[heavy] = 50.0
    plain, weighted = solver.solve(markers), solver.solve(markers, weights=weights)

    def miss(found: Array) -> float:
        return float(np.linalg.norm(found - markers, axis=-1)[:, heavy].mean())

    assert miss(weighted.markers) < 0.8 * miss(plain.markers)
    unseen = solver.solve(np.where(heavy[:, None], np.nan, markers))
    ignored = solver.solve(markers, weights=(~heavy).astype(float))
    np.testing.assert_allclose(ignored.rms, unseen.rms, atol=1e-6)


def test_locked_coordinates_stay_and_couplers_hold() -> None:
    model = chain("FreeJoint", "PinJoint", "PinJoint", "PinJoint")
    coupler = opensim.CoordinateCouplerConstraint()
    leaders = opensim.ArrayStr()
    leaders.append("body1_q0")
    coupler.setIndependentCoordinateNames(leaders)
    coupler.setDependentCoordinateName("body3_q0")
    function = opensim.LinearFunction(0.5, 0.1)
    function.thisown = False  # the coupler takes it over
    coupler.setFunction(function)
    model.addConstraint(coupler)
    locked = model.updCoordinateSet().get("body2_q0")
    locked.set_locked(True)
    locked.set_default_value(0.3)
    model.finalizeConnections()
    kinematics = Kinematics(extract_model(model))
    q = kinematics.apply_couplers(
        torch.tensor([[0.3, -0.2, 0.4, 0.5, 1.0, -0.3, 0.7, 0.3, 0.0]], dtype=torch.float64)
    )
    found = Solver(kinematics).solve(np.asarray(kinematics.markers(q)))
    np.testing.assert_allclose(found.q, q, atol=1e-5)
    assert found.q[0, 7] == 0.3
    assert found.q[0, 8] == pytest.approx(0.5 * found.q[0, 6] + 0.1)


def test_a_person_who_turns_round_and_round_does_not_jump(solver: Solver, walk: Array) -> None:
    q = walk.copy()
    q[:, INDEX["pelvis_rotation"]] += np.linspace(0, 4 * np.pi, len(q))
    found = solver.solve(_markers(solver, q))
    assert found.rms.max() < 1e-6
    assert np.abs(np.diff(found.q[:, INDEX["pelvis_rotation"]])).max() < 0.5
