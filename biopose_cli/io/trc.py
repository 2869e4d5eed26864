"""OpenSim's marker files (`.trc`): metres, true times, gaps as empty cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from biopose_cli.errors import MotionFileError
from biopose_cli.io.atomic import atomic_write
from biopose_cli.typing import Array

METERS_PER_UNIT = {"m": 1.0, "cm": 0.01, "mm": 0.001}


@dataclass(frozen=True)
class Markers:
    """Markers over time.

    Attributes
    ----------
    time
        (T) s, strictly increasing.
    names
        The M marker names.
    positions
        (T, M, 3) m, in the file's own axes; NaN where a marker is missing.
    """

    time: Array
    names: tuple[str, ...]
    positions: Array


def write_trc(path: Path, time: ArrayLike, names: Sequence[str], positions: ArrayLike) -> None:
    """Write a `.trc` in metres.

    A frame without any marker gets no row, because OpenSim's Inverse Kinematics tool fails on an empty one. The Frame#
    column keeps counting, so gaps are visible there and in the times.

    Parameters
    ----------
    time : (T) s, strictly increasing; a variable frame rate is kept, the header's rate is that of the median step
    names : the M marker names, without spaces
    positions : (T, M, 3) m, OpenSim's ground frame; a marker with a NaN becomes empty cells

    Raises
    ------
    ValueError
        Inconsistent shapes, no marker at all, names with spaces, or time that does not increase.
    DiskFullError, OutputError
    """
    times = np.asarray(time, np.float64)
    points = np.asarray(positions, np.float64)
    if times.ndim != 1 or not len(times) or points.shape != (len(times), len(names), 3):
        raise ValueError(f"{path.name}: time {times.shape}, positions {points.shape}, {len(names)} names")
    if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise ValueError(f"{path.name}: time does not increase")
    present: Array = np.asarray(np.isfinite(points).all(axis=2))
    rows = np.flatnonzero(present.any(axis=1))
    if not len(rows):
        raise ValueError(f"{path.name}: no frame has a marker")
    if any(not name or name.split() != [name] for name in names):
        raise ValueError(f"{path.name}: a marker name is empty or contains spaces")
    rate = f"{1 / np.median(np.diff(times)) if len(times) > 1 else 1.0:.6g}"
    axes = "\t".join(f"X{i}\tY{i}\tZ{i}" for i in range(1, len(names) + 1))
    header = (
        f"PathFileType\t4\t(X/Y/Z)\t{path.name}\n"
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames\n"
        f"{rate}\t{rate}\t{len(rows)}\t{len(names)}\tm\t{rate}\t1\t{len(times)}\n"
        "Frame#\tTime\t" + "\t\t\t".join(names) + "\t\t\n"
        f"\t\t{axes}\n\n"
    )
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(header)
        for row in rows:
            row_points = zip(points[row].tolist(), present[row].tolist(), strict=True)
            cells = [
                "{:.7f}\t{:.7f}\t{:.7f}".format(*point) if is_present else "\t\t" for point, is_present in row_points
            ]
            end = "" if present[row, -1] else "\t"  # OpenSim drops an empty last cell, and then misses a column
            file.write(f"{row + 1}\t{times[row]:.8f}\t" + "\t".join(cells) + end + "\n")


def read_trc(path: str | Path) -> Markers:
    """Read a `.trc` in metres, centimetres or millimetres.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    MotionFileError
        The file is missing, not a `.trc`, in unknown units, has text in place of numbers, or time that does not
        increase.
    """
    path = Path(path)
    try:
        lines = path.read_bytes().decode("utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise MotionFileError(f"cannot read {path} ({error.strerror})") from error
    if len(lines) < 5 or not lines[0].startswith("PathFileType"):
        raise MotionFileError(f"{path} is not a .trc file (it does not begin with PathFileType)")
    header = dict(zip(lines[1].split(), lines[2].split(), strict=False))
    unit = header.get("Units", "").lower()
    if unit not in METERS_PER_UNIT:
        raise MotionFileError(f"{path} is in {unit or 'no stated'} units", "Use m, cm or mm")
    names = tuple(name.strip() for name in lines[3].split("\t")[2:] if name.strip())

    times, rows = [], []
    for number, line in enumerate(lines[5:], 6):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split("\t")]
        cells += [""] * (2 + 3 * len(names) - len(cells))  # cells at the end of a line may be missing
        try:
            times.append(float(cells[1]))
            rows.append([float(cell) if cell else np.nan for cell in cells[2 : 2 + 3 * len(names)]])
        except ValueError as error:
            raise MotionFileError(f"{path}, line {number}: {error}") from None
        if len(times) > 1 and times[-1] <= times[-2]:
            raise MotionFileError(f"{path}, line {number}: time {times[-1]:g} s is not after {times[-2]:g} s")
    if not rows or not names:
        raise MotionFileError(f"{path} holds no markers", "It was probably not written completely")
    positions = METERS_PER_UNIT[unit] * np.array(rows).reshape(len(rows), len(names), 3)
    return Markers(np.array(times), names, positions)
