"""What the tables print."""

from __future__ import annotations

import pytest

from biopose_cli.cli import tables


def test_the_tables_print_their_values(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    figures = {
        "mae_angle_deg": 2.345,
        "mpblpe_mm": 17.21,
        "mpblpe_rooted_mm": 15.5,
        "mae_body_mm": 3.21,
        "frames_per_s": 4321.0,
    }
    tables.print_evaluation(
        {
            "people": 3,
            "frames": 180,
            "levels": {"clean": {"network": figures}},
            "marker_rms_mm": {"clean": 0.0},
        }
    )
    printed = capsys.readouterr().out
    for text in ("3 held-out people", "network alone", "2.35", "17.2", "15.5", "3.21", "4321"):
        assert text in printed
    row = {
        "frames_per_s": 1500.0,
        "opensim_frames_per_s": 30.0,
        "ratio": 50.0,
        "marker_rms_mm": 1.2345,
        "opensim_marker_rms_mm": 1.3,
        "angle_error_deg": None,
        "opensim_angle_error_deg": None,
    }
    tables.print_ik({"trials": [{"name": "squats", "frames": 200} | row], "mean": row, "kinematics_frames_per_s": 1e5})
    printed = capsys.readouterr().out
    for text in ("squats", "1500", "50.0", "1.234", "mean", "100000"):
        assert text in printed
