"""The commands beside the pipeline: `biopose compare`, `info`, `assets` and `doctor`. Parse, call, print."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from biopose_cli.cli.options import Json
from biopose_cli.errors import MotionFileError, OutputError, SettingError

if TYPE_CHECKING:
    from biopose_cli.io.storage import Motion

utilities_app = typer.Typer()


@utilities_app.command()
def compare(
    estimate: Annotated[
        Path,
        typer.Argument(metavar="EST.mot", help="The motion to judge (.mot or .sto).", show_default=False),
    ],
    reference: Annotated[
        Path, typer.Argument(metavar="REF.mot", help="The motion to trust.", show_default=False)
    ],
    shift: Annotated[
        float | None, typer.Option(help="Seconds added to EST's times.", show_default="found by correlation")
    ] = None,
    time_range: Annotated[
        tuple[float, float] | None,
        typer.Option("--range", help="Compare only from T0 to T1 of REF, s.", show_default="overlap"),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="PNG of the curves.", show_default="beside EST")] = None,
    json_output: Json = False,
) -> None:
    """Validate one motion against another: errors per joint angle, in degrees."""
    from biopose_cli.cli import console
    from biopose_cli.io.storage import read_motion
    from biopose_cli.metrics.compare import compare as compare_motions
    from biopose_cli.metrics.compare import plot as plot_curves

    if time_range is not None and not 0 <= time_range[1] - time_range[0] < math.inf:
        raise SettingError(
            f"--range {time_range[0]:g} {time_range[1]:g} is impossible",
            "Give T0, then a later T1, in seconds",
        )
    if shift is not None and not math.isfinite(shift):
        raise SettingError(
            f"--shift {shift:g} is impossible", "Give seconds; 0 means that both have the same clock"
        )
    estimate_std, std_notes = _read_std(estimate)
    comparison = compare_motions(
        read_motion(estimate), read_motion(reference), shift, time_range, estimate_std
    )
    comparison = replace(comparison, notes=(*comparison.notes, *std_notes))
    plot_path = plot or estimate.with_name(f"{estimate.stem}_vs_{reference.stem}.png")
    if json_output:
        typer.echo(json.dumps(comparison.as_json(), indent=2))
    else:
        console.print_comparison(comparison, plot_path)
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


@utilities_app.command()
def info(
    video: Annotated[Path, typer.Argument(help="A video file.", show_default=False)],
    json_output: Json = False,
) -> None:
    """What biopose reads from a video file."""
    from biopose_cli.cli import console
    from biopose_cli.io.video.describe import describe
    from biopose_cli.io.video.probe import probe

    facts = describe(probe(video))
    typer.echo(json.dumps(facts, indent=2)) if json_output else console.print_facts(facts)


@utilities_app.command()
def assets(
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", help="Folder with the files, for a machine without network.", show_default="network"
        ),
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Only check what is there.")] = False,
    weights: Annotated[
        Literal["heavy", "full", "lite", "all"], typer.Option(help="Which keypoint network.")
    ] = "heavy",
) -> None:
    """Fetch the networks' weights into the user's cache, or verify them."""
    from biopose_cli.cli import console
    from biopose_cli.io import assets as store

    if not verify:
        with console.Display() as display:
            store.ensure(store.required_assets(weights), display, source)
    intact = console.print_assets(store.verify())
    if verify and not intact:
        raise typer.Exit(1)


@utilities_app.command()
def doctor(json_output: Json = False) -> None:
    """Check the installation, and say what to do about each failure."""
    from biopose_cli.cli import console
    from biopose_cli.pipeline.doctor import run_checks

    checks = run_checks()
    if json_output:
        typer.echo(json.dumps([check.as_json() for check in checks], indent=2))
    else:
        console.print_checks(checks)
    if not all(check.ok for check in checks):
        raise typer.Exit(1)
