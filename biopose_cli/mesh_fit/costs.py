"""What the fit weighs: each cost gives an energy and adds its Gauss-Newton model to the clip's normal equations.

Residuals are in standard deviations, so that costs compare. Robust ones use the pseudo-Huber loss
2 d^2 (sqrt(1 + r^2 / d^2) - 1) (Charbonnier et al. 1997), which is r^2 for small r and grows linearly beyond d; it
never pushes an outlier away for good, so a far start still comes home.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np

from biopose_cli.body.kinematics import (
    ACTIVE_JOINTS,
    DOF,
    KinematicChain,
    Pose,
    PosedBody,
    forward_kinematics,
    landmark_jacobian,
)
from biopose_cli.geometry import so3
from biopose_cli.io.results import LANDMARKS
from biopose_cli.optim.banded import BandedNormalEquations
from biopose_cli.typing import Array

_MIN_DEPTH = 0.1  # m: points are kept at least this far before the camera


@dataclass(frozen=True)
class State:
    """A pose with what follows from it, computed once."""

    chain: KinematicChain
    pose: Pose

    @cached_property
    def posed(self) -> PosedBody:
        """The pose's joints and landmarks, by forward kinematics."""
        return forward_kinematics(self.chain, self.pose)

    @cached_property
    def jacobians(self) -> tuple[Array, Array]:
        """Derivatives of the landmarks, by the frame's unknowns (T,33,3,DOF) and by the shape (T,33,3,S)."""
        return landmark_jacobian(self.chain, self.posed)

    @cached_property
    def axis_angles(self) -> Array:
        """Rotation vectors of the moving joints but the pelvis, (T, J, 3)."""
        return so3.matrix_to_axis_angle(self.pose.rotations[:, list(ACTIVE_JOINTS[1:])])


class Cost(Protocol):
    """One summand of the fit's objective."""

    def energy(self, state: State) -> float:
        """Half the (robust) sum of squares."""

    def add_to(self, state: State, equations: BandedNormalEquations) -> None:
        """Add the Gauss-Newton model at `state`."""


def pseudo_huber(squared: Array, delta: float) -> tuple[Array, Array]:
    """Pseudo-Huber loss of squared residuals, and the weight that a least-squares step gives them."""
    root = np.sqrt(1 + squared / delta**2)
    return 2 * delta**2 * (root - 1), 1 / root


@dataclass(frozen=True)
class Reprojection:
    """Landmarks fall on the keypoints. `keypoints` (T,33,2) px undistorted, `camera_matrix` (3,3); `weight` (T,33)
    >= 0 multiplies the squared distance over `sigma` (T,33) px squared."""

    keypoints: Array
    camera_matrix: Array
    sigma: Array
    weight: Array
    delta: float

    def residual(self, state: State) -> Array:
        """(T,33,2), px over sigma; zero where the weight is."""
        points = state.posed.landmarks
        depth = np.maximum(points[..., 2:], _MIN_DEPTH)
        projected = points[..., :2] / depth * np.diag(self.camera_matrix)[:2] + self.camera_matrix[:2, 2]
        return np.where(self.weight[..., None] > 0, (projected - self.keypoints) / self.sigma[..., None], 0.0)

    def energy(self, state: State) -> float:
        """Return this cost at `state`."""
        loss, _ = pseudo_huber((self.residual(state) ** 2).sum(-1), self.delta)
        return float(0.5 * (self.weight * loss).sum())

    def add_to(self, state: State, equations: BandedNormalEquations) -> None:
        """Add the Gauss-Newton model at `state`."""
        points = state.posed.landmarks
        by_pose, by_shape = state.jacobians
        depth = np.maximum(points[..., 2], _MIN_DEPTH)
        projection_jacobian = np.zeros((*points.shape[:2], 2, 3))
        projection_jacobian[..., 0, 0] = self.camera_matrix[0, 0] / depth
        projection_jacobian[..., 1, 1] = self.camera_matrix[1, 1] / depth
        projection_jacobian[..., :, 2] = -points[..., :2] * np.diag(self.camera_matrix)[:2] / depth[..., None] ** 2
        residual = self.residual(state)
        _, robust_weight = pseudo_huber((residual**2).sum(-1), self.delta)
        scale = np.sqrt(self.weight * robust_weight)[..., None]
        projection_jacobian *= (scale / self.sigma[..., None])[..., None]
        frames = len(points)
        equations.add_local(
            (projection_jacobian @ by_pose).reshape(frames, -1, DOF),
            (scale * residual).reshape(frames, -1),
            (projection_jacobian @ by_shape).reshape(frames, 2 * LANDMARKS, -1),
        )


