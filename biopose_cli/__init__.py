"""BioPose: one ordinary video of a moving person in, OpenSim files out.

The names of `__all__` are the public Python API. Importing this package loads nothing heavy: every name but the errors
is looked up when it is first used (PEP 562).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from biopose_cli.errors import (
    ArtifactError,
    AssetError,
    BioPoseError,
    BodyFileError,
    DiskFullError,
    Failure,
    ModelFileError,
    MotionFileError,
    OutputError,
    PersonError,
    SettingError,
    SolverError,
    StageOrderError,
    TrackFileError,
    UserError,
    VideoError,
)
from biopose_cli.version import __version__

if TYPE_CHECKING:
    from biopose_cli.api import detect, export, load, recover_mesh, refine, run, solve_ik, solve_ik_from_markers
    from biopose_cli.body.markers import MARKER_NAMES
    from biopose_cli.io.results import Detection, JointKinematics, Mesh, Refined
    from biopose_cli.io.storage import Motion, read_motion
    from biopose_cli.io.trc import Markers, read_trc
    from biopose_cli.metrics.compare import Comparison, compare
    from biopose_cli.pipeline.result import Result
    from biopose_cli.progress import NullProgress, Progress
    from biopose_cli.settings import Settings

__all__ = [
    "MARKER_NAMES",
    "ArtifactError",
    "AssetError",
    "BioPoseError",
    "BodyFileError",
    "Comparison",
    "Detection",
    "DiskFullError",
    "Failure",
    "JointKinematics",
    "Markers",
    "Mesh",
    "ModelFileError",
    "Motion",
    "MotionFileError",
    "NullProgress",
    "OutputError",
    "PersonError",
    "Progress",
    "Refined",
    "Result",
    "SettingError",
    "Settings",
    "SolverError",
    "StageOrderError",
    "TrackFileError",
    "UserError",
    "VideoError",
    "__version__",
    "compare",
    "detect",
    "export",
    "load",
    "read_motion",
    "read_trc",
    "recover_mesh",
    "refine",
    "run",
    "solve_ik",
    "solve_ik_from_markers",
]
_MODULES = {
    "api": ("detect", "export", "load", "recover_mesh", "refine", "run", "solve_ik", "solve_ik_from_markers"),
    "body.markers": ("MARKER_NAMES",),
    "io.results": ("Detection", "JointKinematics", "Mesh", "Refined"),
    "io.storage": ("Motion", "read_motion"),
    "io.trc": ("Markers", "read_trc"),
    "metrics.compare": ("Comparison", "compare"),
    "pipeline.result": ("Result",),
    "progress": ("NullProgress", "Progress"),
    "settings": ("Settings",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

# The functions `detect` and `export` have the names of packages, which Python binds here when it first imports them, in
# the functions' place. It does so only once: now, so that the names are the functions' from here on.
for _package in ("detect", "export"):
    import_module(f"{__name__}.{_package}")
    del globals()[_package]


if not TYPE_CHECKING:  # with it, type checkers would take any name for one of this package

    def __getattr__(name: str) -> Any:
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
