"""Where a recording was interrupted."""

from __future__ import annotations

import numpy as np
import pytest

from biopose_cli.geometry.runs import frame_gaps


@pytest.mark.parametrize("fps", [5.0, 30.0, 240.0])
def test_even_frames_have_no_gap(fps: float) -> None:
    assert not len(frame_gaps(np.arange(50) / fps))


def test_a_gap_is_named_by_the_frame_before_it() -> None:
    time = np.arange(20) / 30
    time[8:] += 1.0
    assert frame_gaps(time).tolist() == [7]


def test_a_dropped_frame_is_no_gap() -> None:
    assert not len(frame_gaps(np.delete(np.arange(20) / 30, 9)))


@pytest.mark.parametrize("frames", [0, 1])
def test_clips_without_steps(frames: int) -> None:
    assert not len(frame_gaps(np.zeros(frames)))