@dataclass(frozen=True)
class Landmarks3D:
    """Landmarks relative to their mean agree with the network's own 3D guess. `target` (T,33,3) m, camera axes;
    `weight` (T,33); `sigma` m. The guess is weak: it starts the fit and tells front from back."""

    target: Array
    weight: Array
    sigma: float
    delta: float

    def _residual(self, state: State) -> Array:
        normalized_weight = self.weight / np.maximum(self.weight.sum(1, keepdims=True), 1e-9)
        points = state.posed.landmarks
        mean = np.einsum("tl,tli->ti", normalized_weight, points - self.target)[:, None]
        return np.asarray((points - self.target - mean) / self.sigma)

    def energy(self, state: State) -> float:
        """Return this cost at `state`."""
        loss, _ = pseudo_huber((self._residual(state) ** 2).sum(-1), self.delta)
        return float(0.5 * (self.weight * loss).sum())

    def add_to(self, state: State, equations: BandedNormalEquations) -> None:
        """Add the Gauss-Newton model at `state`."""
        normalized_weight = self.weight / np.maximum(self.weight.sum(1, keepdims=True), 1e-9)
        by_pose, by_shape = (d - np.einsum("tl,tlik->tik", normalized_weight, d)[:, None] for d in state.jacobians)
        residual = self._residual(state)
        _, robust_weight = pseudo_huber((residual**2).sum(-1), self.delta)
        scale = np.sqrt(self.weight * robust_weight)[..., None]
        frames = len(residual)
        equations.add_local(
            (scale[..., None] / self.sigma * by_pose).reshape(frames, -1, DOF),
            (scale * residual).reshape(frames, -1),
            (scale[..., None] / self.sigma * by_shape).reshape(frames, 3 * LANDMARKS, -1),
        )


@dataclass(frozen=True)
class JointLimits:
    """Rotation vectors stay between `lower` and `upper` (J,3) rad; the excess counts in units of `sigma` rad."""

    lower: Array
    upper: Array
    sigma: float
    weight: Array

    def _residual(self, state: State) -> Array:
        axis_angles = state.axis_angles
        excess = np.maximum(axis_angles - self.upper, 0) + np.minimum(axis_angles - self.lower, 0)
        return np.asarray(np.sqrt(self.weight)[:, None, None] * excess / self.sigma)

    def energy(self, state: State) -> float:
        """Return this cost at `state`."""
        return float(0.5 * (self._residual(state) ** 2).sum())

    def add_to(self, state: State, equations: BandedNormalEquations) -> None:
        """Add the Gauss-Newton model at `state`."""
        residual = self._residual(state)
        inverse_jacobian = so3.right_jacobian_inverse(state.axis_angles)
        active = (residual != 0) * (np.sqrt(self.weight)[:, None, None] / self.sigma)
        blocks = active[..., None] * inverse_jacobian
        squares = np.swapaxes(blocks, -1, -2) @ blocks
        add_joint_blocks(equations.blocks[0], squares, first=1)
        equations.gradient[:, 3:-3] += np.einsum("tjab,tja->tjb", blocks, residual).reshape(len(residual), -1)


def add_joint_blocks(target: Array, blocks: Array, first: int = 0) -> None:
    """Add `blocks` (T,J,3,3) on the diagonal of `target` (>=T, DOF, DOF), from the joint at place `first` on."""
    for k in range(blocks.shape[1]):
        start = 3 * (first + k)
        target[: len(blocks), start : start + 3, start : start + 3] += blocks[:, k]


