"""The standard deviations against known errors, and `biopose evaluate uncertainty`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from biopose_cli.benchmarks.uncertainty import evaluate, format_report
from tests.conftest import Call, one_line
from tests.helpers.motions import write_constant, write_legs


@pytest.fixture
def motions(tmp_path: Path) -> list[Path]:
    """Two clips with errors of 1 and 3 degrees and a standard deviation of 2."""
    paths = []
    for name, offset in (("a", 1.0), ("b", 3.0)):
        paths.append(write_legs(tmp_path / f"{name}.mot", offset))
        write_constant(tmp_path / f"{name}_sd.sto", 2.0)
        write_legs(tmp_path / f"{name}_truth.mot")
    return paths


def test_fractions_within_the_standard_deviations(motions: list[Path], tmp_path: Path) -> None:
    report = evaluate(motions, tmp_path)
    knee = report["angles"]["knee_angle"]
    assert report["clips"] == 2
    assert knee["error_deg"] == pytest.approx(2, abs=1e-4)
    assert knee["sd_deg"] == pytest.approx(2, abs=1e-4)
    assert (knee["within_one_sd"], knee["within_two_sd"]) == (0.5, 1.0)
    assert "| knee_angle | 2.0 | 2.0 | 0.50 | 1.00 |" in format_report(report)


def test_the_command(biopose: Call, motions: list[Path], tmp_path: Path) -> None:
    code, out, error = biopose("evaluate", "uncertainty", *motions, "--truth", tmp_path, "--json")
    assert code == 0, error
    assert json.loads(out)["angles"]["hip_flexion"]["within_one_sd"] == 0.5
    code, _, error = biopose("evaluate", "uncertainty", motions[0], "--truth", tmp_path / "nowhere")
    assert code == 2
    assert "nowhere" in one_line(error)
    (tmp_path / "a_sd.sto").unlink()
    code, _, error = biopose("evaluate", "uncertainty", motions[0], "--truth", tmp_path)
    assert code == 2
    assert "a_sd.sto" in one_line(error)
