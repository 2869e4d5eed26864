"""Inverse kinematics of a clip as one problem: joint angles that may be smooth over time, bone scales that all share.

The paper's optimisation (section 3.1), min over q and s of sum |x(q, s) - markers|^2, with two options that couple the
frames. Both lead to Gauss-Newton matrices that are banded over time and bordered by the scales (`banded.py`). The start
has to be near: within some twenty degrees, as a network's or a solution without these options is.

T frames, M markers of the model, D coordinates, J bodies in the order of the model's table, S scale parameters (natural
logarithms of factors); ground frame; m and rad; float64 on the CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from biopose_cli.errors import ModelFileError, SolverError
from biopose_cli.ik.batched_lm import DAMPING, GAIN, HOLD, LONGEST, STEP, STUCK
from biopose_cli.ik.smoothness import add_bends, bends
from biopose_cli.ik.solver import BATCH, Solver
from biopose_cli.optim.banded import LinAlgError, System
from biopose_cli.skeleton.extract import Table
from biopose_cli.skeleton.kinematics import Kinematics
from biopose_cli.typing import Array

SCALE_FRAMES = 200  # of a clip, evenly spaced, that find the scales: more of them add hardly anything
# m2, (marker noise / spread of log-scales)^2 = (10 mm / 0.1)^2: a frame's markers weigh a hundred times that
SCALE_PRIOR = 0.01
_LONGEST_SCALE = 0.2  # of a log-scale, in one step


@dataclass(frozen=True)
class ClipSolution:
    """`q` (T, D), dependent coordinates included; `scale` (J, 3), factors of the bodies as `Kinematics` takes them;
    `markers` (T, M, 3) of the model; `rms` (T), the weighted root mean square distance of the seen markers, m."""

    q: Array
    scale: Array
    markers: Array
    rms: Array


def solve_clip(
    kinematics: Kinematics,
    markers: Array,
    start: Array,
    *,
    weights: Array | None = None,
    smoothness: float = 0.0,
    time: Array | None = None,
    groups: Array | None = None,
    places: Array | None = None,
    iterations: int = 20,
) -> ClipSolution:
    """The poses, and the scales if wanted, that put the model's markers nearest to `markers`.

    Coordinates stay inside their ranges. A joint with two names for one posture keeps the start's.

    Parameters
    ----------
    markers
        (T, M, 3); NaN where a marker was not seen.
    start
        (T, D).
    weights
        (M); None: all alike.
    smoothness
        m2/rad2 (a plain number for positions): adds this times the squared second difference of every free coordinate
        over three frames to the sum of squared distances. At f frames/s, markers with noise n (m) and motion with
        accelerations a (rad/s2) ask for (n f^2 / a)^2: 1 for 10 mm, 30 frames/s and 9 rad/s2. Frames without markers
        are bridged. The default skeleton then takes 0.1 MB of memory per frame.
    time
        (T) s, increasing, for the smoothness: its differences are those of the true times, f frames/s that of the
        median step. None: evenly spaced frames.
    groups
        (J, 3, S), 1 where a scale parameter rules the axis of a body (`table_groups`); None: the bodies keep their
        size. A weak prior, `SCALE_PRIOR` times the squared log-scales, keeps at 1 what no marker shows. In a clip of
        more than `SCALE_FRAMES` frames only that many find the scales.
    places
        (M, 3) of the markers on the unscaled bodies, m; None: the model's own.
    iterations
        At most, for the scales and for the poses.

    Raises
    ------
    SolverError
        The start is not a finite pose everywhere.
    """
    problem = _Problem.of(kinematics, markers, weights, smoothness, groups, places, time)
    # The matrices are small: more threads than one only wait for each other.
    with threadpool_limits(limits=1, user_api="blas"):
        q = problem.inside(kinematics.tensor(start))
        log_scale = q.new_zeros(problem.groups.shape[-1])
        joint = len(log_scale) > 0
        if joint and len(q) > SCALE_FRAMES:
            some = torch.linspace(0, len(q) - 1, SCALE_FRAMES, dtype=q.dtype).round().long()
            apart = replace(problem.part(some), smoothness=0.0)
            _, log_scale = _minimise(apart, q[some], log_scale, iterations, free_scale=True)
            joint = False
        coupled = joint or smoothness > 0
        for rows in torch.arange(len(q)).split(len(q) if coupled else BATCH):
            q[rows], log_scale = _minimise(problem.part(rows), q[rows], log_scale, iterations, joint)
    q = kinematics.coupled(q)
    factors = problem.factors(log_scale)
    model = torch.cat([kinematics.markers(part, factors, problem.places) for part in q.split(BATCH)])
    squares = problem.weights * ((model - problem.targets) ** 2).sum(-1)
    rms = (squares.sum(1) / problem.weights.sum(1).clamp(min=1e-9)).sqrt()
    scale = np.ones((len(kinematics.table.bodies), 3)) if factors is None else factors.numpy()
    return ClipSolution(q.numpy(), scale, model.numpy(), rms.numpy())


def table_groups(groups: Array, bodies: Sequence[str], table: Table) -> Array:
    """Scale groups (B, 3, S) of named `bodies`, in the order of a model's table: (J, 3, S).

    Bodies that are not named keep their size.

    Raises
    ------
    ModelFileError
        The model lacks one of the bodies.
    """
    missing = [body for body in bodies if body not in table.bodies]
    if missing:
        raise ModelFileError(f"the model has no body {' or '.join(missing)}, so its scale cannot be found")
    ordered = np.zeros((len(table.bodies), *groups.shape[1:]))
    ordered[[table.bodies.index(body) for body in bodies]] = groups
    return ordered


@dataclass(frozen=True, eq=False)
class _Problem:
    """0.5 (sum w |x - target|^2 + smoothness sum |second difference|^2 + SCALE_PRIOR |log-scale|^2)."""

    solver: Solver  # knows which coordinates may move, and their limits
    targets: Tensor  # (T, M, 3), zero where not seen
    weights: Tensor  # (T, M)
    places: Tensor  # (M, 3)
    groups: Tensor  # (J, 3, S)
    smoothness: float
    time: Tensor  # (T)

    @staticmethod
    def of(
        kinematics: Kinematics,
        markers: Array,
        weights: Array | None,
        smoothness: float,
        groups: Array | None,
        places: Array | None,
        time: Array | None = None,
    ) -> _Problem:
        points = kinematics.tensor(markers)
        seen = torch.isfinite(points).all(-1)
        each = torch.ones_like(points[0, :, 0]) if weights is None else kinematics.tensor(weights)
        none = np.zeros((len(kinematics.table.bodies), 3, 0))
        return _Problem(
            Solver(kinematics),
            torch.where(seen[..., None], points, 0.0),
            seen * each,
            kinematics.marker_places if places is None else kinematics.tensor(places),
            kinematics.tensor(none if groups is None else groups),
            smoothness,
            kinematics.tensor(np.arange(len(points)) if time is None else time),
        )

    def part(self, rows: Tensor) -> _Problem:
        return replace(self, targets=self.targets[rows], weights=self.weights[rows], time=self.time[rows])

    def inside(self, q: Tensor) -> Tensor:
        """Inside the ranges, locked coordinates at their value, unlimited angles without whole turns between frames."""
        table = self.solver.kinematics.table
        endless = torch.as_tensor(table.angles) & torch.isinf(self.solver.lower)
        q = q.clone()
        q[:, endless] = torch.as_tensor(np.unwrap(q[:, endless].numpy(), axis=0))
        q = torch.where(torch.as_tensor(table.locked), torch.as_tensor(table.defaults), q)
        return self.limited(q)

    def limited(self, q: Tensor) -> Tensor:
        return torch.minimum(torch.maximum(q, self.solver.lower), self.solver.upper)

    def factors(self, log_scale: Tensor) -> Tensor | None:
        """(J, 3)."""
        return (self.groups @ log_scale).exp() if len(log_scale) else None

    def cost(self, q: Tensor, log_scale: Tensor) -> float:
        markers = self.solver.kinematics.markers(q, self.factors(log_scale), self.places)
        misses = (self.weights[..., None] * (markers - self.targets) ** 2).sum()
        rough = (bends(q[:, self.solver.free], self.time) ** 2).sum()
        return float(0.5 * (misses + self.smoothness * rough + SCALE_PRIOR * (log_scale**2).sum()))

    def system(self, q: Tensor, log_scale: Tensor) -> System:
        """Gradient and Gauss-Newton matrix for the free coordinates and the log-scales."""
        system = System(len(q), int(self.solver.free.sum()), len(log_scale))
        for first in range(0, len(q), BATCH):
            self._add_markers(system, slice(first, first + BATCH), q, log_scale)
        add_bends(system, q[:, self.solver.free], self.time, self.smoothness)
        system.shape[np.diag_indices(len(log_scale))] += SCALE_PRIOR
        system.shape_gradient += SCALE_PRIOR * log_scale.numpy()
        return system

    def _add_markers(self, system: System, rows: slice, q: Tensor, log_scale: Tensor) -> None:
        root, factors = self.weights[rows, :, None].sqrt(), self.factors(log_scale)
        jacobian, x = self._jacobian(q[rows], root, factors)
        by_scale = None if factors is None else _flat(root[..., None] * self._by_scale(q[rows], x, factors))
        system.add_local(jacobian.numpy(), _flat(root * (x - self.targets[rows])), by_scale, rows)

    def _by_scale(self, q: Tensor, x: Tensor, factors: Tensor) -> Tensor:
        """(B, M, 3, S): how the markers `x` move per unit of each log-scale.

        Markers are linear in the factors: the difference that a change by a whole unit makes is the derivative.
        """
        changed = [factors * (1 + group) for group in self.groups.unbind(-1)]
        moved = [self.solver.kinematics.markers(q, one, self.places) for one in changed]
        return torch.stack(moved, dim=-1) - x[..., None]

    def _jacobian(self, q: Tensor, root: Tensor, factors: Tensor | None) -> tuple[Tensor, Tensor]:
        """(B, 3 M, F): how the markers, times the `root` (B, M, 1) of their weights, move per unit of each free
        coordinate, in the order of `_flat`; and the markers (B, M, 3)."""
        kinematics, terms = self.solver.kinematics, self.solver.terms
        frames, turn, slide = kinematics.screws(q, factors)
        x = kinematics.points(frames, kinematics.marker_bodies, self.places, factors)
        turn, slide = (way.permute(2, 0, 1)[..., None, :] for way in (turn, slide))  # (B, D, 1, 3)
        cross = torch.linalg.cross(turn, torch.eye(3, dtype=q.dtype).expand(*turn.shape[:2], 3, 3))
        screws = torch.cat([cross, slide], dim=2).transpose(2, 3).flatten(1, 2)  # (B, 3 D, 4)
        points = root.transpose(1, 2) * torch.cat(
            [x.transpose(1, 2), torch.ones_like(x[:, None, :, 0])], dim=1
        )
        motion = (screws @ points).unflatten(1, (-1, 3)) * terms.moves[:, None]  # (B, D, 3, M)
        chain = terms.chain(q)
        if chain is not None:  # what a dependent coordinate does, the one it follows does
            motion = (chain.transpose(1, 2) @ motion.flatten(2)).unflatten(2, motion.shape[2:])
        return motion[:, self.solver.free].flatten(2).transpose(1, 2), x


def _flat(values: Tensor) -> Array:
    """(B, M, 3, ...) -> (B, 3 M, ...), all x before all y and z."""
    return values.transpose(1, 2).flatten(1, 2).numpy()


def _minimise(
    problem: _Problem, q: Tensor, log_scale: Tensor, iterations: int, free_scale: bool
) -> tuple[Tensor, Tensor]:
    """Levenberg-Marquardt as in `lm.py`, but all frames take one step together."""
    cost = problem.cost(q, log_scale)
    if not np.isfinite(cost):
        raise SolverError(
            "inverse kinematics cannot start: the pose it is given is not finite in every frame"
        )
    free, damping, system = problem.solver.free, DAMPING, None
    for _ in range(iterations):
        if system is None:
            system = _held(problem, problem.system(q, log_scale), q)
        try:
            step, change = (torch.as_tensor(part) for part in system.solve(damping, free_scale))
        except LinAlgError:
            damping *= 5
            continue
        trial = q.clone()
        trial[:, free] += step.clamp(-LONGEST, LONGEST)
        trial = problem.limited(trial)
        scaled = log_scale + change.clamp(-_LONGEST_SCALE, _LONGEST_SCALE)
        then = problem.cost(trial, scaled)
        length = max(float((trial - q).abs().max()), float(change.abs().sum()))
        gain = cost - then
        if gain > 0:
            q, log_scale, cost, system = trial, scaled, then, None
            damping = max(damping / 8, 1e-9)
        else:
            damping *= 5
        if length <= STEP or damping >= STUCK or 0 < gain <= GAIN * cost:
            break
    return q, log_scale


def _held(problem: _Problem, system: System, q: Tensor) -> System:
    """The system without the coordinates that rest at a limit and are pushed outwards."""
    lower, upper, here = (
        side[..., problem.solver.free].numpy() for side in (problem.solver.lower, problem.solver.upper, q)
    )
    held = ((here <= lower) & (system.gradient > 0)) | ((here >= upper) & (system.gradient < 0))
    loose, every = (~held).astype(float), np.arange(held.shape[1])
    system.gradient *= loose
    system.cross *= loose[..., None]
    for k, blocks in enumerate(system.blocks):
        blocks[: len(held) - k] *= loose[k:, :, None] * loose[: len(held) - k, None]
    system.blocks[0][:, every, every] += HOLD + held
    return system
