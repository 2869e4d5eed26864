"""A long clip from the embedded one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from biopose_cli.io.video.probe import probe


def test_it_has_the_size_and_length_asked_for(
    run: Callable[..., ModuleType], script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_long_clip = script("make_long_clip")
    images = [np.full((1080, 1920, 3), shade, np.uint8) for shade in (0, 120, 240)]
    monkeypatch.setattr(make_long_clip, "wide_images", lambda: images)
    run("make_long_clip", tmp_path / "long.mp4", "--seconds", 0.2)
    info = probe(tmp_path / "long.mp4")
    assert (info.width, info.height, info.frame_count) == (1920, 1080, 6)
    assert info.frame_rate == pytest.approx(30)
