"""Markers that were not measured count nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from biopose_cli.ik.targets import Targets


@pytest.fixture
def targets() -> Targets:
    markers = np.random.default_rng(0).normal(size=(4, 3, 3))
    markers[1, 2, 0] = np.nan
    return Targets.from_markers(markers, np.array([1.0, 2.0, 3.0]))


def test_a_missing_marker_has_weight_zero(targets: Targets) -> None:
    assert targets.weights.tolist() == [[1, 2, 3], [1, 2, 0], [1, 2, 3], [1, 2, 3]]
    assert torch.isfinite(targets.positions).all()
    assert not targets.positions[1, 2].any()


def test_rows_are_selected_together(targets: Targets) -> None:
    chosen = targets.select(torch.tensor([1, 3]))
    assert torch.equal(chosen.positions, targets.positions[[1, 3]])
    assert torch.equal(chosen.weights, targets.weights[[1, 3]])


def test_equal_distances_are_their_rms(targets: Targets) -> None:
    cost = 0.5 * (targets.weights * 0.02**2).sum(1)
    np.testing.assert_allclose(targets.rms(cost), 0.02)
    np.testing.assert_allclose(targets.weighted(torch.full((3,), 5.0)).rms(5 * cost), 0.02)
