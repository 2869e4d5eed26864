"""`biopose compare`: one motion against another."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from biopose_cli.cli.options import Json
from biopose_cli.errors import MotionFileError, OutputError, SettingError

if TYPE_CHECKING:
    from biopose_cli.io.storage import Motion

app = typer.Typer()


@app.command()
def compare(
    estimate: Annotated[
        Path,
        typer.Argument(metavar="EST.mot", help="The estimated motion (.mot or .sto).", show_default=False),
    ],
    reference: Annotated[
        Path, typer.Argument(metavar="REF.mot", help="The reference motion (.mot or .sto).", show_default=False)
    ],
    shift: Annotated[
        float | None, typer.Option(help="Seconds to add to the times of EST.", show_default="found by correlation")
    ] = None,
    time_range: Annotated[
        tuple[float, float] | None,
        typer.Option(
            "--range",
            help="Compare only between these two times of REF, in seconds.",
            show_default="where both have data",
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="PNG file for the plot of the curves.", show_default="beside EST")
    ] = None,
    json_output: Json = False,
) -> None:
    """Compare one motion with another: errors of each joint angle, in degrees."""
    from biopose_cli.cli.tables import print_comparison
    from biopose_cli.io.storage import read_motion
    from biopose_cli.metrics.compare import compare as compare_motions
    from biopose_cli.metrics.compare import plot as plot_curves

    if time_range is not None and not 0 <= time_range[1] - time_range[0] < math.inf:
        raise SettingError(
            f"--range {time_range[0]:g} {time_range[1]:g} is impossible",
            "Give T0, then a later T1, in seconds",
        )
    if shift is not None and not math.isfinite(shift):
        raise SettingError(f"--shift {shift:g} is impossible", "Give seconds; 0 means that both have the same clock")
    estimate_std, std_notes = _read_std(estimate)
    comparison = compare_motions(read_motion(estimate), read_motion(reference), shift, time_range, estimate_std)
    comparison = replace(comparison, notes=(*comparison.notes, *std_notes))
    plot_path = plot or estimate.with_name(f"{estimate.stem}_vs_{reference.stem}.png")
    if json_output:
        typer.echo(json.dumps(comparison.as_json(), indent=2))
    else:
        print_comparison(comparison, plot_path)
    try:
        plot_curves(comparison, plot_path)
    except OutputError as error:
        raise OutputError(error.message, "Choose another place for the picture with --plot") from error


def _read_std(estimate: Path) -> tuple[Motion | None, tuple[str, ...]]:
    """The standard deviations beside a motion, if there are any, and what is odd about them: nobody named that file, so
    it stops nothing."""
    from biopose_cli.io.storage import read_motion

    std_path = estimate.with_name(f"{estimate.stem}_sd.sto")
    if not std_path.is_file():
        return None, ()
    try:
        std = read_motion(std_path)
    except MotionFileError as error:
        return None, (f"no standard deviations: {error.message}",)
    return std, (f"SD: standard deviations from {std_path}", *std.warnings)
