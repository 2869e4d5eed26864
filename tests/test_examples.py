"""The examples run as their first lines say, on the embedded clip."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pandas as pd
import pytest

from biopose_cli.io.trc import read_trc, write_trc
from biopose_cli.pipeline.result import Result
from biopose_cli.skeleton.osim import load_model
from tests.conftest import ROOT

EXAMPLES = ROOT / "examples"


def _run(monkeypatch: pytest.MonkeyPatch, name: str, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def test_every_example_has_a_test() -> None:
    tested = {"run_one.py", "loop_over_folder.py", "plot_knee.py", "own_markers.py"}
    assert {path.name for path in EXAMPLES.glob("*.py")} == tested


def test_run_one(
    result: Result, sample_clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _run(monkeypatch, "run_one.py", sample_clip, result.folder.parent)
    printed = capsys.readouterr().out
    assert "walk.mot" in printed
    assert "knee_angle_r" in printed


def test_loop_over_folder(result: Result, sample_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "broken.mp4").write_bytes(b"not a video")
    monkeypatch.chdir(tmp_path)
    _run(monkeypatch, "loop_over_folder.py", videos, "results", "none.csv")
    assert not Path("none.csv").exists()
    _run(monkeypatch, "loop_over_folder.py", sample_clip.parent, result.folder.parent, "angles.csv")
    table = pd.read_csv("angles.csv")
    assert set(table.video) == {"walk.mp4"}
    assert len(table) == len(result.kinematics.time) * len(result.kinematics.coordinates)


def test_plot_knee(result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _run(monkeypatch, "plot_knee.py", result.folder, tmp_path / "knee.png")
    assert (tmp_path / "knee.png").read_bytes().startswith(b"\x89PNG")


def test_own_markers(result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = read_trc(result.folder / "walk.trc")
    names = ["R.ASIS" if name == "RASI" else "unknown" if name == "RTH1" else name for name in measured.names]
    write_trc(tmp_path / "trial.trc", measured.time, names, measured.positions)
    _run(monkeypatch, "own_markers.py", *(tmp_path / name for name in ("trial.trc", "angles.csv", "trial.osim")))
    assert "knee_angle_r" in set(pd.read_csv(tmp_path / "angles.csv").coordinate)
    model = load_model(tmp_path / "trial.osim")
    carried = {marker.getName() for marker in model.getMarkerSet()}
    assert carried == set(measured.names) - {"RTH1"}
