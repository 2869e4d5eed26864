"""Joint angles as tables: every value once, in the units of the files, with its standard deviation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from biopose_cli.io.results import JointKinematics
from biopose_cli.io.tables import wide_table, write_angles_csv

NAMES = ["pelvis_tilt", "pelvis_tx", "knee_angle_r", "knee_angle_r_beta", "mtp_angle_r"]
T = 4
VALID = np.array([True, True, False, True])


@pytest.fixture
def kinematics() -> JointKinematics:
    """Frame 2 is empty; pelvis_tilt and knee_angle_r have standard deviations, mtp_angle_r is locked."""
    q = np.arange(T * len(NAMES)).reshape(T, -1) / 10
    q_std = np.tile([0.01, 0.02, 0.03, np.nan, np.nan], (T, 1))
    q_std[~VALID] = np.nan
    return JointKinematics(
        time=np.arange(T) / 30,
        q=q,
        coordinates=np.array(NAMES),
        rotational=np.array([True, False, True, False, True]),
        scale=np.ones((1, 3)),
        bodies=np.array(["pelvis"]),
        markers=np.zeros((T, 0, 3)),
        marker_names=np.zeros(0, str),
        marker_residual=np.zeros((T, 0)),
        valid=VALID,
        ground_from_camera=np.eye(4),
        q_std=q_std,
    )


def test_the_tidy_table_has_a_row_for_every_coordinate_and_frame(kinematics: JointKinematics) -> None:
    table = kinematics.to_dataframe()
    assert list(table.columns) == ["time", "coordinate", "value", "unit", "std"]
    assert len(table) == T * len(NAMES)
    assert dict(zip(table.coordinate, table.unit, strict=True)) == {
        "pelvis_tilt": "deg",
        "pelvis_tx": "m",
        "knee_angle_r": "deg",
        "knee_angle_r_beta": "rad",
        "mtp_angle_r": "deg",
    }
    for column, name in enumerate(NAMES):
        rows = table[table.coordinate == name]
        np.testing.assert_array_equal(rows.time, kinematics.time)
        np.testing.assert_array_equal(rows.value, np.where(VALID, kinematics.file_values[:, column], np.nan))


def test_the_standard_deviations_are_those_of_free_angles(kinematics: JointKinematics) -> None:
    assert list(kinematics.std_deg) == ["pelvis_tilt", "knee_angle_r"]
    known = kinematics.to_dataframe().dropna(subset="std")
    assert set(known.coordinate) == {"pelvis_tilt", "knee_angle_r"}
    assert len(known) == 2 * VALID.sum()
    knee = known[known.coordinate == "knee_angle_r"]
    np.testing.assert_allclose(knee["std"], np.rad2deg(0.03), rtol=1e-6)


def test_angles_in_degrees_are_those_of_the_rotational_coordinates(kinematics: JointKinematics) -> None:
    angles = kinematics.angles_deg
    assert list(angles) == ["pelvis_tilt", "knee_angle_r", "mtp_angle_r"]
    np.testing.assert_array_equal(np.isfinite(angles["knee_angle_r"]), VALID)
    np.testing.assert_allclose(angles["knee_angle_r"][0], np.rad2deg(0.2), rtol=1e-6)


def test_the_wide_table_is_read_back_from_its_file(kinematics: JointKinematics, tmp_path: Path) -> None:
    table = wide_table(kinematics)
    assert list(table.columns) == ["time", *NAMES, "pelvis_tilt_sd", "knee_angle_r_sd"]
    write_angles_csv(tmp_path / "walk_angles.csv", kinematics)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "walk_angles.csv"), table, atol=1e-6, rtol=0)
