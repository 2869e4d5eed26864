"""The overlay: every frame, the body where the camera sees it, flags where they belong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from biopose_cli.io.results import Detection
from biopose_cli.io.video.probe import probe
from biopose_cli.io.video.reader import Frame, read_frames
from biopose_cli.progress import NullProgress
from biopose_cli.render import overlay
from biopose_cli.render.overlay import write_overlay
from biopose_cli.settings import Settings
from biopose_cli.typing import Array
from tests.helpers.box_clip import DEPTH, FIRST, FOCAL, FRAMES, HALF, HEIGHT, WIDTH, Clip

SETTINGS = Settings()


def drawn(clip: Clip, path: Path, settings: Settings = SETTINGS) -> list[Frame]:
    write_overlay(path, clip.info, clip.detection, clip.refined, clip.joints, settings, NullProgress())
    return list(read_frames(probe(path)))


def changed(frame: Frame) -> Array:
    """Pixels that are not the plain picture, under the caption."""
    different = (np.abs(frame.image.astype(int) - 128) > 16).any(axis=2)
    different[:45] = False
    return different


def without_boxes(detection: Detection) -> Detection:
    return replace(detection, people_box=np.full_like(detection.people_box, np.nan))


def test_every_frame_is_there_at_its_time(clip: Clip, tmp_path: Path) -> None:
    result = drawn(clip, tmp_path / "o.mp4")
    assert len(result) == FRAMES
    np.testing.assert_allclose([frame.time for frame in result], np.arange(FRAMES) / 10, atol=1e-3)
    assert result[0].image.shape == (HEIGHT, WIDTH, 3)
    assert not list(tmp_path.glob(".*"))


def test_the_body_is_where_the_camera_sees_it(clip: Clip, tmp_path: Path) -> None:
    moved = clip.refined.transl.copy()
    moved[:, 0] = 1.0
    result = drawn(
        replace(clip, detection=without_boxes(clip.detection), refined=replace(clip.refined, transl=moved)),
        tmp_path / "o.mp4",
    )
    rows, columns = np.nonzero(changed(result[FIRST]))
    near = DEPTH - HALF  # the front of the box
    assert columns.min() == pytest.approx(WIDTH / 2 + FOCAL * (1 - HALF) / (DEPTH + HALF), abs=2)
    assert columns.max() == pytest.approx(WIDTH / 2 + FOCAL * (1 + HALF) / near, abs=2)
    assert rows.max() == pytest.approx(HEIGHT / 2 + FOCAL * HALF / near, abs=2)


def test_the_lens_distortion_is_applied(clip: Clip, tmp_path: Path) -> None:
    moved = clip.refined.transl.copy()
    moved[:, 0] = 1.6
    bent = replace(without_boxes(clip.detection), dist_coeffs=np.array([-0.4, 0, 0, 0, 0]))
    still = replace(clip, refined=replace(clip.refined, transl=moved))
    straight = drawn(replace(still, detection=without_boxes(clip.detection)), tmp_path / "a.mp4")[FIRST]
    curved = drawn(replace(still, detection=bent), tmp_path / "b.mp4")[FIRST]
    centre = [np.nonzero(changed(frame))[1].mean() for frame in (straight, curved)]
    point = np.array([[1.6, 0, DEPTH]])
    expected, _ = cv2.projectPoints(point, np.zeros(3), np.zeros(3), bent.camera_matrix, bent.dist_coeffs)
    undistorted = WIDTH / 2 + FOCAL * 1.6 / DEPTH
    assert centre[1] - centre[0] == pytest.approx(expected[0, 0, 0] - undistorted, abs=2.5)
    assert centre[1] < centre[0] - 2


def test_frames_without_a_person_show_the_plain_picture(clip: Clip, tmp_path: Path) -> None:
    result = drawn(clip, tmp_path / "o.mp4")
    assert [bool(changed(frame).any()) for frame in result] == [False] * 2 + [True] * 2 + [False] * 2 + [
        True
    ] * 4 + [False] * 2


def test_each_frame_gets_its_own_pose(clip: Clip, tmp_path: Path) -> None:
    """More frames than are posed at a time, and gaps between them."""
    moved = clip.refined.transl.copy()
    moved[:, 0] = np.linspace(-1.5, 1.5, len(moved))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlay, "CHUNK", 3)
        result = drawn(
            replace(
                clip, detection=without_boxes(clip.detection), refined=replace(clip.refined, transl=moved)
            ),
            tmp_path / "o.mp4",
        )
    for row in np.flatnonzero(clip.joints.valid):
        columns = np.nonzero(changed(result[FIRST + row]))[1]
        assert columns.mean() == pytest.approx(WIDTH / 2 + FOCAL * moved[row, 0] / DEPTH, abs=3)


def test_start_and_end_limit_the_overlay(clip: Clip, tmp_path: Path) -> None:
    result = drawn(clip, tmp_path / "o.mp4", Settings(start=0.3, end=0.7))
    assert len(result) == 5
    assert changed(result[0]).any()  # frame 3 of the video
    assert not changed(result[1]).any()


def test_flags_say_what_is_unusual(clip: Clip) -> None:
    said = [overlay._flags(clip.detection, clip.joints, row) for row in (None, 0, 1, 2, 5)]
    assert said == [[], [], ["FILLED"], ["NOT SEEN", "NO ANGLES"], ["LEFT/RIGHT REPAIRED"]]


@pytest.mark.parametrize("size", [(32, 24), (90, 200), (1000, 700)])
def test_captions_fit_any_picture(size: tuple[int, int]) -> None:
    image = np.full((size[1], size[0], 3), 128, np.uint8)
    overlay._draw_caption(image, 12.345, 370, ["FILLED", "LEFT/RIGHT REPAIRED"])
    overlay._text(image, "person 1", np.array([size[0] - 1.0, -50.0]), overlay.YELLOW)
    assert (image > 200).any()  # letters


def test_large_pictures_are_drawn_smaller(clip: Clip, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlay, "LONGEST_SIDE", 80)
        result = drawn(replace(clip, detection=without_boxes(clip.detection)), tmp_path / "o.mp4")
    image = result[FIRST].image
    assert image.shape == (60, 80, 3)
    different = (np.abs(image.astype(int) - 128) > 16).any(axis=2)[34:]
    assert np.nonzero(different)[1].mean() == pytest.approx(40, abs=1.5)


def test_a_body_outside_the_picture_is_no_trouble(clip: Clip, tmp_path: Path) -> None:
    for place in ((50.0, 0, DEPTH), (0, 0, -DEPTH)):
        away = replace(clip.refined, transl=np.tile(np.array(place), (len(clip.refined.transl), 1)))
        result = drawn(
            replace(clip, detection=without_boxes(clip.detection), refined=away), tmp_path / "o.mp4"
        )
        assert not any(changed(frame).any() for frame in result)


def test_a_failure_leaves_no_video(clip: Clip, tmp_path: Path) -> None:
    class Broken(NullProgress):
        def advance(self, units: int = 1) -> None:
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_overlay(
            tmp_path / "o.mp4", clip.info, clip.detection, clip.refined, clip.joints, SETTINGS, Broken()
        )
    assert [p.name for p in tmp_path.iterdir()] == ["walk.mp4"]
    with av.open(tmp_path / "walk.mp4") as container:
        assert container.streams.video
