from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from biopose_cli.body.model import load_body
from biopose_cli.errors import ModelFileError, SolverError
from biopose_cli.ik import trajectory
from biopose_cli.ik.network import BODIES, scale_groups
from biopose_cli.ik.solver import Solver
from biopose_cli.ik.trajectory import SCALE_PRIOR, scale_groups_for_model, solve_trajectory
from biopose_cli.optim.banded import BandedNormalEquations
from biopose_cli.skeleton.build import build_model
from biopose_cli.skeleton.extract import Coupler, Function, ModelSpec, extract_model
from biopose_cli.skeleton.kinematics import Kinematics
from biopose_cli.skeleton.scaling import scale_model
from biopose_cli.synthesis.joint_motion import sample_action
from biopose_cli.typing import Array

FRAMES, FPS = 40, 30.0
NOISE = 0.01  # m


@pytest.fixture(scope="module")
def skeleton() -> Kinematics:
    """The unscaled default skeleton, its markers where a typical body carries them."""
    torch.set_num_threads(1)
    calibrated, _ = scale_model(load_body(None), np.zeros(10, np.float32))
    fitted = extract_model(calibrated.model)
    factors = np.stack([calibrated.factors[body] for body in fitted.bodies])
    return Kinematics(
        replace(
            extract_model(build_model()),
            markers=fitted.markers,
            marker_bodies=fitted.marker_bodies,
            marker_locations=fitted.marker_locations / factors[fitted.marker_bodies],
        )
    )


@pytest.fixture(scope="module")
def groups(skeleton: Kinematics) -> Array:
    return scale_groups_for_model(scale_groups().numpy(), BODIES, skeleton.spec)


def coupled_arm() -> Kinematics:
    """Two bodies in a chain; the second joint's turn is twice the first's. Two markers on each body."""

    def pin(coordinate: int) -> tuple[Function, ...]:
        return (Function(coordinate, (1.0, 0.0)), *[Function()] * 5)

    axes = np.stack([np.concatenate([turns, np.eye(3)]) for turns in (np.eye(3)[[2, 0, 1]], np.eye(3))])
    frames = np.tile(np.eye(4), (2, 1, 1))
    frames[1, :3, 3] = 0.3, 0.1, 0.0
    return Kinematics(
        ModelSpec(
            bodies=("upper", "lower"),
            parents=(-1, 0),
            parent_frames=frames,
            child_frames=np.tile(np.eye(4), (2, 1, 1)),
            axes=axes,
            functions=(pin(0), pin(1)),
            coordinates=("lead", "follow"),
            ranges=np.tile([-2.0, 2.0], (2, 1)),
            clamped=np.array([True, False]),
            locked=np.zeros(2, bool),
            defaults=np.zeros(2),
            is_angle=np.ones(2, bool),
            couplers=(Coupler(1, Function(0, (2.0, 0.1))),),
            markers=("a", "b", "c", "d"),
            marker_bodies=np.array([0, 0, 1, 1]),
            marker_locations=np.array([[0.1, 0, 0.1], [0.2, 0.1, 0], [0.2, 0, 0.1], [0.1, 0.2, 0.1]]),
        )
    )


def motion(kinematics: Kinematics, name: str, frames: int = FRAMES, seed: int = 0) -> Array:
    q = torch.as_tensor(sample_action(name, 1, frames, FPS, np.random.default_rng(seed))[0].astype(float))
    return kinematics.apply_couplers(q).numpy()


def markers_of(kinematics: Kinematics, q: Array, scale: Array | None = None) -> Array:
    factors = None if scale is None else torch.as_tensor(scale)
    return kinematics.markers(torch.as_tensor(q), factors).numpy()


def nearby(q: Array) -> Array:
    """Five degrees (and 9 cm) off."""
    return np.asarray(q + np.radians(5) * np.random.default_rng(5).normal(size=q.shape))


def worst_degrees(kinematics: Kinematics, found: Array, q: Array) -> float:
    return float(np.degrees(np.abs(found - q)[:, kinematics.spec.is_angle].max()))


