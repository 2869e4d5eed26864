"""Quiet standing is evidence of straight knees.

From the front, a leg that is 2.4 % shorter and a knee that is bent by 25 degrees have the same image. Real people's
hips are detected lower than rendered people's, so the network predicts slightly bent knees. Most people who stand still
stand straight. The cost counts where the predicted standard deviation of a knee is large (9 to 12 degrees from the
front, 4 to 6 from the side and obliquely), so a clear view overrules it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from biopose_cli.body.kinematics import ACTIVE_JOINTS
from biopose_cli.geometry import so3
from biopose_cli.hmr.predict import SMPLEstimates
from biopose_cli.mesh_fit.costs import State, pseudo_huber
from biopose_cli.mesh_fit.observations import Observations
from biopose_cli.optim.banded import BandedNormalEquations
from biopose_cli.typing import Array

HIPS, KNEES = (1, 2), (4, 5)  # SMPL's joints, left and right
_FLEXION = np.radians(3.0)  # of a straight knee; people stand with 0 to 8 degrees
_SIGMA = np.radians(5.0)
_DELTA = 0.5  # standard deviations from which a knee counts less: who stands crouched stays crouched
_STRENGTH = 0.8  # of one frame against the network's prediction of it; our choice, as are the figures below
_CLEAR_VIEW = np.radians(7.0)  # the network's standard deviation of a knee at which the cost has this strength,
_CLARITY_EXPONENT = 3.0  # and how fast it grows beyond,
_MAX_CLARITY_FACTOR = 4.0  # up to this
_STILL_WINDOW = 0.3  # s
_STILL_MOTION = 0.02  # of the body's length in the image, over the window
_BENT_KNEE, _BENT_HIP = np.radians(35.0), np.radians(50.0)  # as predicted: from here on nobody stands straight
_BODY = (11, 12, 23, 24, 25, 26, 27, 28)  # BlazePose's shoulders, hips, knees and ankles


@dataclass(frozen=True)
class StraightKnees:
    """Knees are near straight. `weight` (T,2) >= 0, left and right."""

    weight: Array

    def _residual(self, state: State) -> Array:
        """(T,2), in standard deviations."""
        flexion = state.axis_angles[:, [ACTIVE_JOINTS.index(joint) - 1 for joint in KNEES], 0]
        return np.asarray((flexion - _FLEXION) / _SIGMA)

    def energy(self, state: State) -> float:
        """Return half the weighted sum of squares at `state`."""
        loss, _ = pseudo_huber(self._residual(state) ** 2, _DELTA)
        return float(0.5 * (self.weight * loss).sum())

    def add_to(self, state: State, equations: BandedNormalEquations) -> None:
        """Add the Gauss-Newton model at `state`."""
        residual = self._residual(state)
        _, robust_weight = pseudo_huber(residual**2, _DELTA)
        scale = np.sqrt(self.weight * robust_weight)
        for side, joint in enumerate(KNEES):
            row = ACTIVE_JOINTS.index(joint)
            inverse_jacobian = so3.right_jacobian_inverse(state.axis_angles[:, row - 1])[:, 0]
            jacobian = scale[:, side, None] / _SIGMA * inverse_jacobian
            columns = slice(3 * row, 3 * row + 3)
            equations.blocks[0][: len(jacobian), columns, columns] += jacobian[:, :, None] * jacobian[:, None, :]
            equations.gradient[:, columns] += jacobian * (scale[:, side] * residual[:, side])[:, None]


def straight_knees(observations: Observations, predictions: SMPLEstimates) -> StraightKnees:
    """The cost for a clip: weights near zero in frames in which the person moves, sits or is seen clearly.

    predictions: the network's, of the same frames.
    """
    knees = so3.matrix_to_axis_angle(predictions.rotations[:, list(KNEES)])[..., 0]
    hips = np.linalg.norm(so3.matrix_to_axis_angle(predictions.rotations[:, list(HIPS)]), axis=-1)
    extended = 1 / (1 + np.abs(knees / _BENT_KNEE) ** 6) / (1 + (hips / _BENT_HIP) ** 6)
    std = predictions.rotation_std[:, [ACTIVE_JOINTS.index(joint) for joint in KNEES], 0]
    unclear = np.minimum((std / _CLEAR_VIEW) ** _CLARITY_EXPONENT, _MAX_CLARITY_FACTOR)
    frame_weight = (observations.frame_weight * observations.measured * stillness(observations))[:, None]
    return StraightKnees(_STRENGTH * frame_weight * extended * unclear)


def stillness(observations: Observations) -> Array:
    """(T), 0..1: how still the whole body is within `_STILL_WINDOW` around each frame, in the image."""
    points = observations.keypoints[:, list(_BODY)]
    length = np.linalg.norm(points[:, :2].mean(1) - points[:, -2:].mean(1), axis=-1)
    size = max(float(np.median(length[observations.measured])), 1.0)
    first = np.searchsorted(observations.time, observations.time - _STILL_WINDOW / 2 - 1e-9)
    after = np.searchsorted(observations.time, observations.time + _STILL_WINDOW / 2 + 1e-9, side="right")
    motion = np.array([np.ptp(points[a:b], axis=0).max() for a, b in zip(first, after, strict=True)]) / size
    return np.asarray(1 / (1 + (motion / _STILL_MOTION) ** 4))
