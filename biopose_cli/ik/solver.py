"""Inverse kinematics of a whole trial at once, for any model that `skeleton.kinematics` can evaluate.

Levenberg-Marquardt finds the nearest minimum, so what matters is where it starts: at the caller's poses (a network's,
say), or without these at single frames that are solved from nothing, body by body from the root outwards, and on a
curve through them. A frame that ends much worse than is typical is tried again from its neighbours, then from nothing
with more trouble taken, unless the caller limits the iterations.

T frames, M markers of the model, D coordinates; ground frame; m and rad; float64 on the CPU (the matrices are small).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.interpolate import PchipInterpolator
from torch import Tensor

from biopose_cli.ik import batched_lm
from biopose_cli.ik.normal_equations import MarkerNormalEquations, NormalEquations
from biopose_cli.ik.targets import Targets
from biopose_cli.skeleton.euler_branches import RANGE_SLACK, canonical_angles, three_axis_joints
from biopose_cli.skeleton.kinematics import Kinematics
from biopose_cli.typing import Array

BATCH = 256  # frames in work at once: they fit into the processor's cache
ITERATIONS = 60  # a frame that still moves then has no minimum nearby
COARSE_TO_FINE = (32, 8, 1)  # frames between those solved from nothing, from these, and from those
COARSE_TOL = 1e-2  # rad or m: a step as short ends the search of a pose that is only handed on
LAYER_ITERATIONS = 6  # iterations each time another layer of bodies joins
NUM_STARTS = 2  # of the ways a joint may face, that growth goes on with
MAX_RETRIES = 8  # times at most that lost frames start from their neighbours
RETRY_SAMPLE = 16  # of the lost frames, to see whether another start helps
MIN_IMPROVEMENT = 0.999  # of the cost: what another start has to come below
OUTLIER_THRESHOLD = (
    1.5,
    0.001,
)  # times the typical frame's root mean square distance, plus m: more is tried again
INLIER_QUANTILE = 0.3  # share of the frames that are better than the typical one: most of a trial may be lost
_FULL_TURN = 2 * np.pi
# Degrees of the root's three angles from which a frame without a start is tried: upright, lying on back and front
_ROOT_STARTS = tuple((tilt, 0.0, heading) for tilt in (0, 90, -90) for heading in (0, 90, 180, 270))


@dataclass(frozen=True)
class IKSolution:
    """`q` (T, D), dependent coordinates included; `markers` (T, M, 3) of the model; `rms` (T), the weighted root mean
    square distance of the seen markers, m."""

    q: Array
    markers: Array
    rms: Array


class Solver:
    """Inverse kinematics of one (scaled) model."""

    def __init__(self, kinematics: Kinematics) -> None:
        spec = kinematics.spec
        self.kinematics, self.marker_equations = kinematics, MarkerNormalEquations(kinematics)
        dependent = [coupler.dependent for coupler in spec.couplers]
        self.free = torch.as_tensor(~spec.locked & (spec.joint_of >= 0))
        self.free[dependent] = False
        self.lower, self.upper = _limits(kinematics)
        self.defaults = torch.as_tensor(spec.defaults)
        self.depth = _tree_depths(spec.parents)
        self.three_axis_joints = three_axis_joints(spec)
        self.root_coordinates = [
            i for i in range(len(spec.coordinates)) if self.free[i] and self.depth[spec.joint_of[i]] == 0
        ]
        self.unlimited_root_angles = [
            i for i in self.root_coordinates if spec.is_angle[i] and torch.isinf(self.upper[i])
        ]

    def solve(
        self,
        markers: Array,
        start: Array | None = None,
        weights: Array | None = None,
        iterations: int = ITERATIONS,
    ) -> IKSolution:
        """The poses that put the model's markers nearest to `markers`.

        Parameters
        ----------
        markers
            (T, M, 3); NaN where a marker was not seen.
        start
            (T, D); None: found from the markers alone.
        weights
            (M); None: all alike.
        iterations
            At most, from `start`. With fewer than the default, frames that end badly are left so.
        """
        with torch.no_grad(), batched_lm.one_thread():
            data = Targets.from_markers(markers, weights)
            if start is None:
                q, cost = self._cold_start(data)
            else:
                canonical_start = canonical_angles(self.kinematics.spec, start, RANGE_SLACK)
                initial_q = self._within_limits(torch.as_tensor(canonical_start, dtype=torch.float64))
                q, cost = self._minimize(data, initial_q, iterations)
            if start is None or iterations >= ITERATIONS:
                q, cost = self._retry_outliers(data, q, cost)
            q = self._canonicalize(self.kinematics.apply_couplers(q))
            model = torch.cat([self.kinematics.markers(chunk) for chunk in q.split(BATCH)])
        return IKSolution(q.numpy(), model.numpy(), data.rms(cost).numpy())

    def unwrap_to(self, q: Array, pose: Array) -> Array:
        """`q` (T, D), the root's angles changed by the whole turns that bring the first frame nearest to `pose` (D)."""
        q, columns = q.copy(), self.unlimited_root_angles
        q[:, columns] -= _FULL_TURN * np.round((q[0, columns] - pose[columns]) / _FULL_TURN)
        return q

    def _minimize(
        self,
        data: Targets,
        start: Tensor,
        iterations: int = ITERATIONS,
        free: Tensor | None = None,
        step_tol: float = batched_lm.STEP_TOL,
    ) -> tuple[Tensor, Tensor]:
        """Poses and costs, part by part."""
        free = self.free if free is None else free
        parts = []
        for rows in torch.arange(len(start)).split(BATCH):
            chunk = data.select(rows)

            def evaluate(q: Tensor, index: Tensor, chunk: Targets = chunk) -> NormalEquations:
                return self.marker_equations(q, chunk.positions[index], chunk.weights[index])

            parts.append(
                batched_lm.minimize(evaluate, start[rows], self.lower, self.upper, free, iterations, step_tol)
            )
        poses, costs = zip(*parts, strict=True)
        return torch.cat(poses), torch.cat(costs)

    def _cost(self, data: Targets, q: Tensor) -> Tensor:
        """(T), without the matrices."""
        parts = []
        for rows in torch.arange(len(q)).split(BATCH):
            residual = self.kinematics.markers(q[rows]) - data.positions[rows]
            parts.append(0.5 * (data.weights[rows] * (residual**2).sum(-1)).sum(1))
        return torch.cat(parts)

    def _cold_start(self, data: Targets) -> tuple[Tensor, Tensor]:
        count = len(data.positions)
        solved = _strided_frames(COARSE_TO_FINE[0], count)
        q = self._solve_layerwise(data.select(solved))
        for stride in COARSE_TO_FINE[1:]:
            frames = _strided_frames(stride, count)
            start = self._within_limits(self._interpolate(solved, q, frames))
            q, cost = self._minimize(
                data.select(frames), start, step_tol=batched_lm.STEP_TOL if stride == 1 else COARSE_TOL
            )
            solved = frames
        return q, cost

    def _interpolate(self, solved: Tensor, q: Tensor, frames: Tensor) -> Tensor:
        """Poses at `frames` on a smooth curve through the known ones."""
        if len(solved) == 1:
            return q.expand(len(frames), -1)
        return torch.as_tensor(PchipInterpolator(solved, self._canonicalize(q).numpy())(frames))

    def _solve_layerwise(self, data: Targets, thorough: bool = False) -> Tensor:
        """Frames solved from the model's default pose: the root first, from several sides, then one layer of bodies
        after the other. Twice: joints of three turns start as they are, and on the side that is nearest (`thorough`:
        that ends best); the better end counts."""
        frames, spec = len(data.positions), self.kinematics.spec
        doubled = data.select(torch.arange(frames).repeat(2))
        body_depth = self.depth[spec.marker_bodies]
        joint_depth = self.depth[np.maximum(spec.joint_of, 0)]
        q: Tensor | None = None
        freed_before = torch.zeros_like(self.free)
        for depth in range(int(self.depth.max()) + 1):
            in_layer = torch.as_tensor(body_depth <= depth)
            if int(in_layer.sum()) < 3:
                continue
            free = self.free & torch.as_tensor(joint_depth <= depth)
            if torch.equal(free, freed_before):
                continue  # these bodies are welded on
            freed_before = free
            layer_data = data.weighted(in_layer)
            if q is None:
                q = self._solve_best_start(layer_data, self._root_starts(data), free).repeat(2, 1)
            for columns in self.three_axis_joints:
                if joint_depth[columns[0]] == depth:
                    starts = self._grid_starts(q[frames:], columns)
                    best = (
                        self._solve_best_start(layer_data, starts, free)
                        if thorough
                        else self._best_starts(layer_data, starts, 1)[:, 0]
                    )
                    q = torch.cat([q[:frames], best])
            q, _ = self._minimize(doubled.weighted(in_layer), q, LAYER_ITERATIONS, free, COARSE_TOL)
        if q is None:
            return self._within_limits(self.defaults.repeat(frames, 1))
        q, cost = self._minimize(doubled, q, step_tol=COARSE_TOL)
        second_better = cost[frames:] < cost[:frames]
        return torch.where(second_better[:, None], q[frames:], q[:frames])

    def _best_starts(self, data: Targets, starts: Tensor, count: int) -> Tensor:
        """(T, few, D) of starts (T, S, D): those with the smallest costs."""
        frames, num_starts, width = starts.shape
        rows = torch.arange(frames)
        cost = self._cost(data.select(rows.repeat_interleave(num_starts)), starts.reshape(-1, width))
        return starts[rows[:, None], cost.reshape(frames, num_starts).argsort(1)[:, :count]]

    def _solve_best_start(self, data: Targets, starts: Tensor, free: Tensor) -> Tensor:
        """(T, D) of starts (T, S, D): the one that ends best, of those few that begin best."""
        candidates = self._best_starts(data, starts, NUM_STARTS)
        rows = torch.arange(len(candidates))
        candidate_data = data.select(rows.repeat_interleave(NUM_STARTS))
        q, cost = self._minimize(
            candidate_data, candidates.flatten(0, 1), 3 * LAYER_ITERATIONS, free, COARSE_TOL
        )
        return q.reshape(candidates.shape)[rows, cost.reshape(-1, NUM_STARTS).argmin(1)]

    def _grid_starts(self, q: Tensor, columns: list[int]) -> Tensor:
        """(T, S, D): the poses with three coordinates as they are, and all over their ranges."""
        lower, upper = self.kinematics.tensor(self.kinematics.spec.ranges[columns]).T
        grid = torch.cartesian_prod(*[torch.tensor([0.15, 0.5, 0.85], dtype=torch.float64)] * 3)
        starts = q[:, None].repeat(1, 1 + len(grid), 1)
        starts[:, 1:, columns] = lower + (upper - lower) * grid
        return self._within_limits(starts)

    def _root_starts(self, data: Targets) -> Tensor:
        """(T, S, D): the default pose under the markers' centre, turned to several sides."""
        q = self._within_limits(self.defaults).repeat(len(data.positions), len(_ROOT_STARTS), 1)
        spec = self.kinematics.spec
        angles = [i for i in self.root_coordinates if spec.is_angle[i]][:3]
        translations = [i for i in self.root_coordinates if not spec.is_angle[i]]
        q[..., angles] = torch.as_tensor(np.radians(_ROOT_STARTS))[:, : len(angles)]
        default_markers = self.kinematics.markers(q[0])
        weights = data.weights[..., None]
        center = (weights * data.positions).sum(1) / weights.sum(1).clamp(min=1e-9)
        if len(translations) == 3:
            q[..., translations] += center[:, None] - default_markers.mean(1)
        return q

    def _retry_outliers(self, data: Targets, q: Tensor, cost: Tensor) -> tuple[Tensor, Tensor]:
        """Try frames that ended much worse than is typical again, from good frames nearby and from nothing. The worst
        few go first: if it helps none of them, the markers are to blame."""
        for attempt in range(MAX_RETRIES):
            outliers = self._outliers(data, cost)
            rows = torch.nonzero(outliers)[:, 0]
            if not len(rows):
                break
            order = rows[cost[rows].argsort(descending=True)]
            if not self._retry(data, q, cost, order[:RETRY_SAMPLE], ~outliers, attempt == 0):
                break
            if len(rows) > RETRY_SAMPLE:
                self._retry(data, q, cost, order[RETRY_SAMPLE:], ~outliers, attempt == 0)
        return q, cost

    def _retry(
        self, data: Targets, q: Tensor, cost: Tensor, rows: Tensor, inliers: Tensor, layerwise: bool
    ) -> bool:
        """Keep in `q` and `cost` what new starts of some frames make better; whether anything got better."""
        improved = False
        frames = torch.nonzero(inliers)[:, 0]
        following = torch.searchsorted(frames, rows).clamp(max=len(frames) - 1)
        for neighbors in (frames[following], frames[(following - 1).clamp(min=0)]):
            improved |= self._accept(data, q, cost, rows, q[neighbors])
        rows = rows[self._outliers(data, cost)[rows]]
        if layerwise and len(rows):
            improved |= self._accept(
                data, q, cost, rows, self._solve_layerwise(data.select(rows), thorough=True)
            )
        return improved

    def _accept(self, data: Targets, q: Tensor, cost: Tensor, rows: Tensor, start: Tensor) -> bool:
        pose, new_cost = self._minimize(data.select(rows), start)
        improved = new_cost < MIN_IMPROVEMENT * cost[rows]
        q[rows[improved]], cost[rows[improved]] = pose[improved], new_cost[improved]
        return bool(improved.any())

    def _outliers(self, data: Targets, cost: Tensor) -> Tensor:
        rms = data.rms(cost)
        return rms > OUTLIER_THRESHOLD[0] * rms.quantile(INLIER_QUANTILE) + OUTLIER_THRESHOLD[1]

    def _within_limits(self, q: Tensor) -> Tensor:
        """Inside the ranges; locked coordinates at their value."""
        q = torch.where(torch.as_tensor(self.kinematics.spec.locked), self.defaults, q)
        return torch.minimum(torch.maximum(q, self.lower), self.upper)

    def _canonicalize(self, q: Tensor) -> Tensor:
        """Joints of two names under the smaller; the root's angles without whole turns from frame to frame, as near to
        zero as that allows."""
        q = torch.as_tensor(canonical_angles(self.kinematics.spec, q.numpy()))
        for column in self.unlimited_root_angles:
            angle = torch.as_tensor(np.unwrap(q[:, column].numpy()))
            q[:, column] = angle - _FULL_TURN * torch.round(angle.median() / _FULL_TURN)
        return q


def _strided_frames(stride: int, count: int) -> Tensor:
    """Frames `stride` apart, first and last among them."""
    frames: Tensor = torch.cat([torch.arange(0, count - 1, stride), torch.tensor([count - 1])])
    return frames


def _limits(kinematics: Kinematics) -> tuple[Tensor, Tensor]:
    """(D) both. Infinite where the model does not clamp, and for the root's turns of a whole circle or more."""
    spec = kinematics.spec
    lower, upper = (kinematics.tensor(side).clone() for side in spec.ranges.T)
    full_circle = torch.as_tensor(spec.is_angle & (np.ptp(spec.ranges, axis=1) >= _FULL_TURN - 1e-6))
    unlimited = ~torch.as_tensor(spec.clamped) | full_circle
    return lower.masked_fill(unlimited, -torch.inf), upper.masked_fill(unlimited, torch.inf)


def _tree_depths(parents: tuple[int, ...]) -> Array:
    depths: list[int] = []
    for parent in parents:
        depths.append(0 if parent < 0 else depths[parent] + 1)
    return np.array(depths)
