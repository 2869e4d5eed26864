from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biopose_cli.detect import stage
from biopose_cli.errors import PersonError, SettingError
from biopose_cli.io.results import Detection, Tracks
from biopose_cli.io.video.probe import VideoInfo, probe
from biopose_cli.progress import NullProgress
from biopose_cli.settings import Settings
from tests.conftest import write_video

INFO = VideoInfo(
    path=Path("clip.mp4"),
    width=640,
    height=480,
    rotation=0,
    frame_count=60,
    duration=2.0,
    frame_rate=30.0,
    variable_rate=False,
    codec="h264",
    pixel_format="yuv420p",
    focal_px=600.0,
    focal_tag="test",
    has_audio=False,
)


def tracks(*visible: Any, **changed: Any) -> Tracks:
    """People seen in these of 60 frames at 30 a second; every value of frame t is t + 100 * person."""
    seen = np.zeros((len(visible), 60), bool)
    for person, frames in enumerate(visible):
        seen[person, list(frames)] = True
    values = np.where(seen, np.arange(60) + 100.0 * np.arange(len(visible))[:, None], np.nan)
    fields = {
        "time": np.arange(60) / 30,
        "frame": np.arange(60) + 7,
        "image_size": np.array([640, 480]),
        "box": np.repeat(values[..., None], 4, axis=-1),
        "roi": np.repeat(values[..., None], 4, axis=-1),
        "keypoints_2d": np.tile(values[..., None, None], (1, 1, 33, 2)),
        "confidence": np.tile(np.where(seen, 0.8, 0)[..., None], (1, 1, 33)),
        "landmarks_3d": np.tile(values[..., None, None], (1, 1, 33, 3)),
        "visible": seen,
        "swapped": np.zeros((len(visible), 60), bool),
    }
    return Tracks(**(fields | changed))


def test_the_clip_is_trimmed_to_the_visible_person() -> None:
    detection = stage.select_person(tracks(range(10, 40)), INFO, Settings())
    assert detection.frame.tolist() == list(range(17, 47))
    assert detection.time[0] == pytest.approx(10 / 30)
    assert detection.visible.all()
    assert not detection.interpolated.any()
    assert detection.focal_source == "metadata"
    assert detection.camera_matrix[0, 0] == pytest.approx(600)
    assert detection.warnings == ()


def test_short_gaps_are_filled_and_flagged_and_long_ones_stay_empty() -> None:
    seen = [*range(20), *range(24, 35), *range(50, 60)]
    detection = stage.select_person(tracks(seen), INFO, Settings(max_gap=0.25))
    assert np.flatnonzero(detection.interpolated).tolist() == [20, 21, 22, 23]
    assert not detection.visible[20:24].any()
    np.testing.assert_allclose(detection.keypoints_2d[20:24, 5, 0], [20, 21, 22, 23], rtol=1e-6)
    np.testing.assert_allclose(detection.confidence[20:24], 0.4)
    assert np.isnan(detection.keypoints_2d[35:50]).all()
    usable = detection.visible | detection.interpolated
    for values in (
        detection.keypoints_2d,
        detection.box,
        detection.roi,
        detection.landmarks_3d,
        detection.confidence,
    ):
        assert np.isfinite(values[usable]).all()
    assert any("4 of 60 frames" in warning and "interpolated" in warning for warning in detection.warnings)
    assert any("15 of 60 frames" in warning and "0.25 s" in warning for warning in detection.warnings)
    assert not stage.select_person(tracks(seen), INFO, Settings(max_gap=0.0)).interpolated.any()


def test_the_first_person_is_the_default_with_a_note() -> None:
    two = tracks(range(60), range(5, 50))
    first, second = (
        stage.select_person(two, INFO, Settings()),
        stage.select_person(two, INFO, Settings(person=2)),
    )
    assert (first.person, second.person) == (1, 2)
    assert any("2 people" in warning and "--person" in warning for warning in first.warnings)
    assert not any("people" in warning for warning in second.warnings)
    assert second.keypoints_2d[0, 0, 0] == 105
    assert second.people_box.shape == (2, 45, 4)


