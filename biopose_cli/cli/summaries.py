"""The closing table of a run, and the same as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from biopose_cli.io.results import LEG_COORDINATES, JointKinematics
from biopose_cli.pipeline.result import Result


def print_summary(result: Result) -> None:
    """Files, frames, person, quality and warnings of one video; for a stage run alone, its file."""
    console = Console(highlight=False)
    if "export" not in result.artifacts:
        console.print(f"wrote {result.stage_file(result.steps[-1].step)}", markup=False, soft_wrap=True)
        for warning in result.warnings:
            console.print(f"warning: {warning}", markup=False, soft_wrap=True)
        return
    table = Table(title=str(result.folder), title_justify="left", title_style="bold", show_header=False, box=None)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for label, text in (*_frame_rows(result), *_quality_rows(result)):
        table.add_row(label, Text(text))
    for warning in result.warnings:
        table.add_row(Text("warning", style="yellow"), Text(warning))
    console.print(table)


def _frame_rows(result: Result) -> list[tuple[str, str]]:
    detection, kinematics = result.detection, result.kinematics
    flags = {
        "measured": int(detection.visible.sum()),
        "filled": int(detection.interpolated.sum()),
        "left/right repaired": int(detection.swapped.sum()),
        "not visible": int((~kinematics.valid).sum()),
    }
    counts = ", ".join(f"{count} {name}" for name, count in flags.items() if count or name == "measured")
    return [
        ("files", ", ".join(path.name for path in result.files)),
        (
            "frames",
            f"{len(detection.time)} from {detection.time[0]:.2f} to {detection.time[-1]:.2f} s: {counts}",
        ),
        ("person", f"{detection.person} of {len(detection.people_box)}"),
    ]


def _quality_rows(result: Result) -> list[tuple[str, str]]:
    """The figures by which a user judges a run."""
    detection, refined, kinematics = result.detection, result.refined, result.kinematics
    person_height_px = float(np.nanmedian(detection.box[:, 3] - detection.box[:, 1]))
    pixels = float(np.nanmean(refined.reprojection_px))
    residual = 1000 * float(np.nanmean(kinematics.marker_residual[kinematics.valid]))
    return [
        ("stature", f"{refined.stature_m:.2f} m ({refined.stature_source})"),
        ("mass", f"{kinematics.mass_kg:.1f} kg ({kinematics.mass_source})"),
        ("focal", f"{detection.camera_matrix[0, 0]:.0f} px ({detection.focal_source})"),
        (
            "keypoints",
            (
                f"{pixels:.1f} px from the body's, "
                f"{100 * pixels / person_height_px:.1f} % of the person's height in the image"
            ),
        ),
        ("markers", f"{residual:.1f} mm from the skeleton's"),
        *_std_row(kinematics),
    ]


def _std_row(kinematics: JointKinematics) -> list[tuple[str, str]]:
    """Mean standard deviations of the legs' angles."""
    std_deg = kinematics.std_deg
    parts = []
    for angle in LEG_COORDINATES:
        sides = [std_deg[name] for name in (f"{angle}_r", f"{angle}_l") if name in std_deg]
        if sides:
            label = angle.removesuffix("_angle").replace("_", " ")
            parts.append(f"{label} {np.nanmean(sides):.0f}")
    return [("uncertainty", f"{', '.join(parts)} degrees (one standard deviation, mean)")] if parts else []


def result_as_json(result: Result) -> dict[str, Any]:
    """One video's results for `--json`."""
    report: dict[str, Any] = {
        "video": str(result.video),
        "folder": str(result.folder),
        "stages": [
            {"step": r.step, "stage": r.stage, "status": r.status, "seconds": round(r.seconds, 3)} for r in result.steps
        ],
        "warnings": list(result.warnings),
    }
    if "detect" in result.artifacts:
        report["frames"] = len(result.detection.time)
    if "export" in result.artifacts:
        report["files"] = [str(path) for path in result.files]
        report["summary"] = result.summary
    return report
