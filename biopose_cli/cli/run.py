"""`biopose run`: videos to OpenSim files."""

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
    From,
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
    """Process videos into OpenSim files: all stages, except those whose results are up to date."""
    process_videos(context)
