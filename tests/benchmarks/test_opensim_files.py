"""Results judged by OpenSim, and `biopose check`; the whole round trip is in tests/test_end_to_end.py."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from biopose_cli.benchmarks import opensim_files
from biopose_cli.io.storage import write_mot
from biopose_cli.io.trc import write_trc
from biopose_cli.skeleton.build import write_model
from biopose_cli.skeleton.extract import extract_model
from biopose_cli.skeleton.osim import load_model
from tests.conftest import Call, one_line


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results of the default skeleton, and inverse kinematics that give the angles back, 0.1 degrees off."""
    folder = tmp_path / "walk"
    folder.mkdir()
    write_model(folder / "walk.osim")
    names = extract_model(load_model(folder / "walk.osim")).coordinates
    time = np.arange(5) / 30
    write_mot(folder / "walk.mot", time, names, np.zeros((5, len(names))))
    write_trc(folder / "walk.trc", time, ["A", "B"], np.ones((5, 2, 3)))
    q = np.full((5, len(names)), np.radians(0.1))
    monkeypatch.setattr(opensim_files, "run_tool", lambda trc, osim: (time, names, q))
    return folder


def test_the_command(biopose: Call, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, error = biopose("check", folder, "--json")
    assert code == 0, error
    clip = json.loads(out)["clips"]["walk"]
    assert clip["ok"]
    assert (clip["mot_rows"], clip["trc_rows"], clip["warnings"]) == ([5, 5], [5, 5], [])
    assert clip["ik_difference_deg"] == pytest.approx(0.1, abs=0.02)
    monkeypatch.setattr(opensim_files, "MAX_DIFFERENCE", 0.01)
    code, out, _ = biopose("check", folder, "--quiet")
    assert code == 1
    assert "| walk | 0 | 5 of 5 | 5 of 5 | 0.10 |" in out


def test_bad_folders_are_one_line(biopose: Call, folder: Path, tmp_path: Path) -> None:
    code, out, error = biopose("check", folder, tmp_path / "nothing", "--quiet")
    assert (code, out) == (2, "")
    assert "nothing.mot" in one_line(error)
    (folder / "walk.osim").write_text("<half a model")
    code, _, error = biopose("check", folder, "--quiet")
    assert code == 2
    assert "walk.osim is not an OpenSim model" in one_line(error)
