"""The two names of a shoulder's posture: the same markers, one of them chosen and kept."""

from __future__ import annotations

import numpy as np
import torch

from biopose_cli.geometry.euler_branches import equivalent_angles
from biopose_cli.skeleton.euler_branches import (
    RANGE_SLACK,
    canonical_angles,
    nearest_branch,
    three_axis_joints,
)
from biopose_cli.skeleton.extract import extract_model
from biopose_cli.skeleton.kinematics import Kinematics
from biopose_cli.skeleton.scaling import ScaledModel
from tests.helpers.handmade_models import random_poses


def test_three_axis_joints_are_found(scaled_model: ScaledModel) -> None:
    table = extract_model(scaled_model.model)
    names = [[table.coordinates[c] for c in columns] for columns in three_axis_joints(table)]
    assert ["arm_flex_r", "arm_add_r", "arm_rot_r"] in names
    assert all(not name.startswith("pelvis") for columns in names for name in columns)


def test_the_other_name_is_the_same_posture(scaled_model: ScaledModel) -> None:
    table = extract_model(scaled_model.model)
    kinematics = Kinematics(table)
    q = random_poses(table, 20, np.random.default_rng(0))
    for columns in three_axis_joints(table):
        other = q.copy()
        other[:, columns], _ = equivalent_angles(q[:, columns], table.ranges[columns])
        assert np.abs(other - q).max() > 0.1
        np.testing.assert_allclose(
            kinematics.markers(torch.as_tensor(other)), kinematics.markers(torch.as_tensor(q)), atol=1e-12
        )


def test_canonical_keeps_the_posture_the_ranges_and_itself(scaled_model: ScaledModel) -> None:
    table = extract_model(scaled_model.model)
    kinematics = Kinematics(table)
    q = kinematics.apply_couplers(torch.as_tensor(random_poses(table, 200, np.random.default_rng(1)))).numpy()
    chosen = canonical_angles(table, q)
    assert (np.abs(chosen - q) > 1e-9).any(), "nothing was renamed: the test shows nothing"
    np.testing.assert_allclose(
        kinematics.markers(torch.as_tensor(chosen)), kinematics.markers(torch.as_tensor(q)), atol=1e-12
    )
    clamped = table.clamped
    assert (chosen >= table.ranges[:, 0] - 1e-6)[:, clamped].all()
    assert (chosen <= table.ranges[:, 1] + 1e-6)[:, clamped].all()
    np.testing.assert_allclose(canonical_angles(table, chosen), chosen)


def test_a_name_is_not_changed_for_a_moment(scaled_model: ScaledModel) -> None:
    """An arm that sways where both names are inside the ranges, every other frame under the other name."""
    table = extract_model(scaled_model.model)
    columns = next(c for c in three_axis_joints(table) if table.coordinates[c[0]] == "arm_flex_r")
    poses = random_poses(table, 500, np.random.default_rng(2))
    inner = table.ranges[columns] + np.radians([10, -10])
    _, both = equivalent_angles(poses[:, columns], inner)
    both &= ((poses[:, columns] > inner[:, 0]) & (poses[:, columns] < inner[:, 1])).all(axis=1)
    assert both.any(), "the names never meet: the test shows nothing"
    q = np.tile(poses[both][0], (60, 1))
    q[:, columns] += np.radians(5) * np.sin(np.arange(60) / 10)[:, None]
    jumbled = q.copy()
    jumbled[::2, columns], _ = equivalent_angles(q[::2, columns], table.ranges[columns])
    assert np.abs(np.diff(jumbled[:, columns], axis=0)).max() > 1
    assert np.abs(np.diff(canonical_angles(table, jumbled)[:, columns], axis=0)).max() < np.radians(1)


def test_a_posture_takes_the_references_name(scaled_model: ScaledModel) -> None:
    table = extract_model(scaled_model.model)
    reference = random_poses(table, 300, np.random.default_rng(4))
    q = reference.copy()
    renamed = np.zeros(len(q), bool)
    for columns in three_axis_joints(table):
        other, inside = equivalent_angles(q[:, columns], table.ranges[columns])
        q[inside[:, None] & np.isin(np.arange(q.shape[1]), columns)] = other[inside].ravel()
        renamed |= inside
    assert renamed.any(), "nothing was renamed: the test shows nothing"
    np.testing.assert_allclose(nearest_branch(table, q, reference), reference, atol=1e-12)


def test_a_limb_just_beyond_its_range_stays_at_the_end_if_that_is_allowed(scaled_model: ScaledModel) -> None:
    """An arm behind the back, up to 20 degrees further than its range, where only the other name can say it exactly."""
    table = extract_model(scaled_model.model)
    columns = next(c for c in three_axis_joints(table) if table.coordinates[c[0]] == "arm_flex_l")
    ranges = table.ranges[columns]
    q = np.zeros((30, len(table.coordinates)))
    q[:, columns[0]] = np.radians(-60 - 50 * np.sin(np.linspace(0, np.pi, 30)))
    q[:, columns[1]] = np.radians(-73)
    q[:, columns[2]] = np.radians(-110 * np.sin(np.linspace(0, np.pi, 30)))  # at 0 the other name is far outside
    wanted = q[:, columns].copy()
    beyond = wanted[:, 0] < ranges[0, 0]
    assert 5 < beyond.sum() < 25
    q[np.ix_(beyond, columns)] = equivalent_angles(wanted, ranges)[0][beyond]  # inside its range there
    jumps = np.abs(np.diff(canonical_angles(table, q)[:, columns], axis=0)).max()
    assert jumps > 2
    steady = canonical_angles(table, q, RANGE_SLACK)[:, columns]
    np.testing.assert_allclose(steady, np.clip(wanted, *ranges.T), atol=1e-9)
    far = q.copy()
    far[:, columns[0]] += np.where(beyond, np.radians(-40), 0)  # 40 degrees more: too far to be called that
    np.testing.assert_allclose(
        canonical_angles(table, far, RANGE_SLACK)[beyond][:, columns], far[beyond][:, columns], atol=1e-9
    )
