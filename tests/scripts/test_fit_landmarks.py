"""The fit of the landmarks' points on the body."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biopose_cli.synthesis import keypoint_error_bank


def test_the_offset_is_found_from_left_and_right_keypoints(script: Callable[[str], ModuleType]) -> None:
    """Made-up people whose left and right landmarks sit at a known, mirrored offset from one joint."""
    fit = script("fit_landmarks")
    rng = np.random.default_rng(0)
    people, focal, offset = 300, 600.0, np.array([0.05, -0.02, 0.04])
    rotations = Rotation.random(people, random_state=0).as_matrix()
    joint = rng.normal(0, 0.3, (people, 3)) + np.array([0, 0, 4])
    keypoints = np.zeros((people, 33, 2))
    for landmark, side in ((1, 1), (2, -1)):
        point = joint + rotations @ (offset * [side, 1, 1])
        keypoints[:, landmark] = point[:, :2] / point[:, 2:] * focal + rng.normal(0, 2.0, (people, 2))
    detections = fit.RenderedDetections(
        joints=np.repeat(joint[:, None], 24, axis=1),
        joint_rotations=np.repeat(rotations[:, None], 24, axis=1),
        rest_joints=np.zeros((people, 24, 3)),
        relative_stature=np.ones(people),
        focal=np.full(people, focal),
        crop_size=np.full(people, 256.0),
        keypoints=keypoints,
        confidence=np.ones((people, 33)),
    )
    rows = [{"carrier": "0", "origin": "0"}] * 3
    found, scatter = fit.fit_offset(detections, rows, [(1, 1.0), (2, -1.0)], np.zeros(3))
    np.testing.assert_allclose(found, offset, atol=0.003)
    assert scatter == pytest.approx(2, rel=0.15)


def test_global_rotations_are_chained(script: Callable[[str], ModuleType]) -> None:
    local = Rotation.random(3, random_state=1).as_matrix()
    found = script("fit_landmarks").global_rotations(local, (-1, 0, 1))
    np.testing.assert_allclose(found[2], local[0] @ local[1] @ local[2])


def test_the_bias_is_that_of_the_package(script: Callable[[str], ModuleType]) -> None:
    assert script("fit_landmarks").LANDMARK_BIAS == keypoint_error_bank._LANDMARK_BIAS
