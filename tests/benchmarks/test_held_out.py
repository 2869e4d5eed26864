"""Rendered people for the evaluation are kept, but not once their poses have changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biopose_cli.benchmarks import held_out
from biopose_cli.progress import NullProgress
from biopose_cli.synthesis.retarget import Motion
from biopose_cli.typing import Array


class FakeDetections:
    """In the place of the pictures: only the file counts here."""

    def save(self, path: Path) -> None:
        path.write_bytes(b"pictures")


def test_detections_are_cached_and_made_anew_for_other_poses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def render_and_detect(
        actor: object, weights: object, poses: Array, *others: object, **options: object
    ) -> FakeDetections:
        made.append(len(poses))
        return FakeDetections()

    def set_recorded_knee(knee: float) -> None:
        pose = np.zeros((7, 24, 3))
        pose[:, 4, 0] = knee
        take = Motion("made up", "07", "take", 60.0, pose, np.zeros((7, 3)))
        monkeypatch.setattr(held_out, "captured_motions", lambda folder, body: ([], [take]))

    def cached_path() -> Path:
        return held_out.held_out_detections(tmp_path, tmp_path / "cache", NullProgress(), count=3)

    def ensure(assets: object, progress: object) -> Any:
        return {"heavy": tmp_path}

    monkeypatch.setattr(held_out, "render_and_detect", render_and_detect)
    monkeypatch.setattr("biopose_cli.io.assets.ensure", ensure)
    set_recorded_knee(knee=0.3)
    first = cached_path()
    assert cached_path() == first
    assert made == [7]
    set_recorded_knee(knee=0.1)
    assert cached_path() != first
    assert made == [7, 7]
    assert len(list((tmp_path / "cache").iterdir())) == 2
