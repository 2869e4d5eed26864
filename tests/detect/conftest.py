from __future__ import annotations

from pathlib import Path

import pytest

from biopose_cli.io import assets
from biopose_cli.io.video.probe import probe
from biopose_cli.io.video.reader import read_frames
from biopose_cli.progress import NullProgress
from biopose_cli.typing import Array


@pytest.fixture(scope="session")
def weights() -> dict[str, Path]:
    """The networks, as the product itself fetches them."""
    return assets.ensure(assets.required_assets("heavy"), NullProgress())


@pytest.fixture(scope="session")
def walk(sample_clip: Path) -> list[Array]:
    """Pictures 30 to 37 of the embedded clip."""
    if not sample_clip.is_file():
        pytest.skip("the embedded clip has not been made")
    return [frame.image for frame in read_frames(probe(sample_clip), 1.0, 1.24)]