@pytest.mark.parametrize("name", ["walk", "posed"])
@pytest.mark.parametrize("scale_frames", [200, 20])
def test_finds_scales_and_poses(
    skeleton: Kinematics, groups: Array, name: str, scale_frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trajectory, "SCALE_FRAMES", scale_frames)
    logs = np.random.default_rng(1).normal(0, 0.05, groups.shape[-1])
    q, scale = motion(skeleton, name), np.exp(groups @ logs)
    found = solve_trajectory(skeleton, markers_of(skeleton, q, scale), nearby(q), groups=groups)
    np.testing.assert_allclose(found.scale, scale, rtol=0.002)
    assert worst_degrees(skeleton, found.q, q) < 0.1
    assert found.rms.max() < 1e-4
    np.testing.assert_allclose(found.markers, markers_of(skeleton, found.q, found.scale), atol=1e-12)


def test_places_are_on_the_unscaled_bones(skeleton: Kinematics, groups: Array) -> None:
    q = motion(skeleton, "walk")
    places = skeleton.spec.marker_locations + np.random.default_rng(2).normal(0, 0.02, (1, 3))
    scale = np.exp(groups @ np.full(groups.shape[-1], 0.03))
    markers = skeleton.markers(torch.as_tensor(q), torch.as_tensor(scale), torch.as_tensor(places)).numpy()
    found = solve_trajectory(skeleton, markers, nearby(q), groups=groups, marker_locations=places)
    np.testing.assert_allclose(found.scale, scale, rtol=0.002)


def test_what_no_marker_shows_keeps_its_size(skeleton: Kinematics, groups: Array) -> None:
    q = motion(skeleton, "walk")
    markers = markers_of(skeleton, q)
    head = [body == skeleton.spec.bodies.index("head") for body in skeleton.spec.marker_bodies]
    markers[:, head] = np.nan
    found = solve_trajectory(skeleton, markers, nearby(q), groups=groups)
    np.testing.assert_allclose(found.scale, 1.0, atol=0.002)


def test_smoothness_takes_noise_away(skeleton: Kinematics) -> None:
    q = motion(skeleton, "walk")
    markers = markers_of(skeleton, q) + np.random.default_rng(3).normal(0, NOISE, (FRAMES, 69, 3))
    alone, smooth = (
        solve_trajectory(skeleton, markers, nearby(q), smoothness=weight).q[:, skeleton.spec.is_angle]
        for weight in (0.0, 1.0)
    )
    true = q[:, skeleton.spec.is_angle]
    assert np.sqrt(((smooth - true) ** 2).mean()) < 0.6 * np.sqrt(((alone - true) ** 2).mean())


def test_smoothness_knows_true_time(skeleton: Kinematics) -> None:
    """With two frames in a row missing of every 15, as in films of variable frame rate."""
    q, knee = motion(skeleton, "walk", 90), skeleton.spec.coordinates.index("knee_angle_r")
    kept = np.arange(90)[np.arange(90) % 15 < 13]
    markers = markers_of(skeleton, q[kept])
    blind, knowing = (
        solve_trajectory(skeleton, markers, nearby(q[kept]), smoothness=0.01, time=time).q[:, knee]
        - q[kept, knee]
        for time in (None, kept / FPS)
    )
    assert np.abs(knowing).mean() < 0.5 * np.abs(blind).mean()
    assert np.degrees(np.abs(knowing).max()) < 0.4 * np.degrees(np.abs(blind).max())


def test_even_times_change_nothing(skeleton: Kinematics) -> None:
    q = motion(skeleton, "walk")
    markers = markers_of(skeleton, q) + np.random.default_rng(3).normal(0, NOISE, (FRAMES, 69, 3))
    untimed, timed = (
        solve_trajectory(skeleton, markers, nearby(q), smoothness=1.0, time=time).q
        for time in (None, 7 + np.arange(FRAMES) / 29.97)
    )
    np.testing.assert_allclose(timed, untimed, atol=1e-9)


def test_without_options_it_is_the_solver(skeleton: Kinematics) -> None:
    q = motion(skeleton, "walk")
    markers = markers_of(skeleton, q) + np.random.default_rng(4).normal(0, 0.002, (FRAMES, 69, 3))
    markers[3, :5] = np.nan
    weights = np.random.default_rng(4).uniform(0.5, 2, 69)
    found = solve_trajectory(skeleton, markers, nearby(q), weights=weights, iterations=60)
    expected = Solver(skeleton).solve(markers, nearby(q), weights)
    np.testing.assert_allclose(found.q, expected.q, atol=np.radians(0.1))
    np.testing.assert_allclose(found.rms, expected.rms, rtol=1e-5)
    assert (found.scale == 1).all()


