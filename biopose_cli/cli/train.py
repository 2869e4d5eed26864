"""`biopose train`: the networks anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from biopose_cli.cli.options import (
    Device,
    Motion,
    Quiet,
    RunConfig,
    RunFolder,
    expand_user_option,
    require_motion,
)
from biopose_cli.cli.report import print_report
from biopose_cli.errors import SettingError
from biopose_cli.progress import Progress

app = typer.Typer(name="train", help="Train a network.", no_args_is_help=True)


@app.command("neurik")
def train_neurik(
    motion: Motion = None,
    out: RunFolder = Path("runs/neurik"),
    config: RunConfig = None,
    quiet: Quiet = False,
) -> None:
    """Train NeurIK: from virtual markers to joint angles and bone scales."""
    from biopose_cli.training import neurik

    _run_training(
        lambda display: neurik.train(
            neurik.read_config(config or neurik.DEFAULT_CONFIG), require_motion(motion), out, display
        ),
        quiet,
    )


@app.command("mqhmr")
def train_mqhmr(
    motion: Motion = None,
    out: RunFolder = Path("runs/mqhmr"),
    config: RunConfig = None,
    init_from: Annotated[
        Path | None,
        typer.Option(
            help="Weights to start from; the network may have more layers.",
            callback=expand_user_option,
            show_default="none",
        ),
    ] = None,
    backbone: Annotated[
        Path | None,
        typer.Option(
            help="Weights of a ViTPose or HMR2.0 backbone, from which the encoder starts.",
            callback=expand_user_option,
            show_default="none",
        ),
    ] = None,
    device: Device = "auto",
    sweep: Annotated[
        Path | None,
        typer.Option(
            help="TOML file with a setting's list of values: train once for each, and print their errors in a table.",
            callback=expand_user_option,
            show_default="one training",
        ),
    ] = None,
    reuse: Annotated[
        Path | None,
        typer.Option(
            help="With --sweep: folder of another run, whose detections or images are used.",
            callback=expand_user_option,
            show_default="made anew",
        ),
    ] = None,
    json_output: Annotated[
        bool, typer.Option("--json", help="With --sweep: print the table as JSON on stdout.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Train MQ-HMR: from a person's keypoints, or images, to the body's pose, shape and camera."""
    from biopose_cli.training import mqhmr, mqhmr_config

    if sweep is not None:
        if config or init_from or backbone:
            raise SettingError(
                "--sweep excludes --config, --init-from and --backbone", "Name the settings in the sweep's file"
            )
        _train_sweep(sweep, require_motion(motion), out, reuse, device, json_output, quiet)
        return
    if reuse or json_output:
        raise SettingError("--reuse and --json need --sweep", "Leave them out")

    def run(display: Progress) -> Path:
        run_config = mqhmr_config.read_config(config or mqhmr_config.DEFAULT_CONFIG)
        return mqhmr.train(run_config, require_motion(motion), out, display, init_from, backbone, device)

    _run_training(run, quiet)


def _run_training(train: Callable[[Progress], Path], quiet: bool) -> None:
    """Train with progress shown, and print where the weights are."""
    from biopose_cli.cli.display import Display

    with Display(quiet=quiet) as display:
        path = train(display)
    if not quiet:
        typer.echo(str(path))


def _train_sweep(
    sweep: Path, motion: Path, out: Path, reuse: Path | None, device: str, json_output: bool, quiet: bool
) -> None:
    from biopose_cli.benchmarks.sweep import format_report, run_sweep
    from biopose_cli.cli.display import Display

    with Display(quiet=quiet or json_output) as display:
        report = run_sweep(sweep, motion, out, display, reuse, device)
    print_report(report, format_report, json_output)
