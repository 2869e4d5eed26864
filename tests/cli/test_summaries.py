"""What the closing table of a run shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from biopose_cli.cli.summaries import _std_row, print_summary
from biopose_cli.io.results import JointKinematics
from biopose_cli.pipeline.result import Result, StepReport


def test_a_stage_alone_prints_its_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    step = StepReport("detect", "detect", "running", 1.0, ("it is odd",))
    result = Result(Path("out"), None, None, (step,), {})
    print_summary(result)
    assert capsys.readouterr().out == f"wrote {result.stage_file('detect')}\nwarning: it is odd\n"


def test_the_summary_table_shows_the_leg_std() -> None:
    names = np.array(["hip_flexion_r", "knee_angle_r", "knee_angle_l", "pelvis_tx"])
    rows = np.radians([[5.0, 4.0, 8.0, 90.0], [7.0, 4.0, 8.0, 90.0], [np.nan] * 4])
    valid = np.array([True, True, False])
    turns = np.array([True, True, True, False])
    kinematics = JointKinematics(
        time=np.arange(3) / 30,
        q=np.zeros((3, 4)),
        coordinates=names,
        rotational=turns,
        scale=np.ones((1, 3)),
        bodies=np.array(["pelvis"]),
        markers=np.zeros((3, 0, 3)),
        marker_names=np.zeros(0, str),
        marker_residual=np.zeros((3, 0)),
        valid=valid,
        ground_from_camera=np.eye(4),
        q_std=rows,
    )
    ((_, told),) = _std_row(kinematics)
    assert told.startswith("hip flexion 6, knee 6 degrees")
    assert _std_row(replace(kinematics, q_std=np.zeros((0, 0)))) == []
