"""Everything that can go wrong for a user, as one tree.

BioPoseError                 one clear line: what is wrong, where, what to do
├── UserError                exit code 2: the user can fix the call or the input
│   ├── SettingError         an option, config key or value
│   ├── VideoError           a video that cannot be read or holds no pictures
│   ├── PersonError          nobody to measure, or not the person asked for
│   ├── BodyFileError        a body file that is not one, or is not safe to load
│   ├── TrackFileError       a track of another tool that cannot be read or is not of this video
│   ├── ModelFileError       an .osim that is not one, or lacks what is needed
│   ├── MotionFileError      a .mot, .sto or .trc that cannot be read or compared
│   ├── OutputError          a results folder that cannot be written or is in use
│   └── StageOrderError      a stage asked for without the one before it
└── Failure                  exit code 1: the program could not finish
    ├── AssetError           weights missing, unreachable or with the wrong checksum
    ├── ArtifactError        a stage file that is corrupt, truncated or of another kind
    ├── DiskFullError        no space left while writing
    └── SolverError          a numerical step that did not succeed
"""

from __future__ import annotations

import os
import sys


class BioPoseError(Exception):
    """A message of one line; `hint` says what to do about it."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message.rstrip('.')}. {hint}".strip() if hint else message)
        self.message = message
        self.hint = hint


class UserError(BioPoseError):
    """A call or an input that the user can correct; exit code 2."""

    exit_code = 2


class SettingError(UserError):
    """An option, a configuration key or a value is not valid."""


class VideoError(UserError):
    """A video cannot be read or holds no pictures."""


class PersonError(UserError):
    """Nobody to measure, or not the person asked for."""


class BodyFileError(UserError):
    """A body file is not one, or is not safe to load."""


class TrackFileError(UserError):
    """A track of another tool cannot be read or is not of this video."""


class ModelFileError(UserError):
    """An .osim file is not one, or lacks what is needed."""


class MotionFileError(UserError):
    """A .mot, .sto or .trc file cannot be read or compared."""


class OutputError(UserError):
    """A results folder cannot be written or is in use."""


class StageOrderError(UserError):
    """A stage was asked for without the one before it."""


class Failure(BioPoseError):  # noqa: N818 -- a public name; what the user can correct is the error
    """The program could not finish; exit code 1."""


class AssetError(Failure):
    """Weights are missing, unreachable or have the wrong checksum."""


class ArtifactError(Failure):
    """A stage file is corrupt, truncated or of another kind."""


class DiskFullError(Failure):
    """No space was left while writing."""


class SolverError(Failure):
    """A numerical step did not succeed."""


def describe_error(error: Exception) -> tuple[str, int]:
    """What to tell the user, and the exit code; with BIOPOSE_DEBUG set, an unforeseen error is raised instead."""
    if isinstance(error, BioPoseError):
        return str(error), error.exit_code
    if os.environ.get("BIOPOSE_DEBUG"):
        raise error
    text = f"internal error: {type(error).__name__}: {error}"
    return f"{text}. Set BIOPOSE_DEBUG=1 for the details and report it", 1


def print_error(message: str) -> None:
    """One line on stderr."""
    sys.stderr.write("biopose: error: " + " ".join(message.split()) + "\n")
