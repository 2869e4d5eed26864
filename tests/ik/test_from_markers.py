"""Angles from measured markers: those of the body that carried them, in any order, with some missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from biopose_cli.body.markers import MARKER_NAMES
from biopose_cli.errors import PersonError, SettingError
from biopose_cli.ik import from_markers, stage
from biopose_cli.io.results import JointKinematics
from biopose_cli.settings import Settings
from biopose_cli.typing import Array
from tests.helpers.posed_body import LEVEL, Turn, frame_times, posed_body

T = 40
ALL = tuple(range(len(MARKER_NAMES)))


@pytest.fixture(scope="module")
def walking() -> JointKinematics:
    """The ik stage's answer to a body whose right leg and left arm swing: angles, and markers in the ground frame."""
    torch.set_num_threads(1)
    swing = np.sin(np.linspace(0, 2 * np.pi, T))
    turns: list[Turn] = [
        {"right_hip": (-30 * s, 0, 0), "right_knee": (25 + 20 * s, 0, 0), "left_shoulder": (-30 * s, 0, 0)}
        for s in swing
    ]
    return stage.run(*frame_times(T), posed_body(turns, yaw=60.0), LEVEL)


def solve(walking: JointKinematics, columns: tuple[int, ...] = ALL, **settings: Any) -> JointKinematics:
    names = [MARKER_NAMES[column] for column in columns]
    return from_markers.run(walking.time, walking.markers[:, list(columns)], names, Settings(**settings))


def leg_error(found: JointKinematics, true: JointKinematics) -> float:
    legs = ("hip_flexion_r", "knee_angle_r", "ankle_angle_r", "hip_flexion_l", "knee_angle_l", "ankle_angle_l")
    errors = [found.angles_deg[name] - true.angles_deg[name] for name in legs]
    return float(np.nanmean(np.abs(errors)))


@pytest.mark.parametrize("settings", [{}, {"ik": "opensim"}, {"ik_iterations": 0}], ids=["both", "opensim", "alone"])
def test_the_angles_are_those_of_the_body_that_carries_the_markers(
    walking: JointKinematics, settings: dict[str, Any]
) -> None:
    found = solve(walking, **settings)
    assert found.valid.all()
    assert leg_error(found, walking) < 3.0
    np.testing.assert_array_equal(found.ground_from_camera, np.eye(4))
    assert found.q_std.shape == (0, 0)
    assert found.std_deg == {}


def test_the_order_of_the_markers_does_not_matter(walking: JointKinematics) -> None:
    order = tuple(np.random.default_rng(0).permutation(len(MARKER_NAMES)))
    plain, shuffled = solve(walking), solve(walking, order)
    np.testing.assert_array_equal(plain.q, shuffled.q)
    assert list(shuffled.marker_names) == [MARKER_NAMES[column] for column in order]
    np.testing.assert_array_equal(shuffled.marker_residual, plain.marker_residual[:, list(order)])


def test_the_skeleton_carries_the_given_markers_only(walking: JointKinematics) -> None:
    legs = tuple(i for i, name in enumerate(MARKER_NAMES) if name not in {"C7", "HTOP", "RTH1"})
    found = solve(walking, legs)
    assert found.markers.shape == (T, len(legs), 3)
    assert '<Marker name="RASI">' in found.model_xml
    assert '<Marker name="C7">' not in found.model_xml
    assert leg_error(found, walking) < 3.0


def test_frames_with_too_few_markers_stay_empty(walking: JointKinematics) -> None:
    markers = walking.markers.copy()
    markers[5:8] = np.nan  # nothing
    markers[20, [i for i, name in enumerate(MARKER_NAMES) if name[1:] in {"ASI", "PSI"} or name == "SACR"]] = np.nan
    markers[30, MARKER_NAMES.index("RCAL")] = np.nan  # one of many
    found = from_markers.run(walking.time, markers, MARKER_NAMES, Settings())
    empty = np.isin(np.arange(T), [5, 6, 7, 20])
    np.testing.assert_array_equal(found.valid, ~empty)
    np.testing.assert_array_equal(np.isnan(found.q).all(axis=1), empty)
    assert np.isnan(found.marker_residual[30, MARKER_NAMES.index("RCAL")])
    assert leg_error(found, walking) < 3.0
    with pytest.raises(PersonError, match="no frame holds"):
        from_markers.run(walking.time, np.full_like(markers, np.nan), MARKER_NAMES, Settings())


@pytest.mark.parametrize(
    ("settings", "mass", "source"),
    [
        ({"mass": 80.0, "height": 1.5}, 80.0, "--mass"),
        ({"height": 1.8}, 24.3 * 1.8**2, "estimated from --height"),
        ({}, 70.0, "estimated from the scales"),
    ],
)
def test_the_mass_is_given_or_estimated(
    walking: JointKinematics, settings: dict[str, Any], mass: float, source: str
) -> None:
    found = solve(walking, ik_iterations=0, **settings)
    assert found.mass_source == source
    assert found.mass_kg == pytest.approx(mass, rel=0.1 if not settings else 1e-6)


def test_what_cannot_be_solved_is_refused(walking: JointKinematics) -> None:
    time, markers = walking.time, walking.markers

    def refused(message: str, time: Array, markers: Array, names: tuple[str, ...]) -> None:
        with pytest.raises(SettingError, match=message):
            from_markers.run(time, markers, names, Settings())

    refused("Did you mean 'RASI'", time, markers, ("R.ASI", *MARKER_NAMES[1:]))
    refused("occurs twice", time, markers, (*MARKER_NAMES[:-1], MARKER_NAMES[0]))
    refused("do not go together", time[1:], markers, MARKER_NAMES)
    refused("do not increase", time[::-1], markers, MARKER_NAMES)
    knees = ("RLFC", "RMFC")
    refused("under 3 markers of the pelvis", time, markers[:, :2], knees)


def test_a_users_model_is_refused(walking: JointKinematics, tmp_path: Path) -> None:
    (tmp_path / "mine.osim").touch()
    with pytest.raises(SettingError, match="own skeleton only"):
        solve(walking, model=tmp_path / "mine.osim")
