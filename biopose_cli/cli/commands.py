"""The commands that process videos: `biopose run`, each stage alone, and `import-mesh`. Parse, call, print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from biopose_cli.cli.options import (
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
from biopose_cli.errors import describe_error, print_error
from biopose_cli.settings import Settings

stages_app = typer.Typer()
_SETTING_FIELDS = Settings.__dataclass_fields__
_CAMERA_OPTIONS = ("focal", "fov", "intrinsics")  # ways to give one thing


@stages_app.command()
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


@stages_app.command()
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


@stages_app.command()
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


@stages_app.command()
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


@stages_app.command()
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


@stages_app.command()
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


@stages_app.command("import-mesh")
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
    from biopose_cli.cli import console
    from biopose_cli.pipeline import output_folder, run

    options = context.params
    videos: list[Path] = options["videos"]
    sources = {name: _source(context, name) for name in options}
    given = {name for name, source in sources.items() if source != "DEFAULT"}
    # a camera on the command line stands in the place of the config file's
    if any(sources.get(name) == "COMMANDLINE" for name in _CAMERA_OPTIONS):
        options.update({name: None for name in _CAMERA_OPTIONS if sources.get(name) == "DEFAULT_MAP"})
    settings = Settings(**{key: value for key, value in options.items() if key in _SETTING_FIELDS})
    output_folder.check_names(videos)
    results: list[dict[str, Any]] = []
    exit_code = 0
    for video in videos:
        try:
            with console.Display(quiet=options["quiet"]) as display:
                if len(videos) > 1:
                    display.note(str(video))
                result = run.run(
                    video,
                    options["out"],
                    settings,
                    display,
                    from_stage=options.get("from_stage"),
                    only=only,
                    overwrite=options.get("overwrite", False),
                    given=given,
                )
            results.append(console.as_json(result))
            if not options["quiet"] and not options["json_output"]:
                console.print_summary(result)
        except Exception as error:
            message, code = describe_error(error)
            named = len(videos) == 1 or str(video) in message
            print_error(message if named else f"{video}: {message}")
            results.append({"video": str(video), "error": message})
            exit_code = exit_code or code
    if options["json_output"]:
        typer.echo(json.dumps({"results": results}, indent=2))
    if exit_code:
        raise typer.Exit(exit_code)
