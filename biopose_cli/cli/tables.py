"""Tables of the other commands on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from biopose_cli.io.assets import Status
    from biopose_cli.metrics.compare import Comparison
    from biopose_cli.pipeline.doctor import Check

_METHOD_NAMES = {
    "network": "network alone",
    "network_plus_solver": "network + solver",
    "solver_from_markers": "solver, scales too",
    "solver": "solver alone",
    "opensim": "OpenSim IK",
}


def print_comparison(comparison: Comparison, plot_path: Path) -> None:
    """Errors by coordinate and group, in degrees."""
    console = Console(highlight=False)
    columns = {
        "MAE": "mae",
        "RMSE": "rmse",
        "MAE, offset\nremoved": "mae_offset_removed",
        "r": "r",
        "ROM\nerror": "rom_error",
    }
    if np.isfinite(comparison.estimate_std).any():
        columns |= {"SD": "sd", "within\n2 SD": "within_two_sd"}
    report = comparison.as_json()
    table = Table(box=None, title=f"degrees; EST shifted by {report['shift_s']:+.3f} s", title_justify="left")
    table.add_column("coordinate", min_width=max(map(len, report["coordinates"])))
    for column in columns:
        table.add_column(column, justify="right")
    for kind in ("coordinates", "groups"):
        for name, figures in report[kind].items():
            table.add_row(
                name, *("" if figures.get(key) is None else f"{figures[key]:.2f}" for key in columns.values())
            )
        if kind == "coordinates":
            table.add_section()
            table.add_row(Text("mean of each group", style="bold"))
    console.print(table)
    for note in (*comparison.notes, f"curves: {plot_path}"):
        console.print(note, markup=False, soft_wrap=True)


def print_facts(facts: dict[str, Any]) -> None:
    """A two-column table of names and values."""
    table = Table(show_header=False, box=None)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(Text(name), Text("unknown" if value is None else str(value)))
    Console(highlight=False).print(table)


def print_assets(states: Sequence[Status]) -> bool:
    """One line a weights file; returns whether all are intact."""
    for state in states:
        mark = "[green]ok[/]" if state.ok else "[red]FAILED[/]"
        Console(highlight=False).print(f"{mark}  {escape(state.name)}: {escape(state.detail)}", soft_wrap=True)
    return all(state.ok for state in states)


def print_checks(checks: Sequence[Check]) -> None:
    """One line a check: whether it holds, what was found, and what to do where it does not."""
    table = Table(show_header=False, box=None)
    for overflow in ("ellipsis", "ellipsis", "fold"):
        table.add_column(overflow=overflow)
    for check in checks:
        mark = Text("ok", style="green") if check.ok else Text("FAILED", style="red")
        table.add_row(
            mark,
            Text(check.name, style="bold"),
            Text(check.found if check.ok else f"{check.found}. {check.remedy}"),
        )
    Console(highlight=False).print(table)


def print_bench(report: dict[str, Any]) -> None:
    """Frames/s and peak memory per stage."""
    table = Table(box=None, title=f"{report['video']}: {report['frames']} frames", title_justify="left")
    for column in ("stage", "seconds", "frames/s", "peak memory, MB"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for row in report["stages"]:
        rate = "" if row["frames_per_s"] is None else f"{row['frames_per_s']:.1f}"
        table.add_row(row["stage"], f"{row['seconds']:.1f}", rate, f"{row['peak_memory_mb']:.0f}")
    Console(highlight=False).print(table)


def print_evaluation(report: dict[str, Any]) -> None:
    """Errors and frames/s by level of noise and method, as in the paper's Table 2."""
    title = f"{report['people']} held-out people, {report['frames']} frames"
    table = _table(
        title,
        "markers",
        "noise mm",
        "method",
        "MAE_angle deg",
        "MPBLPE mm",
        "rooted mm",
        "MAE_body mm",
        "frames/s",
        "gain over method deg",
    )
    for level, methods in report["levels"].items():
        for method, figures in methods.items():
            table.add_row(
                level,
                f"{report['marker_rms_mm'][level]:.1f}",
                _METHOD_NAMES[method],
                f"{figures['mae_angle_deg']:.2f}",
                f"{figures['mpblpe_mm']:.1f}",
                f"{figures['mpblpe_rooted_mm']:.1f}",
                f"{figures['mae_body_mm']:.2f}",
                f"{figures['frames_per_s']:.0f}",
                _paired_gain(figures.get("network_gain"), report["people"]),
            )
        table.add_section()
    Console(highlight=False).print(table)


