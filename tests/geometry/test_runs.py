from __future__ import annotations

import numpy as np
import pytest

from biopose_cli.geometry.runs import frame_gaps, runs, runs_across_gaps


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ("", []),
        ("000", []),
        ("1", [(0, 1)]),
        ("111", [(0, 3)]),
        ("0110100", [(1, 3), (4, 5)]),
        ("1011", [(0, 1), (2, 4)]),
    ],
)
def test_runs_are_half_open(mask: str, expected: list[tuple[int, int]]) -> None:
    assert runs(np.array([c == "1" for c in mask], bool)) == expected


def test_runs_cover_what_is_true_and_nothing_else() -> None:
    mask = np.random.default_rng(0).random(500) < 0.6
    covered = np.zeros_like(mask)
    for first, after in runs(mask):
        covered[first:after] = True
        assert first == 0 or not mask[first - 1]
        assert after == len(mask) or not mask[after]
    np.testing.assert_array_equal(covered, mask)


def test_breaks_end_a_run() -> None:
    mask = np.array([1, 1, 1, 1, 0, 0, 1, 1], bool)
    assert runs(mask, breaks=np.array([1, 3, 4])) == [(0, 2), (2, 4), (6, 8)]


def test_long_gaps_part_the_track() -> None:
    seen, time = np.array([1, 1, 0, 1, 0, 0, 1, 1], bool), np.arange(8) / 10
    assert [run.tolist() for run in runs_across_gaps(seen, time, 0.3)] == [[0, 1, 3, 6, 7]]
    assert [run.tolist() for run in runs_across_gaps(seen, 2 * time, 0.3)] == [[0, 1], [3], [6, 7]]
    assert runs_across_gaps(np.zeros(3, bool), np.arange(3.0), 0.3) == []


def test_a_gap_is_a_step_longer_than_the_videos_usual_one() -> None:
    steady = np.arange(30) / 30
    assert len(frame_gaps(steady)) == 0
    assert len(frame_gaps(10 * steady)) == 0  # a slow camera
    assert frame_gaps(np.concatenate([steady, 3 + steady])).tolist() == [29]
    assert len(frame_gaps(np.zeros(1))) == 0
