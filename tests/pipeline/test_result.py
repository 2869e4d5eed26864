"""Results read back from a folder: the same as those of the run, and never a mixture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biopose_cli.errors import ArtifactError, StageOrderError
from biopose_cli.io.results import Detection, JointKinematics, Mesh, Refined
from biopose_cli.pipeline import run
from biopose_cli.pipeline.result import load_result
from biopose_cli.settings import Settings
from tests.pipeline.test_run import Stages, stages, video

__all__ = ["stages", "video"]  # fixtures


def test_a_loaded_result_is_that_of_the_run(stages: Stages, video: Path, tmp_path: Path) -> None:
    made = run.run(video, tmp_path / "out", Settings(height=1.8))
    video.unlink()
    loaded = load_result(made.folder)
    assert loaded.folder == made.folder
    assert loaded.video == video.resolve()
    assert loaded.files == made.files == (made.folder / "walk.mot",)
    assert loaded.warnings == made.warnings == ("a guess",)
    assert {report.status for report in loaded.steps} == {"loaded"}
    pairs: list[tuple[Any, Any, type]] = [
        (loaded.detection, made.detection, Detection),
        (loaded.mesh, made.mesh, Mesh),
        (loaded.refined, made.refined, Refined),
        (loaded.kinematics, made.kinematics, JointKinematics),
    ]
    for read, written, kind in pairs:
        assert type(read) is type(written) is kind
        for name, value in vars(written).items():
            np.testing.assert_array_equal(getattr(read, name), value)


def test_a_stage_that_left_nothing_is_named(stages: Stages, video: Path, tmp_path: Path) -> None:
    alone = run.run(video, tmp_path / "out", only="detect")
    for result in (alone, load_result(alone.folder)):
        assert len(result.detection.time) == 4
        with pytest.raises(StageOrderError, match="the neurik stage has left no result"):
            _ = result.kinematics
        with pytest.raises(StageOrderError, match="export"):
            _ = result.files


def test_results_of_different_runs_are_not_mixed(stages: Stages, video: Path, tmp_path: Path) -> None:
    folder = run.run(video, tmp_path / "out").folder
    run.run(video, tmp_path / "out", Settings(max_gap=0.1), only="detect")
    with pytest.raises(StageOrderError, match=r"mesh\.npz was made from another detect\.npz"):
        load_result(folder)


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StageOrderError, match="holds no results"):
        load_result(tmp_path / "nowhere")


def test_a_corrupt_file_is_named(stages: Stages, video: Path, tmp_path: Path) -> None:
    result = run.run(video, tmp_path / "out")
    result.stage_file("mesh").write_bytes(b"half")
    with pytest.raises(ArtifactError, match=r"mesh\.npz"):
        load_result(result.folder)
    with pytest.raises(ArtifactError, match=r"walk\.mot"):  # the stand-in writes no summary
        _ = result.summary
