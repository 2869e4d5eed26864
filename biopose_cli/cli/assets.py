"""`biopose assets`: fetch and check what does not come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from biopose_cli.cli.options import expand_user_option

app = typer.Typer()


@app.command()
def assets(
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Folder with the files, for a machine without a network.",
            show_default="fetched from the network",
            callback=expand_user_option,
        ),
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Check the files, fetch nothing.")] = False,
    weights: Annotated[
        Literal["heavy", "full", "lite", "all"], typer.Option(help="Keypoint network to fetch.")
    ] = "heavy",
    samples: Annotated[
        bool, typer.Option("--samples", help="Fetch nine real sample videos (16 MB) instead of the weights.")
    ] = False,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="With --samples: folder for the videos.", callback=expand_user_option),
    ] = Path("sample_videos/fetched"),
) -> None:
    """Fetch the keypoint network's weights into the user's cache or verify them, or fetch the sample videos."""
    from biopose_cli.cli.display import Display
    from biopose_cli.cli.tables import print_assets
    from biopose_cli.io import assets as store
    from biopose_cli.io.samples import fetch_samples

    if samples:
        with Display() as display:
            paths = fetch_samples(out, display, source)
        typer.echo(f"sample videos in {out}: {', '.join(path.name for path in paths)}")
        return
    if not verify:
        with Display() as display:
            store.ensure(store.required_assets(weights), display, source)
    intact = print_assets(store.verify())
    if verify and not intact:
        raise typer.Exit(1)
