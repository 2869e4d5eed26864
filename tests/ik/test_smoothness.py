"""Second differences over true times, and that the system is the derivative of their squares."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from biopose_cli.ik.smoothness import add_smoothness, second_differences
from biopose_cli.optim.banded import BandedNormalEquations

UNEVEN = torch.tensor([0.0, 0.03, 0.1, 0.12, 0.17, 0.3], dtype=torch.float64)


def test_even_frames_have_the_usual_weights() -> None:
    q = torch.tensor([[0.0], [0.0], [1.0], [0.0], [0.0]], dtype=torch.float64)
    time = torch.arange(5, dtype=torch.float64) / 30
    np.testing.assert_allclose(second_differences(q, time)[:, 0], [1, -2, 1])


def test_constant_velocity_costs_nothing_at_uneven_times() -> None:
    q = torch.stack([3 + 2 * UNEVEN, -UNEVEN], dim=1)
    np.testing.assert_allclose(second_differences(q, UNEVEN), 0, atol=1e-12)


@pytest.mark.parametrize("frames", [0, 1, 2])
def test_two_frames_do_not_bend(frames: int) -> None:
    assert second_differences(torch.zeros(frames, 3), UNEVEN[:frames]).shape == (0, 3)


def test_the_gradient_is_that_of_half_the_weighted_squares() -> None:
    q = torch.randn(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    energy = 0.5 * 7.0 * (second_differences(q, UNEVEN) ** 2).sum()
    (gradient,) = torch.autograd.grad(energy, q)
    equations = BandedNormalEquations(6, 2, 0)
    add_smoothness(equations, q.detach(), UNEVEN, 7.0)
    np.testing.assert_allclose(equations.gradient, gradient, atol=1e-10)
