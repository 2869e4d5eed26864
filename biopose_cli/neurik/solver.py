"""Inverse kinematics of a whole trial at once, for any model that `skeleton.kinematics` can evaluate.

Levenberg-Marquardt finds the nearest minimum, so what matters is where it starts. Given a start (a network's, say)
it is used as it is. Without one, single frames are solved from nothing, body by body from the root outwards, and
hand their pose on to the frames between them; a frame that ends worse than its neighbours is tried again from theirs.

T frames, M markers of the model, D coordinates; ground frame; m and rad; float64 on the CPU (the matrices are small).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from biopose_cli.artifact import Array
from biopose_cli.neurik import lm
from biopose_cli.neurik.normal import MarkerTerms, Normal
from biopose_cli.skeleton.branches import canonical, other_name, three_turns
from biopose_cli.skeleton.kinematics import Kinematics

BATCH = 256  # frames in work at once: they fit into the processor's cache
ITERATIONS = 60  # a frame that still moves then has no minimum nearby
STRIDES = (32, 8, 1)  # frames between those solved from nothing, from these, and from those
GROWTH = 6  # iterations each time another layer of bodies joins
LOST = (1.5, 0.001)  # times the typical frame's root mean square distance, plus m: more is tried again
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
        self.depth = _depths(table.parents)
        self.triples = three_turns(table)
        self.root = [
            i for i in range(len(table.coordinates)) if self.free[i] and self.depth[table.joint_of[i]] == 0
        ]

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
            At most, from `start`.
        """
        with torch.no_grad():
            data = _Data.of(markers, weights)
            if start is None:
                q, cost = self._from_nothing(data)
            else:
                q, cost = self._minimise(
                    data, self._inside(torch.as_tensor(start, dtype=torch.float64)), iterations
                )
            q = self._named(self.kinematics.coupled(q))
            model = torch.cat([self.kinematics.markers(part) for part in q.split(BATCH)])
        rms = (2 * cost / data.weights.sum(1).clamp(min=1e-9)).sqrt()
        return Solution(q.numpy(), model.numpy(), rms.numpy())

    def _minimise(
        self, data: _Data, start: Tensor, iterations: int, free: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Poses and costs, part by part."""
        free = self.free if free is None else free
        parts = []
        for rows in torch.arange(len(start)).split(BATCH):
            some = data.part(rows)

            def evaluate(q: Tensor, at: Tensor, some: _Data = some) -> Normal:
                return self.terms(q, some.targets[at], some.weights[at])

            parts.append(lm.minimise(evaluate, start[rows], self.lower, self.upper, free, iterations))
        poses, costs = zip(*parts, strict=True)
        return torch.cat(poses), torch.cat(costs)

    def _from_nothing(self, data: _Data) -> tuple[Tensor, Tensor]:
        count = len(data.targets)
        known = torch.arange(0, count, STRIDES[0])
        q = self._grown(data.part(known))
        for stride in STRIDES[1:]:
            frames = torch.arange(0, count, stride)
            nearest = (frames[:, None] - known).abs().argmin(1)
            q, cost = self._minimise(data.part(frames), q[nearest], ITERATIONS)
            known = frames
        return self._rescued(data, q, cost)

    def _grown(self, data: _Data) -> Tensor:
        """Frames solved from the model's default pose: the root first, from several sides, then one layer of bodies
        after the other."""
        frames, table = len(data.targets), self.kinematics.table
        starts = self._root_starts(data)
        many = data.part(torch.arange(frames).repeat_interleave(starts.shape[1]))
        q = starts.reshape(-1, starts.shape[-1])
        body_depth = self.depth[table.marker_bodies]
        joint_depth = self.depth[np.maximum(table.joint_of, 0)]
        for depth in range(int(self.depth.max()) + 1):
            near = torch.as_tensor(body_depth <= depth)
            if int(near.sum()) < 3:
                continue
            free = self.free & torch.as_tensor(joint_depth <= depth)
            q, cost = self._minimise(many.weighted(near), q, GROWTH * (3 if depth == 0 else 1), free)
            if q.shape[0] > frames:
                best = cost.reshape(frames, -1).argmin(1)
                q, many = q.reshape(frames, -1, q.shape[-1])[torch.arange(frames), best], data
        return q

    def _root_starts(self, data: _Data) -> Tensor:
        """(T, S, D): the default pose under the markers' centre, turned to several sides."""
        default = self._inside(torch.as_tensor(self.kinematics.table.defaults)[None])[0]
        q = default.repeat(len(data.targets), len(_ROOT_STARTS), 1)
        table = self.kinematics.table
        angles = [i for i in self.root if table.angles[i]][:3]
        lengths = [i for i in self.root if not table.angles[i]]
        q[..., angles] = torch.as_tensor(np.radians(_ROOT_STARTS))[:, : len(angles)]
        own = self.kinematics.markers(q[0])
        weights = data.weights[..., None]
        centre = (weights * data.targets).sum(1) / weights.sum(1).clamp(min=1e-9)
        if len(lengths) == 3:
            q[..., lengths] += centre[:, None] - own.mean(1)
        return q

    def _rescued(self, data: _Data, q: Tensor, cost: Tensor) -> tuple[Tensor, Tensor]:
        """Try frames that ended much worse than is typical again, from good frames nearby and from nothing."""
        rms = (2 * cost / data.weights.sum(1).clamp(min=1e-9)).sqrt()
        lost = rms > LOST[0] * rms.median() + LOST[1]
        if not lost.any():
            return q, cost
        rows, good = torch.nonzero(lost)[:, 0], torch.nonzero(~lost)[:, 0]
        for start in self._second_starts(data, q, rows, good):
            again, lower = self._minimise(data.part(rows), start, ITERATIONS)
            better = lower < cost[rows]
            q[rows[better]], cost[rows[better]] = again[better], lower[better]
        return q, cost

    def _second_starts(self, data: _Data, q: Tensor, rows: Tensor, good: Tensor) -> Iterator[Tensor]:
        after = torch.searchsorted(good, rows).clamp(max=len(good) - 1)
        yield q[good[after]]
        yield q[good[(after - 1).clamp(min=0)]]
        yield self._grown(data.part(rows))
        for columns in self.triples:  # an arm may have run into the end of a range that its other name lacks
            flipped = q[rows].clone()
            other, _ = other_name(flipped[:, columns].numpy(), self.kinematics.table.ranges[columns])
            flipped[:, columns] = torch.as_tensor(other)
            yield self._inside(flipped)

    def _inside(self, q: Tensor) -> Tensor:
        """Inside the ranges; locked coordinates at their value."""
        locked = torch.as_tensor(self.kinematics.table.locked)
        q = torch.where(locked, torch.as_tensor(self.kinematics.table.defaults), q)
        return torch.minimum(torch.maximum(q, self.lower), self.upper)

    def _named(self, q: Tensor) -> Tensor:
        """Joints of two names under the smaller; the root's angles without whole turns from frame to frame, as near to
        zero as that allows."""
        q = torch.as_tensor(canonical(self.kinematics.table, q.numpy()))
        for column in self.root:
            if self.kinematics.table.angles[column] and torch.isinf(self.upper[column]):
                angle = torch.as_tensor(np.unwrap(q[:, column].numpy()))
                q[:, column] = angle - _TURN * torch.round(angle.median() / _TURN)
        return q


@dataclass(frozen=True)
class _Data:
    targets: Tensor  # (T, M, 3), zero where not seen
    weights: Tensor  # (T, M)

    @staticmethod
    def of(markers: Array, weights: Array | None) -> _Data:
        points = torch.as_tensor(markers, dtype=torch.float64)
        seen = torch.isfinite(points).all(-1)
        each = np.ones(points.shape[1]) if weights is None else weights
        return _Data(
            torch.where(seen[..., None], points, 0.0), seen * torch.as_tensor(each, dtype=torch.float64)
        )

    def part(self, rows: Tensor) -> _Data:
        return _Data(self.targets[rows], self.weights[rows])

    def weighted(self, factor: Tensor) -> _Data:
        return _Data(self.targets, self.weights * factor)


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
