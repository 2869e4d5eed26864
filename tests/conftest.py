"""What several test files need: the reference data beside the repository, small videos, the embedded clip."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from biopose_cli.cli import main
from biopose_cli.pipeline import run
from biopose_cli.pipeline.result import Result

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "sample_videos" / "walk.mp4"
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of third-party reference data (`BIOPOSE_SHARED`, or `shared` beside the repository)."""
    folder = Path(os.environ.get("BIOPOSE_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip("the reference data is not beside the repository (set BIOPOSE_SHARED)")
    return folder


@pytest.fixture(scope="session")
def sample_clip() -> Path:
    """The embedded clip."""
    return SAMPLE


@pytest.fixture(scope="session")
def result(sample_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """One run of the embedded clip, shared by all tests: leave its folder as it is."""
    return run.run(sample_clip, tmp_path_factory.mktemp("results"))


def write_video(path: Path, frames: int = 12, seed: int = 0, size: tuple[int, int] = (64, 48)) -> Path:
    """A small video without people: noise that depends on `seed`."""
    generator = np.random.default_rng(seed)
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for _ in range(frames):
            image = generator.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture
def biopose(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call the command line: exit code, stdout, stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["biopose", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main.main()
        printed = capsys.readouterr()
        return int(stopped.value.code or 0), printed.out, printed.err

    return call


def one_line(error: str) -> str:
    assert error.startswith("biopose: error: ")
    assert error.count("\n") == 1
    assert "Traceback" not in error
    return error