@pytest.mark.parametrize("smoothness", [0.0, 1.0])
def test_keeps_the_limits(skeleton: Kinematics, smoothness: float) -> None:
    table = skeleton.spec
    q = motion(skeleton, "walk")
    knee, elbow = (table.coordinates.index(name) for name in ("knee_angle_r", "elbow_flex_l"))
    q[:, knee] = table.ranges[knee, 0] - np.radians(10)
    q[:, elbow] = table.ranges[elbow, 1] + np.radians(10)
    markers = markers_of(skeleton, q)
    found = solve_trajectory(skeleton, markers, nearby(q), smoothness=smoothness)
    clamped = table.clamped
    assert (found.q[:, clamped] >= table.ranges[clamped, 0]).all()
    assert (found.q[:, clamped] <= table.ranges[clamped, 1]).all()
    np.testing.assert_allclose(found.q[:, knee], table.ranges[knee, 0], atol=np.radians(0.1))
    np.testing.assert_allclose(found.q[:, elbow], table.ranges[elbow, 1], atol=np.radians(0.1))
    # a minimum under the limits: level inside, downhill only outwards (Karush, Kuhn and Tucker)
    problem = trajectory._Problem.build(skeleton, markers, None, smoothness, None, None)
    free, none = problem.solver.free, torch.zeros(0, dtype=torch.float64)
    gradient = problem.normal_equations(torch.as_tensor(found.q), none).gradient
    lower, upper = (side[free].numpy() for side in (problem.solver.lower, problem.solver.upper))
    low, high = found.q[:, free] <= lower, found.q[:, free] >= upper
    assert (gradient[low] >= 0).all()
    assert (gradient[high] <= 0).all()
    assert np.abs(gradient[~low & ~high]).max() < 1e-4


def test_bridges_frames_that_show_nothing(skeleton: Kinematics) -> None:
    q = motion(skeleton, "walk")
    markers = markers_of(skeleton, q)
    markers[10:13] = np.nan
    markers[::2, 7] = np.nan
    start = nearby(q)
    start[10:13] += 0.3
    found = solve_trajectory(skeleton, markers, start, smoothness=1e-5)
    assert worst_degrees(skeleton, found.q, q) < 5.0
    assert worst_degrees(skeleton, found.q[20:], q[20:]) < 0.1
    assert (found.rms[10:13] == 0).all()


def test_whole_turns_in_the_start_do_not_count(skeleton: Kinematics) -> None:
    q = motion(skeleton, "walk")
    start = nearby(q)
    start[20:, skeleton.spec.coordinates.index("pelvis_rotation")] += 2 * np.pi
    found = solve_trajectory(skeleton, markers_of(skeleton, q), start, smoothness=1e-5)
    assert worst_degrees(skeleton, found.q, q) < 0.1


def test_a_follower_moves_with_its_leader() -> None:
    arm = coupled_arm()
    q = arm.apply_couplers(torch.linspace(-0.5, 0.6, 8, dtype=torch.float64)[:, None].repeat(1, 2)).numpy()
    groups = np.zeros((2, 3, 2))
    groups[0, :, 0] = groups[1, :, 1] = 1
    scale = np.array([[1.1] * 3, [0.92] * 3])
    found = solve_trajectory(arm, markers_of(arm, q, scale), np.zeros((8, 2)), groups=groups, iterations=40)
    np.testing.assert_allclose(found.scale, scale, rtol=0.02)
    np.testing.assert_allclose(found.q, q, atol=0.01)
    np.testing.assert_allclose(found.q[:, 1], 2 * found.q[:, 0] + 0.1)


