"""Left and right: frames in which the network exchanged them, for the legs, the arms, the trunk or all, are repaired.

An exchange makes both sides jump at its start and at its end. The most plausible sequence of states is the one with
the least acceleration (Viterbi's algorithm over pairs of frames); a small price per exchanged frame stands for the
network being right nearly always.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from biopose_cli.detect.blazepose import LIMBS
from biopose_cli.typing import Array

STATES = np.array(
    list(product((0, 1), repeat=len(LIMBS)))
)  # (8, 3): which of legs, arms, trunk are exchanged
PRICE = 1.0  # per frame and exchange; the whole body at once is one exchange
NOISE = 0.01  # acceleration (1/frame^2, over the body's size) that costs 1 per landmark
LIMIT = 16.0  # the most that one landmark's acceleration costs
FOLLOWED = (
    0.3  # s, the longest gap over which sides are followed, or, in a video of few frames/s, of its intervals
)
_SLOW = 1.5
UNSURE = 0.3  # least weight of a landmark: the network is unsure exactly where it exchanges


def repair(
    keypoints: Array,
    confidence: Array,
    world: Array,
    size: Array,
    doubtful: Array,
    seen: Array,
    time: Array,
) -> tuple[Array, Array, Array, Array]:
    """One person's landmarks with left and right put right.

    Parameters
    ----------
    keypoints : (T, 33, 2) px
    confidence : (T, 33)
    world : (T, 33, 3) m
    size : (T,) px, of the body
    doubtful : (T, 3) bool, legs, arms, trunk: the network contradicts itself
    seen : (T,) bool; the stretches without a gap of more than that are repaired one by one
    time : (T,) s

    Returns
    -------
    The first three arrays repaired, and (T,) bool: where something was exchanged.
    """
    keypoints, confidence, world = keypoints.copy(), confidence.copy(), world.copy()
    swapped = np.zeros(len(seen), bool)
    interval = float(np.median(np.diff(time))) if len(time) > 1 else 1.0
    frames = time / interval
    for stretch in stretches(seen, time, max(FOLLOWED, _SLOW * interval)):
        found = exchanges(
            keypoints[stretch], confidence[stretch], size[stretch], doubtful[stretch], frames[stretch]
        )
        swapped[stretch] = found.any(axis=1)
        for sides, wrong in zip(LIMBS, (stretch[column] for column in found.T), strict=True):
            for values in (keypoints, confidence, world):
                values[np.ix_(wrong, sides.ravel())] = values[np.ix_(wrong, sides[::-1].ravel())]
    return keypoints, confidence, world, swapped


def exchanges(keypoints: Array, confidence: Array, size: Array, doubtful: Array, frames: Array) -> Array:
    """Whether legs, arms and trunk are exchanged, in frames that follow each other: (T, 3) bool.

    Parameters as in `repair`; `frames` (T,): the time in frame intervals. Where the network contradicts itself, an
    exchange is free.
    """
    count = len(keypoints)
    if count < 3:
        return np.zeros((count, len(LIMBS)), bool)
    steps = np.diff(frames)
    jumps = [_accelerations(keypoints[:, sides], confidence[:, sides], size, steps) for sides in LIMBS]
    price = _price(doubtful)
    cost = price[0][:, None] + price[1]  # over the states of two frames, the earlier first
    came_from = np.zeros((count, 8, 8), int)
    for t in range(2, count):
        total: Array = cost[:, :, None] + sum(
            jump[t - 2][np.ix_(column, column, column)] for jump, column in zip(jumps, STATES.T, strict=True)
        )
        came_from[t] = total.argmin(axis=0)
        cost = total.min(axis=0) + price[t]
    path = list(np.unravel_index(cost.argmin(), cost.shape))
    for t in range(count - 1, 1, -1):
        path.insert(0, came_from[t, path[0], path[1]])
    return STATES[path].astype(bool)


def _price(doubtful: Array) -> Array:
    """What each state costs in each frame: (T, 8)."""
    single = (STATES & ~doubtful[:, None]).sum(axis=2)
    return np.asarray(PRICE * np.where(STATES.all(axis=1), np.minimum(single, 1), single))


def _accelerations(keypoints: Array, confidence: Array, size: Array, steps: Array) -> Array:
    """The cost of each three frames in a row: (T - 2, 2, 2, 2), the last axes over the three frames' states.

    `keypoints` (T, 2, K, 2) and `confidence` (T, 2, K) are a pair's left and right sides; `steps` (T - 1,) from each
    frame to the next.
    """
    states = np.stack([keypoints, keypoints[:, ::-1]], axis=1)  # T, state, side, K, xy
    weights = np.maximum(np.stack([confidence, confidence[:, ::-1]], axis=1), UNSURE)
    first, middle, last = states[:-2, :, None, None], states[1:-1, None, :, None], states[2:, None, None]
    before, after = (step[:, None, None, None, None, None, None] for step in (steps[:-1], steps[1:]))
    change = 2 * ((last - middle) / after - (middle - first) / before) / (before + after)
    acceleration = np.linalg.norm(change, axis=-1) / size[2:, None, None, None, None, None]
    weight = np.minimum(
        weights[:-2, :, None, None], np.minimum(weights[1:-1, None, :, None], weights[2:, None, None])
    )
    return np.asarray((np.minimum(acceleration / NOISE, LIMIT) * weight).sum(axis=(-2, -1)))


def stretches(seen: Array, time: Array, longest: float) -> list[Array]:
    """Indices of the true values, parted where they are more than `longest` s apart."""
    where = np.flatnonzero(seen)
    apart = np.diff(time[where]) > longest + 1e-5
    return [run for run in np.split(where, np.flatnonzero(apart) + 1) if len(run)]
