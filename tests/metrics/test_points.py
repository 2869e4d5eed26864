"""Errors of landmarks: what they ignore, and their means and table."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biopose_cli.metrics.points import LIMB_LANDMARK_NAMES, format_report, landmark_errors, mean_of_reports
from biopose_cli.typing import Array


@pytest.fixture
def gt() -> Array:
    return np.random.default_rng(0).normal(0, 0.5, (6, 33, 3))


def test_a_shift_is_no_error(gt: Array) -> None:
    found = landmark_errors(gt + np.array([0.3, -0.2, 4.0]), gt)
    assert found["mpjpe_mm"] == pytest.approx(0, abs=1e-9)
    assert list(found["by_point"]) == list(LIMB_LANDMARK_NAMES)


def test_after_procrustes_a_similarity_is_no_error(gt: Array) -> None:
    found = landmark_errors(1.3 * Rotation.from_rotvec([0.3, -0.5, 1.0]).apply(gt.reshape(-1, 3)).reshape(gt.shape), gt)
    assert found["mpjpe_mm"] > 100
    assert found["pa_mpjpe_mm"] == pytest.approx(0, abs=1e-6)
    assert found["knee_deg"] == pytest.approx(0, abs=1e-6)


def test_the_mean_of_equal_reports_is_the_report(gt: Array) -> None:
    report = landmark_errors(gt + np.random.default_rng(1).normal(0, 0.02, gt.shape), gt)
    assert mean_of_reports([report, report]) == report


def test_means_are_taken_figure_by_figure() -> None:
    assert mean_of_reports([{"a": 1.0, "b": {"c": 2.0}}, {"a": 3.0, "b": {"c": 6.0}}]) == {"a": 2.0, "b": {"c": 4.0}}


def test_the_table_has_a_line_for_every_method_and_view() -> None:
    figures = {"mpjpe_mm": 61.24, "knee_deg": 5.0}
    report = {"real": {"frames": 7, "fit": {"views": {"side": figures}, "mean": figures}}}
    head, mean, side = format_report(report)
    assert head.startswith("real, 7 frames")
    assert mean.split() == ["fit", "61.2", "5.0"]
    assert side.split() == ["side", "61.2", "5.0"]
