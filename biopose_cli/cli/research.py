"""Commands for those who measure and train: `biopose bench`, `evaluate` and `train`. Parse, call, print."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from biopose_cli.cli.options import Device, IkIterations, Json, Quiet, Weights
from biopose_cli.errors import SettingError
from biopose_cli.pipeline.config import expand_user
from biopose_cli.progress import Progress


class _DefaultToStages(TyperGroup):
    """`biopose bench [VIDEO]` is `biopose bench stages [VIDEO]`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in {*self.commands, *ctx.help_option_names}:
            args = ["stages", *args]
        return list(super().parse_args(ctx, args))


bench_app = typer.Typer(name="bench", cls=_DefaultToStages, help="Measure speed and memory on this machine.")
train_app = typer.Typer(name="train", help="Train a network anew.", no_args_is_help=True)
evaluate_app = typer.Typer(name="evaluate", help="Measure a network on held-out data.", no_args_is_help=True)


def _expand_user(path: Path | None) -> Path | None:
    return None if path is None else expand_user(path)


Motion = Annotated[
    Path | None,
    typer.Option(
        help="Folder with the motion-capture archives cmu_amc, cmu_expmap and cmu_bvh (.tar.xz).",
        callback=_expand_user,
        show_default=False,
    ),
]


Trials = Annotated[
    Path | None,
    typer.Option(
        help="Folder with reference trials: opencap_squat, multiview_balance, lab_walk.",
        callback=_expand_user,
        show_default=False,
    ),
]


@bench_app.command()
def stages(
    video: Annotated[Path | None, typer.Argument(help="A video file.", show_default="the embedded clip")] = None,
    weights: Weights = "heavy",
    json_output: Json = False,
) -> None:
    """Frames/s and peak memory of every stage (what `biopose bench` does by itself)."""
    from biopose_cli.benchmarks.run_speed import bench_stages
    from biopose_cli.cli import console

    with console.Display() as display:
        rows = bench_stages(video, weights, display)
    typer.echo(json.dumps(rows, indent=2)) if json_output else console.print_bench(rows)


@bench_app.command()
def ik(trials: Trials = None, json_output: Json = False) -> None:
    """The solver against OpenSim's inverse kinematics: same model, same markers, one run."""
    from biopose_cli.benchmarks.ik_speed import bench_ik
    from biopose_cli.cli import console, tables

    with console.Display() as display:
        report = bench_ik(trials, display)
    typer.echo(json.dumps(report, indent=2)) if json_output else tables.print_ik(report)


@bench_app.command()
def neurik(
    frames: Annotated[int, typer.Option(help="Length of the clip.", min=1)] = 2000,
    iterations: IkIterations = None,
    json_output: Json = False,
) -> None:
    """Frames/s of the neurik stage on a long clip: scaling, network and solver."""
    from biopose_cli.benchmarks.stage_speed import bench_neurik
    from biopose_cli.cli import console, tables
    from biopose_cli.settings import Settings

    with console.Display() as display:
        report = bench_neurik(frames, Settings(ik_iterations=iterations), display)
    typer.echo(json.dumps(report, indent=2)) if json_output else tables.print_stage(report)


RunFolder = Annotated[
    Path,
    typer.Option("--out", "-o", help="Folder of the run; one that was cut goes on.", callback=_expand_user),
]
RunConfig = Annotated[
    Path | None,
    typer.Option(
        help="TOML file with the run's settings.",
        show_default="the one that comes with BioPose",
        callback=_expand_user,
    ),
]


@train_app.command("neurik")
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


