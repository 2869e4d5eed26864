"""Quiet standing, where it is evidence of straight knees and where not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from biopose_cli.body.kinematics import ACTIVE_JOINTS
from biopose_cli.geometry import so3
from biopose_cli.hmr.predict import SMPLEstimates
from biopose_cli.mesh_fit.observations import Observations, build_observations
from biopose_cli.mesh_fit.standing import stillness, straight_knees
from tests.helpers.stick_body import Clip

FRONT, SIDE = np.radians([10.0, 4.5])  # the network's standard deviation of a knee


def still(clip: Clip) -> Observations:
    """The first frame of `clip` again and again."""
    observations = build_observations(clip.detection)
    return replace(observations, keypoints=np.repeat(observations.keypoints[:1], len(observations.time), axis=0))


def predictions(frames: int, knee_deg: float, std: float) -> SMPLEstimates:
    rotations = np.tile(np.eye(3), (frames, 24, 1, 1))
    rotations[:, [4, 5]] = so3.axis_angle_to_matrix(np.radians([knee_deg, 0, 0]))
    return SMPLEstimates(
        rotations, np.zeros((frames, 10)), np.zeros((frames, 3)), np.full((frames, len(ACTIVE_JOINTS), 3), std)
    )


def test_who_stands_still_counts_and_who_moves_does_not(clip: Clip) -> None:
    observations = still(clip)
    assert stillness(observations) == pytest.approx(1.0)
    steps = np.linspace(0, 3, len(observations.time))[:, None, None]
    moving = replace(observations, keypoints=observations.keypoints + 100 * steps)
    assert stillness(moving).max() < 0.05


def test_a_clear_view_or_a_bent_knee_overrules(clip: Clip) -> None:
    observations = still(clip)
    frames = len(observations.time)

    def mean_weight(knee_deg: float, std: float) -> float:
        return float(straight_knees(observations, predictions(frames, knee_deg, std)).weight.mean())

    assert mean_weight(15, FRONT) > 5 * mean_weight(15, SIDE)
    assert mean_weight(15, FRONT) > 20 * mean_weight(70, FRONT)


def test_interpolated_frames_do_not_count(clip: Clip) -> None:
    observations = still(clip)
    filled = replace(observations, measured=np.arange(len(observations.time)) % 2 == 0)
    weight = straight_knees(filled, predictions(len(filled.time), 15, FRONT)).weight
    assert (weight[1::2] == 0).all()
    assert (weight[::2] > 0).all()
