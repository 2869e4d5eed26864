"""Marker residuals of the same clips under two settings, and `biopose evaluate residuals`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from biopose_cli.benchmarks.residuals import evaluate, format_report
from biopose_cli.errors import SettingError
from biopose_cli.io.results import JointKinematics
from tests.conftest import Call, one_line


def save_clip(folder: Path, residual: float, angle: float, frames: int = 4) -> None:
    """A clip with one angle and one translation, `residual` in m, `angle` in degrees."""
    path = folder / "stages" / "neurik.npz"
    path.parent.mkdir(parents=True)
    JointKinematics(
        time=np.arange(frames) / 30,
        q=np.tile([np.radians(angle), angle], (frames, 1)),
        coordinates=np.array(["knee_angle_r", "pelvis_tx"]),
        rotational=np.array([True, False]),
        scale=np.ones((1, 3)),
        bodies=np.array(["pelvis"]),
        markers=np.zeros((frames, 2, 3)),
        marker_names=np.array(["A", "B"]),
        marker_residual=np.full((frames, 2), residual),
        valid=np.ones(frames, bool),
        ground_from_camera=np.eye(4),
    ).save(path, "fingerprint")


def test_residuals_and_angles_across_the_half_turn(tmp_path: Path) -> None:
    save_clip(tmp_path / "one" / "walk", 0.010, 179.0)
    save_clip(tmp_path / "other" / "walk", 0.012, -179.0)
    save_clip(tmp_path / "one" / "alone", 0.1, 0)
    report = evaluate(tmp_path / "one", tmp_path / "other")
    assert list(report["clips"]) == ["walk"]
    clip = report["clips"]["walk"]
    assert clip["frames"] == 4
    assert clip["residual_mm"] == pytest.approx([10, 12], abs=1e-4)
    assert clip["angle_difference_deg"] == pytest.approx(2, abs=1e-4)
    assert "| walk | 4 | 10.00 | 12.00 | 2.00 |" in format_report(report)


def test_clips_of_other_lengths_are_refused(tmp_path: Path) -> None:
    save_clip(tmp_path / "one" / "walk", 0.01, 0)
    save_clip(tmp_path / "other" / "walk", 0.01, 0, frames=5)
    with pytest.raises(SettingError, match="walk has 4 frames"):
        evaluate(tmp_path / "one", tmp_path / "other")


def test_the_command(biopose: Call, tmp_path: Path) -> None:
    save_clip(tmp_path / "one" / "walk", 0.01, 0)
    code, out, error = biopose("evaluate", "residuals", tmp_path / "one", tmp_path / "one", "--json")
    assert code == 0, error
    assert json.loads(out)["clips"]["walk"]["angle_difference_deg"] == 0
    (tmp_path / "empty").mkdir()
    for other, message in (("nowhere", "there is no folder"), ("empty", "no clip in common")):
        code, _, error = biopose("evaluate", "residuals", tmp_path / "one", tmp_path / other)
        assert code == 2
        assert message in one_line(error)
