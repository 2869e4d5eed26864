"""Long clips in overlapping windows, so that memory does not grow with the clip."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from biopose_cli.body.kinematics import Pose
from biopose_cli.geometry import so3

LONGEST = 500  # frames of a window: 230 MB of normal equations
OVERLAP = 40  # frames that two neighbours share


def spans(frames: int) -> list[slice]:
    """Windows of at most `LONGEST` frames of about equal length that cover `frames`, neighbours sharing `OVERLAP`."""
    if frames <= LONGEST:
        return [slice(0, frames)]
    count = int(np.ceil((frames - OVERLAP) / (LONGEST - OVERLAP)))
    edges = np.linspace(0, frames - OVERLAP, count + 1).round().astype(int)
    return [slice(int(a), int(b) + OVERLAP) for a, b in itertools.pairwise(edges)]


def sample(frames: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Frames, evenly over the clip and at most a window's length, that decide what all windows share: the shape."""
    return np.unique(np.linspace(0, frames - 1, min(frames, LONGEST)).round().astype(np.int64))


def in_windows(frames: int, solve: Callable[[slice], Pose]) -> Pose:
    """Solve each window and cross-fade neighbours over what they share. All must have the same shape."""
    parts = spans(frames)
    whole = solve(parts[0])
    for part in parts[1:]:
        following = solve(part)
        shared = len(whole.transl) - part.start
        fade = ((np.arange(shared) + 1) / (shared + 1))[:, None]
        before, after = whole.rotations[part.start :], following.rotations[:shared]
        turn = so3.log(np.swapaxes(before, -1, -2) @ after)
        mixed = before @ so3.exp(fade[..., None] * turn)
        transl = (1 - fade) * whole.transl[part.start :] + fade * following.transl[:shared]
        whole = Pose(
            np.concatenate([whole.rotations[: part.start], mixed, following.rotations[shared:]]),
            np.concatenate([whole.transl[: part.start], transl, following.transl[shared:]]),
            whole.shape,
        )
    return whole
