"""The commands for those who measure and train: what they print, and one line for a mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from biopose_cli.cli import tables
from tests.conftest import Call, one_line


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("train", "neurik"), "--motion is missing"),
        (("evaluate", "neurik"), "--motion or --trials is missing"),
        (("evaluate", "neurik", "--motion", "no/such/folder"), "no/such/folder"),
        (("evaluate", "neurik", "--trials", "no/such/folder"), "no/such/folder"),
        (("bench", "ik", "--trials", "no/such/folder"), "no/such/folder"),
        (("bench", "nothing.mp4"), "there is no video nothing.mp4"),
    ],
)
def test_a_mistake_is_one_line(biopose: Call, arguments: tuple[str, ...], says: str) -> None:
    code, out, error = biopose(*arguments)
    assert code == 2
    assert out == ""
    assert says in one_line(error.splitlines(keepends=True)[-1])


def test_a_config_with_an_unknown_key_is_refused(biopose: Call, tmp_path: Path) -> None:
    config = tmp_path / "run.toml"
    config.write_text("stepps = 3\n")
    code, _, error = biopose("train", "neurik", "--motion", tmp_path, "--config", config)
    assert code == 2
    assert "steps" in one_line(error)


def test_bench_measures_the_stage(biopose: Call) -> None:
    code, out, _ = biopose("bench", "neurik", "--frames", "40", "--json")
    assert code == 0
    assert json.loads(out)["frames"] == 40


def test_bench_without_a_command_is_the_stages_bench(biopose: Call) -> None:
    assert biopose("bench", "--help")[0] == 0
    code, _, error = biopose("bench", "--weights", "enormous")
    assert code == 2
    assert "enormous" in one_line(error)


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
