"""`biopose doctor`: check an installation."""

from __future__ import annotations

import json

import typer

from biopose_cli.cli.options import Json

app = typer.Typer()


@app.command()
def doctor(json_output: Json = False) -> None:
    """Check the installation, and show a remedy for each failure."""
    from biopose_cli.cli.tables import print_checks
    from biopose_cli.pipeline.doctor import run_checks

    checks = run_checks()
    if json_output:
        typer.echo(json.dumps([check.as_json() for check in checks], indent=2))
    else:
        print_checks(checks)
    if not all(check.ok for check in checks):
        raise typer.Exit(1)
