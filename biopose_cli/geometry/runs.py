"""Runs of frames, and where one frame does not follow another."""

from __future__ import annotations

import numpy as np

from biopose_cli.typing import Array

_HOLE = 0.25  # s, and
_INTERVALS = 3.0  # usual ones: from then on two frames do not follow each other


def holes(time: Array) -> Array:
    """Frames (H,) after which the video itself has a hole: a recording that was interrupted, pictures that are lost.

    `time` (T,) s.
    """
    steps = np.diff(time)
    usual = np.median(steps) if len(steps) else 0.0
    return np.flatnonzero(steps > max(_HOLE, _INTERVALS * usual) + 1e-5)
