"""Made-up tracklets and poses for the tests."""

from __future__ import annotations

import numpy as np

from biopose_cli.detect.blazepose import PersonPose
from biopose_cli.detect.tracker import Tracklet
from biopose_cli.typing import Array

RATE = 30.0


def pose(
    x: float, y: float, side: float = 400.0, score: float = 1.0, confidence: float = 0.9, seed: int = 0
) -> PersonPose:
    """A stick figure with its mid-hip at x, y px."""
    shape = np.random.default_rng(99).uniform(-0.3, 0.3, (33, 2)) * side
    shape[11], shape[12], shape[23], shape[24] = (
        np.array([0.1, -0.25]) * side,
        np.array([-0.1, -0.25]) * side,
        np.array([0.06, 0]) * side,
        np.array([-0.06, 0]) * side,
    )
    wobble = np.random.default_rng(seed).normal(0, 0.01 * side, (33, 2))
    roi = np.array([x, y, side, 0.0])
    return PersonPose(
        score=score,
        roi=roi,
        keypoints=np.array([x, y]) + shape + wobble,
        confidence=np.full(33, confidence),
        landmarks_3d=np.zeros((33, 3)),
        next_roi=roi,
        side_ambiguous=np.zeros(3, bool),
    )


def tracklet(
    first: int,
    last: int,
    start: tuple[float, float],
    end: tuple[float, float],
    colour: float = 100.0,
    **how: float,
) -> Tracklet:
    """Somebody seen in frames first..last (of 30 a second), moving in a line."""
    result = Tracklet()
    look: Array = np.full(12, colour)
    for k in range(first, last + 1):
        share = (k - first) / max(last - first, 1)
        x, y = np.array(start) * (1 - share) + np.array(end) * share
        result.update(k, k / RATE, pose(x, y, seed=k, **how), look)  # type: ignore[arg-type]
    return result
