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
from biopose_cli.ik.batched_lm import COST_TOL, DAMPING, MAX_DAMPING, MAX_STEP, RIDGE, STEP_TOL
from biopose_cli.ik.smoothness import add_smoothness, second_differences
from biopose_cli.ik.solver import BATCH, Solver
from biopose_cli.optim.banded import BandedNormalEquations, LinAlgError
from biopose_cli.skeleton.extract import ModelSpec
from biopose_cli.skeleton.kinematics import Kinematics
from biopose_cli.typing import Array

SCALE_FRAMES = 200  # of a clip, evenly spaced, that find the scales: more of them add hardly anything
# m2, (marker noise / spread of log-scales)^2 = (10 mm / 0.1)^2: a frame's markers weigh a hundred times that
SCALE_PRIOR = 0.01
_MAX_SCALE_STEP = 0.2  # of a log-scale, in one step


@dataclass(frozen=True)
class TrajectorySolution:
    """`q` (T, D), dependent coordinates included; `scale` (J, 3), factors of the bodies as `Kinematics` takes them;
    `markers` (T, M, 3) of the model; `rms` (T), the weighted root mean square distance of the seen markers, m."""

    q: Array
    scale: Array
    markers: Array
    rms: Array


def solve_trajectory(
    kinematics: Kinematics,
    markers: Array,
    start: Array,
    *,
    weights: Array | None = None,
    smoothness: float = 0.0,
    time: Array | None = None,
    groups: Array | None = None,
    marker_locations: Array | None = None,
    iterations: int = 20,
) -> TrajectorySolution:
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
        (J, 3, S), 1 where a scale parameter rules the axis of a body (`scale_groups_for_model`); None: the bodies keep
        their size. A weak prior, `SCALE_PRIOR` times the squared log-scales, keeps at 1 what no marker shows. In a clip
        of more than `SCALE_FRAMES` frames only that many find the scales.
    marker_locations
        (M, 3) of the markers on the unscaled bodies, m; None: the model's own.
    iterations
        At most, for the scales and for the poses.

    Raises
    ------
    SolverError
        The start is not a finite pose everywhere.
    """
    problem = _Problem.build(kinematics, markers, weights, smoothness, groups, marker_locations, time)
    # The matrices are small: more threads than one only wait for each other.
    with threadpool_limits(limits=1, user_api="blas"):
        q = problem.within_limits(kinematics.tensor(start))
        log_scale = q.new_zeros(problem.groups.shape[-1])
        free_scale = len(log_scale) > 0
        if free_scale and len(q) > SCALE_FRAMES:
            scale_rows = torch.linspace(0, len(q) - 1, SCALE_FRAMES, dtype=q.dtype).round().long()
            uncoupled = replace(problem.select(scale_rows), smoothness=0.0)
            _, log_scale = _levenberg_marquardt(uncoupled, q[scale_rows], log_scale, iterations, free_scale=True)
            free_scale = False
        coupled = free_scale or smoothness > 0
        for rows in torch.arange(len(q)).split(len(q) if coupled else BATCH):
            q[rows], log_scale = _levenberg_marquardt(problem.select(rows), q[rows], log_scale, iterations, free_scale)
    q = kinematics.apply_couplers(q)
    scale_factors = problem.scale_factors(log_scale)
    model = torch.cat([kinematics.markers(chunk, scale_factors, problem.marker_locations) for chunk in q.split(BATCH)])
    squares = problem.weights * ((model - problem.targets) ** 2).sum(-1)
    rms = (squares.sum(1) / problem.weights.sum(1).clamp(min=1e-9)).sqrt()
    scale = np.ones((len(kinematics.spec.bodies), 3)) if scale_factors is None else scale_factors.numpy()
    return TrajectorySolution(q.numpy(), scale, model.numpy(), rms.numpy())


def scale_groups_for_model(groups: Array, bodies: Sequence[str], spec: ModelSpec) -> Array:
    """Scale groups (B, 3, S) of named `bodies`, in the order of a model's table: (J, 3, S).

    Bodies that are not named keep their size.

    Raises
    ------
    ModelFileError
        The model lacks one of the bodies.
    """
    missing = [body for body in bodies if body not in spec.bodies]
    if missing:
        raise ModelFileError(f"the model has no body {' or '.join(missing)}, so its scale cannot be found")
    ordered = np.zeros((len(spec.bodies), *groups.shape[1:]))
    ordered[[spec.bodies.index(body) for body in bodies]] = groups
    return ordered


@dataclass(frozen=True, eq=False)
class _Problem:
    """0.5 (sum w |x - target|^2 + smoothness sum |second difference|^2 + SCALE_PRIOR |log-scale|^2)."""

    solver: Solver  # has the free coordinates and their limits
    targets: Tensor  # (T, M, 3), zero where not seen
    weights: Tensor  # (T, M)
    marker_locations: Tensor  # (M, 3)
    groups: Tensor  # (J, 3, S)
    smoothness: float
    time: Tensor  # (T)

    @staticmethod
    def build(
        kinematics: Kinematics,
        markers: Array,
        weights: Array | None,
        smoothness: float,
        groups: Array | None,
        marker_locations: Array | None,
        time: Array | None = None,
    ) -> _Problem:
        points = kinematics.tensor(markers)
        visible = torch.isfinite(points).all(-1)
        marker_weights = torch.ones_like(points[0, :, 0]) if weights is None else kinematics.tensor(weights)
        no_groups = np.zeros((len(kinematics.spec.bodies), 3, 0))
        return _Problem(
            Solver(kinematics),
            torch.where(visible[..., None], points, 0.0),
            visible * marker_weights,
            kinematics.marker_locations if marker_locations is None else kinematics.tensor(marker_locations),
            kinematics.tensor(no_groups if groups is None else groups),
            smoothness,
            kinematics.tensor(np.arange(len(points)) if time is None else time),
        )

    def select(self, rows: Tensor) -> _Problem:
        return replace(self, targets=self.targets[rows], weights=self.weights[rows], time=self.time[rows])

    def within_limits(self, q: Tensor) -> Tensor:
        """Inside the ranges, locked coordinates at their value, unlimited angles without whole turns between frames."""
        spec = self.solver.kinematics.spec
        unlimited = torch.as_tensor(spec.is_angle) & torch.isinf(self.solver.lower)
        q = q.clone()
        q[:, unlimited] = torch.as_tensor(np.unwrap(q[:, unlimited].numpy(), axis=0))
        q = torch.where(torch.as_tensor(spec.locked), torch.as_tensor(spec.defaults), q)
        return self.clamp(q)

    def clamp(self, q: Tensor) -> Tensor:
        return torch.minimum(torch.maximum(q, self.solver.lower), self.solver.upper)

    def scale_factors(self, log_scale: Tensor) -> Tensor | None:
        """(J, 3)."""
        return (self.groups @ log_scale).exp() if len(log_scale) else None

    def cost(self, q: Tensor, log_scale: Tensor) -> float:
        markers = self.solver.kinematics.markers(q, self.scale_factors(log_scale), self.marker_locations)
        squared_distances = (self.weights[..., None] * (markers - self.targets) ** 2).sum()
        roughness = (second_differences(q[:, self.solver.free], self.time) ** 2).sum()
        return float(0.5 * (squared_distances + self.smoothness * roughness + SCALE_PRIOR * (log_scale**2).sum()))

    def normal_equations(self, q: Tensor, log_scale: Tensor) -> BandedNormalEquations:
        """Gradient and Gauss-Newton matrix for the free coordinates and the log-scales."""
        equations = BandedNormalEquations(len(q), int(self.solver.free.sum()), len(log_scale))
        for first in range(0, len(q), BATCH):
            self._add_markers(equations, slice(first, first + BATCH), q, log_scale)
        add_smoothness(equations, q[:, self.solver.free], self.time, self.smoothness)
        equations.shape_hessian[np.diag_indices(len(log_scale))] += SCALE_PRIOR
        equations.shape_gradient += SCALE_PRIOR * log_scale.numpy()
        return equations

    def _add_markers(self, equations: BandedNormalEquations, rows: slice, q: Tensor, log_scale: Tensor) -> None:
        sqrt_weights, scale_factors = self.weights[rows, :, None].sqrt(), self.scale_factors(log_scale)
        jacobian, x = self._jacobian(q[rows], sqrt_weights, scale_factors)
        scale_jacobian = (
            None
            if scale_factors is None
            else _flat(sqrt_weights[..., None] * self._scale_jacobian(q[rows], x, scale_factors))
        )
        equations.add_local(jacobian.numpy(), _flat(sqrt_weights * (x - self.targets[rows])), scale_jacobian, rows)

    def _scale_jacobian(self, q: Tensor, x: Tensor, scale_factors: Tensor) -> Tensor:
        """(B, M, 3, S): how the markers `x` move per unit of each log-scale.

        Markers are linear in the factors: the difference that a change by a whole unit makes is the derivative.
        """
        perturbed_factors = [scale_factors * (1 + group) for group in self.groups.unbind(-1)]
        perturbed_markers = [
            self.solver.kinematics.markers(q, perturbed, self.marker_locations) for perturbed in perturbed_factors
        ]
        return torch.stack(perturbed_markers, dim=-1) - x[..., None]

    def _jacobian(self, q: Tensor, sqrt_weights: Tensor, scale_factors: Tensor | None) -> tuple[Tensor, Tensor]:
        """(B, 3 M, F): how the markers, times `sqrt_weights` (B, M, 1), move per unit of each free
        coordinate, in the order of `_flat`; and the markers (B, M, 3)."""
        kinematics, marker_equations = self.solver.kinematics, self.solver.marker_equations
        transforms, angular, linear = kinematics.screws(q, scale_factors)
        x = kinematics.points(transforms, kinematics.marker_bodies, self.marker_locations, scale_factors)
        angular, linear = (velocity.permute(2, 0, 1)[..., None, :] for velocity in (angular, linear))  # (B, D, 1, 3)
        cross = torch.linalg.cross(angular, torch.eye(3, dtype=q.dtype).expand(*angular.shape[:2], 3, 3))
        screws = torch.cat([cross, linear], dim=2).transpose(2, 3).flatten(1, 2)  # (B, 3 D, 4)
        points = sqrt_weights.transpose(1, 2) * torch.cat([x.transpose(1, 2), torch.ones_like(x[:, None, :, 0])], dim=1)
        motion = (screws @ points).unflatten(1, (-1, 3)) * marker_equations.moves_marker[:, None]  # (B, D, 3, M)
        coupling = marker_equations.coupler_jacobian(q)
        if coupling is not None:  # what a dependent coordinate does, the one it follows does
            motion = (coupling.transpose(1, 2) @ motion.flatten(2)).unflatten(2, motion.shape[2:])
        return motion[:, self.solver.free].flatten(2).transpose(1, 2), x


def _flat(values: Tensor) -> Array:
    """(B, M, 3, ...) -> (B, 3 M, ...), all x before all y and z."""
    return values.transpose(1, 2).flatten(1, 2).numpy()


def _levenberg_marquardt(
    problem: _Problem, q: Tensor, log_scale: Tensor, iterations: int, free_scale: bool
) -> tuple[Tensor, Tensor]:
    """Levenberg-Marquardt as in `batched_lm.py`, but all frames take one step together."""
    cost = problem.cost(q, log_scale)
    if not np.isfinite(cost):
        raise SolverError("inverse kinematics cannot start: the pose it is given is not finite in every frame")
    free, damping, equations = problem.solver.free, DAMPING, None
    for _ in range(iterations):
        if equations is None:
            equations = _fix_active_bounds(problem, problem.normal_equations(q, log_scale), q)
        try:
            step, scale_step = (torch.as_tensor(part) for part in equations.solve(damping, free_scale))
        except LinAlgError:
            damping *= 5
            continue
        trial = q.clone()
        trial[:, free] += step.clamp(-MAX_STEP, MAX_STEP)
        trial = problem.clamp(trial)
        trial_log_scale = log_scale + scale_step.clamp(-_MAX_SCALE_STEP, _MAX_SCALE_STEP)
        trial_cost = problem.cost(trial, trial_log_scale)
        step_size = max(float((trial - q).abs().max()), float(scale_step.abs().sum()))
        cost_decrease = cost - trial_cost
        if cost_decrease > 0:
            q, log_scale, cost, equations = trial, trial_log_scale, trial_cost, None
            damping = max(damping / 8, 1e-9)
        else:
            damping *= 5
        if step_size <= STEP_TOL or damping >= MAX_DAMPING or 0 < cost_decrease <= COST_TOL * cost:
            break
    return q, log_scale


def _fix_active_bounds(problem: _Problem, equations: BandedNormalEquations, q: Tensor) -> BandedNormalEquations:
    """The system without the coordinates that rest at a limit and are pushed outwards."""
    lower, upper, current = (
        side[..., problem.solver.free].numpy() for side in (problem.solver.lower, problem.solver.upper, q)
    )
    active = ((current <= lower) & (equations.gradient > 0)) | ((current >= upper) & (equations.gradient < 0))
    inactive, diagonal = (~active).astype(float), np.arange(active.shape[1])
    equations.gradient *= inactive
    equations.coupling *= inactive[..., None]
    for k, blocks in enumerate(equations.blocks):
        blocks[: len(active) - k] *= inactive[k:, :, None] * inactive[: len(active) - k, None]
    equations.blocks[0][:, diagonal, diagonal] += RIDGE + active
    return equations
