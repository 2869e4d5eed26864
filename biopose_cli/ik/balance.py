"""Estimate of the vertical from a person's balance: on average the centre of mass is above the feet.

Otherwise a person who stands, steps or walks would fall. People who sit, lie or kneel rest on something else, so only
frames with a straight leg and a roughly upright body count.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter1d

from biopose_cli.body.model import JOINT_NAMES
from biopose_cli.typing import Array

# Winter 2009, "Biomechanics and Motor Control of Human Movement", table 4.1: fraction of the body's mass of a segment,
# and position of its centre of mass as a fraction of the way from the first joint to the second
_LIMB_MASSES = (
    ("hip", "knee", 0.100, 0.433),
    ("knee", "ankle", 0.0465, 0.433),
    ("ankle", "foot", 0.0145, 0.500),
    ("shoulder", "elbow", 0.028, 0.436),
    ("elbow", "wrist", 0.016, 0.430),
    ("wrist", "hand", 0.006, 0.506),
)
_TRUNK, _HEAD = 0.497, 0.081  # between hips and shoulders; at the ears
_SIDES = ("left", "right")
_MIN_LEG_EXTENSION = 0.9  # hip to ankle, of thigh and shank: knees bent by less than 50 degrees
_MIN_UPRIGHT_COS = np.cos(np.radians(45.0))
_MIN_DURATION = 0.5  # s of such frames
_STRIDE_DURATION = 1.0  # s, over which the heights of the feet are compared: similar in a walk, different on one leg
_HALF_LOAD_HEIGHT = 0.05  # m: a foot that is this much higher over a stride carries half as much as the other


def center_of_mass(joints: Array) -> Array:
    """Centre of mass (T, 3), m, of a body with SMPL's joints (T, 24, 3), m."""
    trunk = (_left_and_right(joints, "hip").mean(1) + _left_and_right(joints, "shoulder").mean(1)) / 2
    center = _TRUNK * trunk + _HEAD * joints[:, JOINT_NAMES.index("head")]
    for start, end, mass_fraction, com_fraction in _LIMB_MASSES:
        proximal, distal = _left_and_right(joints, start), _left_and_right(joints, end)
        center += mass_fraction * (proximal + com_fraction * (distal - proximal)).sum(1)
    return np.asarray(center)


def up_from_center_of_mass(time: Array, joints: Array, up: Array) -> Array | None:
    """Up, a unit vector (3): mean direction from the supporting feet to the centre of mass.

    time: (T) s. joints: (T, 24, 3) m, SMPL's, in any fixed frame. up: (3), roughly.
    Returns None if the person is not on their feet for long enough.
    """
    hip, knee, ankle = (_left_and_right(joints, name) for name in ("hip", "knee", "ankle"))
    leg_length = np.linalg.norm(hip - knee, axis=-1) + np.linalg.norm(knee - ankle, axis=-1)
    extended = (np.linalg.norm(hip - ankle, axis=-1) > _MIN_LEG_EXTENSION * leg_length).any(1)
    com, toes = center_of_mass(joints), _left_and_right(joints, "foot")
    feet = (ankle + toes) / 2
    com_over_feet = com - feet.mean(1)
    upright = extended & (com_over_feet @ up > _MIN_UPRIGHT_COS * np.linalg.norm(com_over_feet, axis=1))
    frame_period = float(np.median(np.diff(time))) if len(time) > 1 else 0.0
    if upright.sum() * frame_period < _MIN_DURATION:
        return None
    stride = max(1, round(_STRIDE_DURATION / frame_period))
    estimate = _unit(com_over_feet[upright].mean(0))
    for _ in range(3):  # which foot is lower depends on the direction of up
        height = uniform_filter1d(np.minimum(ankle @ estimate, toes @ estimate), stride, axis=0, mode="nearest")
        foot_lift = height - height.min(1, keepdims=True)
        load = 1 / (1 + (foot_lift / _HALF_LOAD_HEIGHT) ** 2)
        load /= load.sum(1, keepdims=True)
        support = (load[..., None] * feet).sum(1)
        estimate = _unit((com - support)[upright].mean(0))
    return estimate


def _left_and_right(joints: Array, name: str) -> Array:
    """The left and the right joint of that name, (T, 2, 3)."""
    return joints[:, [JOINT_NAMES.index(f"{side}_{name}") for side in _SIDES]]


def _unit(vector: Array) -> Array:
    return np.asarray(vector / np.linalg.norm(vector))
