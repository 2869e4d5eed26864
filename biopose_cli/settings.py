"""All that a user can choose, in one frozen record: the command line and the config file fill it, the stages read it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Every option of `biopose run` that changes a result. Units in the comments; None means "not given"."""

    # detect
    weights: str = "heavy"  # heavy, full or lite
    start: float | None = None  # s, of the video's own clock
    end: float | None = None  # s
    person: int | None = None  # 1-based; None: the longest and largest track
    max_gap: float = 0.25  # s, the longest gap that is filled
    focal: float | None = None  # px, of the upright image
    fov: float | None = None  # degrees, across the image's longer side
    intrinsics: Path | None = None  # JSON or TOML: camera_matrix, dist_coeffs, image_size
    # mesh, refine
    mesh: str = "fit"
    body: Path | None = None  # an SMPL file; None: the free default body
    height: float | None = None  # m
    # neurik
    ik: str = "opensim"
    model: Path | None = None  # a user's .osim; None: the default skeleton
    mass: float | None = None  # kg
    camera_pitch: float | None = None  # degrees, positive when the camera looks down
    camera_roll: float | None = None  # degrees, positive when the camera is rolled clockwise
    # where it runs: changes no result, so no stage's fingerprint holds it
    device: str = "auto"
