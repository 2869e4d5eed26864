"""Repair of left and right: frames in which the network swapped them, for legs, arms, trunk or all.

A swap makes both sides jump at its start and at its end. The most plausible sequence of states has the least
acceleration (Viterbi's algorithm over pairs of frames). A small cost per swapped frame expresses that the network is
nearly always right.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from biopose_cli.detect.blazepose import LIMBS
from biopose_cli.geometry.runs import runs_across_gaps
from biopose_cli.typing import Array

SWAP_STATES = np.array(list(product((0, 1), repeat=len(LIMBS))))  # (8, 3): which of legs, arms, trunk are swapped
SWAP_COST = 1.0  # per frame and swap; the whole body at once is one swap
ACCELERATION_SCALE = 0.01  # acceleration (1/frame^2, over the body's size) that costs 1 per landmark
MAX_ACCELERATION_COST = 16.0  # the largest cost of one landmark's acceleration
MAX_GAP = 0.3  # s, the longest gap across which sides are tracked, or, in a video of few frames/s, of its intervals
_MAX_GAP_INTERVALS = 1.5
MIN_WEIGHT = 0.3  # smallest weight of a landmark: confidence is low exactly where the network swaps


def repair_left_right(
    keypoints: Array,
    confidence: Array,
    landmarks_3d: Array,
    size: Array,
    side_ambiguous: Array,
    visible: Array,
    time: Array,
) -> tuple[Array, Array, Array, Array]:
    """Repair left and right of one person's landmarks.

    Parameters
    ----------
    keypoints : (T, 33, 2) px
    confidence : (T, 33)
    landmarks_3d : (T, 33, 3) m
    size : (T,) px, of the body
    side_ambiguous : (T, 3) bool, legs, arms, trunk: the network's two predictions contradict each other
    visible : (T,) bool; stretches separated by longer gaps are repaired independently
    time : (T,) s

    Returns
    -------
    The first three arrays repaired, and (T,) bool: frames in which something was swapped.
    """
    keypoints, confidence, landmarks_3d = keypoints.copy(), confidence.copy(), landmarks_3d.copy()
    swapped = np.zeros(len(visible), bool)
    interval = float(np.median(np.diff(time))) if len(time) > 1 else 1.0
    frames = time / interval
    for run in runs_across_gaps(visible, time, max(MAX_GAP, _MAX_GAP_INTERVALS * interval)):
        swaps = find_swaps(keypoints[run], confidence[run], size[run], side_ambiguous[run], frames[run])
        swapped[run] = swaps.any(axis=1)
        for sides, swapped_frames in zip(LIMBS, (run[column] for column in swaps.T), strict=True):
            for values in (keypoints, confidence, landmarks_3d):
                values[np.ix_(swapped_frames, sides.ravel())] = values[np.ix_(swapped_frames, sides[::-1].ravel())]
    return keypoints, confidence, landmarks_3d, swapped


def find_swaps(keypoints: Array, confidence: Array, size: Array, side_ambiguous: Array, frames: Array) -> Array:
    """Whether legs, arms and trunk are swapped, in consecutive frames: (T, 3) bool.

    Parameters as in `repair_left_right`; `frames` (T,): the time in frame intervals. A swap costs nothing where the
    network contradicts itself.
    """
    count = len(keypoints)
    if count < 3:
        return np.zeros((count, len(LIMBS)), bool)
    steps = np.diff(frames)
    acceleration_costs = [
        _acceleration_costs(keypoints[:, sides], confidence[:, sides], size, steps) for sides in LIMBS
    ]
    swap_cost = _swap_cost(side_ambiguous)
    cost = swap_cost[0][:, None] + swap_cost[1]  # over the states of two frames, the earlier first
    backpointers = np.zeros((count, 8, 8), int)
    for t in range(2, count):
        total: Array = cost[:, :, None] + sum(
            acceleration_cost[t - 2][np.ix_(column, column, column)]
            for acceleration_cost, column in zip(acceleration_costs, SWAP_STATES.T, strict=True)
        )
        backpointers[t] = total.argmin(axis=0)
        cost = total.min(axis=0) + swap_cost[t]
    path = list(np.unravel_index(cost.argmin(), cost.shape))
    for t in range(count - 1, 1, -1):
        path.insert(0, backpointers[t, path[0], path[1]])
    return SWAP_STATES[path].astype(bool)


def _swap_cost(side_ambiguous: Array) -> Array:
    """Cost of each state in each frame: (T, 8)."""
    single = (SWAP_STATES & ~side_ambiguous[:, None]).sum(axis=2)
    return np.asarray(SWAP_COST * np.where(SWAP_STATES.all(axis=1), np.minimum(single, 1), single))


def _acceleration_costs(keypoints: Array, confidence: Array, size: Array, steps: Array) -> Array:
    """Cost of each three consecutive frames: (T - 2, 2, 2, 2), the last axes over the three frames' states.

    `keypoints` (T, 2, K, 2) and `confidence` (T, 2, K) are a pair's left and right sides; `steps` (T - 1,) from each
    frame to the next.
    """
    states = np.stack([keypoints, keypoints[:, ::-1]], axis=1)  # T, state, side, K, xy
    weights = np.maximum(np.stack([confidence, confidence[:, ::-1]], axis=1), MIN_WEIGHT)
    first, middle, last = states[:-2, :, None, None], states[1:-1, None, :, None], states[2:, None, None]
    before, after = (step[:, None, None, None, None, None, None] for step in (steps[:-1], steps[1:]))
    change = 2 * ((last - middle) / after - (middle - first) / before) / (before + after)
    acceleration = np.linalg.norm(change, axis=-1) / size[2:, None, None, None, None, None]
    weight = np.minimum(weights[:-2, :, None, None], np.minimum(weights[1:-1, None, :, None], weights[2:, None, None]))
    return np.asarray(
        (np.minimum(acceleration / ACCELERATION_SCALE, MAX_ACCELERATION_COST) * weight).sum(axis=(-2, -1))
    )
