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


class Rendered:
    """In the place of the pictures: only the file counts here."""

    def save(self, path: Path) -> None:
        path.write_bytes(b"pictures")


def test_pictures_are_made_once_and_anew_for_other_poses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def see(actor: object, weights: object, poses: Array, *others: object, **options: object) -> Rendered:
        made.append(len(poses))
        return Rendered()

    def recorded(knee: float) -> None:
        pose = np.zeros((7, 24, 3))
        pose[:, 4, 0] = knee
        take = Motion("made up", "07", "take", 60.0, pose, np.zeros((7, 3)))
        monkeypatch.setattr(held_out, "captured_motions", lambda folder, body: ([], [take]))

    def looks() -> Path:
        return held_out.held_out_looks(tmp_path, tmp_path / "cache", NullProgress(), count=3)

    def ensure(assets: object, progress: object) -> Any:
        return {"heavy": tmp_path}

    monkeypatch.setattr(held_out, "render_and_detect", see)
    monkeypatch.setattr("biopose_cli.io.assets.ensure", ensure)
    recorded(knee=0.3)
    first = looks()
    assert looks() == first
    assert made == [7]
    recorded(knee=0.1)
    assert looks() != first
    assert made == [7, 7]
    assert len(list((tmp_path / "cache").iterdir())) == 2
