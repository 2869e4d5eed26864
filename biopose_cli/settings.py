"""All that a user can choose, in one frozen record: command line and config file fill it, the stages read it."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from biopose_cli.errors import SettingError

WEIGHTS = ("heavy", "full", "lite")
MESH_METHODS = ("mqhmr", "fit", "import")
IK_METHODS = ("neural", "opensim")
DEVICES = ("auto", "cpu", "cuda", "mps")
_FILES = ("intrinsics", "track", "body", "model")
_RANGES = {  # lowest and highest value that can be meant, unit, what to do
    "height": (0.5, 2.5, "m", "Give the standing height in metres, such as --height 1.75"),
    "mass": (5.0, 400.0, "kg", "Give the body mass in kilograms, such as --mass 70"),
    "fov": (5.0, 170.0, "degrees", "Give the angle of view across the image's longer side, such as --fov 65"),
    "focal": (10.0, 1e6, "px", "Give the focal length in pixels of the video's frames"),
    "max_gap": (0.0, 10.0, "s", "Give the longest gap to fill in seconds, such as --max-gap 0.25"),
    "camera_pitch": (-89.0, 89.0, "degrees", "Positive means that the camera points down"),
    "camera_roll": (-180.0, 180.0, "degrees", "Positive means that the camera is rolled clockwise"),
    "ik_iterations": (
        0,
        1000,
        "",
        "0 means the network alone; leave it out to iterate until nothing changes",
    ),
    "ik_smoothness": (0.0, 1e4, "m2/rad2", "1 suits 30 frames/s and markers 10 mm off; 0 means none"),
    "person": (1, 1000, "", "Persons are numbered from 1, as the overlay shows"),
    "start": (0.0, math.inf, "s", "Give a time on the video's own clock"),
    "end": (0.0, math.inf, "s", "Give a time on the video's own clock"),
    "capture_rate": (
        1.0,
        1e5,
        "frames/s",
        "Give the camera's frame rate, such as --capture-rate 240",
    ),
}


@dataclass(frozen=True)
class Settings:
    """Every option of `biopose run` that changes a result, and where it runs; None means "not given".

    Attributes
    ----------
    weights
        Of the keypoint network: "heavy", "full" or "lite".
    start, end
        s, of the video's own clock.
    capture_rate
        frames/s that were filmed; None: as many as the video shows.
    person
        Number of the person, from 1; None: the longest and largest track.
    max_gap
        s, the longest gap that is filled.
    focal, fov, intrinsics
        The camera, one of them: px of the upright image; degrees across the image's longer side; a JSON or TOML file
        with camera_matrix, dist_coeffs and image_size.
    mesh
        "mqhmr", "fit" or, for the track of another tool, "import".
    track, track_id
        With mesh "import": the file, and which of its tracks; None: the only one.
    body
        An SMPL file; None: the free default body.
    height
        Standing height, m.
    ik
        "neural" or "opensim".
    ik_iterations
        Of the solver after the network; 0: the network alone; None: to convergence.
    ik_smoothness
        m2/rad2, of the angles' second differences over frames; 0: every frame by itself.
    model
        A user's .osim; None: the default skeleton.
    mass
        kg.
    camera_pitch, camera_roll
        degrees, positive when the camera looks down, and when it is rolled clockwise.
    device
        "auto", "cpu", "cuda" or "mps"; no stage's fingerprint holds it.

    Raises
    ------
    SettingError
        A value that nobody can mean, a name that does not exist, or a file that is not there.
    """

    # detect
    weights: str = "heavy"
    start: float | None = None
    end: float | None = None
    capture_rate: float | None = None
    person: int | None = None
    max_gap: float = 0.25
    focal: float | None = None
    fov: float | None = None
    intrinsics: Path | None = None
    # mesh, refine
    mesh: str = "mqhmr"
    track: Path | None = None
    track_id: str | None = None
    body: Path | None = None
    height: float | None = None
    # neurik
    ik: str = "neural"
    ik_iterations: int | None = None
    ik_smoothness: float = 0.0
    model: Path | None = None
    mass: float | None = None
    camera_pitch: float | None = None
    camera_roll: float | None = None
    # all
    device: str = "auto"

    def __post_init__(self) -> None:
        for key, (low, high, unit, hint) in _RANGES.items():
            value = getattr(self, key)
            if value is not None and not low <= value <= high:
                top = f" to {high:g} {unit}" if math.isfinite(high) else f" {unit} up"
                limits = f"it goes from {low:g}{top}"
                raise SettingError(f"{option_name(key)} {value:g} is impossible: {limits}", hint)
        for key, names in (
            ("weights", WEIGHTS),
            ("mesh", MESH_METHODS),
            ("ik", IK_METHODS),
            ("device", DEVICES),
        ):
            if getattr(self, key) not in names:
                raise SettingError(
                    f"{option_name(key)} {getattr(self, key)!r} is unknown", f"Valid: {', '.join(names)}"
                )
        for key in _FILES:
            path = getattr(self, key)
            if path is not None and not path.is_file():
                raise SettingError(f"{option_name(key)}: there is no file {path}", "Check the path")
        if (self.mesh == "import") != (self.track is not None):
            raise SettingError("an imported mesh needs its track, and only it", "Call biopose import-mesh")
        if self.ik_iterations is not None and self.ik != "neural":
            raise SettingError(f"--ik-iterations has no meaning with --ik {self.ik}", "Leave one of them out")
        if self.ik_smoothness and (self.ik != "neural" or self.ik_iterations == 0):
            raise SettingError(
                "--ik-smoothness needs the solver: it has no meaning with --ik opensim or --ik-iterations 0",
                "Leave one of them out",
            )
        if self.ik_iterations is not None and self.model is not None:
            raise SettingError(
                "--ik-iterations does not go with --model: it counts the solver's steps after the network, "
                "which supports only BioPose's own skeleton",
                "Leave one of them out",
            )
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise SettingError(f"--start {self.start:g} is not before --end {self.end:g}", "Both are in seconds")


def option_name(key: str) -> str:
    """A setting's name as the command line spells it."""
    return "--" + key.replace("_", "-")


def settings_from(values: Mapping[str, Any]) -> Settings:
    """`Settings` from keyword arguments; files may be given as text.

    Raises
    ------
    SettingError
        A name that does not exist (the nearest valid one is named), or a value that is not possible.
    """
    names = [spec.name for spec in fields(Settings)]
    for name in values:
        if name not in names:
            nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.0)[0]
            raise SettingError(f"there is no setting {name!r}", f"Did you mean {nearest!r}?")
    paths = {name: Path(values[name]) for name in _FILES if values.get(name) is not None}
    return Settings(**{**values, **paths})
