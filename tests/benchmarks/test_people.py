"""Known angles against those of the stages, on a made-up person."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from biopose_cli.benchmarks import people
from biopose_cli.benchmarks.people import evaluate, format_report, load_tracks
from biopose_cli.errors import SettingError
from biopose_cli.io.results import JointKinematics
from biopose_cli.progress import NullProgress

TIME = np.arange(30) / 30
NAMES = np.array(["knee_angle_r", "knee_angle_l"])


def write(folder: Path, known: dict[str, object]) -> Path:
    """A folder with one track."""
    zeros, no = np.zeros((30, 33)), np.zeros(30, bool)
    arrays = {
        "time": TIME, "frame": np.arange(30), "image_size": np.array([640, 480]), "box": np.zeros((30, 4)),
        "roi": np.zeros((30, 4)), "keypoints_2d": np.zeros((30, 33, 2)), "confidence": zeros,
        "landmarks_3d": np.zeros((30, 33, 3)), "visible": ~no, "swapped": no, "interpolated": no,
        "camera_matrix": np.eye(3), "dist_coeffs": np.zeros(5),
    }  # fmt: skip
    np.savez(folder / "someone.npz", **arrays)
    (folder / "known.json").write_text(json.dumps({"someone": {"view": "front"} | known}), encoding="utf-8")
    return folder


def kinematics(knees_deg: np.ndarray) -> JointKinematics:  # type: ignore[type-arg]
    return JointKinematics(
        time=TIME, q=np.radians(knees_deg), coordinates=NAMES, rotational=np.ones(2, bool), scale=np.ones((1, 3)),
        bodies=np.array(["pelvis"]), markers=np.zeros((30, 0, 3)), marker_names=np.zeros(0, str),
        marker_residual=np.zeros((30, 0)), valid=np.ones(30, bool), ground_from_camera=np.eye(4),
    )  # fmt: skip


def test_errors_are_those_outside_the_range(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"knee_angle_r": [0, 8], "knee_angle_l": [0, 8]})
    monkeypatch.setattr(people, "recover", lambda track: kinematics(np.tile([20.0, 5.0], (30, 1))))
    report = evaluate(tmp_path, NullProgress())
    right, left = report["tracks"]["someone"]["facts"]
    assert right["outside_deg"] == pytest.approx(12, abs=1e-4)
    assert left["outside_deg"] == 0
    assert report["standing"] == {"n": 2, "mean_knee_deg": pytest.approx(12.5, abs=1e-4), "share_over_12": 0.5}
    assert report["views"]["front"]["within"] == 0.5
    assert "someone" in format_report(report)


def test_a_peak_is_the_largest_value_near_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"facts": [{"at_s": 0.5, "what": "bottom", "knee_angle_r": 90}]})
    knees = np.zeros((30, 2))
    knees[18, 0], knees[0, 0] = 84, 120  # the second is half a second away
    monkeypatch.setattr(people, "recover", lambda track: kinematics(knees))
    (fact,) = evaluate(tmp_path, NullProgress())["tracks"]["someone"]["facts"]
    assert fact["outside_deg"] == pytest.approx(6, abs=1e-4)


def test_clips_of_which_nothing_is_known_are_left_out(tmp_path: Path) -> None:
    assert load_tracks(write(tmp_path, {"knee_angle_r": None})) == []


def test_a_folder_without_tracks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="--data"):
        load_tracks(tmp_path)
