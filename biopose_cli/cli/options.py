"""The command line's options, each defined once for all commands that take it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from biopose_cli.errors import SettingError
from biopose_cli.pipeline.config import expand_user, load_config


def _read_config(context: typer.Context, path: Path | None) -> Path | None:
    """Make the config file's values the options' defaults. A file for `biopose run` serves every stage alone too."""
    if path is not None and context.parent is not None:
        run_params = context.parent.command.get_command(context, "run").params  # type: ignore[attr-defined]
        options = {_option_key(p): p for p in run_params if p.param_type_name == "option"}
        flags = {key for key, p in options.items() if p.is_flag}
        values = load_config(expand_user(path), options.keys() - {"config", "help"}, flags)
        command_params = {p.name for p in context.command.params}
        context.default_map = {
            options[k].name: value for k, value in values.items() if options[k].name in command_params
        }
    return path


def _option_key(option: Any) -> str:
    return str(option.opts[0]).lstrip("-").replace("-", "_")


def expand_user_option(path: Path | None) -> Path | None:
    """Expand `~` in an option's path."""
    return None if path is None else expand_user(path)


def _require_body(context: typer.Context, path: Path | None) -> Path | None:
    """SMPL's numbers mean nothing without the body that they were estimated for, so it has to be said."""
    if path is None and not context.resilient_parsing:
        raise SettingError(
            "--body is missing: a track's shape and pose hold only for the body file they were estimated for",
            "Give --body SMPL_NEUTRAL.pkl, or --body default if it was made for BioPose's own body",
        )
    return None if path == Path("default") else expand_user_option(path)


def _expand_all_users(paths: list[Path]) -> list[Path]:
    return [expand_user(path) for path in paths]


def require_motion(motion: Path | None) -> Path:
    """The folder given with `Motion`.

    Raises
    ------
    SettingError
        There is none.
    """
    if motion is None:
        raise SettingError("--motion is missing", "Name the folder of the motion-capture archives")
    return motion


