"""Common types of the motion-capture readers: segment rotations relative to the recorded skeleton's reference pose.

All vectors are in SMPL's axes (x to the subject's left, y up, z forward), lengths in metres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation

from biopose_cli.typing import Array

# SMPL's kinematic tree, in its order of joints.
JOINTS = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hand", "right_hand",
)  # fmt: skip
PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
INDEX = {name: index for index, name in enumerate(JOINTS)}


@dataclass(frozen=True)
class Reference:
    """The recorded skeleton in its reference pose (where all segment rotations are the identity).

    Each array holds the left side first: unit vectors, shape (2, 3).
    """

    thigh: Array  # hip to knee
    shank: Array  # knee to ankle
    knee_axis: Array  # positive rotation about it flexes the knee
    arm: Array  # shoulder to wrist
    elbow_axis: Array  # positive rotation about it flexes the elbow
    palm: Array  # out of the palm


@dataclass(frozen=True)
class Take:
    """One recorded clip of T frames."""

    source: str  # archive name
    subject: str  # training and validation are split by it
    name: str
    fps: float
    rotations: Array  # (T, 24, 3, 3) global, relative to the reference pose, of the segment below each SMPL joint
    hips: Array  # (T, 3) m, midpoint of the hip joints
    leg_length: float  # m, hip to knee to ankle
    reference: Reference

    def subsample(self, stride: int) -> Take:
        """Every `stride`-th frame."""
        return Take(
            self.source, self.subject, self.name, self.fps / stride, self.rotations[::stride],
            self.hips[::stride], self.leg_length, self.reference,
        )  # fmt: skip


def euler(order: str, degrees: ArrayLike) -> Array:
    """Rotation matrices (..., 3, 3) of intrinsic Euler angles (..., n), degrees, about the axes of `order` ("zyx")."""
    angles = np.asarray(degrees, float)
    rotations = Rotation.from_euler(order.upper(), angles.reshape(-1, len(order)), degrees=True)
    matrices: Array = rotations.as_matrix().reshape(*angles.shape[:-1], 3, 3)
    return matrices
