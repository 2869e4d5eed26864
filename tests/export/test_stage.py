"""The stage: which files, what is in them, and what happens to gaps."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biopose_cli.errors import SolverError
from biopose_cli.export import stage
from biopose_cli.io.storage import read_motion
from biopose_cli.io.trc import read_trc
from biopose_cli.io.video.probe import content_hash
from biopose_cli.progress import NullProgress
from biopose_cli.settings import Settings
from tests.helpers.box_clip import Clip, T


class RecordingProgress(NullProgress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def export(
    clip: Clip, folder: Path, listener: NullProgress | None = None, settings: Settings | None = None
) -> list[Path]:
    parts = (clip.info, clip.detection, clip.refined, clip.joints)
    return stage.run(*parts, settings or Settings(), folder, "walk", listener or NullProgress())


def without_gap(clip: Clip) -> Clip:
    joints = clip.joints
    whole = replace(joints, valid=np.ones(T, bool), q=np.nan_to_num(joints.q), markers=np.ones((T, 2, 3)))
    return replace(clip, joints=whole)


def test_files_of_a_clip_without_gaps(clip: Clip, tmp_path: Path) -> None:
    out = tmp_path / "out"
    files = export(without_gap(clip), out)
    assert [file.name for file in files] == [
        "walk.mot", "walk_angles.csv", "walk.osim", "walk.trc", "walk_overlay.mp4", "walk_summary.json",
    ]  # fmt: skip
    assert sorted(out.iterdir()) == sorted(files)
    assert (out / "walk.osim").read_text() == clip.joints.model_xml
    assert len(read_motion(out / "walk.mot").time) == T


def test_a_gap_splits_the_motion_longest_part_first(clip: Clip, tmp_path: Path) -> None:
    listener = RecordingProgress()
    files = export(clip, tmp_path / "out", listener)
    assert [file.name for file in files[:2]] == ["walk.mot", "walk_part2.mot"]
    longest, other = read_motion(files[0]), read_motion(files[1])
    np.testing.assert_allclose(longest.time, [0.6, 0.7, 0.8, 0.9])
    np.testing.assert_allclose(other.time, [0.2, 0.3])
    (note,) = listener.notes
    assert "2 files" in note
    assert "0.60 to 0.90 s, 0.20 to 0.30 s" in note


def with_q_std(clip: Clip) -> Clip:
    """With standard deviations of 0.01, 0.02 and 0.03 rad or m."""
    q_std = np.where(np.isfinite(clip.joints.q), [0.01, 0.02, 0.03, np.nan], np.nan)
    return replace(clip, joints=replace(clip.joints, q_std=q_std))


def test_every_part_of_the_motion_has_its_standard_deviations(clip: Clip, tmp_path: Path) -> None:
    files = export(with_q_std(clip), tmp_path / "out")
    assert [file.name for file in files[2:4]] == ["walk_sd.sto", "walk_part2_sd.sto"]
    for motion, doubt in zip(map(read_motion, files[:2]), map(read_motion, files[2:4]), strict=True):
        np.testing.assert_array_equal(motion.time, doubt.time)
        assert list(doubt.names) == ["pelvis_tilt", "knee_angle_r"]
        np.testing.assert_allclose(doubt.values, np.rad2deg([[0.01, 0.03]] * len(doubt.time)), rtol=1e-6)
    told = json.loads(files[-1].read_text())["quality"]["angle_sd_deg"]
    assert told["knee_angle_r"] == pytest.approx({"mean": np.rad2deg(0.03), "max": np.rad2deg(0.03)}, rel=1e-5)
    assert list(told) == ["pelvis_tilt", "knee_angle_r"]


def test_the_table_has_every_frame_the_angles_and_their_standard_deviations(clip: Clip, tmp_path: Path) -> None:
    with_std = with_q_std(clip)
    export(with_std, tmp_path / "out")
    text = (tmp_path / "out" / "walk_angles.csv").read_text(encoding="utf-8")
    head, *rows = text.splitlines()
    names = "pelvis_tilt,pelvis_tx,knee_angle_r,knee_angle_r_beta"
    assert head == f"time,{names},pelvis_tilt_sd,knee_angle_r_sd"
    assert len(rows) == T
    gap = int(np.flatnonzero(~clip.joints.valid)[0])
    assert rows[gap] == f"{clip.joints.time[gap]:.6f},,,,,,"
    values = [float(cell) for cell in rows[-1].split(",")]
    last = clip.joints.file_values[-1]
    np.testing.assert_allclose(values, [0.9, *last, *np.rad2deg([0.01, 0.03])], atol=1e-6)


def test_std_files_of_an_earlier_run_are_removed(clip: Clip, tmp_path: Path) -> None:
    export(with_q_std(clip), tmp_path / "out")
    files = export(clip, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*_sd.sto"))
    assert json.loads(files[-1].read_text())["quality"]["angle_sd_deg"] is None


def test_a_gap_in_the_video_splits_the_motion(clip: Clip) -> None:
    whole = without_gap(clip).joints
    assert stage.motion_parts(whole) == [slice(0, T)]
    late = replace(whole, time=whole.time + 2.0 * (np.arange(T) >= 3))
    assert stage.motion_parts(late) == [slice(3, T), slice(0, 3)]


def test_angles_in_degrees_lengths_in_metres_the_patella_in_radians(clip: Clip, tmp_path: Path) -> None:
    motion = read_motion(export(clip, tmp_path / "out")[0])
    rows = np.arange(4, 8)
    np.testing.assert_allclose(motion["pelvis_tilt"], np.rad2deg(0.1 * rows), rtol=1e-6)
    np.testing.assert_allclose(motion["knee_angle_r"], np.rad2deg(0.2 * rows), rtol=1e-6)
    np.testing.assert_allclose(motion["pelvis_tx"], 0.5 * rows, rtol=1e-6)
    np.testing.assert_allclose(motion["knee_angle_r_beta"], 0.2 * rows, rtol=1e-6)


def test_the_trc_has_the_frames_with_angles(clip: Clip, tmp_path: Path) -> None:
    """Also where the markers are numbers but the frame is not valid."""
    numbers = replace(clip.joints, markers=np.ones((T, 2, 3)))
    export(replace(clip, joints=numbers), tmp_path / "out")
    markers = read_trc(tmp_path / "out" / "walk.trc")
    np.testing.assert_allclose(markers.time, clip.joints.time[clip.joints.valid])


def test_only_parts_of_an_earlier_run_are_removed(clip: Clip, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in (
        "walk_part2.mot",
        "walk_part3.mot",
        "walk_part2.mot.bak",
        "other_part2.mot",
        "walk_partial.mot",
    ):
        (out / name).write_text("old")
    export(without_gap(clip), out)
    assert not list(out.glob("walk_part[0-9].mot"))
    assert {"walk_part2.mot.bak", "other_part2.mot", "walk_partial.mot"} <= {p.name for p in out.iterdir()}


def test_a_number_missing_in_a_valid_frame_never_reaches_the_mot(clip: Clip, tmp_path: Path) -> None:
    q = np.nan_to_num(clip.joints.q)
    q[5, 2] = np.nan
    odd = replace(clip, joints=replace(without_gap(clip).joints, q=q))
    files = export(odd, tmp_path / "out")
    assert len(read_motion(files[0]).time) == 5
    assert len(read_motion(files[1]).time) == 2


def test_no_angles_at_all_is_refused(clip: Clip, tmp_path: Path) -> None:
    nothing = replace(clip, joints=replace(clip.joints, valid=np.zeros(T, bool)))
    with pytest.raises(SolverError, match="no frame of walk has joint angles"):
        export(nothing, tmp_path / "out")


def test_summary_describes_the_run(clip: Clip, tmp_path: Path) -> None:
    files = export(clip, tmp_path / "out")
    text = files[-1].read_text(encoding="utf-8")
    assert "NaN" not in text
    summary = json.loads(text)
    assert summary["frames"] == {
        "count": 8, "first_s": 0.2, "last_s": 0.9, "measured": 5, "filled": 1,
        "left_right_repaired": 1, "not_seen": 2, "with_angles": 6,
    }  # fmt: skip
    assert summary["person"] == {
        "number": 2, "people": 2, "height_m": 1.8, "height_source": "--height",
        "mass_kg": 75.0, "mass_source": "--mass",
    }  # fmt: skip
    quality = summary["quality"]
    assert quality["reprojection_px_mean"] == pytest.approx(3.0)
    assert quality["reprojection_of_height"] == pytest.approx(3 / 20)
    assert quality["marker_residual_mm_mean"] == pytest.approx(15)
    assert quality["marker_residual_mm_max"] == pytest.approx(20)
    assert summary["range_of_motion"]["knee_angle_r"]["range"] == pytest.approx(np.rad2deg(1.4), rel=1e-5)
    assert summary["range_of_motion"]["pelvis_tx"] == {"min": 0.0, "max": 3.5, "range": 3.5, "unit": "m"}
    assert summary["scale_factors"] == {"pelvis": [1.0, 1.1, 1.2]}
    assert summary["camera"]["focal_source"] == "default"
    assert summary["settings"]["weights"] == "heavy"
    assert {"biopose", "python", "opensim", "torch"} <= set(summary["software"])
    assert summary["warnings"][:2] == ["the focal length is a guess", "feet never touch the floor"]
    assert "hidden" in summary["warnings"][2]
    assert len(summary["warnings"]) == 3
    assert list(summary["files"]) == [file.name for file in files[:-1]]
    for file in files[:-1]:
        assert summary["files"][file.name] == {"sha256": content_hash(file), "bytes": file.stat().st_size}


@pytest.mark.parametrize(
    ("lean", "given", "source"),
    [
        (0.0, None, "assumed: level"),
        (10.0, None, "the person's balance and the floor"),
        (10.0, 10.0, "--camera-pitch"),
    ],
)
def test_summary_reports_the_camera_tilt(
    clip: Clip, tmp_path: Path, lean: float, given: float | None, source: str
) -> None:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("x", 180 - lean, degrees=True).as_matrix()
    leaning = replace(clip, joints=replace(clip.joints, ground_from_camera=matrix))
    files = export(leaning, tmp_path / "out", settings=Settings(camera_pitch=given))
    camera = json.loads(files[-1].read_text())["camera"]
    assert camera["pitch_deg"] == pytest.approx(lean)
    assert camera["roll_deg"] == pytest.approx(0.0)
    assert (camera["pitch_source"], camera["roll_source"]) == (source, "assumed: level")


def test_summary_has_null_for_unknown_values(clip: Clip, tmp_path: Path) -> None:
    unknown = replace(clip.refined, reprojection_px=np.full(T, np.nan))
    summary = json.loads(export(replace(clip, refined=unknown), tmp_path / "out")[-1].read_text())
    assert summary["quality"]["reprojection_px_mean"] is None
    assert summary["quality"]["reprojection_px_max"] is None
    assert summary["video"]["focal_px"] is None


def test_summary_keys_do_not_depend_on_the_run(clip: Clip, tmp_path: Path) -> None:
    first = json.loads(export(clip, tmp_path / "a")[-1].read_text())
    second = json.loads(export(without_gap(clip), tmp_path / "b")[-1].read_text())
    assert list(first) == list(second)
    assert list(first["quality"]) == list(second["quality"])


def test_every_key_of_the_summary_is_documented(clip: Clip, tmp_path: Path) -> None:
    summary = json.loads(export(clip, tmp_path / "out")[-1].read_text())
    text = (Path(__file__).parents[2] / "docs" / "guide" / "outputs.md").read_text(encoding="utf-8")
    for key in (*summary, *summary["frames"], *summary["person"]):
        assert re.search(rf"`{key}[`.]", text), key
