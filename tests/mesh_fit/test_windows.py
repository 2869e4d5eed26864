"""Windows cover a clip, and what they agree on comes out unchanged."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from biopose_cli.body.kinematics import Pose
from biopose_cli.geometry import so3
from biopose_cli.mesh_fit.windows import MAX_FRAMES, OVERLAP, shape_frames, solve_in_windows, window_slices

LENGTHS = [1, MAX_FRAMES, MAX_FRAMES + 1, 2 * MAX_FRAMES, 3217]


@pytest.mark.parametrize("frames", LENGTHS)
def test_windows_cover_the_clip(frames: int) -> None:
    windows = window_slices(frames)
    assert (windows[0].start, windows[-1].stop) == (0, frames)
    assert all(window.stop - window.start <= MAX_FRAMES + 1 for window in windows)  # the edges are rounded
    assert all(a.stop - b.start == OVERLAP for a, b in itertools.pairwise(windows))


@pytest.mark.parametrize("frames", LENGTHS)
def test_the_shape_is_decided_over_the_whole_clip(frames: int) -> None:
    chosen = shape_frames(frames)
    assert len(chosen) == min(frames, MAX_FRAMES)
    assert (chosen[0], chosen[-1]) == (0, frames - 1)


def test_windows_that_agree_give_the_whole() -> None:
    frames = 2 * MAX_FRAMES
    rng = np.random.default_rng(0)
    whole = Pose(
        so3.axis_angle_to_matrix(rng.normal(0, 0.3, (frames, 2, 3))), rng.normal(0, 1, (frames, 3)), np.zeros(3)
    )
    merged = solve_in_windows(
        frames, lambda window: Pose(whole.rotations[window], whole.transl[window], whole.shape_params)
    )
    np.testing.assert_allclose(merged.rotations, whole.rotations, atol=1e-9)
    np.testing.assert_allclose(merged.transl, whole.transl, atol=1e-9)


def test_windows_that_disagree_are_faded_into_each_other() -> None:
    frames = 2 * MAX_FRAMES
    rotations = np.broadcast_to(np.eye(3), (frames, 1, 3, 3))

    def solve(window: slice) -> Pose:
        count = window.stop - window.start
        return Pose(rotations[window], np.full((count, 3), float(window.start)), np.zeros(3))

    transl = solve_in_windows(frames, solve).transl[:, 0]
    starts = [float(window.start) for window in window_slices(frames)]
    assert (transl[0], transl[-1]) == (starts[0], starts[-1])
    assert (np.diff(transl) >= 0).all()
    assert np.diff(transl).max() < 1.01 * max(np.diff(starts)) / OVERLAP
