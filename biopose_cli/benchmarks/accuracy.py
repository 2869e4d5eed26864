"""Several motions against one reference, as `biopose compare EST.mot REF.mot --shift 0` does for one of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from biopose_cli.benchmarks.markdown import markdown_table
from biopose_cli.errors import MotionFileError
from biopose_cli.io.storage import read_motion
from biopose_cli.metrics.compare import GROUPS, compare

_LEG_KEYS = ("mae", "mae_offset_removed", "rmse", "r")
_COORDINATE_KEYS = ("mae", "mae_offset_removed")


def evaluate(reference: Path, estimates: Sequence[Path]) -> dict[str, Any]:
    """Errors of the legs by motion, and of each leg angle.

    Returns
    -------
    dict
        `clips`: by file name without ending, and `mean`: `mae`, `mae_offset_removed`, `rmse` (degrees) and `r` of the
        legs. `coordinates`: by leg angle that all have, `mae` and `mae_offset_removed`, by clip and `mean`.

    Raises
    ------
    MotionFileError
        A file cannot be read, has no leg angle in common with the reference, or two have one name.
    """
    truth = read_motion(reference)
    comparisons = {}
    for path in estimates:
        if path.stem in comparisons:
            raise MotionFileError(
                f"two motions are called {path.stem}", "Rename one, so that the rows can be told apart"
            )
        comparison = compare(read_motion(path), truth, shift=0.0)
        if "legs" not in comparison.groups:
            raise MotionFileError(f"{path} has no leg angle in common with {reference}", "Compare whole-body motions")
        comparisons[path.stem] = comparison
    legs = {name: {key: one.groups["legs"][key] for key in _LEG_KEYS} for name, one in comparisons.items()}
    coordinates = {}
    for coordinate in GROUPS["legs"]:
        if all(coordinate in one.coordinates for one in comparisons.values()):
            figures = {
                name: {key: one.coordinates[coordinate][key] for key in _COORDINATE_KEYS}
                for name, one in comparisons.items()
            }
            coordinates[coordinate] = {"clips": figures, "mean": _mean(list(figures.values()))}
    return {"clips": legs, "mean": _mean(list(legs.values())), "coordinates": coordinates}


def _mean(figures: list[dict[str, Any]]) -> dict[str, float]:
    return {key: float(np.mean([np.nan if clip[key] is None else clip[key] for clip in figures])) for key in figures[0]}


def format_report(report: dict[str, Any]) -> str:
    """Two Markdown tables: the legs by clip, and each leg angle."""

    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.2f}"

    def pair(figures: dict[str, float]) -> str:
        return f"{figures['mae']:.1f} / {figures['mae_offset_removed']:.1f}"

    legs = markdown_table(
        ("clip", "legs MAE", "offset removed", "RMSE", "r"),
        [
            (name, *(number(figures[key]) for key in _LEG_KEYS))
            for name, figures in (*report["clips"].items(), ("**mean**", report["mean"]))
        ],
    )
    angles = markdown_table(
        ("coordinate, MAE / offset removed", *report["clips"], "mean"),
        [
            (name, *map(pair, figures["clips"].values()), pair(figures["mean"]))
            for name, figures in report["coordinates"].items()
        ],
    )
    return f"{legs}\n\n{angles}"
