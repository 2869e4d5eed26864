"""Levenberg-Marquardt for many frames at once, each with its own damping, inside the coordinates' ranges.

A coordinate at the end of its range whose gradient points outwards is held there for the step (Bertsekas's
projected Newton method, SIAM J Control Optim 20, 1982), and steps are cut at the ends. So the result is a
minimum under the limits, not a minimum that was cut afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from biopose_cli.ik.normal_equations import NormalEquations

DAMPING = 1e-3  # of the first step, in parts of the matrix's diagonal
RIDGE = 1e-7  # m2/rad2, holds what no marker sees where it is; a marker 1 cm from an axis weighs a thousand times that
COST_TOL = (
    1e-8  # a step that lowers the cost by a smaller part ends the search; 0.001 degrees or less is then left
)
STEP_TOL = 1e-6  # rad or m: so does one that moves no coordinate further, where the caller says no other
MAX_DAMPING = 1e8  # damping at which no step helps any more
MAX_STEP = 0.7  # rad, of one step: the linear picture holds only nearby
_COMPACT_BELOW = 0.7  # frames that still move, in parts of those in work: below it the others are put aside

Evaluate = Callable[
    [Tensor, Tensor], NormalEquations
]  # (q (B, D), rows (B) of all frames) -> NormalEquations


def minimize(
    evaluate: Evaluate,
    start: Tensor,
    lower: Tensor,
    upper: Tensor,
    free: Tensor,
    iterations: int,
    step_tol: float = STEP_TOL,
) -> tuple[Tensor, Tensor]:
    """The best poses found (T, D) and their costs (T).

    start: (T, D) inside the range. lower, upper: (D). free: (D) bool, coordinates that may move.
    step_tol: rad or m, the step that ends a frame's search.
    """
    q, cost = start.clone(), start.new_empty(len(start))
    rows = torch.arange(len(start))
    current = start
    equations = evaluate(current, rows)
    cost[:] = equations.cost
    damping = torch.full_like(equations.cost, DAMPING)
    unfinished = torch.ones_like(rows, dtype=torch.bool)
    for _ in range(iterations):
        trial = torch.minimum(
            torch.maximum(current + _step(equations, current, damping, lower, upper, free), lower), upper
        )
        trial_equations = evaluate(trial, rows)
        improved = trial_equations.cost < equations.cost
        cost_decrease, step_size = equations.cost - trial_equations.cost, (trial - current).abs().amax(1)
        unfinished = (
            (damping < MAX_DAMPING)
            & ~(improved & (cost_decrease <= COST_TOL * equations.cost))
            & (step_size > step_tol)
        )
        current = torch.where(improved[:, None], trial, current)
        equations = trial_equations.where(improved, equations)
        damping = torch.where(improved, (damping / 8).clamp(min=1e-9), damping * 5)
        if unfinished.float().mean() < _COMPACT_BELOW:
            q[rows], cost[rows] = current, equations.cost
            rows, current, damping, equations = (
                rows[unfinished],
                current[unfinished],
                damping[unfinished],
                equations.select(unfinished),
            )
            if not len(rows):
                break
    q[rows], cost[rows] = current, equations.cost
    return q, cost


def _step(
    equations: NormalEquations, q: Tensor, damping: Tensor, lower: Tensor, upper: Tensor, free: Tensor
) -> Tensor:
    active = ((q <= lower) & (equations.gradient > 0)) | ((q >= upper) & (equations.gradient < 0)) | ~free
    inactive = (~active).to(q.dtype)
    matrix = equations.matrix * inactive[:, :, None] * inactive[:, None]
    diagonal = matrix.diagonal(dim1=1, dim2=2)
    diagonal += diagonal * damping[:, None] + RIDGE + active
    factor, _ = torch.linalg.cholesky_ex(matrix)
    step = -torch.cholesky_solve((equations.gradient * inactive)[..., None], factor)[..., 0]
    return step * (MAX_STEP / step.abs().amax(1, keepdim=True)).clamp(max=1.0)


@contextmanager
def one_thread() -> Iterator[None]:
    """No threads inside single operations: these are so small that, on a busy machine, waiting for the threads of
    each one takes many times longer than its work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
