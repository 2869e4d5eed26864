"""OpenSim, imported silently: no output, no opensim.log, no change to the environment of child processes.

Every other module imports `opensim` from here.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from biopose_cli.errors import ModelFileError
from biopose_cli.typing import Array


@contextlib.contextmanager
def silence_output() -> Iterator[None]:
    """Discard what C++ code prints to standard output and error (Python's own streams included)."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    devnull = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(devnull, 1)
        os.dup2(devnull, 2)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(saved[0], 1)
        os.dup2(saved[1], 2)
        for descriptor in (*saved, devnull):
            os.close(descriptor)


def _import_opensim() -> Any:
    """The package sets SIMBODY_HOME, PATH and LD_LIBRARY_PATH on import, which breaks programs started later."""
    environment = dict(os.environ)
    with silence_output():
        import opensim as package

        package.Logger.setLevelString("Off")
        package.Logger.removeFileSink()
    for key in set(os.environ) - set(environment):
        del os.environ[key]
    os.environ.update(environment)
    return package


opensim: Any = _import_opensim()


def load_model(path: Path) -> Any:
    """Load an `.osim` file, connected and ready for `initSystem`.

    Raises
    ------
    ModelFileError
        The file is missing, is not an OpenSim model, or OpenSim cannot build a system from it.
    """
    hint = "Give an OpenSim model (.osim) with --model, or leave the option out for the default skeleton"
    if not path.is_file():
        raise ModelFileError(f"there is no model file {path}", hint)
    try:
        ElementTree.parse(path)  # OpenSim's own message refers to a line of its source
    except ElementTree.ParseError as error:
        raise ModelFileError(f"{path} is not an OpenSim model: it is not XML, or was cut off", hint) from error
    try:
        with silence_output():
            model = opensim.Model(str(path))
            model.initSystem()
    except RuntimeError as error:
        reason = _first_line(error)
        raise ModelFileError(f"{path} is not an OpenSim model that can be loaded ({reason})", hint) from error
    if model.getBodySet().getSize() == 0:
        raise ModelFileError(f"{path} is not an OpenSim model: it holds no bodies", hint)
    return model


def load_xml(xml: str) -> Any:
    """The model in the text of an `.osim` file (see `load_model`)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.osim"
        path.write_text(xml, encoding="utf-8")
        return load_model(path)


def to_xml(model: Any) -> str:
    """The text of the model's `.osim` file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.osim"
        model.printToXML(str(path))
        return path.read_text(encoding="utf-8")


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:160] if lines else type(error).__name__


def vec3(values: Any) -> Any:
    """An OpenSim Vec3 of three numbers."""
    x, y, z = (float(value) for value in values)
    return opensim.Vec3(x, y, z)


def vec3_to_array(vector: Any) -> Array:
    """Three numbers of an OpenSim Vec3, as float64."""
    return np.array([vector.get(0), vector.get(1), vector.get(2)])


def transform_to_matrix(transform: Any) -> Array:
    """An OpenSim Transform as a homogeneous (4, 4) matrix."""
    rotation, offset = transform.R(), transform.p()
    rows = [[rotation.get(i, j) for j in range(3)] + [offset.get(i)] for i in range(3)]
    return np.array([*rows, [0.0, 0.0, 0.0, 1.0]])
