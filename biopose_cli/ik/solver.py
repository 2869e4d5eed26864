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
from biopose_cli.ik.normal_equations import MarkerTerms, Normal
from biopose_cli.ik.targets import Targets
from biopose_cli.skeleton.euler_branches import SLACK, canonical, three_turns
from biopose_cli.skeleton.kinematics import Kinematics
from biopose_cli.typing import Array

BATCH = 256  # frames in work at once: they fit into the processor's cache
ITERATIONS = 60  # a frame that still moves then has no minimum nearby
STRIDES = (32, 8, 1)  # frames between those solved from nothing, from these, and from those
ROUGH = 1e-2  # rad or m: a step as short ends the search of a pose that is only handed on
GROWTH = 6  # iterations each time another layer of bodies joins
SIDES = 2  # of the ways a joint may face, that growth goes on with
ROUNDS = 8  # times at most that lost frames start from their neighbours
PROBED = 16  # of the lost frames, to see whether another start helps
WORTH = 0.999  # of the cost: what another start has to come below
LOST = (1.5, 0.001)  # times the typical frame's root mean square distance, plus m: more is tried again
TYPICAL = 0.3  # share of the frames that are better than the typical one: most of a trial may be lost
_TURN = 2 * np.pi
# Degrees of the root's three angles from which a frame without a start is tried: upright, lying on back and front
_ROOT_STARTS = tuple((tilt, 0.0, heading) for tilt in (0, 90, -90) for heading in (0, 90, 180, 270))


@dataclass(frozen=True)
class Solution:
    """`q` (T, D), dependent coordinates included; `markers` (T, M, 3) of the model; `rms` (T), the weighted root mean
    square distance of the seen markers, m."""

    q: Array
    markers: Array
    rms: Array


