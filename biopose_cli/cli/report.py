"""A measurement's report: a table for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import typer


def print_report(report: dict[str, Any], as_text: Callable[[dict[str, Any]], str], json_output: bool) -> None:
    """Print a report on stdout: as JSON, or as `as_text` writes it."""
    typer.echo(json.dumps(report, indent=2) if json_output else as_text(report))
