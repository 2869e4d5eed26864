"""What the closing table of a run shows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from biopose_cli.cli.summaries import _std_row, print_summary


def test_a_stage_alone_prints_its_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    clip: Any = SimpleNamespace(file=lambda step: f"{step}.npz")
    result: Any = SimpleNamespace(
        clip=clip, artifacts={}, steps=[SimpleNamespace(step="detect")], warnings=["it is odd"]
    )
    print_summary(result)
    assert capsys.readouterr().out == "wrote detect.npz\nwarning: it is odd\n"


def test_the_summary_table_shows_the_leg_std() -> None:
    names = np.array(["hip_flexion_r", "knee_angle_r", "knee_angle_l", "pelvis_tx"])
    rows = np.radians([[5.0, 4.0, 8.0, 90.0], [7.0, 4.0, 8.0, 90.0], [np.nan] * 4])
    valid = np.array([True, True, False])
    turns = np.array([True, True, True, False])
    joints: Any = SimpleNamespace(coordinates=names, q_std=rows, valid=valid, rotational=turns)
    ((_, told),) = _std_row(joints)
    assert told.startswith("hip flexion 6, knee 6 degrees")
    assert _std_row(SimpleNamespace(q_std=np.zeros((0, 0)))) == []  # type: ignore[arg-type]
