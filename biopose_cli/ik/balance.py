"""Which way is up, from how a person keeps their balance: on average the centre of mass is over the feet.

Whoever stands, steps or walks would fall otherwise. People who sit, lie or kneel rest on something else: only frames
in which a leg is stretched and the body is roughly upright count.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter1d

from biopose_cli.body.model import JOINT_NAMES
from biopose_cli.typing import Array

# Winter 2009, "Biomechanics and Motor Control of Human Movement", table 4.1: a segment's share of the body's mass, and
# its centre of mass as a share of the way from the first joint to the second
_LIMBS = (
    ("hip", "knee", 0.100, 0.433),
    ("knee", "ankle", 0.0465, 0.433),
    ("ankle", "foot", 0.0145, 0.500),
    ("shoulder", "elbow", 0.028, 0.436),
    ("elbow", "wrist", 0.016, 0.430),
    ("wrist", "hand", 0.006, 0.506),
)
_TRUNK, _HEAD = 0.497, 0.081  # between hips and shoulders; at the ears
_SIDES = ("left", "right")
_STRETCHED = 0.9  # hip to ankle, of thigh and shank: knees bent by less than 50 degrees
_UPRIGHT = np.cos(np.radians(45.0))
_LEAST = 0.5  # s of such frames
_STRIDE = 1.0  # s, over which the heights of the feet are compared: in a walk they are alike, on one leg not
_LIFTED = 0.05  # m: a foot that is so much higher for a stride carries half as much as the other


def mass_centre(joints: Array) -> Array:
    """The body's centre of mass (T, 3) of SMPL's joints (T, 24, 3), m."""
    trunk = (_pair(joints, "hip").mean(1) + _pair(joints, "shoulder").mean(1)) / 2
    centre = _TRUNK * trunk + _HEAD * joints[:, JOINT_NAMES.index("head")]
    for start, end, mass, share in _LIMBS:
        first, last = _pair(joints, start), _pair(joints, end)
        centre += mass * (first + share * (last - first)).sum(1)
    return np.asarray(centre)


def balanced_up(time: Array, joints: Array, up: Array) -> Array | None:
    """Up, a unit vector (3), by the mean way from the feet that carry a person to their centre of mass.

    time: (T) s. joints: (T, 24, 3) m, SMPL's, in any frame that stands still. up: (3), roughly.
    None where the person is not on their feet for long enough.
    """
    hip, knee, ankle = (_pair(joints, name) for name in ("hip", "knee", "ankle"))
    whole = np.linalg.norm(hip - knee, axis=-1) + np.linalg.norm(knee - ankle, axis=-1)
    stretched = (np.linalg.norm(hip - ankle, axis=-1) > _STRETCHED * whole).any(1)
    centre, toes = mass_centre(joints), _pair(joints, "foot")
    feet = (ankle + toes) / 2
    high = centre - feet.mean(1)
    stands = stretched & (high @ up > _UPRIGHT * np.linalg.norm(high, axis=1))
    step = float(np.median(np.diff(time))) if len(time) > 1 else 0.0
    if stands.sum() * step < _LEAST:
        return None
    stride = max(1, round(_STRIDE / step))
    found = _unit(high[stands].mean(0))
    for _ in range(3):  # which foot is lower depends on what is up
        height = uniform_filter1d(np.minimum(ankle @ found, toes @ found), stride, axis=0, mode="nearest")
        lifted = height - height.min(1, keepdims=True)
        carries = 1 / (1 + (lifted / _LIFTED) ** 2)
        carries /= carries.sum(1, keepdims=True)
        support = (carries[..., None] * feet).sum(1)
        found = _unit((centre - support)[stands].mean(0))
    return found


def _pair(joints: Array, name: str) -> Array:
    """(T, 2, 3) the left and the right joint of that name."""
    return joints[:, [JOINT_NAMES.index(f"{side}_{name}") for side in _SIDES]]


def _unit(vector: Array) -> Array:
    return np.asarray(vector / np.linalg.norm(vector))
