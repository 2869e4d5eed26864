"""`biopose train`: the networks anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from biopose_cli.cli.options import Device, Motion, Quiet, RunConfig, RunFolder, expand_user_option
from biopose_cli.errors import SettingError
from biopose_cli.progress import Progress

app = typer.Typer(name="train", help="Train a network anew.", no_args_is_help=True)


@app.command("neurik")
def train_neurik(
    motion: Motion = None,
    out: RunFolder = Path("runs/neurik"),
    config: RunConfig = None,
    quiet: Quiet = False,
) -> None:
    """Train NeurIK: virtual markers to joint angles and bone scales."""
    from biopose_cli.training import neurik

    _run_training(
        lambda display: neurik.train(
            neurik.read_config(config or neurik.DEFAULT_CONFIG), _require_motion(motion), out, display
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
            help="Weights to go on from; the network may have more parts.",
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
    quiet: Quiet = False,
) -> None:
    """Train MQ-HMR: what a detector sees of a person to the body's pose, shape and camera."""
    from biopose_cli.training import mqhmr, mqhmr_config

    def run(display: Progress) -> Path:
        run_config = mqhmr_config.read_config(config or mqhmr_config.DEFAULT_CONFIG)
        return mqhmr.train(run_config, _require_motion(motion), out, display, init_from, backbone, device)

    _run_training(run, quiet)


def _require_motion(motion: Path | None) -> Path:
    if motion is None:
        raise SettingError("--motion is missing", "Name the folder of the motion-capture archives")
    return motion


def _run_training(train: Callable[[Progress], Path], quiet: bool) -> None:
    """Train with progress shown, and print where the weights are."""
    from biopose_cli.cli.display import Display

    with Display(quiet=quiet) as display:
        path = train(display)
    if not quiet:
        typer.echo(str(path))
