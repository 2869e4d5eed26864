"""`biopose check`: results judged by OpenSim."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from biopose_cli.cli.options import Json, Quiet
from biopose_cli.cli.report import print_report

app = typer.Typer()


@app.command()
def check(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="FOLDER", help="Folders of clips, such as results/walk.", show_default=False),
    ],
    json_output: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check results with OpenSim: it reads every file, and its inverse kinematics gives the same angles.

    The exit code is 1 if something is wrong.
    """
    from biopose_cli.benchmarks import opensim_files
    from biopose_cli.cli.display import Display

    with Display(quiet=quiet or json_output) as display:
        report = opensim_files.check(folders, display)
    print_report(report, opensim_files.format_report, json_output)
    if not report["ok"]:
        raise typer.Exit(1)