class Solver:
    """Inverse kinematics of one (scaled) model."""

    def __init__(self, kinematics: Kinematics) -> None:
        table = kinematics.table
        self.kinematics, self.terms = kinematics, MarkerTerms(kinematics)
        dependent = [coupler.dependent for coupler in table.couplers]
        self.free = torch.as_tensor(~table.locked & (table.joint_of >= 0))
        self.free[dependent] = False
        self.lower, self.upper = _limits(kinematics)
        self.defaults = torch.as_tensor(table.defaults)
        self.depth = _depths(table.parents)
        self.triples = three_turns(table)
        self.root = [
            i for i in range(len(table.coordinates)) if self.free[i] and self.depth[table.joint_of[i]] == 0
        ]
        self.turning = [i for i in self.root if table.angles[i] and torch.isinf(self.upper[i])]

    def solve(
        self,
        markers: Array,
        start: Array | None = None,
        weights: Array | None = None,
        iterations: int = ITERATIONS,
    ) -> Solution:
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
            data = Targets.of(markers, weights)
            if start is None:
                q, cost = self._from_nothing(data)
            else:
                steady = canonical(self.kinematics.table, start, SLACK)
                given = self._inside(torch.as_tensor(steady, dtype=torch.float64))
                q, cost = self._minimise(data, given, iterations)
            if start is None or iterations >= ITERATIONS:
                q, cost = self._rescued(data, q, cost)
            q = self._named(self.kinematics.coupled(q))
            model = torch.cat([self.kinematics.markers(part) for part in q.split(BATCH)])
        return Solution(q.numpy(), model.numpy(), data.rms(cost).numpy())

    def turned_near(self, q: Array, pose: Array) -> Array:
        """`q` (T, D), the root's angles changed by the whole turns that bring the first frame nearest to `pose` (D)."""
        q, columns = q.copy(), self.turning
        q[:, columns] -= _TURN * np.round((q[0, columns] - pose[columns]) / _TURN)
        return q

    def _minimise(
        self,
        data: Targets,
        start: Tensor,
        iterations: int = ITERATIONS,
        free: Tensor | None = None,
        shortest: float = batched_lm.STEP,
    ) -> tuple[Tensor, Tensor]:
        """Poses and costs, part by part."""
        free = self.free if free is None else free
        parts = []
        for rows in torch.arange(len(start)).split(BATCH):
            some = data.part(rows)

            def evaluate(q: Tensor, at: Tensor, some: Targets = some) -> Normal:
                return self.terms(q, some.places[at], some.weights[at])

            parts.append(
                batched_lm.minimise(evaluate, start[rows], self.lower, self.upper, free, iterations, shortest)
            )
        poses, costs = zip(*parts, strict=True)
        return torch.cat(poses), torch.cat(costs)

    def _cost(self, data: Targets, q: Tensor) -> Tensor:
        """(T), without the matrices."""
        parts = []
        for rows in torch.arange(len(q)).split(BATCH):
            apart = self.kinematics.markers(q[rows]) - data.places[rows]
            parts.append(0.5 * (data.weights[rows] * (apart**2).sum(-1)).sum(1))
        return torch.cat(parts)

    def _from_nothing(self, data: Targets) -> tuple[Tensor, Tensor]:
        count = len(data.places)
        known = _every(STRIDES[0], count)
        q = self._grown(data.part(known))
        for stride in STRIDES[1:]:
            frames = _every(stride, count)
            start = self._inside(self._curve(known, q, frames))
            q, cost = self._minimise(
                data.part(frames), start, shortest=batched_lm.STEP if stride == 1 else ROUGH
            )
            known = frames
        return q, cost

    def _curve(self, known: Tensor, q: Tensor, frames: Tensor) -> Tensor:
        """Poses at `frames` on a smooth curve through the known ones."""
        if len(known) == 1:
            return q.expand(len(frames), -1)
        return torch.as_tensor(PchipInterpolator(known, self._named(q).numpy())(frames))

    def _grown(self, data: Targets, thorough: bool = False) -> Tensor:
        """Frames solved from the model's default pose: the root first, from several sides, then one layer of bodies
        after the other. Twice: joints of three turns start as they are, and on the side that is nearest (`thorough`:
        that ends best); the better end counts."""
        frames, table = len(data.places), self.kinematics.table
        twice = data.part(torch.arange(frames).repeat(2))
        body_depth = self.depth[table.marker_bodies]
        joint_depth = self.depth[np.maximum(table.joint_of, 0)]
        q: Tensor | None = None
        freed = torch.zeros_like(self.free)
        for depth in range(int(self.depth.max()) + 1):
            near = torch.as_tensor(body_depth <= depth)
            if int(near.sum()) < 3:
                continue
            free = self.free & torch.as_tensor(joint_depth <= depth)
            if torch.equal(free, freed):
                continue  # these bodies are welded on
            freed = free
            seen = data.weighted(near)
            if q is None:
                q = self._best_side(seen, self._root_starts(data), free).repeat(2, 1)
            for columns in self.triples:
                if joint_depth[columns[0]] == depth:
                    starts = self._turned(q[frames:], columns)
                    best = (
                        self._best_side(seen, starts, free)
                        if thorough
                        else self._nearest(seen, starts, 1)[:, 0]
                    )
                    q = torch.cat([q[:frames], best])
            q, _ = self._minimise(twice.weighted(near), q, GROWTH, free, ROUGH)
        if q is None:
            return self._inside(self.defaults.repeat(frames, 1))
        q, cost = self._minimise(twice, q, shortest=ROUGH)
        second = cost[frames:] < cost[:frames]
        return torch.where(second[:, None], q[frames:], q[:frames])

    def _nearest(self, data: Targets, starts: Tensor, few: int) -> Tensor:
        """(T, few, D) of starts (T, S, D): those with the smallest costs."""
        frames, sides, width = starts.shape
        rows = torch.arange(frames)
        cost = self._cost(data.part(rows.repeat_interleave(sides)), starts.reshape(-1, width))
        return starts[rows[:, None], cost.reshape(frames, sides).argsort(1)[:, :few]]

    def _best_side(self, data: Targets, starts: Tensor, free: Tensor) -> Tensor:
        """(T, D) of starts (T, S, D): the one that ends best, of those few that begin best."""
        few = self._nearest(data, starts, SIDES)
        rows = torch.arange(len(few))
        many = data.part(rows.repeat_interleave(SIDES))
        q, cost = self._minimise(many, few.flatten(0, 1), 3 * GROWTH, free, ROUGH)
        return q.reshape(few.shape)[rows, cost.reshape(-1, SIDES).argmin(1)]

    def _turned(self, q: Tensor, columns: list[int]) -> Tensor:
        """(T, S, D): the poses with three coordinates as they are, and all over their ranges."""
        low, high = self.kinematics.tensor(self.kinematics.table.ranges[columns]).T
        grid = torch.cartesian_prod(*[torch.tensor([0.15, 0.5, 0.85], dtype=torch.float64)] * 3)
        starts = q[:, None].repeat(1, 1 + len(grid), 1)
        starts[:, 1:, columns] = low + (high - low) * grid
        return self._inside(starts)

    def _root_starts(self, data: Targets) -> Tensor:
        """(T, S, D): the default pose under the markers' centre, turned to several sides."""
        q = self._inside(self.defaults).repeat(len(data.places), len(_ROOT_STARTS), 1)
        table = self.kinematics.table
        angles = [i for i in self.root if table.angles[i]][:3]
        lengths = [i for i in self.root if not table.angles[i]]
        q[..., angles] = torch.as_tensor(np.radians(_ROOT_STARTS))[:, : len(angles)]
        own = self.kinematics.markers(q[0])
        weights = data.weights[..., None]
        centre = (weights * data.places).sum(1) / weights.sum(1).clamp(min=1e-9)
        if len(lengths) == 3:
            q[..., lengths] += centre[:, None] - own.mean(1)
        return q

    def _rescued(self, data: Targets, q: Tensor, cost: Tensor) -> tuple[Tensor, Tensor]:
        """Try frames that ended much worse than is typical again, from good frames nearby and from nothing. The worst
        few go first: if it helps none of them, the markers are to blame."""
        for attempt in range(ROUNDS):
            lost = self._lost(data, cost)
            rows = torch.nonzero(lost)[:, 0]
            if not len(rows):
                break
            order = rows[cost[rows].argsort(descending=True)]
            if not self._again(data, q, cost, order[:PROBED], ~lost, attempt == 0):
                break
            if len(rows) > PROBED:
                self._again(data, q, cost, order[PROBED:], ~lost, attempt == 0)
        return q, cost

    def _again(self, data: Targets, q: Tensor, cost: Tensor, rows: Tensor, good: Tensor, grow: bool) -> bool:
        """Keep in `q` and `cost` what new starts of some frames make better; whether anything got better."""
        better = False
        frames = torch.nonzero(good)[:, 0]
        after = torch.searchsorted(frames, rows).clamp(max=len(frames) - 1)
        for near in (frames[after], frames[(after - 1).clamp(min=0)]):
            better |= self._keep(data, q, cost, rows, q[near])
        rows = rows[self._lost(data, cost)[rows]]
        if grow and len(rows):
            better |= self._keep(data, q, cost, rows, self._grown(data.part(rows), thorough=True))
        return better

    def _keep(self, data: Targets, q: Tensor, cost: Tensor, rows: Tensor, start: Tensor) -> bool:
        pose, lower = self._minimise(data.part(rows), start)
        better = lower < WORTH * cost[rows]
        q[rows[better]], cost[rows[better]] = pose[better], lower[better]
        return bool(better.any())

    def _lost(self, data: Targets, cost: Tensor) -> Tensor:
        rms = data.rms(cost)
        return rms > LOST[0] * rms.quantile(TYPICAL) + LOST[1]

    def _inside(self, q: Tensor) -> Tensor:
        """Inside the ranges; locked coordinates at their value."""
        q = torch.where(torch.as_tensor(self.kinematics.table.locked), self.defaults, q)
        return torch.minimum(torch.maximum(q, self.lower), self.upper)

    def _named(self, q: Tensor) -> Tensor:
        """Joints of two names under the smaller; the root's angles without whole turns from frame to frame, as near to
        zero as that allows."""
        q = torch.as_tensor(canonical(self.kinematics.table, q.numpy()))
        for column in self.turning:
            angle = torch.as_tensor(np.unwrap(q[:, column].numpy()))
            q[:, column] = angle - _TURN * torch.round(angle.median() / _TURN)
        return q


def _every(stride: int, count: int) -> Tensor:
    """Frames `stride` apart, first and last among them."""
    frames: Tensor = torch.cat([torch.arange(0, count - 1, stride), torch.tensor([count - 1])])
    return frames


def _limits(kinematics: Kinematics) -> tuple[Tensor, Tensor]:
    """(D) both. Infinite where the model does not clamp, and for the root's turns of a whole circle or more."""
    table = kinematics.table
    lower, upper = (kinematics.tensor(side).clone() for side in table.ranges.T)
    wide = torch.as_tensor(table.angles & (np.ptp(table.ranges, axis=1) >= _TURN - 1e-6))
    loose = ~torch.as_tensor(table.clamped) | wide
    return lower.masked_fill(loose, -torch.inf), upper.masked_fill(loose, torch.inf)


def _depths(parents: tuple[int, ...]) -> Array:
    depths: list[int] = []
    for parent in parents:
        depths.append(0 if parent < 0 else depths[parent] + 1)
    return np.array(depths)
