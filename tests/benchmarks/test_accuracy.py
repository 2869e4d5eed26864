"""Several motions against one reference, and `biopose evaluate table`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from biopose_cli.benchmarks.accuracy import evaluate, format_report
from biopose_cli.errors import MotionFileError
from tests.conftest import Call, one_line
from tests.helpers.motions import LEGS, write_legs


def test_a_known_offset_is_the_error(tmp_path: Path) -> None:
    reference = write_legs(tmp_path / "ref.mot")
    report = evaluate(reference, [write_legs(tmp_path / "a.mot", 2.0), write_legs(tmp_path / "b.mot", 4.0)])
    assert report["clips"]["a"]["mae"] == pytest.approx(2, abs=1e-4)
    assert report["mean"]["mae"] == pytest.approx(3, abs=1e-4)
    assert report["mean"]["mae_offset_removed"] == pytest.approx(0, abs=1e-4)
    assert set(report["coordinates"]) == set(LEGS)
    text = format_report(report)
    assert "| a | 2.00 | 0.00 | 2.00 | 1.00 |" in text
    assert "| knee_angle_r | 2.0 / 0.0 | 4.0 / 0.0 | 3.0 / 0.0 |" in text


def test_only_leg_angles_that_all_have_are_listed(tmp_path: Path) -> None:
    few = write_legs(tmp_path / "few.mot", names=LEGS[:3])
    report = evaluate(write_legs(tmp_path / "ref.mot"), [write_legs(tmp_path / "all.mot"), few])
    assert set(report["coordinates"]) == set(LEGS[:3])


def test_two_motions_of_one_name_are_refused(tmp_path: Path) -> None:
    reference = write_legs(tmp_path / "ref.mot")
    with pytest.raises(MotionFileError, match="two motions are called a"):
        evaluate(reference, [write_legs(tmp_path / "x" / "a.mot"), write_legs(tmp_path / "y" / "a.mot")])


def test_the_command(biopose: Call, tmp_path: Path) -> None:
    reference, estimate = write_legs(tmp_path / "ref.mot"), write_legs(tmp_path / "a.mot", 1.0)
    code, out, error = biopose("evaluate", "table", reference, estimate, "--json")
    assert code == 0, error
    assert json.loads(out)["clips"]["a"]["mae"] == pytest.approx(1, abs=1e-4)
    assert "| **mean** | 1.00 |" in biopose("evaluate", "table", reference, estimate)[1]
    code, out, error = biopose("evaluate", "table", reference, tmp_path / "nothing.mot")
    assert (code, out) == (2, "")
    assert "nothing.mot" in one_line(error)
    pelvis = write_legs(tmp_path / "pelvis.mot", names=("pelvis_tilt",))
    both = write_legs(tmp_path / "both.mot", names=("pelvis_tilt", *LEGS))
    code, _, error = biopose("evaluate", "table", both, pelvis)
    assert code == 2
    assert "no leg angle in common" in one_line(error)
