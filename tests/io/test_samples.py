"""The sample videos, without a network, and `biopose assets --samples`."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from biopose_cli.errors import AssetError
from biopose_cli.io import samples
from biopose_cli.io.download import Package
from biopose_cli.progress import NullProgress
from tests.conftest import Call, one_line

CLIP = b"a clip"


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the wheel of a made-up package that holds one clip."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "fake-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("fake/clip.mp4", CLIP)
    fake = {Package("fake", "1.0", "pip"): {"walk.mp4": ("fake/clip.mp4", hashlib.sha256(CLIP).hexdigest())}}
    monkeypatch.setattr(samples, "SAMPLES", fake)
    return folder


def test_videos_are_extracted_and_damaged_ones_replaced(wheels: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for content in (None, b"damaged"):
        if content is not None:
            (out / "walk.mp4").write_bytes(content)
        assert samples.fetch_samples(out, NullProgress(), wheels) == [out / "walk.mp4"]
        assert (out / "walk.mp4").read_bytes() == CLIP


def test_videos_that_are_there_need_no_package(wheels: Path, tmp_path: Path) -> None:
    (tmp_path / "walk.mp4").write_bytes(CLIP)
    (tmp_path / "empty").mkdir()
    samples.fetch_samples(tmp_path, NullProgress(), tmp_path / "empty")


def test_a_video_with_the_wrong_checksum_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "sports2d-0.8.34-py3-none-any.whl", "w") as wheel:
        wheel.writestr("Sports2D/Demo/demo.mp4", b"not the clip")
    with pytest.raises(AssetError, match="is not the video expected"):
        samples.fetch_samples(tmp_path / "out", NullProgress(), tmp_path)
    assert not (tmp_path / "out" / "demo.mp4").exists()


def test_the_command(biopose: Call, wheels: Path, tmp_path: Path) -> None:
    code, out, error = biopose("assets", "--samples", "--from", wheels, "--out", tmp_path / "out")
    assert code == 0, error
    assert out.endswith(": walk.mp4\n")
    (tmp_path / "empty").mkdir()
    for source, message in (("empty", "fake 1.0"), ("nowhere", "there is no folder")):
        code, _, error = biopose("assets", "--samples", "--from", tmp_path / source, "--out", tmp_path / source)
        assert code == 1
        assert message in one_line(error)