Videos = Annotated[
    list[Path],
    typer.Argument(help="Video files.", metavar="VIDEO", show_default=False, callback=_expand_all_users),
]
Out = Annotated[
    Path,
    typer.Option(
        "--out", "-o", help="Folder for the results; each video has its own, OUT/NAME.", callback=expand_user_option
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        help="TOML file with options of `biopose run` as keys. Options on the command line override it; its paths are "
        "relative to it.",
        show_default="none",
        is_eager=True,
        callback=_read_config,
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Run all stages again, and replace the results of another video of this name."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the results as JSON on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Weights = Annotated[
    Literal["heavy", "full", "lite"],
    typer.Option(help="Keypoint network: heavy is the most accurate, lite the fastest."),
]
Start = Annotated[
    float | None,
    typer.Option(help="Skip the video before this time, in seconds.", show_default="beginning"),
]
End = Annotated[float | None, typer.Option(help="Skip the video after this time, in seconds.", show_default="end")]
Person = Annotated[
    int | None,
    typer.Option(
        help="The person to measure, by the number in the overlay.", show_default="the longest and largest track"
    ),
]
CaptureRate = Annotated[
    float | None,
    typer.Option(
        help="For slow motion: the frame rate of filming, in frames/s. Times are then those of the motion.",
        show_default="the video's own rate",
    ),
]
MaxGap = Annotated[
    float, typer.Option(help="Longest gap in the person's track that is filled, in seconds; filled frames are flagged.")
]
Focal = Annotated[
    float | None, typer.Option(help="Focal length in pixels.", show_default="from the file, else a 60-degree view")
]
Fov = Annotated[
    float | None,
    typer.Option(help="Angle of view across the image's longer side, in degrees.", show_default="see --focal"),
]
Intrinsics = Annotated[
    Path | None,
    typer.Option(
        help="Calibration: JSON or TOML file with camera_matrix (3x3), dist_coeffs and image_size (width, height), px.",
        show_default="none",
        callback=expand_user_option,
    ),
]
MeshOption = Annotated[
    Literal["mqhmr", "fit"],
    typer.Option(
        "--mesh",
        help="Mesh recovery: mqhmr is a network's prediction and a fit near it, fit is the fit alone.",
    ),
]
Body = Annotated[
    Path | None,
    typer.Option(
        help="SMPL body file (.pkl or .npz) to use.",
        show_default="the free body that comes with BioPose",
        callback=expand_user_option,
    ),
]
ImportBody = Annotated[
    Path | None,
    typer.Option(
        "--body",
        help="The SMPL body file (.pkl or .npz) that the track was made for; `default` is the free body that comes "
        "with BioPose.",
        show_default="required",
        callback=_require_body,
    ),
]
TrackFile = Annotated[
    Path,
    typer.Argument(
        help="SMPL track of another tool (.npz, .pkl or .pt).",
        metavar="FILE",
        show_default=False,
        callback=expand_user_option,
    ),
]
TrackVideo = Annotated[
    Path,
    typer.Option(
        "--video", help="The video from which the track was made.", show_default=False, callback=expand_user_option
    ),
]
TrackId = Annotated[
    str | None,
    typer.Option("--track", help="The track to use, by its id in the file.", show_default="the only one"),
]
Height = Annotated[
    float | None,
    typer.Option(help="The person's standing height in metres; it sets the scale.", show_default="estimated"),
]
Ik = Annotated[
    Literal["neural", "opensim"],
    typer.Option(help="Inverse kinematics: neural is the NeurIK network and a solver, opensim is OpenSim's own tool."),
]
IkIterations = Annotated[
    int | None,
    typer.Option(
        help="Most iterations of the solver after the network; 0 is the network alone.",
        show_default="until it converges",
    ),
]
IkSmoothness = Annotated[
    float,
    typer.Option(help="Weight of smooth angles over frames, in m2/rad2; try 1 at 30 frames/s. 0 is no smoothing."),
]
Model = Annotated[
    Path | None,
    typer.Option(
        help="OpenSim model (.osim) to scale and move instead of BioPose's own.",
        show_default="BioPose's skeleton",
        callback=expand_user_option,
    ),
]
Mass = Annotated[
    float | None, typer.Option(help="The person's mass in kg.", show_default="24.3 kg/m2 times stature squared")
]
Pitch = Annotated[
    float | None,
    typer.Option(
        help="Camera tilt in degrees, positive looking down.",
        show_default="estimated from the person's balance and the floor",
    ),
]
Roll = Annotated[
    float | None,
    typer.Option(
        help="Camera roll in degrees, positive clockwise.",
        show_default="estimated from the person's balance and the floor",
    ),
]
Device = Annotated[
    Literal["auto", "cpu", "cuda", "mps"],
    typer.Option(
        help="Where the mesh network runs; auto is CUDA if there is any, else the CPU. The rest runs on the CPU."
    ),
]
From = Annotated[
    Literal["detect", "mesh", "refine", "neurik", "export"] | None,
    typer.Option("--from", help="Run this stage and all after it again.", show_default="only what changed"),
]
Motion = Annotated[
    Path | None,
    typer.Option(
        help="Folder with the motion-capture archives cmu_amc, cmu_expmap and cmu_bvh (.tar.xz).",
        callback=expand_user_option,
        show_default=False,
    ),
]
Trials = Annotated[
    Path | None,
    typer.Option(
        help="Folder with reference trials: opencap_squat, multiview_balance, lab_walk.",
        callback=expand_user_option,
        show_default=False,
    ),
]
RunFolder = Annotated[
    Path,
    typer.Option("--out", "-o", help="Folder of the run; an interrupted run continues.", callback=expand_user_option),
]
RunConfig = Annotated[
    Path | None,
    typer.Option(
        help="TOML file with the settings of the training.",
        show_default="the one that comes with BioPose",
        callback=expand_user_option,
    ),
]
BenchmarkFolder = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        help="Folder for the clips and their results; those that are there are kept.",
        callback=expand_user_option,
    ),
]
