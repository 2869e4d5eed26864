"""Planted feet do not slide: which heel or toe stands still in the image, and the cost that holds it in space.

This holds for a camera that does not move. A moving camera moves every keypoint, so nothing is found planted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from biopose_cli.mesh_fit.costs import State, pseudo_huber
from biopose_cli.mesh_fit.observations import Observations
from biopose_cli.optim.banded import BandedNormalEquations
from biopose_cli.typing import Array

FOOT_LANDMARKS = (29, 30, 31, 32)  # BlazePose's left and right heel, left and right foot index
_STILL_SPEED = 0.2  # m/s, speed across the view up to which a foot may stand
_SWING_SPEED = 1.0  # m/s, and in depth: a fit errs by half of that, a swinging foot is two to four times as fast
_VELOCITY_WINDOW = 0.2  # s, over which the speed is measured: the keypoints' jitter would hide it in one frame
_MIN_DURATION = 0.10  # s, shorter rests are turning points of the swing


@dataclass(frozen=True)
class FootContact:
    """A planted landmark stays where it is. `weight` (T-1,4) for `FOOT_LANDMARKS` between a frame and the next; `time`
    (T) s; `creep_sigma` m/s is the standard deviation of what a planted landmark still creeps (skin, shoe, keypoint
    bias)."""

    time: Array
    weight: Array
    creep_sigma: float
    delta: float = 3.0

    def _residual(self, state: State) -> tuple[Array, Array]:
        """(T-1,4,3) in standard deviations, and its factor (T-1,1,1) on the displacement.

        Counted so that the sum over a rest does not depend on the frame rate.
        """
        dt = np.diff(self.time)[:, None, None]
        factor = 1 / (self.creep_sigma * np.sqrt(dt * _MIN_DURATION))
        return np.diff(state.posed.landmarks[:, FOOT_LANDMARKS], axis=0) * factor, factor

    def energy(self, state: State) -> float:
        """Return this cost at `state`."""
        residual, _ = self._residual(state)
        loss, _ = pseudo_huber((residual**2).sum(-1), self.delta)
        return float(0.5 * (self.weight * loss).sum())

    def add_to(self, state: State, equations: BandedNormalEquations) -> None:
        """Add the Gauss-Newton model at `state`."""
        residual, factor = self._residual(state)
        _, robust_weight = pseudo_huber((residual**2).sum(-1), self.delta)
        scale = np.sqrt(self.weight * robust_weight)[..., None]
        residual = (scale * residual).reshape(len(residual), -1)
        by_pose, by_shape = (d[:, FOOT_LANDMARKS] for d in state.jacobians)
        scale = (scale * factor)[..., None]
        before = -(scale * by_pose[:-1]).reshape(len(residual), residual.shape[1], -1)
        after = (scale * by_pose[1:]).reshape(before.shape)
        shape = (scale * (by_shape[1:] - by_shape[:-1])).reshape(*residual.shape, -1)
        for frames, jacobian in ((slice(0, -1), before), (slice(1, None), after)):
            transposed = np.swapaxes(jacobian, 1, 2)
            equations.blocks[0][frames] += transposed @ jacobian
            equations.gradient[frames] += (transposed @ residual[..., None])[..., 0]
            equations.coupling[frames] += transposed @ shape
        equations.blocks[1][: len(residual)] += np.swapaxes(after, 1, 2) @ before
        flat = shape.reshape(-1, shape.shape[-1])
        equations.shape_hessian += flat.T @ flat
        equations.shape_gradient += flat.T @ residual.reshape(-1)


def detect_contacts(observations: Observations, landmarks: Array) -> Array:
    """How surely each landmark of `FOOT_LANDMARKS` stands still from a frame to the next, (T-1,4), 0..1.

    landmarks: (T,33,3) m, of the fitted body, camera frame. From the keypoints' speed across the view at the fitted
    distance; a rest lasts at least 0.1 s. A foot that swings towards the camera hardly moves across the view: the
    fitted body tells.
    """
    depth = landmarks[:, FOOT_LANDMARKS, 2:]
    velocity = _velocity(observations.time, np.concatenate([observations.keypoints[:, FOOT_LANDMARKS], depth], axis=-1))
    lateral = velocity[..., :2] * depth / observations.camera_matrix[0, 0]
    speed = np.linalg.norm(np.concatenate([lateral, velocity[..., 2:] * _STILL_SPEED / _SWING_SPEED], axis=-1), axis=-1)
    observed = observations.weight[:, FOOT_LANDMARKS] > 0
    still = observed & (speed < 2 * _STILL_SPEED)
    weight = np.where(_drop_short_runs(still, observations.time), 1 / (1 + (speed / _STILL_SPEED) ** 4), 0.0)
    confidence = observations.weight[:, FOOT_LANDMARKS] / np.maximum(observations.frame_weight[:, None], 1e-9)
    return np.minimum(weight[:-1], weight[1:]) * np.sqrt(np.minimum(confidence[:-1], confidence[1:]))


def _velocity(time: Array, position: Array) -> Array:
    """Velocity (T,4,D) by a straight line through `_VELOCITY_WINDOW` around each frame; `position` (T,4,D)."""
    result = np.empty_like(position)
    first = np.searchsorted(time, time - _VELOCITY_WINDOW / 2 - 1e-9)
    after = np.searchsorted(time, time + _VELOCITY_WINDOW / 2 + 1e-9, side="right")
    for t in range(len(time)):
        window = slice(first[t], after[t]) if after[t] - first[t] > 2 else slice(max(0, t - 1), t + 2)
        centered = (time[window] - time[window].mean())[:, None, None]
        result[t] = (centered * position[window]).sum(0) / max(float((centered**2).sum()), 1e-12)
    return result


def _drop_short_runs(still: Array, time: Array) -> Array:
    """`still` (T,4) without the runs shorter than `_MIN_DURATION`."""
    result = np.zeros_like(still)
    for k in range(still.shape[1]):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], still[:, k], [False]]).astype(int)))
        for first, after in edges.reshape(-1, 2):
            if time[after - 1] - time[first] >= _MIN_DURATION:
                result[first:after, k] = True
    return result
