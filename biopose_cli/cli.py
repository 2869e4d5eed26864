"""The commands: parse, call, print. Heavy imports happen inside, so that `--help` is instant."""

from __future__ import annotations

import json
import math
import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from biopose_cli import __version__
from biopose_cli.errors import BioPoseError, OutputError, SettingError
from biopose_cli.options import (
    Body,
    CaptureRate,
    Config,
    Device,
    End,
    Focal,
    Fov,
    From,
    Height,
    Ik,
    IkIterations,
    IkSmoothness,
    ImportBody,
    Intrinsics,
    Json,
    Mass,
    MaxGap,
    MeshOption,
    Model,
    Out,
    Overwrite,
    Person,
    Pitch,
    Quiet,
    Roll,
    Start,
    TrackFile,
    TrackId,
    TrackVideo,
    Videos,
    Weights,
)
from biopose_cli.research import bench_app, evaluate_app, train_app
from biopose_cli.settings import Settings

app = typer.Typer(
    name="biopose",
    help="One ordinary video of a moving person in, OpenSim files out: joint angles (.mot), a scaled skeleton "
    "(.osim) and virtual markers (.trc).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(bench_app)
app.add_typer(train_app)
app.add_typer(evaluate_app)
# Typer ships its parser privately, so the base class of the parser's own errors is reached from a public one.
_ParserError: type[Exception] = typer.BadParameter.__mro__[2]
_INTERRUPTED = 130
_FIELDS = Settings.__dataclass_fields__
_CAMERA = ("focal", "fov", "intrinsics")  # ways to give one thing


@app.command()
def run(
    context: typer.Context,
    videos: Videos,
    out: Out = Path("results"),
    person: Person = None,
    height: Height = None,
    mass: Mass = None,
    focal: Focal = None,
    fov: Fov = None,
    intrinsics: Intrinsics = None,
    weights: Weights = "heavy",
    body: Body = None,
    model: Model = None,
    mesh: MeshOption = "mqhmr",
    ik: Ik = "neural",
    ik_iterations: IkIterations = None,
    ik_smoothness: IkSmoothness = 0.0,
    start: Start = None,
    end: End = None,
    capture_rate: CaptureRate = None,
    max_gap: MaxGap = 0.25,
    camera_pitch: Pitch = None,
    camera_roll: Roll = None,
    from_stage: From = None,
    overwrite: Overwrite = False,
    device: Device = "auto",
    config: Config = None,
    json_output: Json = False,
    quiet: Quiet = False,
) -> None:
    """Videos to OpenSim files: all stages, reusing what is up to date."""
    _process(context)


@app.command()
def detect(
    context: typer.Context,
    videos: Videos,
    out: Out = Path("results"),
    weights: Weights = "heavy",
    start: Start = None,
    end: End = None,
    person: Person = None,
    capture_rate: CaptureRate = None,
    max_gap: MaxGap = 0.25,
    focal: Focal = None,
    fov: Fov = None,
    intrinsics: Intrinsics = None,
    overwrite: Overwrite = False,
    config: Config = None,
    json_output: Json = False,
    quiet: Quiet = False,
) -> None:
    """First stage alone: find the people and their keypoints, choose one."""
    _process(context, only="detect")


@app.command()
def mesh(
    context: typer.Context,
    videos: Videos,
    out: Out = Path("results"),
    mesh: MeshOption = "mqhmr",
    body: Body = None,
    height: Height = None,
    device: Device = "auto",
    config: Config = None,
    json_output: Json = False,
    quiet: Quiet = False,
) -> None:
    """Second stage alone: recover the body in every frame."""
    _process(context, only="mesh")


@app.command()
def refine(
    context: typer.Context,
    videos: Videos,
    out: Out = Path("results"),
    body: Body = None,
    height: Height = None,
    device: Device = "auto",
    config: Config = None,
    json_output: Json = False,
    quiet: Quiet = False,
) -> None:
    """Third stage alone: refine the body against the 2D keypoints."""
    _process(context, only="refine")


@app.command()
def neurik(
    context: typer.Context,
    videos: Videos,
    out: Out = Path("results"),
    body: Body = None,
    ik: Ik = "neural",
    ik_iterations: IkIterations = None,
    ik_smoothness: IkSmoothness = 0.0,
    model: Model = None,
    mass: Mass = None,
    camera_pitch: Pitch = None,
    camera_roll: Roll = None,
    device: Device = "auto",
    config: Config = None,
    json_output: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fourth stage alone: scale the skeleton and find the joint angles."""
    _process(context, only="neurik")


@app.command()
def export(
    context: typer.Context,
    videos: Videos,
    out: Out = Path("results"),
    body: Body = None,
    config: Config = None,
    json_output: Json = False,
    quiet: Quiet = False,
) -> None:
    """Last stage alone: write the OpenSim files, the overlay and the summary."""
    _process(context, only="export")


@app.command("import-mesh")
def import_mesh(
    context: typer.Context,
    track: TrackFile,
    video: TrackVideo,
    out: Out = Path("results"),
    track_id: TrackId = None,
    person: Person = None,
    body: ImportBody = None,
    height: Height = None,
    mass: Mass = None,
    focal: Focal = None,
    fov: Fov = None,
    intrinsics: Intrinsics = None,
    weights: Weights = "heavy",
    model: Model = None,
    ik: Ik = "neural",
    ik_iterations: IkIterations = None,
    ik_smoothness: IkSmoothness = 0.0,
    start: Start = None,
    end: End = None,
    capture_rate: CaptureRate = None,
    max_gap: MaxGap = 0.25,
    camera_pitch: Pitch = None,
    camera_roll: Roll = None,
    overwrite: Overwrite = False,
    device: Device = "auto",
    config: Config = None,
    json_output: Json = False,
    quiet: Quiet = False,
) -> None:
    """An SMPL track of another tool to OpenSim files: all stages, with the track in the mesh stage's place."""
    context.params |= {"videos": [video], "mesh": "import"}
    _process(context)


def _source(context: typer.Context, name: str) -> str:
    """Whence an option's value is: COMMANDLINE, DEFAULT_MAP (the config file) or DEFAULT."""
    source = context.get_parameter_source(name)
    return "DEFAULT" if source is None else source.name


def _process(context: typer.Context, only: str | None = None) -> None:
    """Run the videos one after the other; one that fails does not stop the others."""
    from biopose_cli import console, folder, pipeline

    options = context.params
    videos: list[Path] = options["videos"]
    sources = {name: _source(context, name) for name in options}
    given = {name for name, source in sources.items() if source != "DEFAULT"}
    # a camera on the command line stands in the place of the config file's
    if any(sources.get(name) == "COMMANDLINE" for name in _CAMERA):
        options.update({name: None for name in _CAMERA if sources.get(name) == "DEFAULT_MAP"})
    settings = Settings(**{key: value for key, value in options.items() if key in _FIELDS})
    folder.check_names(videos)
    results: list[dict[str, Any]] = []
    worst = 0
    for video in videos:
        try:
            with console.Display(quiet=options["quiet"]) as display:
                if len(videos) > 1:
                    display.note(str(video))
                result = pipeline.run(
                    video,
                    options["out"],
                    settings,
                    display,
                    first=options.get("from_stage"),
                    only=only,
                    overwrite=options.get("overwrite", False),
                    given=given,
                )
            results.append(console.as_json(result))
            if not options["quiet"] and not options["json_output"]:
                console.print_closing(result)
        except Exception as error:
            message, code = _explained(error)
            named = len(videos) == 1 or str(video) in message
            _complain(message if named else f"{video}: {message}")
            results.append({"video": str(video), "error": message})
            worst = worst or code
    if options["json_output"]:
        _print(json.dumps({"results": results}, indent=2))
    if worst:
        raise typer.Exit(worst)


@app.command()
def compare(
    estimate: Annotated[
        Path,
        typer.Argument(metavar="EST.mot", help="The motion to judge (.mot or .sto).", show_default=False),
    ],
    reference: Annotated[
        Path, typer.Argument(metavar="REF.mot", help="The motion to trust.", show_default=False)
    ],
    shift: Annotated[
        float | None, typer.Option(help="Seconds added to EST's times.", show_default="found by correlation")
    ] = None,
    time_range: Annotated[
        tuple[float, float] | None,
        typer.Option("--range", help="Compare only from T0 to T1 of REF, s.", show_default="overlap"),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="PNG of the curves.", show_default="beside EST")] = None,
    json_output: Json = False,
) -> None:
    """Validate one motion against another: errors per joint angle, in degrees."""
    from biopose_cli import console
    from biopose_cli.evaluation.compare import compare as compare_motions
    from biopose_cli.evaluation.compare import plot as plot_curves
    from biopose_cli.export.mot import read_motion

    if time_range is not None and not 0 <= time_range[1] - time_range[0] < math.inf:
        raise SettingError(
            f"--range {time_range[0]:g} {time_range[1]:g} is impossible",
            "Give T0, then a later T1, in seconds",
        )
    if shift is not None and not math.isfinite(shift):
        raise SettingError(
            f"--shift {shift:g} is impossible", "Give seconds; 0 means that both have the same clock"
        )
    comparison = compare_motions(read_motion(estimate), read_motion(reference), shift, time_range)
    picture = plot or estimate.with_name(f"{estimate.stem}_vs_{reference.stem}.png")
    if json_output:
        _print(json.dumps(comparison.as_json(), indent=2))
    else:
        console.print_comparison(comparison, picture)
    try:
        plot_curves(comparison, picture)
    except OutputError as error:
        raise OutputError(error.message, "Choose another place for the picture with --plot") from error


@app.command()
def info(
    video: Annotated[Path, typer.Argument(help="A video file.", show_default=False)],
    json_output: Json = False,
) -> None:
    """What biopose reads from a video file."""
    from biopose_cli import console
    from biopose_cli.video.describe import describe
    from biopose_cli.video.probe import probe

    facts = describe(probe(video))
    _print(json.dumps(facts, indent=2)) if json_output else console.print_facts(facts)


@app.command()
def assets(
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", help="Folder with the files, for a machine without network.", show_default="network"
        ),
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Only check what is there.")] = False,
    weights: Annotated[
        Literal["heavy", "full", "lite", "all"], typer.Option(help="Which keypoint network.")
    ] = "heavy",
) -> None:
    """Fetch the networks' weights into the user's cache, or verify them."""
    from biopose_cli import assets as store
    from biopose_cli import console

    if not verify:
        with console.Display() as display:
            store.ensure(store.needed(weights), display, source)
    intact = console.print_assets(store.verify())
    if verify and not intact:
        raise typer.Exit(1)