@pytest.mark.parametrize(
    ("people", "settings", "text"),
    [
        ([], Settings(), "nobody was found in clip.mp4"),
        ([range(60)], Settings(person=2), "--person 2: only 1 person was found"),
        ([range(60), range(60)], Settings(person=5), "--person 5: only 2 people were found"),
        ([range(20, 34)], Settings(), "0.47 s"),
    ],
)
def test_a_person_that_cannot_be_chosen(people: list[range], settings: Settings, text: str) -> None:
    with pytest.raises(PersonError, match=text) as caught:
        stage.select_person(tracks(*people), INFO, settings)
    assert caught.value.hint
    assert "\n" not in str(caught.value)


def test_a_single_frame_is_too_short() -> None:
    one = tracks(range(60))
    single = {
        name: getattr(one, name)[:, :1]
        for name in ("box", "roi", "keypoints_2d", "confidence", "landmarks_3d", "visible", "swapped")
    }
    with pytest.raises(PersonError, match=r"0\.00 s"):
        stage.select_person(
            Tracks(time=one.time[:1], frame=one.frame[:1], image_size=one.image_size, **single),
            INFO,
            Settings(),
        )


def test_repairs_and_cut_off_limbs_are_reported() -> None:
    keypoints = np.full((1, 60, 33, 2), 100.0)
    keypoints[0, 10:13, 31] = (300, 490)  # a foot below the image
    swapped = np.zeros((1, 60), bool)
    swapped[0, 20:25] = True
    found = stage.select_person(tracks(range(60), keypoints_2d=keypoints, swapped=swapped), INFO, Settings())
    assert any("5 frames" in warning and "swapped" in warning for warning in found.warnings)
    (out_of_view,) = (warning for warning in found.warnings if "beyond the image" in warning)
    assert "beyond the image: feet in 3 of 60 frames" in out_of_view


def test_every_part_out_of_view_is_named() -> None:
    keypoints = np.full((1, 60, 33, 2), 100.0)
    keypoints[0, :5, 0] = (300, -4)
    keypoints[0, 40:, 25] = (641, 200)
    found = stage.select_person(tracks([*range(3), *range(6, 60)], keypoints_2d=keypoints), INFO, Settings())
    assert any("image: head in 3, hips or knees in 20 of 57 frames" in warning for warning in found.warnings)


def test_reidentification_after_long_absence_warns() -> None:
    def said(seen: list[int]) -> bool:
        found = stage.select_person(tracks(seen, time=np.arange(60) / 10), INFO, Settings())
        return any("clothes" in warning for warning in found.warnings)

    assert said([*range(20), *range(45, 60)])
    assert not said([*range(20), *range(35, 60)])


def test_a_wrong_camera_is_refused_before_anything_else_is_done() -> None:
    with pytest.raises(SettingError):
        stage.select_person(tracks(range(60)), INFO, Settings(focal=500, fov=60))


def test_no_person_in_the_video(tmp_path: Path, weights: dict[str, Path]) -> None:
    info = probe(write_video(tmp_path / "noise.mp4", frames=3))
    found = stage.track(info, Settings(), NullProgress())
    assert found.visible.shape == (0, 3)
    with pytest.raises(PersonError, match="nobody"):
        stage.select_person(found, info, Settings())


def test_slow_motion_has_the_times_of_the_motion(tmp_path: Path, weights: dict[str, Path]) -> None:
    info = probe(write_video(tmp_path / "noise.mp4", frames=4))
    plain = stage.track(info, Settings(), NullProgress()).time
    slow = stage.track(info, Settings(capture_rate=8 * info.frame_rate), NullProgress()).time
    np.testing.assert_allclose(8 * slow, plain)
    assert plain[-1] > 0


def test_the_embedded_clip(sample_clip: Path, tmp_path: Path, weights: dict[str, Path]) -> None:
    if not sample_clip.is_file():
        pytest.skip("the embedded clip has not been made")
    info = probe(sample_clip)
    settings = Settings(start=1.0, end=1.55)
    found = stage.track(info, settings, NullProgress())
    assert found.visible.shape[0] == 1
    detection = stage.select_person(found, info, settings)
    assert detection.visible.all()
    assert 1.0 <= detection.time[0] < detection.time[-1] <= 1.55
    shoulders, ankles = detection.keypoints_2d[:, 11:13, 1], detection.keypoints_2d[:, 27:29, 1]
    assert (ankles.mean(axis=1) - shoulders.mean(axis=1) > 150).all()
    detection.save(tmp_path / "detect.npz", "x")
    again, fingerprint = Detection.load(tmp_path / "detect.npz")
    assert fingerprint == "x"
    np.testing.assert_array_equal(again.keypoints_2d, detection.keypoints_2d)