def _paired_gain(figures: dict[str, Any] | None, people: int) -> str:
    """By how much, with its standard error, and on how many people."""
    if figures is None:
        return ""
    return f"{figures['mean_deg']:.2f} ± {figures['standard_error_deg']:.2f} ({figures['people']}/{people})"


def print_ik(report: dict[str, Any]) -> None:
    """The solver beside OpenSim's inverse kinematics, trial by trial."""
    table = _table(
        "Solver / OpenSim's InverseKinematicsTool",
        "trial", "frames", "frames/s", "OpenSim", "ratio", "marker rms mm", "OpenSim", "angle error deg", "OpenSim",
    )  # fmt: skip

    def error(value: float | None) -> str:
        return "" if value is None else f"{value:.3f}"

    for row in (*report["trials"], {"name": "mean", "frames": ""} | report["mean"]):
        table.add_row(
            row["name"],
            str(row["frames"]),
            f"{row['frames_per_s']:.0f}",
            f"{row['opensim_frames_per_s']:.0f}",
            f"{row['ratio']:.1f}",
            f"{row['marker_rms_mm']:.3f}",
            f"{row['opensim_marker_rms_mm']:.3f}",
            error(row["angle_error_deg"]),
            error(row["opensim_angle_error_deg"]),
        )
    Console(highlight=False).print(table)
    rate = report["kinematics_frames_per_s"]
    Console(highlight=False).print(f"Forward kinematics of the default skeleton: {rate:.0f} frames/s")


def print_stage(report: dict[str, Any]) -> None:
    """The neurik stage on a long clip."""
    table = _table("neurik stage", "frames", "seconds", "frames/s", "first call s", "marker rms mm")
    table.add_row(
        str(report["frames"]),
        f"{report['seconds']:.2f}",
        f"{report['frames_per_s']:.0f}",
        f"{report['first_s']:.2f}",
        f"{report['marker_rms_mm']:.2f}",
    )
    Console(highlight=False).print(table)


def print_trials(trials: list[dict[str, Any]]) -> None:
    """The legs of reference trials: the stage on the fitted body against the trial's own angles."""
    table = _table(
        "Legs against the trial's own angles, degrees",
        "trial", "frames", "MAE", "offset removed", "body fit mm", "skeleton mm", "frames/s",
    )  # fmt: skip
    for trial in trials:
        legs = trial["legs"]
        table.add_row(
            trial["name"],
            str(trial["frames"]),
            f"{legs['mae']:.2f}",
            f"{legs['mae_offset_removed']:.2f}",
            f"{trial['fit_rms_mm']:.1f}",
            f"{trial['residual_mm']:.1f}",
            f"{trial['frames_per_s']:.0f}",
        )
    Console(highlight=False).print(table)
    for trial in trials:
        table = _table(f"{trial['name']}, degrees", "angle", "MAE", "offset", "offset removed")
        for name, figures in trial["coordinates"].items():
            values = (figures["mae"], figures["offset"], figures["mae_offset_removed"])
            table.add_row(name, *(f"{value:.1f}" for value in values))
        Console(highlight=False).print(table)


def _table(title: str, *columns: str) -> Table:
    table = Table(box=None, title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="left" if column in {"markers", "method", "trial", "angle"} else "right")
    return table
