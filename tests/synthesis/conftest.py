"""A plain body at rest and made-up takes on it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from biopose_cli.synthesis.cmu import REFERENCE
from biopose_cli.synthesis.mocap import INDEX, Reference, Take
from biopose_cli.synthesis.retarget import RestBody
from biopose_cli.typing import Array


@pytest.fixture(scope="session")
def rest_body() -> RestBody:
    """A symmetric T-pose with knees and elbows that are not quite in line, as of a real body."""
    joints = np.zeros((24, 3))
    left = {
        "left_hip": (0.09, -0.09, 0.0), "left_knee": (0.10, -0.50, 0.02), "left_ankle": (0.09, -0.92, -0.02),
        "left_foot": (0.10, -0.97, 0.11), "left_collar": (0.05, 0.40, 0.0), "left_shoulder": (0.17, 0.40, -0.02),
        "left_elbow": (0.44, 0.40, -0.03), "left_wrist": (0.70, 0.41, -0.02), "left_hand": (0.79, 0.40, -0.02),
    }  # fmt: skip
    for name, place in left.items():
        joints[INDEX[name]] = place
        joints[INDEX[name.replace("left", "right")]] = np.array(place) * [-1, 1, 1]
    for name, height in (("spine1", 0.1), ("spine2", 0.2), ("spine3", 0.3), ("neck", 0.5), ("head", 0.6)):
        joints[INDEX[name], 1] = height
    return RestBody(joints, -1.0)


@pytest.fixture
def make_take() -> Callable[..., Take]:
    """A take that stands in its reference pose, apart from the segments given as rotations (3, 3) or (T, 3, 3)."""

    def make(frames: int = 8, reference: Reference = REFERENCE, name: str = "01_01", **segments: Array) -> Take:
        rotations = np.tile(np.eye(3), (frames, 24, 1, 1))
        for joint, rotation in segments.items():
            rotations[:, INDEX[joint]] = rotation
        hips = np.tile([0.0, 0.9, 0.0], (frames, 1))
        return Take("made_up", name[:2], name, 120.0, rotations, hips, 0.83, reference)

    return make
