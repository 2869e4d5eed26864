"""`biopose info`: what is read from a video file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from biopose_cli.cli.options import Json

app = typer.Typer()


@app.command()
def info(
    video: Annotated[Path, typer.Argument(metavar="VIDEO", help="A video file.", show_default=False)],
    json_output: Json = False,
) -> None:
    """Show what BioPose reads from a video file."""
    from biopose_cli.cli.tables import print_facts
    from biopose_cli.io.video.describe import describe
    from biopose_cli.io.video.probe import probe

    facts = describe(probe(video))
    typer.echo(json.dumps(facts, indent=2)) if json_output else print_facts(facts)
