"""`biopose import-mesh`: an SMPL track of another tool to OpenSim files."""

from __future__ import annotations

from pathlib import Path

import typer

from biopose_cli.cli.options import (
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
    ImportBody,
    Intrinsics,
    Json,
    Mass,
    MaxGap,
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
    Weights,
)
from biopose_cli.cli.process import process_videos

app = typer.Typer()


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
    """Turn another tool's SMPL track into OpenSim files: all stages, with the track in place of mesh recovery."""
    context.params |= {"videos": [video], "mesh": "import"}
    process_videos(context)
