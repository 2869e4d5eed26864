"""OpenSim's motion files: write `.mot`, read `.mot` and `.sto` of any OpenSim version or laboratory.

Units in a file with ``inDegrees=yes``: rotations in degrees, translations in metres. Coupled coordinates
(Rajagopal's ``knee_angle_r_beta``) stay in radians in either kind of file, because OpenSim converts only
coordinates whose motion type is Rotational (`SimbodyEngine::convertDegreesToRadians`); their names end in
``_beta``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from biopose_cli.errors import MotionFileError
from biopose_cli.io.atomic import atomic_write
from biopose_cli.typing import Array

MAX_RADIANS = 3 * np.pi  # no joint rotates further: a larger value must be in degrees
_TRANSLATION = re.compile(r"(^|_)t[xyz123](_|$)")  # pelvis_tx, sh_ty_r, Abs_t1
_STATE_PATH = re.compile(r"^/?(?:[^/]+/)*([^/]+)/value$")  # /jointset/hip_r/hip_flexion_r/value
_DERIVED = re.compile(r"/(speed|activation|fiber_length|normalized_tendon_force)$|^/forceset/")


@dataclass(frozen=True)
class Motion:
    """Coordinates over time.

    Attributes
    ----------
    time
        (T) s, strictly increasing.
    names
        The D coordinate names, without paths.
    values
        (T, D) degrees for rotations, metres for translations, radians for coupled coordinates (`_beta`).
    warnings
        What a reader should know about the file, a line each.
    """

    time: Array
    names: tuple[str, ...]
    values: Array
    warnings: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Array:
        """Values (T) of one coordinate."""
        return self.values[:, self.names.index(name)]


def is_rotation(name: str) -> bool:
    """Whether this coordinate is converted between files in radians and files in degrees.

    The name decides, since a motion file does not state it: ``_tx``, ``_ty``, ``_tz`` (also before a side, and
    ``_t1`` to ``_t3``) are translations, ``_beta`` is a coupled coordinate; all others are rotations.
    """
    return not _TRANSLATION.search(name) and not name.endswith("_beta")


def write_mot(path: Path, time: ArrayLike, names: Sequence[str], values: ArrayLike) -> None:
    """Write a `.mot` that OpenSim reads completely.

    Parameters
    ----------
    time : (T) s, strictly increasing
    names : the D coordinate names
    values : (T, D) in degrees and metres (coupled coordinates in radians)

    Raises
    ------
    ValueError
        Inconsistent shapes, no row, a value that is not finite, or time that does not increase: OpenSim would silently
        stop reading there.
    DiskFullError, OutputError
    """
    times = np.asarray(time, np.float64)
    table = np.asarray(values, np.float64)
    if times.ndim != 1 or not len(times) or table.shape != (len(times), len(names)):
        raise ValueError(f"{path.name}: time {times.shape}, values {table.shape}, {len(names)} names")
    if not (np.isfinite(table).all() and np.isfinite(times).all()):
        raise ValueError(f"{path.name}: a value is not finite")
    if (np.diff(times) <= 0).any():
        raise ValueError(f"{path.name}: time does not increase")
    size = f"nRows={len(times)}\nnColumns={len(names) + 1}"
    header = f"Coordinates\nversion=1\n{size}\ninDegrees=yes\n\nendheader\n"
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(header + "\t".join(["time", *names]) + "\n")
        for instant, row in zip(times, table, strict=True):
            file.write("\t".join(f"{value:.8f}" for value in (instant, *row)) + "\n")


def read_motion(path: str | Path) -> Motion:
    """Read a `.mot` or `.sto` of coordinates.

    ``inDegrees=yes`` means degrees; ``no`` or no such line means radians, as in OpenSim. State names such as
    ``/jointset/hip_r/hip_flexion_r/value`` become coordinate names; speeds and muscle states are dropped. A header with
    wrong nRows or nColumns causes a warning, and all rows are read.

    Parameters
    ----------
    path
        The file, of any OpenSim version.

    Raises
    ------
    MotionFileError
        The file is missing, not a motion file, truncated within a row, contains text, NaN or decimal commas, repeats a
        column, has time that does not increase, or has degrees declared as radians.
    """
    path = Path(path)
    lines = _lines(path)
    end = next((i for i, line in enumerate(lines) if line.strip().lower() == "endheader"), None)
    if end is None:
        raise MotionFileError(
            f"{path} is not an OpenSim motion file (no 'endheader' line)", "Give a .mot or .sto of angles"
        )
    header = _header(lines[:end])
    first = next((i for i in range(end + 1, len(lines)) if lines[i].strip()), None)
    if first is None:
        raise MotionFileError(f"{path} has a header but no columns", "It was probably not written completely")
    labels = [label.strip() for label in lines[first].strip().split("\t" if "\t" in lines[first] else None)]
    if labels[0].lower() != "time":
        raise MotionFileError(f"{path}, line {first + 1}: the first column is {labels[0]!r}, not 'time'")
    if header.get("datatype", "double") != "double":
        raise MotionFileError(
            f"{path} holds {header['datatype']} values, not joint angles", "Give a file of coordinates"
        )
    table = _table(path, lines, first, labels)

    keep = [i for i, label in enumerate(labels[1:], 1) if not _DERIVED.search(label)]
    names = tuple(_coordinate_name(labels[i]) for i in keep)
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise MotionFileError(f"{path} has more than one column for {', '.join(repeated)}")
    if not names:
        raise MotionFileError(f"{path} holds no coordinates", "Give a file of joint angles")
    values = table[:, keep]
    warnings = _header_warnings(header, table)
    if header.get("indegrees") not in {"yes", "1", "true"}:
        values = _in_degrees(path, names, values, stated="indegrees" in header)
        if "indegrees" not in header:
            warnings.append("its header has no inDegrees line: read as radians, as in OpenSim")
    return Motion(table[:, 0], names, values, tuple(warnings))


def _lines(path: Path) -> list[str]:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise MotionFileError(f"cannot read {path} ({error.strerror})") from error
    if not raw.strip():
        raise MotionFileError(f"{path} is empty")
    if b"\0" in raw:
        raise MotionFileError(f"{path} is not a text file", "Give a .mot or .sto of joint angles")
    return raw.decode("utf-8-sig", errors="replace").splitlines()


def _header(lines: list[str]) -> dict[str, str]:
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {key.strip().lower(): value.strip().lower() for key, _, value in pairs}


def _coordinate_name(label: str) -> str:
    state = _STATE_PATH.match(label)
    return state.group(1) if state else label.rpartition("/")[2]


def _table(path: Path, lines: list[str], first: int, labels: list[str]) -> Array:
    """Values below the line of labels, (T, 1 + D)."""
    rows: list[list[float]] = []
    for number, line in enumerate(lines[first + 1 :], first + 2):
        if not line.strip():
            continue
        cells = line.split()
        if len(cells) != len(labels):
            raise MotionFileError(
                f"{path}, line {number}: {len(cells)} values for {len(labels)} columns",
                "The file is truncated or has empty cells",
            )
        try:
            row = [float(cell) for cell in cells]
        except ValueError:
            bad, label = next((c, n) for c, n in zip(cells, labels, strict=True) if not _is_number(c))
            comma = "Write numbers with a decimal point, not a comma" if "," in bad else ""
            raise MotionFileError(f"{path}, line {number}: {bad!r} in column {label} is not a number", comma) from None
        if not np.isfinite(row).all():
            label = labels[int(np.argmin(np.isfinite(row)))]
            raise MotionFileError(
                f"{path}, line {number}: {label} is not a finite number",
                "OpenSim stops reading there: fill the gap or cut the file",
            )
        if rows and row[0] <= rows[-1][0]:
            raise MotionFileError(f"{path}, line {number}: time {row[0]:g} s is not after {rows[-1][0]:g} s")
        rows.append(row)
    if not rows:
        raise MotionFileError(f"{path} has no rows of data", "It was probably not written completely")
    return np.array(rows)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _header_warnings(header: dict[str, str], table: Array) -> list[str]:
    actual = {"nrows": len(table), "nrow": len(table), "ncolumns": table.shape[1], "ncol": table.shape[1]}
    return [
        f"its header has {key}={header[key]}, but the file has {count}: all were read"
        for key, count in actual.items()
        if key in header and header[key] != str(count)
    ]


def _in_degrees(path: Path, names: tuple[str, ...], values: Array, *, stated: bool) -> Array:
    """Convert rotations from radians to degrees; refuse values that can only be degrees."""
    rotation = np.array([is_rotation(name) for name in names])
    joint = rotation & ~np.char.startswith(np.array(names), "pelvis")  # a rotating person winds the pelvis up
    largest = np.abs(values[:, joint]).max(initial=0.0)
    if largest > MAX_RADIANS:
        column = names[int(np.argmax(np.abs(values).max(axis=0) * joint))]
        unit_line = "has inDegrees=no" if stated else "has no inDegrees line, which means radians"
        raise MotionFileError(
            f"{path}: its header {unit_line}, but {column} reaches {largest:.0f}",
            "If the file is in degrees, write inDegrees=yes into its header",
        )
    return np.where(rotation, np.rad2deg(values), values)
