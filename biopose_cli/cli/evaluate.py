"""`biopose evaluate`: measurements on held-out data and on other people's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from biopose_cli.cli.options import Json, Motion, Quiet, Trials, expand_user_option
from biopose_cli.errors import SettingError

app = typer.Typer(name="evaluate", help="Measure a network on held-out data.", no_args_is_help=True)


@app.command("neurik")
def evaluate_neurik(
    motion: Motion = None,
    trials: Trials = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="A network of `biopose train`.", show_default="the shipped one", callback=expand_user_option),
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
    from biopose_cli.cli import tables
    from biopose_cli.cli.display import Display
    from biopose_cli.ik.checkpoint import PRETRAINED, load_network
    from biopose_cli.settings import Settings

    if motion is None and trials is None:
        raise SettingError("--motion or --trials is missing", "Name the folder with the data to measure on")
    results: dict[str, Any] = {}
    with Display(quiet=quiet or json_output) as display:
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


@app.command("mqhmr")
def evaluate_mqhmr(
    motion: Motion = None,
    trial: Annotated[
        Path | None,
        typer.Option(
            help="Folder with the reference trial multiview_balance.",
            callback=expand_user_option,
            show_default=False,
        ),
    ] = None,
    videos: Annotated[
        Path,
        typer.Option(help="Folder with its videos, single_cam01.mp4 to single_cam04.mp4.", callback=expand_user_option),
    ] = Path("sample_videos/fetched"),
    cache: Annotated[
        Path,
        typer.Option(help="Folder in which pictures and what was detected are kept.", callback=expand_user_option),
    ] = Path("runs/evaluation"),
    network: Annotated[
        Path | None,
        typer.Option(
            help="A network of `biopose train mqhmr`.",
            callback=expand_user_option,
            show_default="the one that comes with BioPose",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            help="Folder with the runs keypoints, images and both, to compare; see notebook/queries_and_images.md.",
            callback=expand_user_option,
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
    from biopose_cli.cli.display import Display
    from biopose_cli.hmr.checkpoint import PRETRAINED
    from biopose_cli.metrics import points

    if motion is None and trial is None and images is None:
        raise SettingError("--motion or --trial is missing", "Name the data to measure on")
    with Display(quiet=quiet or json_output) as display:
        views = [] if trial is None else load_camera_views(trial, videos, cache, display)
        detections = None if motion is None else held_out.held_out_detections(motion, cache, display)
        weights = network or PRETRAINED
        frame_methods = {"fit_frames": methods.frame_optimization, "network": methods.regression(weights)}
        clip_methods = {"fit": methods.optimization, "network_and_fit": methods.network_prior(weights)}
        report = mqhmr.evaluate(detections, views, frame_methods, clip_methods, display)
        report |= {} if images is None else compare_runs(images, views, videos, display)
    typer.echo(json.dumps(report, indent=2) if json_output else "\n".join(points.format_report(report)))
