"""Ours and OpenSim's inverse kinematics, measured side by side on short trials."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from biopose_cli.benchmarks import ik_speed
from biopose_cli.cli import tables
from biopose_cli.errors import SettingError
from biopose_cli.progress import NullProgress
from tests.conftest import Call, one_line


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ik_speed, "MOTIONS", ("walk", "squats"))
    monkeypatch.setattr(ik_speed, "FRAMES", 20)


@pytest.mark.usefixtures("short")
def test_ours_is_nearer_and_faster_on_synthetic_trials(
    biopose: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = biopose("bench", "ik", "--json")
    assert code == 0
    report = json.loads(out)
    assert [row["name"] for row in report["trials"]] == ["walk", "squats"]
    for row in report["trials"]:
        assert row["frames"] == 20
        assert row["marker_rms_mm"] < 0.001 < row["opensim_marker_rms_mm"]
        assert row["angle_error_deg"] < 0.05 < row["opensim_angle_error_deg"]
        assert row["ratio"] == pytest.approx(row["frames_per_s"] / row["opensim_frames_per_s"])
        assert row["ratio"] > 1
    mean = report["mean"]
    assert mean["ratio"] == pytest.approx(mean["frames_per_s"] / mean["opensim_frames_per_s"])
    tables.print_ik(report)
    assert "squats" in capsys.readouterr().out


def test_a_real_trial(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first frames; the file and the model do not name the same markers."""
    monkeypatch.setattr(ik_speed, "MOTIONS", ())
    source = shared / "data" / "dev" / "multiview_balance"
    folder = tmp_path / "multiview_balance"
    folder.mkdir()
    (folder / "balance_reference_scaled.osim").symlink_to(source / "balance_reference_scaled.osim")
    lines = (source / "balance_reference.trc").read_text("utf-8").splitlines(keepends=True)
    (folder / "balance_reference.trc").write_text("".join(lines[:26]), encoding="utf-8")
    report = ik_speed.bench_ik(tmp_path, NullProgress())
    (row,) = report["trials"]
    assert row["name"] == "balance_reference"
    assert row["marker_rms_mm"] <= row["opensim_marker_rms_mm"]
    assert row["angle_error_deg"] is None
    assert report["mean"]["angle_error_deg"] is None


def test_a_folder_without_trials_is_named(tmp_path: Path, biopose: Call) -> None:
    with pytest.raises(SettingError, match="holds no trial"):
        ik_speed.bench_ik(tmp_path, NullProgress())
    code, _, err = biopose("bench", "ik", "--trials", tmp_path)
    assert code == 2
    assert str(tmp_path) in one_line(err)


def test_the_stages_are_still_what_bench_means(biopose: Call, tmp_path: Path) -> None:
    code, _, err = biopose("bench", tmp_path / "absent.mp4", "--weights", "full")
    assert code == 2
    assert "absent.mp4" in one_line(err)
    assert biopose("bench", "--weights", "tiny")[0] == 2
    code, out, _ = biopose("bench", "--help")
    assert code == 0
    assert "stages" in out
    assert "ik" in out