@app.command()
def doctor(json_output: Json = False) -> None:
    """Check the installation, and say what to do about each failure."""
    from biopose_cli import console
    from biopose_cli.doctor import examine

    checks = examine()
    if json_output:
        _print(json.dumps([check.as_json() for check in checks], indent=2))
    else:
        console.print_checks(checks)
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        _print(f"biopose {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line: one clear line on stderr for every error, exit code 2 for a user's, 1 for a failure."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a console's or pipe's encoding may lack a file name's letters
            stream.reconfigure(errors="backslashreplace")
    sys.exit(_guarded())


def _guarded() -> int:
    try:
        code = int(app(standalone_mode=False) or 0)
        if code == _INTERRUPTED:  # typer has turned Ctrl-C into this
            raise KeyboardInterrupt
        return code
    except (KeyboardInterrupt, typer.Abort):
        _complain("interrupted; finished stages are kept, run the same command again to go on")
        return _INTERRUPTED
    except _ParserError as error:
        if message := getattr(
            error, "format_message", error.__str__
        )():  # empty: the help was printed instead
            _complain(message + _origin(error))
        return 2
    except Exception as error:
        message, code = _explained(error)
        _complain(message)
        return code


def _explained(error: Exception) -> tuple[str, int]:
    """What to tell the user, and the exit code; with BIOPOSE_DEBUG set, an unforeseen error is raised instead."""
    if isinstance(error, BioPoseError):
        return str(error), error.exit_code
    if os.environ.get("BIOPOSE_DEBUG"):
        raise error
    said = f"internal error: {type(error).__name__}: {error}"
    return f"{said}. Set BIOPOSE_DEBUG=1 for the details and report it", 1


def _origin(error: Exception) -> str:
    """Where a refused value comes from, when that is the config file."""
    context: typer.Context | None = getattr(error, "ctx", None)
    option = getattr(error, "param", None)
    if context is not None and option is not None:
        source = context.get_parameter_source(option.name)
        if source is not None and source.name == "DEFAULT_MAP":
            return f" (in {context.params['config']})"
    return ""


def _complain(message: str) -> None:
    sys.stderr.write("biopose: error: " + " ".join(message.split()) + "\n")


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