@train_app.command("mqhmr")
def train_mqhmr(
    motion: Motion = None,
    out: RunFolder = Path("runs/mqhmr"),
    config: RunConfig = None,
    init_from: Annotated[
        Path | None,
        typer.Option(
            help="Weights to go on from; the network may have more parts.",
            callback=_expand_user,
            show_default="none",
        ),
    ] = None,
    backbone: Annotated[
        Path | None,
        typer.Option(
            help="Weights of a ViTPose or HMR2.0 backbone, from which the encoder starts.",
            callback=_expand_user,
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


@evaluate_app.command("neurik")
def evaluate_neurik(
    motion: Motion = None,
    trials: Trials = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="A network of `biopose train`.", show_default="the shipped one", callback=_expand_user),
    ] = None,
    people: Annotated[int, typer.Option(help="Held-out people, 60 frames each.", min=1)] = 24,
    iterations: Annotated[
        int | None,
        typer.Option(help="Of the solver after the network.", show_default="until nothing changes", min=0),
    ] = None,
    json_output: Json = False,
    quiet: Quiet = False,
) -> None:
    """NeurIK on held-out subjects (--motion), or the whole stage on reference trials (--trials)."""
    from biopose_cli.benchmarks import neurik
    from biopose_cli.benchmarks.trials import as_json, evaluate_trials
    from biopose_cli.cli import console, tables
    from biopose_cli.ik.checkpoint import PRETRAINED, load_network
    from biopose_cli.settings import Settings

    if motion is None and trials is None:
        raise SettingError("--motion or --trials is missing", "Name the folder with the data to measure on")
    results: dict[str, Any] = {}
    with console.Display(quiet=quiet or json_output) as display:
        if motion is not None:
            network, marker_locations = load_network(weights or PRETRAINED)
            results |= neurik.evaluate(motion, network, marker_locations, display, people, iterations)
        if trials is not None:
            trial_results = evaluate_trials(trials, Settings(), display)
            results["trials"] = as_json(trial_results)
    if json_output:
        typer.echo(json.dumps(results, indent=2))
        return
    if motion is not None:
        tables.print_evaluation(results)
    if trials is not None:
        tables.print_trials(results["trials"])


@evaluate_app.command("mqhmr")
def evaluate_mqhmr(
    motion: Motion = None,
    trial: Annotated[
        Path | None,
        typer.Option(
            help="Folder with the reference trial multiview_balance.",
            callback=_expand_user,
            show_default=False,
        ),
    ] = None,
    videos: Annotated[
        Path,
        typer.Option(help="Folder with its videos, single_cam01.mp4 to single_cam04.mp4.", callback=_expand_user),
    ] = Path("sample_videos/fetched"),
    cache: Annotated[
        Path,
        typer.Option(help="Folder in which pictures and what was detected are kept.", callback=_expand_user),
    ] = Path("runs/evaluation"),
    network: Annotated[
        Path | None,
        typer.Option(
            help="A network of `biopose train mqhmr`.",
            callback=_expand_user,
            show_default="the one that comes with BioPose",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            help="Folder with the runs keypoints, images and both, to be compared (docs/notebook/queries_and_images.md).",
            callback=_expand_user,
            show_default=False,
        ),
    ] = None,
    json_output: Json = False,
    quiet: Quiet = False,
) -> None:
    """Mesh recovery in 3D: on rendered people (--motion), on four real views of one man (--trial), or both."""
    from biopose_cli.benchmarks import held_out, methods, mqhmr
    from biopose_cli.benchmarks.camera_views import load_camera_views
    from biopose_cli.benchmarks.images import compare_runs
    from biopose_cli.cli import console
    from biopose_cli.hmr.checkpoint import PRETRAINED
    from biopose_cli.metrics import points

    if motion is None and trial is None and images is None:
        raise SettingError("--motion or --trial is missing", "Name the data to measure on")
    with console.Display(quiet=quiet or json_output) as display:
        views = [] if trial is None else load_camera_views(trial, videos, cache, display)
        detections = None if motion is None else held_out.held_out_detections(motion, cache, display)
        weights = network or PRETRAINED
        frame_methods = {"fit_frames": methods.frame_optimization, "network": methods.regression(weights)}
        clip_methods = {"fit": methods.optimization, "network_and_fit": methods.network_prior(weights)}
        report = mqhmr.evaluate(detections, views, frame_methods, clip_methods, display)
        report |= {} if images is None else compare_runs(images, views, videos, display)
    typer.echo(json.dumps(report, indent=2) if json_output else "\n".join(points.format_report(report)))


def _require_motion(motion: Path | None) -> Path:
    if motion is None:
        raise SettingError("--motion is missing", "Name the folder of the motion-capture archives")
    return motion


def _run_training(train: Callable[[Progress], Path], quiet: bool) -> None:
    """Train with progress shown, and print where the weights are."""
    from biopose_cli.cli import console

    with console.Display(quiet=quiet) as display:
        path = train(display)
    if not quiet:
        typer.echo(str(path))
