"""OpenSim is a quiet guest: nothing printed, no log file, the environment as before; bad files get one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from biopose_cli.errors import ModelFileError
from biopose_cli.skeleton import osim
from biopose_cli.skeleton.build import build_model, write_model

SCRIPT = """
import os
before = dict(os.environ)
from biopose_cli.skeleton import osim
from biopose_cli.skeleton.build import build_model
build_model().initSystem()
assert dict(os.environ) == before, set(os.environ.items()) ^ set(before.items())
"""


def test_using_opensim_prints_nothing_and_leaves_no_trace(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list(tmp_path.iterdir())


def test_silent_hides_c_level_output_and_gives_it_back(capfd: pytest.CaptureFixture[str]) -> None:
    import os

    with osim.silence_output():
        os.write(1, b"hidden")
        os.write(2, b"hidden")
    os.write(1, b"shown")
    assert capfd.readouterr() == ("shown", "")


def test_a_model_comes_back_from_its_text() -> None:
    text = osim.to_xml(build_model())
    again = osim.load_xml(text)
    assert again.getBodySet().getSize() == 24
    assert osim.to_xml(again) == text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not xml at all",
        b"<?xml version='1.0'?><html><body/></html>",
        b"<?xml version='1.0'?><OpenSimDocument Version='40000'></OpenSimDocument>",
        b"\x00\xff\x00binary",
    ],
)
def test_a_file_that_is_no_model_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.osim"
    path.write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        osim.load_model(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truncated_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.osim"
    write_model(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ModelFileError, match="not an OpenSim model"):
        osim.load_model(path)


def test_an_absent_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no model file"):
        osim.load_model(tmp_path / "nowhere.osim")


def test_transforms_become_matrices() -> None:
    turn = osim.opensim.Rotation(0.5, osim.vec3((0, 0, 1)))
    matrix = osim.transform_to_matrix(osim.opensim.Transform(turn, osim.vec3((1, 2, 3))))
    expected = [
        [np.cos(0.5), -np.sin(0.5), 0, 1],
        [np.sin(0.5), np.cos(0.5), 0, 2],
        [0, 0, 1, 3],
        [0, 0, 0, 1],
    ]
    np.testing.assert_allclose(matrix, expected, atol=1e-12)
