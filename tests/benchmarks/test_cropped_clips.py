"""Clips with a part of the person out of view, and `biopose evaluate crops`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from biopose_cli.benchmarks import cropped_clips
from biopose_cli.io.results import Detection
from biopose_cli.settings import Settings
from tests.benchmarks.test_camera_views import make_detection
from tests.conftest import Call, one_line, write_video
from tests.helpers.motions import write_constant, write_legs


@pytest.fixture
def detection() -> Detection:
    """Shoulders at row 10, knees at 25 and ankles at 40 of an image 64 wide and 48 high."""
    keypoints = np.full((12, 33, 2), 20.0)
    keypoints[:, 11:13, 1], keypoints[:, 25:27, 1], keypoints[:, 27:29, 1] = 10, 25, 40
    return replace(make_detection(12), keypoints_2d=keypoints, image_size=np.array([64, 48]))


def test_the_image_is_cut_at_the_shoulders_and_the_shanks(detection: Detection) -> None:
    rows = cropped_clips.visible_rows(detection)
    assert rows == {"head": slice(10, 48), "feet": slice(0, 32)}
    camera = cropped_clips.cropped_camera(detection, rows["head"])
    assert camera["image_size"] == [64, 38]
    assert camera["camera_matrix"] == [[1, 0, 0], [0, 1, -10], [0, 0, 1]]


def test_the_command(biopose: Call, detection: Detection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole image is 1 degree off with a standard deviation of 2, the crops 3."""

    def save_result(folder: Path, offset: float) -> None:
        write_legs(folder / f"{folder.name}.mot", offset)
        write_constant(folder / f"{folder.name}_sd.sto", 2.0)

    def run(video: Path, out: Path, settings: Settings, *_: object) -> None:
        assert settings.intrinsics is not None
        save_result(out / video.stem, 3.0)

    monkeypatch.setattr("biopose_cli.pipeline.run.run", run)
    clips = tmp_path / "clips"
    result = clips / "mqhmr" / "a"
    save_result(result, 1.0)
    write_video(clips / "a.mp4")
    write_legs(clips / "a_truth.mot")
    arguments = ("evaluate", "crops", "--clips", clips, "--out", tmp_path / "cut")
    code, _, error = biopose(*arguments, "--quiet")
    assert code == 2
    assert "lacks the results of a.mp4" in one_line(error)
    (result / "stages").mkdir()
    detection.save(result / "stages" / "detect.npz", "fingerprint")
    code, out, error = biopose(*arguments, "--json")
    assert code == 0, error
    report = json.loads(out)
    assert report["nothing"]["legs_mae"] == pytest.approx(1, abs=1e-4)
    assert report["the head"]["knee_angle_mae"] == pytest.approx(3, abs=1e-4)
    assert [report["the feet"][f"legs_within_{name}_sd"] for name in ("one", "two")] == [0, 1]
    assert "| nothing | 1.0 | 1.0 | 1.0 | 1.0 | 1.00 / 1.00 |" in biopose(*arguments, "--quiet")[1]


def test_a_folder_without_clips_is_one_line(biopose: Call, tmp_path: Path) -> None:
    code, out, error = biopose("evaluate", "crops", "--clips", tmp_path, "--quiet")
    assert (code, out) == (2, "")
    assert "lacks videos" in one_line(error)
