"""Tables of the measuring commands on a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

_METHOD_NAMES = {
    "network": "network alone",
    "network_plus_solver": "network + solver",
    "solver_from_markers": "solver, scales too",
    "solver": "solver alone",
    "opensim": "OpenSim IK",
}


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
        "network ahead deg",
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
                _paired_gain(figures.get("network_ahead"), report["people"]),
            )
        table.add_section()
    Console(highlight=False).print(table)


def _paired_gain(figures: dict[str, Any] | None, people: int) -> str:
    """By how much, with its standard error, and on how many people."""
    if figures is None:
        return ""
    return f"{figures['by_deg']:.2f} ± {figures['standard_error_deg']:.2f} ({figures['people']}/{people})"


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
        table.add_column(
            column, justify="left" if column in {"markers", "method", "trial", "angle"} else "right"
        )
    return table
