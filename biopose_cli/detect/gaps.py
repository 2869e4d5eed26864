"""Gaps: short ones in a person's keypoints, filled by straight lines in time, and those of the video itself."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from biopose_cli.geometry.runs import TIME_ROUNDING
from biopose_cli.typing import Array


def fillable(time: Array, visible: Array, max_gap: float) -> Array:
    """Frames (T,) bool in gaps of at most `max_gap` s from the last frame seen to the next one.

    `time` (T,) s, `visible` (T,) bool. Before the first and after the last frame seen there is no gap.
    """
    visible_frames = np.flatnonzero(visible)
    result = np.zeros(len(visible), bool)
    for before, after in pairwise(visible_frames):
        result[before + 1 : after] = time[after] - time[before] <= max_gap + TIME_ROUNDING
    return result


def fill(values: Array, time: Array, visible: Array, filled: Array) -> Array:
    """`values` (T, ...) with the frames `filled` (T,) bool interpolated between the `visible` (T,) bool ones."""
    result = values.reshape(len(values), -1).copy()
    for column in result.T:
        column[filled] = np.interp(time[filled], time[visible], column[visible])
    return result.reshape(values.shape)
