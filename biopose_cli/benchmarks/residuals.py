"""The distance between skeleton and body markers, for the same clips under two settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from biopose_cli.benchmarks.markdown import markdown_table
from biopose_cli.errors import SettingError
from biopose_cli.io.results import JointKinematics


def evaluate(results: Path, other: Path) -> dict[str, Any]:
    """Marker residuals of the clips that two folders of results have in common.

    Returns
    -------
    dict
        `folders`: the two folders' names. `clips`: by clip, `frames` with a person, `residual_mm` (root mean square
        over frames and markers, one number a folder) and `angle_difference_deg` (mean absolute, over angles and
        frames).

    Raises
    ------
    SettingError
        A folder is missing, or they have no clip of the same length in common.
    ArtifactError
        A stage file is damaged.
    """
    for folder in (results, other):
        if not folder.is_dir():
            raise SettingError(f"there is no folder {folder}", "Name two folders that `biopose run --out` wrote")
    clips = {}
    for folder in sorted(results.iterdir()):
        paths = [out / folder.name / "stages" / "neurik.npz" for out in (results, other)]
        if all(path.is_file() for path in paths):
            first, second = (JointKinematics.load(path)[0] for path in paths)
            if first.q.shape != second.q.shape:
                raise SettingError(
                    f"{folder.name} has {len(first.q)} frames in {results} and {len(second.q)} in {other}, or another "
                    "skeleton",
                    "Run both with the same --start, --end and --model",
                )
            difference = (first.q - second.q)[:, first.rotational]
            angle_difference = np.degrees(np.abs((difference + np.pi) % (2 * np.pi) - np.pi))
            clips[folder.name] = {
                "frames": int(first.valid.sum()),
                "residual_mm": [1000 * float(np.sqrt(np.nanmean(j.marker_residual**2))) for j in (first, second)],
                "angle_difference_deg": float(np.nanmean(angle_difference)),
            }
    if not clips:
        raise SettingError(
            f"{results} and {other} have no clip in common", "Name two folders that `biopose run --out` wrote"
        )
    return {"folders": [results.name, other.name], "clips": clips}


def format_report(report: dict[str, Any]) -> str:
    """A Markdown table, one row a clip."""
    columns = ("clip", "frames", *(f"{name}, mm" for name in report["folders"]), "angles differ by, degrees")
    return markdown_table(
        columns,
        [
            (
                name,
                str(clip["frames"]),
                *(f"{value:.2f}" for value in clip["residual_mm"]),
                f"{clip['angle_difference_deg']:.2f}",
            )
            for name, clip in report["clips"].items()
        ],
    )
