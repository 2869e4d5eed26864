from __future__ import annotations

import numpy as np
import pytest

from biopose_cli.body.blazepose import MIRROR_LANDMARK
from biopose_cli.detect.blazepose import LIMBS
from biopose_cli.detect.left_right import find_swaps, repair_left_right
from biopose_cli.typing import Array

FRAMES = 90
TIME = np.arange(FRAMES) / 30  # s


def walker(seed: int = 0, view: float = 1.0) -> Array:
    """(90, 33, 2) px: a person of 1000 px walking at 30 frames/s. From the side (view 1) legs and arms cross."""
    phase = 2 * np.pi * np.arange(FRAMES) / 33
    points = np.zeros((FRAMES, 33, 2))
    points[..., 0] = 300 + 5 * np.arange(FRAMES)[:, None]
    for k in range(33):
        side = 1 if k % 2 else -1
        reach = 120 * (k > 24) + 60 * (12 < k < 23)
        points[:, k, 0] += view * side * reach * np.sin(phase) + (1 - view) * side * 80
        points[:, k, 1] = 20 * k + 15 * np.maximum(0, np.cos(phase) * side) * (k > 24)
    return points + np.random.default_rng(seed).normal(0, 2, points.shape)


def swap_sides(points: Array, groups: list[int], frames: Array) -> Array:
    result = points.copy()
    for k in groups:
        sides = LIMBS[k].ravel()
        result[np.ix_(frames, sides)] = points[np.ix_(frames, MIRROR_LANDMARK[sides])]
    return result


def run_repair(points: Array, visible: Array | None = None, pace: float = 1.0) -> tuple[Array, Array]:
    landmarks_3d = np.concatenate([points, points[..., :1]], axis=-1)
    keypoints, _, repaired_3d, swapped = repair_left_right(
        points,
        np.full((FRAMES, 33), 0.8),
        landmarks_3d,
        np.full(FRAMES, 1000.0),
        np.zeros((FRAMES, 3), bool),
        np.ones(FRAMES, bool) if visible is None else visible,
        pace * TIME,
    )
    np.testing.assert_array_equal(repaired_3d[..., :2], keypoints)  # the 3D landmarks go with the keypoints
    return keypoints, swapped


@pytest.mark.parametrize("view", [0.0, 0.5, 1.0])
def test_correct_sides_are_unchanged(view: float) -> None:
    points = walker(view=view)
    keypoints, swapped = run_repair(points)
    assert not swapped.any()
    np.testing.assert_array_equal(keypoints, points)


@pytest.mark.parametrize("groups", [[0], [1], [0, 1], [0, 1, 2]])
@pytest.mark.parametrize(("first", "last"), [(20, 20), (41, 45), (50, 75)])
def test_exchanged_limbs_are_put_right(groups: list[int], first: int, last: int) -> None:
    points, frames = walker(view=0.5), np.arange(first, last + 1)
    keypoints, swapped = run_repair(swap_sides(points, groups, frames))
    distance = np.linalg.norm(keypoints - points, axis=-1)
    assert (distance[:, 13:] > 100).mean() < 0.01  # a frame in which the two sides meet may stay as it is
    assert set(np.flatnonzero(swapped)) <= set(frames)


def test_ambiguous_frames_have_no_cost() -> None:
    points = np.tile(walker()[:1], (6, 1, 1))  # nobody moves: no evidence either way
    size, confidence = np.full(6, 1000.0), np.ones((6, 33))
    frames = np.arange(6.0)
    sure = find_swaps(points, confidence, size, np.zeros((6, 3), bool), frames)
    assert not sure.any()
    wrong = swap_sides(points, [0], np.array([2, 3]))
    assert find_swaps(wrong, confidence, size, np.ones((6, 3), bool), frames)[:, 0].sum() in {2, 4}


@pytest.mark.parametrize("missed", [[37, 58], [38, 57], [36, 37, 58, 59, 60]])
def test_a_missed_frame_beside_an_exchange_does_not_hide_it(missed: list[int]) -> None:
    points, frames, seen = walker(view=0.0), np.arange(38, 58), np.ones(FRAMES, bool)
    seen[missed] = False
    keypoints, swapped = run_repair(swap_sides(points, [0], frames), seen)
    distance = np.linalg.norm(keypoints - points, axis=-1)[seen]
    assert (distance[:, 25:] > 100).mean() < 0.01
    assert set(np.flatnonzero(swapped)) <= set(frames)


def test_an_exchange_after_a_missed_frame_may_last_to_the_end() -> None:
    points, frames, seen = walker(view=0.0), np.arange(70, FRAMES), np.ones(FRAMES, bool)
    seen[69] = False
    keypoints, _ = run_repair(swap_sides(points, [0], frames), seen)
    assert (np.linalg.norm(keypoints - points, axis=-1)[seen][:, 25:] > 100).mean() < 0.01


def test_correct_sides_are_unchanged_beside_gaps() -> None:
    points, seen = walker(), np.random.default_rng(1).random(FRAMES) > 0.2
    keypoints, swapped = run_repair(points, seen)
    assert not swapped.any()
    np.testing.assert_array_equal(keypoints, points)


def test_few_frames_a_second_follow_each_other_too() -> None:
    points, frames = walker(view=0.0), np.arange(41, 46)
    _, swapped = run_repair(swap_sides(points, [0], frames), pace=20.0)
    assert np.flatnonzero(swapped).tolist() == frames.tolist()
