"""The angles' standard deviations: turns of the body's joints move markers and angles as they do when carried out."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from biopose_cli.body.kinematics import ACTIVE_JOINTS
from biopose_cli.body.model import JOINT_NAMES, BodyOutput, load_body
from biopose_cli.geometry import so3
from biopose_cli.ik import stage
from biopose_cli.ik.solver import Solver
from biopose_cli.ik.uncertainty import marker_displacements, propagate_std
from biopose_cli.io.results import Refined
from biopose_cli.skeleton.extract import extract_model
from biopose_cli.skeleton.kinematics import Kinematics
from biopose_cli.skeleton.scaling import scale_model
from biopose_cli.typing import Array
from tests.helpers.posed_body import LEVEL, Turn, frame_times, posed_body

_BENT: Turn = {
    "right_hip": (-35, 5, -8),
    "right_knee": (50, 0, 0),
    "left_elbow": (0, -60, 0),
    "spine2": (10, 0, 5),
}


def _with_std(refined: Refined, **by: tuple[float, float, float]) -> Refined:
    """The body with doubts about some joints, rad."""
    rotation_std = np.zeros((len(refined.body_pose), len(ACTIVE_JOINTS), 3))
    for name, axes in by.items():
        rotation_std[:, ACTIVE_JOINTS.index(JOINT_NAMES.index(name))] = axes
    return replace(refined, rotation_std=rotation_std)


def _rotate_joint(refined: Refined, name: str, axis: int, angle: float) -> Refined:
    """The body with a joint turned further about one of its own axes, rad."""
    axis_angles = np.concatenate([refined.global_orient[:, None], refined.body_pose], axis=1)
    joint = JOINT_NAMES.index(name)
    axis_angles[:, joint] = so3.matrix_to_axis_angle(
        so3.axis_angle_to_matrix(axis_angles[:, joint]) @ so3.axis_angle_to_matrix(angle * np.eye(3)[axis])
    )
    return replace(refined, global_orient=axis_angles[:, 0], body_pose=axis_angles[:, 1:])


def _posed(refined: Refined) -> tuple[torch.Tensor, torch.Tensor]:
    parts = (refined.body_pose, refined.global_orient, refined.betas, refined.transl)
    posed = load_body().pose(*(torch.as_tensor(part).float() for part in parts))
    return posed.joints, posed.markers


@pytest.mark.parametrize(("name", "axis"), [("pelvis", 1), ("right_hip", 0), ("spine2", 2), ("left_elbow", 1)])
def test_marker_displacements_match_the_actual_rotation(name: str, axis: int) -> None:
    refined, step = posed_body([_BENT], yaw=40.0), 0.02
    axes = so3.axis_angle_to_matrix(np.array([0.3, -0.5, 0.2]))
    vectors = np.concatenate([refined.global_orient[:, None], refined.body_pose], axis=1)
    pushed = marker_displacements(
        load_body(),
        BodyOutput(*_posed(refined)),
        so3.axis_angle_to_matrix(vectors),
        np.full((1, len(ACTIVE_JOINTS), 3), step),
        axes,
    )
    ahead, back = (_posed(_rotate_joint(refined, name, axis, sign * step))[1][0].double().numpy() for sign in (1, -1))
    column = 3 * ACTIVE_JOINTS.index(JOINT_NAMES.index(name)) + axis
    # the skin's own bulging with the pose, which is left out, is the rest
    np.testing.assert_allclose(pushed[0, column].T, (ahead - back) / 2 @ axes.T, atol=2.5e-4)


@pytest.mark.parametrize(
    ("name", "axis"), [("right_knee", 0), ("left_hip", 0), ("left_hip", 2), ("right_ankle", 0), ("pelvis", 0)]
)
def test_angle_changes_match_the_actual_rotation(name: str, axis: int) -> None:
    step = 0.03
    refined = posed_body([_BENT] * 4)
    doubt = tuple(float(step * (a == axis)) for a in range(3))
    joints = stage.run(*frame_times(4), _with_std(refined, **{name: doubt}), LEVEL)  # type: ignore[arg-type]
    moved: list[Array] = [
        stage.run(*frame_times(4), _rotate_joint(refined, name, axis, sign * step), LEVEL).q[0] for sign in (1, -1)
    ]
    angles = joints.rotational & ~np.isin(joints.coordinates, ["pelvis_rotation"])  # the heading is the clip's own
    change = np.abs(moved[0] - moved[1])[angles] / 2
    np.testing.assert_allclose(joints.q_std[0, angles], change, atol=0.15 * step)
    assert joints.q_std[0, angles].max() > 0.8 * step


def test_independent_variances_add() -> None:
    refined = posed_body([_BENT] * 3)
    one, other, both = (
        stage.run(*frame_times(3), _with_std(refined, **doubts), LEVEL).q_std
        for doubts in (
            {"left_hip": (0.1, 0.05, 0.0)},
            {"spine1": (0.0, 0.02, 0.08)},
            {"left_hip": (0.1, 0.05, 0.0), "spine1": (0.0, 0.02, 0.08)},
        )
    )
    np.testing.assert_allclose(both**2, one**2 + other**2, rtol=1e-5, atol=1e-9)


def test_std_is_nan_where_unknown() -> None:
    refined = posed_body([_BENT] * 5)
    valid = np.array([True, True, True, False, False])
    silent = stage.run(*frame_times(5, valid), refined, LEVEL)
    assert silent.q_std.shape == (0, 0)
    told = stage.run(*frame_times(5, valid), _with_std(refined, left_knee=(0.1, 0.0, 0.0)), LEVEL)
    fixed = np.array([str(name).endswith("_beta") for name in told.coordinates])
    assert np.isfinite(told.q_std[valid][:, ~fixed]).all()
    assert np.isnan(told.q_std[:, fixed]).all()
    assert np.isnan(told.q_std[~valid]).all()
    np.testing.assert_array_equal(told.q[valid], silent.q[valid])
    opensim = stage.run(*frame_times(5, valid), _with_std(refined), replace(LEVEL, ik="opensim"))
    assert opensim.q_std.shape == (0, 0)


def test_a_leg_with_a_large_std_is_named() -> None:
    refined = posed_body([_BENT] * 4)
    doubts = {"right_knee": (0.25, 0.0, 0.0), "left_hip": (0.1, 0.0, 0.0), "right_elbow": (0.0, 0.5, 0.0)}
    (told,) = (
        warning
        for warning in stage.run(*frame_times(4), _with_std(refined, **doubts), LEVEL).warnings
        if "uncertain angles" in warning
    )
    assert re.fullmatch("uncertain angles, standard deviations in degrees: knee_angle_r 1[45]", told)


def test_an_angle_that_moves_no_marker_has_no_std() -> None:
    calibrated, _ = scale_model(load_body(), np.zeros(10))
    solver = Solver(Kinematics(extract_model(calibrated.model)))
    unseen = list(solver.kinematics.spec.coordinates).index("wrist_flex_r")
    solver.marker_equations.moves_marker[unseen] = 0
    pushed = 0.01 * torch.randn(2, 5, 3, len(solver.kinematics.spec.markers))
    found = propagate_std(solver, np.zeros((2, len(solver.free))), pushed)
    assert np.isnan(found[:, unseen]).all()
    others = solver.free.numpy() & (np.arange(len(solver.free)) != unseen)
    assert (found[:, others] > 0).all()
