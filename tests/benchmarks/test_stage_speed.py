"""The bench of the neurik stage runs the stage itself, on a body that its skeleton can follow."""

from __future__ import annotations

import pytest

from biopose_cli.benchmarks.stage_speed import bench_neurik
from biopose_cli.progress import NullProgress
from biopose_cli.settings import Settings


def test_the_stage_follows_the_walking_body() -> None:
    report = bench_neurik(120, Settings(), NullProgress())
    assert report["frames"] == 120
    assert report["frames_per_s"] == pytest.approx(120 / report["seconds"])
    assert report["first_s"] > 0
    assert 0 < report["marker_rms_mm"] < 8  # the embedded clip's truth, through the solver
    alone = bench_neurik(120, Settings(ik_iterations=0), NullProgress())
    assert alone["marker_rms_mm"] > report["marker_rms_mm"]
