"""What the fit weighs: each term gives an energy and adds its Gauss-Newton model to the clip's system.

Residuals are in standard deviations, so that terms compare. Robust terms use the pseudo-Huber loss
2 d^2 (sqrt(1 + r^2 / d^2) - 1) (Charbonnier et al. 1997), which is r^2 for small r and grows linearly beyond d; it
never pushes an outlier away for good, so a far start still comes home.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np

from biopose_cli.body.kinematics import DOF, MOVING, Chain, Placed, Pose, jacobian, place
from biopose_cli.geometry import so3
from biopose_cli.io.results import LANDMARKS
from biopose_cli.optim.banded import System
from biopose_cli.typing import Array

_NEAREST = 0.1  # m: points are kept at least this far before the camera


@dataclass(frozen=True)
class State:
    """A pose with what follows from it, computed once."""

    chain: Chain
    pose: Pose

    @cached_property
    def placed(self) -> Placed:
        return place(self.chain, self.pose)

    @cached_property
    def derivatives(self) -> tuple[Array, Array]:
        return jacobian(self.chain, self.placed)

    @cached_property
    def vectors(self) -> Array:
        """Rotation vectors of the moving joints but the pelvis, (T, J, 3)."""
        return so3.log(self.pose.rotations[:, list(MOVING[1:])])


class Term(Protocol):
    def energy(self, state: State) -> float:
        """Half the (robust) sum of squares."""

    def add(self, state: State, system: System) -> None:
        """Add the Gauss-Newton model at `state`."""


def robust(squared: Array, delta: float) -> tuple[Array, Array]:
    """Pseudo-Huber loss of squared residuals, and the weight that a least-squares step gives them."""
    root = np.sqrt(1 + squared / delta**2)
    return 2 * delta**2 * (root - 1), 1 / root


@dataclass(frozen=True)
class Reprojection:
    """Landmarks fall on the keypoints. `keypoints` (T,33,2) px undistorted, `matrix` (3,3); `weight` (T,33) >= 0
    multiplies the squared distance over `sigma` (T,33) px squared."""

    keypoints: Array
    matrix: Array
    sigma: Array
    weight: Array
    delta: float

    def residual(self, state: State) -> Array:
        """(T,33,2), px over sigma; zero where the weight is."""
        points = state.placed.landmarks
        depth = np.maximum(points[..., 2:], _NEAREST)
        image = points[..., :2] / depth * np.diag(self.matrix)[:2] + self.matrix[:2, 2]
        return np.where(self.weight[..., None] > 0, (image - self.keypoints) / self.sigma[..., None], 0.0)

    def energy(self, state: State) -> float:
        loss, _ = robust((self.residual(state) ** 2).sum(-1), self.delta)
        return float(0.5 * (self.weight * loss).sum())

    def add(self, state: State, system: System) -> None:
        points = state.placed.landmarks
        by_pose, by_shape = state.derivatives
        depth = np.maximum(points[..., 2], _NEAREST)
        project = np.zeros((*points.shape[:2], 2, 3))
        project[..., 0, 0] = self.matrix[0, 0] / depth
        project[..., 1, 1] = self.matrix[1, 1] / depth
        project[..., :, 2] = -points[..., :2] * np.diag(self.matrix)[:2] / depth[..., None] ** 2
        residual = self.residual(state)
        _, down = robust((residual**2).sum(-1), self.delta)
        scale = np.sqrt(self.weight * down)[..., None]
        project *= (scale / self.sigma[..., None])[..., None]
        frames = len(points)
        system.add_local(
            (project @ by_pose).reshape(frames, -1, DOF),
            (scale * residual).reshape(frames, -1),
            (project @ by_shape).reshape(frames, 2 * LANDMARKS, -1),
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
        share = self.weight / np.maximum(self.weight.sum(1, keepdims=True), 1e-9)
        points = state.placed.landmarks
        mean = np.einsum("tl,tli->ti", share, points - self.target)[:, None]
        return np.asarray((points - self.target - mean) / self.sigma)

    def energy(self, state: State) -> float:
        loss, _ = robust((self._residual(state) ** 2).sum(-1), self.delta)
        return float(0.5 * (self.weight * loss).sum())

    def add(self, state: State, system: System) -> None:
        share = self.weight / np.maximum(self.weight.sum(1, keepdims=True), 1e-9)
        by_pose, by_shape = (d - np.einsum("tl,tlik->tik", share, d)[:, None] for d in state.derivatives)
        residual = self._residual(state)
        _, down = robust((residual**2).sum(-1), self.delta)
        scale = np.sqrt(self.weight * down)[..., None]
        frames = len(residual)
        system.add_local(
            (scale[..., None] / self.sigma * by_pose).reshape(frames, -1, DOF),
            (scale * residual).reshape(frames, -1),
            (scale[..., None] / self.sigma * by_shape).reshape(frames, 3 * LANDMARKS, -1),
        )


@dataclass(frozen=True)
class Limits:
    """Rotation vectors stay between `lower` and `upper` (J,3) rad; the excess counts in units of `sigma` rad."""

    lower: Array
    upper: Array
    sigma: float
    weight: Array

    def _residual(self, state: State) -> Array:
        v = state.vectors
        excess = np.maximum(v - self.upper, 0) + np.minimum(v - self.lower, 0)
        return np.asarray(np.sqrt(self.weight)[:, None, None] * excess / self.sigma)

    def energy(self, state: State) -> float:
        return float(0.5 * (self._residual(state) ** 2).sum())

    def add(self, state: State, system: System) -> None:
        residual = self._residual(state)
        inner = so3.right_jacobian_inverse(state.vectors)
        active = (residual != 0) * (np.sqrt(self.weight)[:, None, None] / self.sigma)
        blocks = active[..., None] * inner
        squares = np.swapaxes(blocks, -1, -2) @ blocks
        add_joint_blocks(system.blocks[0], squares, first=1)
        system.gradient[:, 3:-3] += np.einsum("tjab,tja->tjb", blocks, residual).reshape(len(residual), -1)


def add_joint_blocks(target: Array, blocks: Array, first: int = 0) -> None:
    """Add `blocks` (T,J,3,3) on the diagonal of `target` (>=T, DOF, DOF), from the joint at place `first` on."""
    for k in range(blocks.shape[1]):
        at = 3 * (first + k)
        target[: len(blocks), at : at + 3, at : at + 3] += blocks[:, k]


@dataclass(frozen=True)
class Smoothness:
    """Turning and moving change speed little: the second difference over true time is white noise of density `turning`
    (22,), (rad/s^2)^2 s, per joint, and `moving` (3,), (m/s^2)^2 s, per axis. `time` (T) s."""

    time: Array
    turning: Array
    moving: Array
    delta: float
    intervals: Array = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "intervals", np.diff(self.time))

    def _parts(self, state: State) -> tuple[Array, Array, Array]:
        """Turns between frames (T-1,22,3); residuals of turning (T-2,22,3) and of moving (T-2,3)."""
        rotations = state.pose.rotations[:, list(MOVING)]
        turns = so3.log(np.swapaxes(rotations[:-1], -1, -2) @ rotations[1:])
        dt = self.intervals[:, None]
        turning = np.diff(turns / dt[..., None], axis=0) * self._scale()[0]
        moving = np.diff(np.diff(state.pose.transl, axis=0) / dt, axis=0) * self._scale()[1]
        return turns, turning, moving

    def _scale(self) -> tuple[Array, Array]:
        middle = 0.5 * (self.intervals[1:] + self.intervals[:-1])
        turning = 1 / np.sqrt(middle[:, None] * self.turning)  # difference of speeds = acceleration * middle
        moving = 1 / np.sqrt(middle[:, None] * self.moving)
        return turning[..., None], moving

    def energy(self, state: State) -> float:
        if len(self.time) < 3:
            return 0.0
        _, turning, moving = self._parts(state)
        loss, _ = robust((turning**2).sum(-1), self.delta)
        return float(0.5 * loss.sum() + 0.5 * (moving**2).sum())

    def add(self, state: State, system: System) -> None:
        if len(self.time) < 3:
            return
        turns, turning, moving = self._parts(state)
        scale, scale_moving = self._scale()
        _, down = robust((turning**2).sum(-1), self.delta)
        down = np.sqrt(down)[..., None]
        right = so3.right_jacobian_inverse(turns) / self.intervals[:, None, None, None]
        left = so3.right_jacobian_inverse(-turns) / self.intervals[:, None, None, None]
        factor = (down * scale)[..., None]
        turning = down * turning
        first, last = factor * left[:-1], factor * right[1:]
        middle = -factor * (left[1:] + right[:-1])
        self._add_triples(system, (first, middle, last), turning)
        inverse = 1 / self.intervals
        for axis in range(3):
            s = scale_moving[:, axis]
            rows = (s * inverse[:-1], -s * (inverse[:-1] + inverse[1:]), s * inverse[1:])
            at = DOF - 3 + axis
            for i in range(3):
                n = len(s)
                system.gradient[i : i + n, at] += rows[i] * moving[:, axis]
                for j in range(i + 1):
                    system.blocks[i - j, j : j + n, at, at] += rows[i] * rows[j]

    @staticmethod
    def _add_triples(system: System, jacobians: tuple[Array, Array, Array], residual: Array) -> None:
        n = len(residual)
        for i in range(3):
            step = np.einsum("tjab,tja->tjb", jacobians[i], residual)
            system.gradient[i : i + n, :-3] += step.reshape(n, -1)
            for j in range(i + 1):
                product = np.swapaxes(jacobians[i], -1, -2) @ jacobians[j]
                add_joint_blocks(system.blocks[i - j][j : j + n], product)


@dataclass(frozen=True)
class ShapePrior:
    """All shape components are normal with the standard deviation `spread`, and the stature `at_zero` + `gradient` (10)
    @ betas is `stature` within `sigma`, m."""

    spread: float
    at_zero: float
    gradient: Array
    stature: float
    sigma: float

    def energy(self, state: State) -> float:
        return float(0.5 * (self._residual(state) ** 2).sum())

    def _residual(self, state: State) -> Array:
        shape = state.pose.shape
        stature = self.at_zero + self.gradient @ shape[: len(self.gradient)]
        return np.append(shape / self.spread, (stature - self.stature) / self.sigma)

    def add(self, state: State, system: System) -> None:
        count = len(state.pose.shape)
        stature = np.zeros(count)
        stature[: len(self.gradient)] = self.gradient / self.sigma
        rows = np.vstack([np.eye(count) / self.spread, stature])
        system.shape += rows.T @ rows
        system.shape_gradient += rows.T @ self._residual(state)