@dataclass(frozen=True)
class Smoothness:
    """Turning and moving change speed little: the second difference over true time is white noise of density
    `angular_density` (22,), (rad/s^2)^2 s, per joint, and `linear_density` (3,), (m/s^2)^2 s, per axis. `time` (T)
    s."""

    time: Array
    angular_density: Array
    linear_density: Array
    delta: float
    intervals: Array = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "intervals", np.diff(self.time))

    def _residuals(self, state: State) -> tuple[Array, Array, Array]:
        """Turns between frames (T-1,22,3); residuals of turning (T-2,22,3) and of moving (T-2,3)."""
        rotations = state.pose.rotations[:, list(ACTIVE_JOINTS)]
        increments = so3.matrix_to_axis_angle(np.swapaxes(rotations[:-1], -1, -2) @ rotations[1:])
        dt = self.intervals[:, None]
        angular = np.diff(increments / dt[..., None], axis=0) * self._scale()[0]
        linear = np.diff(np.diff(state.pose.transl, axis=0) / dt, axis=0) * self._scale()[1]
        return increments, angular, linear

    def _scale(self) -> tuple[Array, Array]:
        mean_interval = 0.5 * (self.intervals[1:] + self.intervals[:-1])
        angular = 1 / np.sqrt(
            mean_interval[:, None] * self.angular_density
        )  # difference of speeds = acceleration * middle
        linear = 1 / np.sqrt(mean_interval[:, None] * self.linear_density)
        return angular[..., None], linear

    def energy(self, state: State) -> float:
        """Return this cost at `state`."""
        if len(self.time) < 3:
            return 0.0
        _, angular, linear = self._residuals(state)
        loss, _ = pseudo_huber((angular**2).sum(-1), self.delta)
        return float(0.5 * loss.sum() + 0.5 * (linear**2).sum())

    def add_to(self, state: State, equations: BandedNormalEquations) -> None:
        """Add the Gauss-Newton model at `state`."""
        if len(self.time) < 3:
            return
        increments, angular, linear = self._residuals(state)
        angular_scale, linear_scale = self._scale()
        _, robust_weight = pseudo_huber((angular**2).sum(-1), self.delta)
        robust_weight = np.sqrt(robust_weight)[..., None]
        right = so3.right_jacobian_inverse(increments) / self.intervals[:, None, None, None]
        left = so3.right_jacobian_inverse(-increments) / self.intervals[:, None, None, None]
        factor = (robust_weight * angular_scale)[..., None]
        angular = robust_weight * angular
        first, last = factor * left[:-1], factor * right[1:]
        middle = -factor * (left[1:] + right[:-1])
        self._add_triples(equations, (first, middle, last), angular)
        inverse_interval = 1 / self.intervals
        for axis in range(3):
            s = linear_scale[:, axis]
            rows = (
                s * inverse_interval[:-1],
                -s * (inverse_interval[:-1] + inverse_interval[1:]),
                s * inverse_interval[1:],
            )
            column = DOF - 3 + axis
            for i in range(3):
                n = len(s)
                equations.gradient[i : i + n, column] += rows[i] * linear[:, axis]
                for j in range(i + 1):
                    equations.blocks[i - j, j : j + n, column, column] += rows[i] * rows[j]

    @staticmethod
    def _add_triples(equations: BandedNormalEquations, jacobians: tuple[Array, Array, Array], residual: Array) -> None:
        n = len(residual)
        for i in range(3):
            gradient = np.einsum("tjab,tja->tjb", jacobians[i], residual)
            equations.gradient[i : i + n, :-3] += gradient.reshape(n, -1)
            for j in range(i + 1):
                product = np.swapaxes(jacobians[i], -1, -2) @ jacobians[j]
                add_joint_blocks(equations.blocks[i - j][j : j + n], product)


@dataclass(frozen=True)
class ShapePrior:
    """All shape components are normal with the standard deviation `shape_sigma`, and the stature `mean_stature` +
    `stature_gradient` (10) @ betas is `stature` within `stature_sigma`, m."""

    shape_sigma: float
    mean_stature: float
    stature_gradient: Array
    stature: float
    stature_sigma: float

    def energy(self, state: State) -> float:
        """Return this cost at `state`."""
        return float(0.5 * (self._residual(state) ** 2).sum())

    def _residual(self, state: State) -> Array:
        shape_params = state.pose.shape_params
        stature = self.mean_stature + self.stature_gradient @ shape_params[: len(self.stature_gradient)]
        return np.append(shape_params / self.shape_sigma, (stature - self.stature) / self.stature_sigma)

    def add_to(self, state: State, equations: BandedNormalEquations) -> None:
        """Add the Gauss-Newton model at `state`."""
        count = len(state.pose.shape_params)
        stature_row = np.zeros(count)
        stature_row[: len(self.stature_gradient)] = self.stature_gradient / self.stature_sigma
        rows = np.vstack([np.eye(count) / self.shape_sigma, stature_row])
        equations.shape_hessian += rows.T @ rows
        equations.shape_gradient += rows.T @ self._residual(state)
