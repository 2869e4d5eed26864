"""What a body's pose may be: ranges of the joints and a normal prior, both on rotation vectors of `MOVING[1:]`."""

from __future__ import annotations

import numpy as np

from biopose_cli.artifact import Array
from biopose_cli.mesh.kinematics import read_table
from biopose_cli.mesh.terms import Limits, PosePrior

_LIMIT_SIGMA = np.radians(3.0)


def limits(weight: Array) -> Limits:
    """The ranges of `data/limits.csv`, soft over 3 degrees; `weight` (T)."""
    rows = read_table("limits.csv")
    lower = np.radians([[float(row[f"{a}_min"]) for a in "xyz"] for row in rows])
    upper = np.radians([[float(row[f"{a}_max"]) for a in "xyz"] for row in rows])
    return Limits(lower, upper, _LIMIT_SIGMA, weight)


def mean_pose() -> Array:
    """(21,3) rad."""
    return np.radians([[float(row[f"{a}_mean"]) for a in "xyz"] for row in read_table("limits.csv")])


def pose_prior(weight: Array) -> PosePrior:
    """Independent normals, `data/limits.csv`; `weight` (T)."""
    rows = read_table("limits.csv")
    spread = np.radians([[float(row[f"{a}_sd"]) for a in "xyz"] for row in rows])
    return PosePrior(mean_pose(), np.diag(1 / spread.reshape(-1)), weight)
