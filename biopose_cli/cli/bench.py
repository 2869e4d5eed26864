"""`biopose bench`: speed and memory on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from biopose_cli.cli.options import IkIterations, Json, Trials, Weights


class _DefaultToStages(TyperGroup):
    """`biopose bench [VIDEO]` is `biopose bench stages [VIDEO]`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in {*self.commands, *ctx.help_option_names}:
            args = ["stages", *args]
        return list(super().parse_args(ctx, args))


app = typer.Typer(
    name="bench",
    cls=_DefaultToStages,
    help="Measure speed and memory on this machine; without a command, of all stages.",
)


@app.command()
def stages(
    video: Annotated[
        Path | None, typer.Argument(metavar="[VIDEO]", help="A video file.", show_default="the embedded clip")
    ] = None,
    weights: Weights = "heavy",
    json_output: Json = False,
) -> None:
    """Measure the frames/s and the peak memory of every stage, as `biopose bench` without a command does."""
    from biopose_cli.benchmarks.run_speed import bench_stages
    from biopose_cli.cli import tables
    from biopose_cli.cli.display import Display

    with Display() as display:
        rows = bench_stages(video, weights, display)
    typer.echo(json.dumps(rows, indent=2)) if json_output else tables.print_bench(rows)


@app.command()
def ik(trials: Trials = None, json_output: Json = False) -> None:
    """Compare the solver with OpenSim's inverse kinematics, on the same model and markers."""
    from biopose_cli.benchmarks.ik_speed import bench_ik
    from biopose_cli.cli import tables
    from biopose_cli.cli.display import Display

    with Display() as display:
        report = bench_ik(trials, display)
    typer.echo(json.dumps(report, indent=2)) if json_output else tables.print_ik(report)


@app.command()
def neurik(
    frames: Annotated[int, typer.Option(help="Length of the clip, in frames.", min=1)] = 2000,
    iterations: IkIterations = None,
    json_output: Json = False,
) -> None:
    """Measure the frames/s of the neurik stage on a long clip: scaling, network and solver."""
    from biopose_cli.benchmarks.stage_speed import bench_neurik
    from biopose_cli.cli import tables
    from biopose_cli.cli.display import Display
    from biopose_cli.settings import Settings

    with Display() as display:
        report = bench_neurik(frames, Settings(ik_iterations=iterations), display)
    typer.echo(json.dumps(report, indent=2)) if json_output else tables.print_stage(report)
