"""Small made-up motions of the default skeleton."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from biopose_cli.io.results import LEG_COORDINATES
from biopose_cli.io.storage import write_mot

LEGS = tuple(f"{angle}_{side}" for angle in LEG_COORDINATES for side in "rl")


def write_legs(path: Path, offset: float = 0.0, names: tuple[str, ...] = LEGS, frames: int = 40) -> Path:
    """A motion whose angles are sines of different phase, plus `offset` degrees, at 30 frames/s."""
    time = np.arange(frames) / 30
    values = 20 * np.sin(4 * time[:, None] + np.arange(len(names))) + offset
    path.parent.mkdir(parents=True, exist_ok=True)
    write_mot(path, time, names, values)
    return path


def write_constant(path: Path, value: float, names: tuple[str, ...] = LEGS, frames: int = 40) -> Path:
    """A motion whose angles are all `value` degrees: standard deviations, for instance."""
    write_mot(path, np.arange(frames) / 30, names, np.full((frames, len(names)), value))
    return path
