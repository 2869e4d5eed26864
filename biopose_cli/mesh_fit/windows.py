"""Long clips in overlapping windows, so that memory does not grow with the clip."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from biopose_cli.body.kinematics import Pose
from biopose_cli.geometry import so3

MAX_FRAMES = 500  # frames of a window: 230 MB of normal equations
OVERLAP = 40  # shared by two neighbours


def window_slices(frames: int) -> list[slice]:
    """Windows of at most `MAX_FRAMES` frames and about equal length that cover `frames`; neighbours share `OVERLAP`."""
    if frames <= MAX_FRAMES:
        return [slice(0, frames)]
    count = int(np.ceil((frames - OVERLAP) / (MAX_FRAMES - OVERLAP)))
    edges = np.linspace(0, frames - OVERLAP, count + 1).round().astype(int)
    return [slice(int(a), int(b) + OVERLAP) for a, b in itertools.pairwise(edges)]


def shape_frames(frames: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Frames, evenly over the clip and at most one window's length, for estimating the common shape."""
    return np.unique(np.linspace(0, frames - 1, min(frames, MAX_FRAMES)).round().astype(np.int64))


def solve_in_windows(frames: int, solve: Callable[[slice], Pose]) -> Pose:
    """Solve each window and cross-fade neighbours over their common frames. All must have the same shape."""
    windows = window_slices(frames)
    merged = solve(windows[0])
    for window in windows[1:]:
        following = solve(window)
        shared = len(merged.transl) - window.start
        fade = ((np.arange(shared) + 1) / (shared + 1))[:, None]
        before, after = merged.rotations[window.start :], following.rotations[:shared]
        relative = so3.matrix_to_axis_angle(np.swapaxes(before, -1, -2) @ after)
        blended = before @ so3.axis_angle_to_matrix(fade[..., None] * relative)
        transl = (1 - fade) * merged.transl[window.start :] + fade * following.transl[:shared]
        merged = Pose(
            np.concatenate([merged.rotations[: window.start], blended, following.rotations[shared:]]),
            np.concatenate([merged.transl[: window.start], transl, following.transl[shared:]]),
            merged.shape_params,
        )
    return merged