@pytest.mark.parametrize("steps", [None, [0.03, 0.1, 0.03]])
@pytest.mark.parametrize("which", ["skeleton", "arm"])
def test_equations_are_those_of_the_residuals(
    which: str, steps: list[float] | None, skeleton: Kinematics, groups: Array
) -> None:
    """Gradient and Gauss-Newton matrix against automatic differentiation of all residuals."""
    kinematics = thinned(skeleton) if which == "skeleton" else coupled_arm()
    table, rng, frames, smoothness = kinematics.spec, np.random.default_rng(6), 4, 0.7
    if which == "arm":
        groups = rng.random((2, 3, 2))
    markers = rng.normal(size=(frames, len(table.markers), 3))
    markers[1, 0] = np.nan
    weights = rng.uniform(0.5, 2, len(table.markers))
    time = None if steps is None else np.cumsum([2.0, *steps])
    second = torch.tensor([[1.0, -2, 1, 0], [0, 1, -2, 1]], dtype=torch.float64)
    if (
        steps is not None
    ):  # 2 / (h1 + h2) ((q3 - q2) / h2 - (q2 - q1) / h1), h1 = 0.03, h2 = 0.1, times 0.03 squared
        long, short = 0.0009 * 2 / 0.13 / 0.1, 0.0009 * 2 / 0.13 / 0.03
        rows = [[short, -short - long, long, 0], [0, long, -short - long, short]]
        second = torch.tensor(rows, dtype=torch.float64)
    problem = trajectory._Problem.build(kinematics, markers, weights, smoothness, groups, None, time)
    free = problem.solver.free
    q, log_scale = (torch.as_tensor(rng.normal(0, 0.3, n)) for n in ((frames, len(free)), groups.shape[-1]))

    def residuals(x: Tensor) -> Tensor:
        poses, logs = x[: frames * int(free.sum())].reshape(frames, -1), x[frames * int(free.sum()) :]
        whole = torch.zeros(frames, len(free), dtype=x.dtype).index_copy(1, torch.nonzero(free)[:, 0], poses)
        scale = (torch.as_tensor(groups) @ logs).exp()
        misses = (problem.weights**0.5)[..., None] * (kinematics.markers(whole, scale) - problem.targets)
        rough = smoothness**0.5 * second @ poses
        return torch.cat([misses.reshape(-1), rough.reshape(-1), SCALE_PRIOR**0.5 * logs])

    x = torch.cat([q[:, free].reshape(-1), log_scale])
    jacobian, residual = torch.autograd.functional.jacobian(residuals, x).numpy(), residuals(x).numpy()
    matrix, gradient = dense(problem.normal_equations(q, log_scale))
    assert problem.cost(q, log_scale) == pytest.approx(0.5 * residual @ residual)
    np.testing.assert_allclose(gradient, jacobian.T @ residual, atol=1e-9)
    np.testing.assert_allclose(matrix, jacobian.T @ jacobian, atol=1e-9)


def thinned(kinematics: Kinematics) -> Kinematics:
    """With every eighth marker."""
    table = kinematics.spec
    return Kinematics(
        replace(
            table,
            markers=table.markers[::8],
            marker_bodies=table.marker_bodies[::8],
            marker_locations=table.marker_locations[::8],
        )
    )


def dense(system: BandedNormalEquations) -> tuple[Array, Array]:
    frames, size, shapes = system.coupling.shape
    whole = np.zeros((frames * size + shapes,) * 2)
    for k in range(3):
        for t in range(frames - k):
            rows, columns = slice((t + k) * size, (t + k + 1) * size), slice(t * size, (t + 1) * size)
            whole[rows, columns] = system.blocks[k][t]
            whole[columns, rows] = system.blocks[k][t].T
    whole[: frames * size, frames * size :] = system.coupling.reshape(-1, shapes)
    whole[frames * size :, : frames * size] = system.coupling.reshape(-1, shapes).T
    whole[frames * size :, frames * size :] = system.shape_hessian
    return whole, np.concatenate([system.gradient.reshape(-1), system.shape_gradient])


@pytest.mark.parametrize("frames", [1, 2])
def test_clips_too_short_to_be_smooth(skeleton: Kinematics, groups: Array, frames: int) -> None:
    q = motion(skeleton, "walk", frames)
    found = solve_trajectory(skeleton, markers_of(skeleton, q), nearby(q), smoothness=1.0, groups=groups)
    assert found.rms.max() < 0.002


def test_groups_follow_the_bodies_by_name(skeleton: Kinematics) -> None:
    bodies = ("torso", "pelvis")
    given = np.arange(12.0).reshape(2, 3, 2)
    ordered = scale_groups_for_model(given, bodies, skeleton.spec)
    for body, rows in zip(skeleton.spec.bodies, ordered, strict=True):
        np.testing.assert_array_equal(rows, given[bodies.index(body)] if body in bodies else 0)
    with pytest.raises(ModelFileError, match="no body tail"):
        scale_groups_for_model(given, ("torso", "tail"), skeleton.spec)


def test_refuses_a_start_that_is_not_finite(skeleton: Kinematics) -> None:
    q = motion(skeleton, "walk")
    start = q.copy()
    start[2, 4] = np.nan
    with pytest.raises(SolverError, match="not finite in every frame"):
        solve_trajectory(skeleton, markers_of(skeleton, q), start)
