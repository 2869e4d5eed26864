"""Joint angles as tables: tidy for pandas, wide for spreadsheets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from biopose_cli.io.atomic import atomic_write
from biopose_cli.io.results import JointKinematics
from biopose_cli.typing import Array

STD_SUFFIX = "_sd"  # of a column's name in a file


def tidy_table(kinematics: JointKinematics) -> pd.DataFrame:
    """What `JointKinematics.to_dataframe` returns: time, coordinate, value, unit, std."""
    frames, names = len(kinematics.time), [str(name) for name in kinematics.coordinates]
    std, nothing = kinematics.std_deg, np.full(frames, np.nan)
    columns = {
        "time": np.tile(kinematics.time, len(names)),
        "coordinate": np.repeat(names, frames),
        "value": _valid_values(kinematics).T.ravel(),
        "unit": np.repeat([_unit(kinematics, i) for i in range(len(names))], frames),
        "std": np.concatenate([std.get(name, nothing) for name in names]),
    }
    return pd.DataFrame(columns)


def wide_table(kinematics: JointKinematics) -> pd.DataFrame:
    """One row per frame: `time` (s), a column per coordinate in the units of motion files (degrees, m, coupled
    coordinates in rad), and `NAME_sd` (degrees) for every angle whose standard deviation is known. NaN in frames
    without angles."""
    names = [str(name) for name in kinematics.coordinates]
    columns = {"time": kinematics.time} | dict(zip(names, _valid_values(kinematics).T, strict=True))
    columns |= {name + STD_SUFFIX: values for name, values in kinematics.std_deg.items()}
    return pd.DataFrame(columns)


def write_angles_csv(path: Path, kinematics: JointKinematics) -> None:
    """Write `wide_table` as comma-separated UTF-8, six decimals; cells without a value are empty.

    Raises
    ------
    DiskFullError, OutputError
    """
    table = wide_table(kinematics)
    with atomic_write(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6f", lineterminator="\n", encoding="utf-8")


def _valid_values(kinematics: JointKinematics) -> Array:
    """(T, D) in the units of motion files, NaN in frames without angles."""
    return np.where(kinematics.valid[:, None], kinematics.file_values, np.nan)


def _unit(kinematics: JointKinematics, column: int) -> str:
    if kinematics.rotational[column]:
        return "deg"
    return "rad" if str(kinematics.coordinates[column]).endswith("_beta") else "m"
