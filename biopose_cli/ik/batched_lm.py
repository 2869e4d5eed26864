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

from biopose_cli.ik.normal_equations import Normal

DAMPING = 1e-3  # of the first step, in parts of the matrix's diagonal
HOLD = 1e-7  # m2/rad2, holds what no marker sees where it is; a marker 1 cm from an axis weighs a thousand times that
GAIN = (
    1e-8  # a step that lowers the cost by a smaller part ends the search; 0.001 degrees or less is then left
)
STEP = 1e-6  # rad or m: so does one that moves no coordinate further, where the caller says no other
STUCK = 1e8  # damping at which no step helps any more
LONGEST = 0.7  # rad, of one step: the linear picture holds only nearby
_SPREAD = 0.7  # frames that still move, in parts of those in work: below it the others are put aside

Evaluate = Callable[[Tensor, Tensor], Normal]  # (q (B, D), rows (B) of all frames) -> Normal


def minimise(
    evaluate: Evaluate,
    start: Tensor,
    lower: Tensor,
    upper: Tensor,
    free: Tensor,
    iterations: int,
    shortest: float = STEP,
) -> tuple[Tensor, Tensor]:
    """The best poses found (T, D) and their costs (T).

    start: (T, D) inside the range. lower, upper: (D). free: (D) bool, coordinates that may move.
    shortest: rad or m, the step that ends a frame's search.
    """
    q, cost = start.clone(), start.new_empty(len(start))
    rows = torch.arange(len(start))
    here = start
    now = evaluate(here, rows)
    cost[:] = now.cost
    damping = torch.full_like(now.cost, DAMPING)
    moving = torch.ones_like(rows, dtype=torch.bool)
    for _ in range(iterations):
        trial = torch.minimum(
            torch.maximum(here + _step(now, here, damping, lower, upper, free), lower), upper
        )
        then = evaluate(trial, rows)
        better = then.cost < now.cost
        gain, length = now.cost - then.cost, (trial - here).abs().amax(1)
        moving = (damping < STUCK) & ~(better & (gain <= GAIN * now.cost)) & (length > shortest)
        here = torch.where(better[:, None], trial, here)
        now = then.where(better, now)
        damping = torch.where(better, (damping / 8).clamp(min=1e-9), damping * 5)
        if moving.float().mean() < _SPREAD:
            q[rows], cost[rows] = here, now.cost
            rows, here, damping, now = rows[moving], here[moving], damping[moving], now.part(moving)
            if not len(rows):
                break
    q[rows], cost[rows] = here, now.cost
    return q, cost


def _step(now: Normal, q: Tensor, damping: Tensor, lower: Tensor, upper: Tensor, free: Tensor) -> Tensor:
    held = ((q <= lower) & (now.gradient > 0)) | ((q >= upper) & (now.gradient < 0)) | ~free
    loose = (~held).to(q.dtype)
    matrix = now.matrix * loose[:, :, None] * loose[:, None]
    diagonal = matrix.diagonal(dim1=1, dim2=2)
    diagonal += diagonal * damping[:, None] + HOLD + held
    factor, _ = torch.linalg.cholesky_ex(matrix)
    step = -torch.cholesky_solve((now.gradient * loose)[..., None], factor)[..., 0]
    return step * (LONGEST / step.abs().amax(1, keepdim=True)).clamp(max=1.0)


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
