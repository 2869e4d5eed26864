"""`biopose detect`, `mesh`, `refine`, `neurik`, `export`: each stage of a run alone."""

from __future__ import annotations

from pathlib import Path

import typer

from biopose_cli.cli.options import (
    Body,
    CaptureRate,
    Config,
    Device,
    End,
    Focal,
    Fov,
    Height,
    Ik,
    IkIterations,
    IkSmoothness,
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
    Videos,
    Weights,
)
from biopose_cli.cli.process import process_videos

app = typer.Typer()


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
    """Run the first stage alone: detect people and their 2D keypoints, and choose one person."""
    process_videos(context, only="detect")


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
    """Run the second stage alone: recover the body's pose and shape in every frame."""
    process_videos(context, only="mesh")


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
    """Run the third stage alone: refine the body against the 2D keypoints."""
    process_videos(context, only="refine")


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
    """Run the fourth stage alone: scale the skeleton and solve for the joint angles."""
    process_videos(context, only="neurik")


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
    """Run the last stage alone: write the OpenSim files, the overlay video and the summary."""
    process_videos(context, only="export")
