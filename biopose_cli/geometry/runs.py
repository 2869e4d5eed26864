"""Runs of frames, and where one frame does not follow another."""

from __future__ import annotations

import numpy as np

from biopose_cli.typing import Array

TIME_ROUNDING = 1e-5  # s: times are stored with the rounding of the file's clock
_MIN_GAP = 0.25  # s, and
_MIN_GAP_INTERVALS = 3.0  # usual ones: from then on two frames do not follow each other


def runs(mask: Array, breaks: Array | None = None) -> list[tuple[int, int]]:
    """First and one past the last index of every run of true values.

    Parameters
    ----------
    mask : (T,) bool
    breaks : (H,) int, optional
        Indices after which a run ends even if the next value is true.
    """
    frames = np.flatnonzero(mask)
    if not len(frames):
        return []
    ends = np.diff(frames) > 1
    if breaks is not None:
        ends |= np.isin(frames[:-1], breaks)
    parts = np.split(frames, np.flatnonzero(ends) + 1)
    return [(int(part[0]), int(part[-1]) + 1) for part in parts]


def runs_across_gaps(mask: Array, time: Array, max_gap: float) -> list[Array]:
    """Indices of the true values of every run that goes on over gaps of up to `max_gap` s.

    Parameters
    ----------
    mask : (T,) bool
    time : (T,) s
    max_gap : s, from one true value to the next
    """
    frames = np.flatnonzero(mask)
    is_gap = np.diff(time[frames]) > max_gap + TIME_ROUNDING
    return [run for run in np.split(frames, np.flatnonzero(is_gap) + 1) if len(run)]


def frame_gaps(time: Array) -> Array:
    """Frames (H,) after which the video itself has a hole: a recording that was interrupted, pictures that are lost.

    `time` (T,) s.
    """
    steps = np.diff(time)
    median_step = np.median(steps) if len(steps) else 0.0
    return np.flatnonzero(steps > max(_MIN_GAP, _MIN_GAP_INTERVALS * median_step) + TIME_ROUNDING)
