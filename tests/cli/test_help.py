"""The help of every command."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer

from biopose_cli.cli.main import app
from tests.conftest import Call


def _commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from _commands(inner, (*path, name))


COMMANDS = dict(_commands(typer.main.get_command(app)))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_and_option_has_a_help_text(biopose: Call, path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    assert command.help
    for parameter in command.params:
        if parameter.param_type_name == "option" and parameter.name not in {"help"}:
            assert parameter.help and parameter.help.rstrip(" .").strip(), parameter.name
    code, out, error = biopose(*path, "--help")
    assert (code, error) == (0, "")
    assert "Usage" in out


def test_every_command_of_the_documents_is_there() -> None:
    evaluations = ("clips", "trial", "crops", "table", "uncertainty", "residuals", "neurik", "mqhmr")
    wanted: set[tuple[str, ...]] = {("evaluate", name) for name in evaluations} | {
        ("train", "mqhmr"),
        ("train", "neurik"),
        ("bench", "ik"),
    }
    wanted |= {(name,) for name in ("run", "import-mesh", "compare", "info", "assets", "doctor", "check", "bench")}
    assert wanted <= COMMANDS.keys()
