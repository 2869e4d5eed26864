from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from biopose_cli.body.blazepose import MIRROR_LANDMARK
from biopose_cli.detect.blazepose import Detector, Landmarker
from biopose_cli.detect.tracker import (
    Tracker,
    appearance_distance,
    body_colors,
    others_mask,
    same_body,
    search_tiles,
)
from biopose_cli.typing import Array
from tests.helpers.people import pose, tracklet


@pytest.mark.parametrize(
    ("height", "width"), [(1080, 1920), (1920, 1080), (480, 480), (960, 1280), (100, 3000)]
)
def test_tiles_cover_the_image_and_stay_inside(height: int, width: int) -> None:
    covered = np.zeros((height, width), int)
    for left, top, right, bottom in search_tiles(height, width)[1:]:
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        covered[top:bottom, left:right] += 1
    assert covered.min() > 0
    assert search_tiles(height, width)[0] == (0, 0, width, height)


def test_two_looks_at_one_body_coincide_and_two_bodies_do_not() -> None:
    assert same_body(pose(100, 100, seed=1), pose(103, 98, seed=2))
    assert not same_body(pose(100, 100), pose(160, 100))


def test_clothes_tell_people_apart() -> None:
    image = np.zeros((1000, 1000, 3), np.uint8)
    image[:, :500], image[:, 500:] = (200, 30, 30), (30, 30, 200)
    red, blue = pose(250, 500), pose(750, 500)
    assert appearance_distance(body_colors(image, red), body_colors(image, pose(240, 510, seed=3))) < 1
    assert appearance_distance(body_colors(image, red), body_colors(image, blue)) > 50
    assert np.isfinite(body_colors(image, pose(-5000, 9000))).all()  # outside the image


def test_others_are_hidden_but_nobody_hides_himself() -> None:
    me = tracklet(0, 5, (300, 300), (300, 300))
    assert others_mask(me, []) is None
    assert others_mask(me, [pose(5000, 300)]) is None
    beside = others_mask(me, [pose(500, 300)])
    assert beside is not None
    assert 0.02 < beside.mean() < 0.6
    behind = others_mask(me, [pose(300, 300)])
    assert behind is None or behind.mean() < 0.02


def test_motion_is_predicted() -> None:
    moving = tracklet(0, 30, (100, 300), (400, 300))
    assert moving.roi[0] == pytest.approx(410, abs=4)
    assert moving.match_cost(pose(410, 300), np.full(12, 100.0)) < 0.2
    assert moving.match_cost(pose(600, 300), np.full(12, 100.0)) > 1
    assert moving.match_cost(pose(410, 300, side=700), np.full(12, 100.0)) > 1
    assert moving.match_cost(pose(410, 300), np.full(12, 150.0)) > 1
    moving.mark_missed()
    assert moving.roi[0] == pytest.approx(419, abs=5)


def test_two_people_are_followed_apart(weights: dict[str, Path], walk: list[Array]) -> None:
    """The walker and a mirror image beside: two tracklets, each the other's mirror image."""
    tracker = Tracker(Detector(weights["detector"]), Landmarker(weights["heavy"]))
    for k, image in enumerate(walk):
        part = image[300:800, 150:550]
        tracker.step(k, k / 30, np.ascontiguousarray(np.concatenate([part, part[:, ::-1]], axis=1)))
    assert [len(track.frames) for track in tracker.tracklets] == [len(walk)] * 2
    left, right = sorted(tracker.tracklets, key=lambda track: float(track.roi[0]))
    mirrored = right.poses[-1].keypoints[MIRROR_LANDMARK] * (-1, 1) + (800, 0)
    assert np.median(np.linalg.norm(mirrored - left.poses[-1].keypoints, axis=1)) < 3


def test_nobody_is_found_in_noise(weights: dict[str, Path]) -> None:
    tracker = Tracker(Detector(weights["detector"]), Landmarker(weights["heavy"]))
    generator = np.random.default_rng(0)
    for k in range(4):
        tracker.step(k, k / 30, generator.integers(0, 255, (240, 320, 3), dtype=np.uint8))
    assert tracker.tracklets == []
