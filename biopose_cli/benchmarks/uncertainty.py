"""Calibration of the standard deviations in `NAME_sd.sto`, measured against known joint angles.

If they are right and the errors normal, 68 % of the errors are within one and 95 % within two of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from biopose_cli.benchmarks.markdown import markdown_table
from biopose_cli.errors import MotionFileError, SettingError
from biopose_cli.io.storage import read_motion
from biopose_cli.metrics.compare import compare
from biopose_cli.typing import Array

ANGLES = (
    "pelvis_tilt", "pelvis_list", "hip_flexion", "hip_adduction", "hip_rotation", "knee_angle", "ankle_angle",
    "lumbar_extension", "lumbar_bending", "lumbar_rotation", "arm_flex", "arm_add", "arm_rot", "elbow_flex",
)  # fmt: skip


def evaluate(motions: Sequence[Path], truth: Path) -> dict[str, Any]:
    """Errors and standard deviations of every angle, both sides together, over all frames of the clips.

    Parameters
    ----------
    motions
        `NAME.mot` files, each with its `NAME_sd.sto` beside it.
    truth
        The folder with a `NAME_truth.mot` for each of them, on the same clock.

    Returns
    -------
    dict
        `clips`: their number. `angles`: by angle, `error_deg` (mean absolute), `sd_deg` (mean), and `within_one_sd` and
        `within_two_sd`, fractions of the frames.

    Raises
    ------
    SettingError
        `truth` is no folder.
    MotionFileError
        A motion, its standard deviations or its truth is missing or unreadable, or no angle is in all of them.
    """
    if not truth.is_dir():
        raise SettingError(f"--truth: there is no folder {truth}", "Name the folder with the NAME_truth.mot files")
    errors: dict[str, list[Array]] = defaultdict(list)
    for path in motions:
        _collect(path, truth / f"{path.stem}_truth.mot", errors)
    angles = {}
    for angle in filter(errors.__contains__, ANGLES):
        error, std = np.concatenate(errors[angle], axis=1)
        angles[angle] = {
            "error_deg": float(error.mean()),
            "sd_deg": float(std.mean()),
            "within_one_sd": float(np.mean(error <= std)),
            "within_two_sd": float(np.mean(error <= 2 * std)),
        }
    if not angles:
        raise MotionFileError(
            "the motions and their truth have no angle of the default skeleton in common", f"Such as {ANGLES[2]}_r"
        )
    return {"clips": len(motions), "angles": angles}


def _collect(path: Path, gt_path: Path, errors: dict[str, list[Array]]) -> None:
    """Add a clip's absolute errors and their standard deviations (2, T), degrees, to those of its angles."""
    estimate, reference, estimate_std = (
        read_motion(file) for file in (path, gt_path, path.with_name(f"{path.stem}_sd.sto"))
    )
    comparison = compare(estimate, reference, 0.0, estimate_std=estimate_std)
    error = np.abs(comparison.estimate - comparison.reference)
    for i, name in enumerate(comparison.coordinates):
        if (angle := name.removesuffix("_r").removesuffix("_l")) in ANGLES:
            errors[angle].append(np.stack([error[:, i], comparison.estimate_std[:, i]]))


def format_report(report: dict[str, Any]) -> str:
    """A Markdown table, one row an angle."""
    return markdown_table(
        ("angle", "error", "standard deviation", "within one", "within two"),
        [
            (
                angle,
                f"{figures['error_deg']:.1f}",
                f"{figures['sd_deg']:.1f}",
                f"{figures['within_one_sd']:.2f}",
                f"{figures['within_two_sd']:.2f}",
            )
            for angle, figures in report["angles"].items()
        ],
    )
