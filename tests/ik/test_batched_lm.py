"""The minimiser on problems whose answer is known otherwise."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.optimize import lsq_linear
from torch import Tensor

from biopose_cli.ik import batched_lm
from biopose_cli.ik.normal_equations import NormalEquations

FRAMES, WIDTH = 6, 4


class _Lines:
    """Linear least squares, one problem a frame; counts the frames it is asked for."""

    def __init__(self, generator: np.random.Generator) -> None:
        self.a = torch.as_tensor(generator.normal(size=(FRAMES, 7, WIDTH)))
        self.b = torch.as_tensor(generator.normal(size=(FRAMES, 7)))
        self.asked: list[int] = []

    def __call__(self, q: Tensor, rows: Tensor) -> NormalEquations:
        self.asked.append(len(rows))
        a = self.a[rows]
        residual = (a @ q[..., None])[..., 0] - self.b[rows]
        gradient = (a.transpose(1, 2) @ residual[..., None])[..., 0]
        return NormalEquations(0.5 * (residual**2).sum(1), gradient, a.transpose(1, 2) @ a)


@pytest.fixture
def lines() -> _Lines:
    return _Lines(np.random.default_rng(0))


FREE = torch.ones(WIDTH, dtype=torch.bool)
WIDE = torch.full((WIDTH,), torch.inf, dtype=torch.float64)
START = torch.zeros(FRAMES, WIDTH, dtype=torch.float64)


def test_the_minimum_is_found(lines: _Lines) -> None:
    q, cost = batched_lm.minimize(lines, START, -WIDE, WIDE, FREE, 60)
    expected = torch.linalg.lstsq(lines.a, lines.b[..., None]).solution[..., 0]
    torch.testing.assert_close(q, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(cost, lines(q, torch.arange(FRAMES)).cost)


def test_limits_give_the_constrained_minimum(lines: _Lines) -> None:
    limit = torch.full((WIDTH,), 0.15, dtype=torch.float64)
    q, _ = batched_lm.minimize(lines, START, -limit, limit, FREE, 60)
    at_limit = 0
    for frame in range(FRAMES):
        best = lsq_linear(lines.a[frame].numpy(), lines.b[frame].numpy(), (-0.15, 0.15), tol=1e-12).x
        np.testing.assert_allclose(q[frame], best, atol=1e-4)
        at_limit += int((q[frame].abs() == 0.15).sum())
    assert at_limit > 3


def test_what_is_not_free_stays(lines: _Lines) -> None:
    free = torch.tensor([True, False, True, False])
    q, _ = batched_lm.minimize(lines, START + 0.3, -WIDE, WIDE, free, 60)
    assert torch.equal(q[:, ~free], torch.full((FRAMES, 2), 0.3, dtype=torch.float64))
    assert (q[:, free] != 0.3).all()


def test_no_iterations_give_the_start(lines: _Lines) -> None:
    q, cost = batched_lm.minimize(lines, START, -WIDE, WIDE, FREE, 0)
    assert torch.equal(q, START)
    torch.testing.assert_close(cost, 0.5 * (lines.b**2).sum(1))


def test_finished_frames_are_put_aside(lines: _Lines) -> None:
    start = torch.linalg.lstsq(lines.a, lines.b[..., None]).solution[..., 0]
    start[0] += 2.0
    batched_lm.minimize(lines, start, -WIDE, WIDE, FREE, 60)
    assert lines.asked[0] == FRAMES
    assert lines.asked[-1] == 1


def test_the_cost_never_rises() -> None:
    """On Rosenbrock's valley, where full Gauss-Newton steps overshoot."""

    def valley(q: Tensor, rows: Tensor) -> NormalEquations:
        x, y = q.unbind(1)
        residual = torch.stack([10 * (y - x**2), 1 - x], dim=1)
        jacobian = torch.stack(
            [torch.stack([-20 * x, torch.full_like(x, 10)], 1), torch.stack([-torch.ones_like(x), 0 * x], 1)],
            1,
        )
        gradient = (jacobian.transpose(1, 2) @ residual[..., None])[..., 0]
        return NormalEquations(0.5 * (residual**2).sum(1), gradient, jacobian.transpose(1, 2) @ jacobian)

    start = torch.tensor([[-1.2, 1.0], [2.0, -1.0]], dtype=torch.float64)
    wide, free = torch.full((2,), torch.inf, dtype=torch.float64), torch.ones(2, dtype=torch.bool)
    costs = [batched_lm.minimize(valley, start, -wide, wide, free, count)[1] for count in range(12)]
    for before, after in pairwise(costs):
        assert (after <= before).all()
    q, _ = batched_lm.minimize(valley, start, -wide, wide, free, 200)
    torch.testing.assert_close(q, torch.ones_like(q), atol=1e-4, rtol=0)
