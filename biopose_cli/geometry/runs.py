"""Runs of frames, and where one frame does not follow another."""

from __future__ import annotations

import numpy as np

from biopose_cli.typing import Array

_MIN_GAP = 0.25  # s, and
_MIN_GAP_INTERVALS = 3.0  # usual ones: from then on two frames do not follow each other


def frame_gaps(time: Array) -> Array:
    """Frames (H,) after which the video itself has a hole: a recording that was interrupted, pictures that are lost.

    `time` (T,) s.
    """
    steps = np.diff(time)
    median_step = np.median(steps) if len(steps) else 0.0
    return np.flatnonzero(steps > max(_MIN_GAP, _MIN_GAP_INTERVALS * median_step) + 1e-5)
