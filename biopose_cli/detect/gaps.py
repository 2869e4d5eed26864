"""Gaps: short ones in a person's keypoints, which are interpolated linearly, and those of the video itself."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from biopose_cli.geometry.runs import TIME_ROUNDING
from biopose_cli.typing import Array


def fillable(time: Array, visible: Array, max_gap: float) -> Array:
    """Frames (T,) bool in gaps of at most `max_gap` s between two visible frames.

    `time` (T,) s, `visible` (T,) bool. There is no gap before the first or after the last visible frame.
    """
    visible_frames = np.flatnonzero(visible)
    result = np.zeros(len(visible), bool)
    for before, after in pairwise(visible_frames):
        result[before + 1 : after] = time[after] - time[before] <= max_gap + TIME_ROUNDING
    return result


def fill(values: Array, time: Array, visible: Array, filled: Array) -> Array:
    """Interpolate `values` (T, ...) in the frames `filled` (T,) bool between the `visible` (T,) bool ones."""
    result = values.reshape(len(values), -1).copy()
    for column in result.T:
        column[filled] = np.interp(time[filled], time[visible], column[visible])
    return result.reshape(values.shape)
