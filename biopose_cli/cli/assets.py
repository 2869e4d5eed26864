"""`biopose assets`: fetch and check what does not come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer()


@app.command()
def assets(
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Folder with the files, for a machine without network.", show_default="network"),
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Only check what is there.")] = False,
    weights: Annotated[Literal["heavy", "full", "lite", "all"], typer.Option(help="Which keypoint network.")] = "heavy",
) -> None:
    """Fetch the networks' weights into the user's cache, or verify them."""
    from biopose_cli.cli.display import Display
    from biopose_cli.cli.tables import print_assets
    from biopose_cli.io import assets as store

    if not verify:
        with Display() as display:
            store.ensure(store.required_assets(weights), display, source)
    intact = print_assets(store.verify())
    if verify and not intact:
        raise typer.Exit(1)
