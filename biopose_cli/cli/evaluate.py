"""`biopose evaluate`: measurements on held-out data and on other people's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from biopose_cli.cli.options import BenchmarkFolder, Json, Motion, Quiet, Trials, expand_user_option, require_motion
from biopose_cli.cli.report import print_report
from biopose_cli.errors import SettingError

app = typer.Typer(name="evaluate", help="Measure accuracy on held-out data and reference trials.", no_args_is_help=True)


@app.command("neurik")
def evaluate_neurik(
    motion: Motion = None,
    trials: Trials = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Weights of `biopose train neurik`.",
            show_default="those that come with BioPose",
            callback=expand_user_option,
        ),
    ] = None,
    people: Annotated[int, typer.Option(help="Number of held-out people, with 60 frames each.", min=1)] = 24,
    iterations: Annotated[
        int | None,
        typer.Option(help="Most iterations of the solver after the network.", show_default="until it converges", min=0),
    ] = None,
    json_output: Json = False,
    quiet: Quiet = False,
) -> None:
    """Evaluate NeurIK on held-out subjects (--motion), or the whole stage on reference trials (--trials)."""
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
        typer.Option(
            help="Folder with the trial's videos, single_cam01.mp4 to single_cam04.mp4.", callback=expand_user_option
        ),
    ] = Path("sample_videos/fetched"),
    cache: Annotated[
        Path,
        typer.Option(help="Folder for rendered images and detections, which are kept.", callback=expand_user_option),
    ] = Path("runs/evaluation"),
    network: Annotated[
        Path | None,
        typer.Option(
            help="Weights of `biopose train mqhmr`.",
            callback=expand_user_option,
            show_default="those that come with BioPose",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            help="Folder with the training runs keypoints, images and both, to compare.",
            callback=expand_user_option,
            show_default=False,
        ),
    ] = None,
    json_output: Json = False,
    quiet: Quiet = False,
) -> None:
    """Evaluate mesh recovery on rendered people (--motion), on four real views of one man (--trial), or both."""
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


@app.command("clips")
def evaluate_clips(
    motion: Motion = None, out: BenchmarkFolder = Path("runs/clips"), json_output: Json = False, quiet: Quiet = False
) -> None:
    """Evaluate joint angles end to end on rendered clips of the held-out subjects: errors in degrees and mm."""
    from biopose_cli.benchmarks import rendered_clips
    from biopose_cli.cli.display import Display

    folder = require_motion(motion)
    with Display(quiet=quiet or json_output) as display:
        report = rendered_clips.evaluate(folder, out, display)
    print_report(report, rendered_clips.format_report, json_output)


@app.command("trial")
def evaluate_trial(
    trial: Annotated[
        Path,
        typer.Option(
            help="Joint angles (.mot) of somebody who stays on one spot, 5 s or longer.",
            show_default=False,
            callback=expand_user_option,
        ),
    ],
    out: BenchmarkFolder = Path("runs/trial"),
    json_output: Json = False,
    quiet: Quiet = False,
) -> None:
    """Evaluate joint angles end to end on a recorded trial, rendered from five sides: errors in degrees."""
    from biopose_cli.benchmarks import rendered_trial
    from biopose_cli.cli.display import Display

    with Display(quiet=quiet or json_output) as display:
        report = rendered_trial.evaluate(trial, out, display)
    print_report(report, rendered_trial.format_report, json_output)


@app.command("crops")
def evaluate_crops(
    clips: Annotated[
        Path, typer.Option(help="Folder that `biopose evaluate clips` wrote.", callback=expand_user_option)
    ] = Path("runs/clips"),
    out: BenchmarkFolder = Path("runs/cut"),
    json_output: Json = False,
    quiet: Quiet = False,
) -> None:
    """Evaluate the rendered clips again with the head or the feet out of view: errors in degrees."""
    from biopose_cli.benchmarks import cropped_clips
    from biopose_cli.cli.display import Display

    with Display(quiet=quiet or json_output) as display:
        report = cropped_clips.evaluate(clips, out, display)
    print_report(report, cropped_clips.format_report, json_output)


@app.command("table")
def evaluate_table(
    reference: Annotated[Path, typer.Argument(metavar="REF.mot", help="The reference motion.", show_default=False)],
    estimates: Annotated[
        list[Path],
        typer.Argument(metavar="EST.mot", help="Estimated motions, on the clock of the reference.", show_default=False),
    ],
    json_output: Json = False,
) -> None:
    """Compare several motions with one reference: errors of the legs, in degrees."""
    from biopose_cli.benchmarks import accuracy

    print_report(accuracy.evaluate(reference, estimates), accuracy.format_report, json_output)


@app.command("uncertainty")
def evaluate_uncertainty(
    motions: Annotated[
        list[Path],
        typer.Argument(metavar="EST.mot", help="Motions, each with EST_sd.sto beside it.", show_default=False),
    ],
    truth: Annotated[
        Path,
        typer.Option(
            help="Folder with EST_truth.mot for each of them.", show_default=False, callback=expand_user_option
        ),
    ],
    json_output: Json = False,
) -> None:
    """Evaluate the standard deviations: how many errors are within one and within two of them."""
    from biopose_cli.benchmarks import uncertainty

    print_report(uncertainty.evaluate(motions, truth), uncertainty.format_report, json_output)


@app.command("residuals")
def evaluate_residuals(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="Folder of results.", show_default=False)],
    other: Annotated[
        Path,
        typer.Argument(
            metavar="OTHER",
            help="Results of the same clips with other options, such as --ik opensim.",
            show_default=False,
        ),
    ],
    json_output: Json = False,
) -> None:
    """Compare marker residuals, in mm, and angles, in degrees, of the same clips under two settings."""
    from biopose_cli.benchmarks import residuals

    print_report(residuals.evaluate(results, other), residuals.format_report, json_output)


@app.command("people")
def evaluate_people(
    data: Annotated[
        Path,
        typer.Option(
            help="Folder of keypoint tracks (.npz) with known.json: what is known of each person.",
            callback=expand_user_option,
        ),
    ],
    json_output: Json = False,
    quiet: Quiet = False,
) -> None:
    """Leg angles of real people whose posture is known, from their keypoint tracks."""
    from biopose_cli.benchmarks import people
    from biopose_cli.cli.display import Display

    with Display(quiet=quiet or json_output) as display:
        report = people.evaluate(data, display)
    print_report(report, people.format_report, json_output)
