"""The command line: all commands together, and one clear line for every error."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from biopose_cli import __version__
from biopose_cli.cli import assets, bench, check, compare, doctor, evaluate, import_mesh, info, run, stages, train
from biopose_cli.errors import describe_error, print_error

app = typer.Typer(
    name="biopose",
    help="One ordinary video of a moving person in, OpenSim files out: joint angles (.mot), a scaled skeleton "
    "(.osim) and virtual markers (.trc).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (run, stages, import_mesh, compare, info, assets, doctor, check, bench, train, evaluate):
    app.add_typer(command.app)
# Typer ships its parser privately, so the base class of the parser's own errors is reached from a public one.
_ParserError: type[Exception] = typer.BadParameter.__mro__[2]
_INTERRUPTED = 130


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(f"biopose {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line: one clear line on stderr for every error, exit code 2 for a user's, 1 for a failure."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a console's or pipe's encoding may lack a file name's letters
            stream.reconfigure(errors="backslashreplace")
    sys.exit(_run_guarded())


def _run_guarded() -> int:
    try:
        code = int(app(standalone_mode=False) or 0)
        if code == _INTERRUPTED:  # typer has turned Ctrl-C into this
            raise KeyboardInterrupt
        return code
    except (KeyboardInterrupt, typer.Abort):
        print_error("interrupted; finished stages are kept, run the same command again to go on")
        return _INTERRUPTED
    except _ParserError as error:
        if message := getattr(error, "format_message", error.__str__)():  # empty: the help was printed instead
            print_error(message + _value_source(error))
        return 2
    except Exception as error:
        message, code = describe_error(error)
        print_error(message)
        return code


def _value_source(error: Exception) -> str:
    """Where a refused value comes from, when that is the config file."""
    context: typer.Context | None = getattr(error, "ctx", None)
    option = getattr(error, "param", None)
    if context is not None and option is not None:
        source = context.get_parameter_source(option.name)
        if source is not None and source.name == "DEFAULT_MAP":
            return f" (in {context.params['config']})"
    return ""
