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
    """Replace a leading `~` by the home folder, in an option that may be absent."""
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
    typer.Argument(help="Video files.", metavar="VIDEO...", show_default=False, callback=_expand_all_users),
]
Out = Annotated[
    Path,
    typer.Option("--out", "-o", help="Folder for the results; each video gets OUT/NAME/.", callback=expand_user_option),
]
Config = Annotated[
    Path | None,
    typer.Option(
        help="TOML file with the same keys as `biopose run`'s options, which win over it; its paths are relative "
        "to it.",
        is_eager=True,
        callback=_read_config,
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Recompute everything; replace another video's results.")]
Json = Annotated[bool, typer.Option("--json", help="Print the results as JSON on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Weights = Annotated[
    Literal["heavy", "full", "lite"],
    typer.Option(help="Keypoint network: heavy is the most accurate, lite the fastest."),
]
Start = Annotated[
    float | None,
    typer.Option(help="Leave out what is before this time of the video, s.", show_default="beginning"),
]
End = Annotated[
    float | None, typer.Option(help="Leave out what is after this time of the video, s.", show_default="end")
]
Person = Annotated[
    int | None,
    typer.Option(help="Which person, as numbered in the overlay.", show_default="the longest and largest track"),
]
CaptureRate = Annotated[
    float | None,
    typer.Option(
        help="For slow motion: frames/s that were filmed. Times are then those of the motion.",
        show_default="the video's own rate",
    ),
]
MaxGap = Annotated[float, typer.Option(help="Longest gap in the person's track that is filled (and flagged), s.")]
Focal = Annotated[float | None, typer.Option(help="Focal length, px.", show_default="from the file, else a guess")]
Fov = Annotated[
    float | None,
    typer.Option(help="Angle of view across the image's longer side, degrees.", show_default="see --focal"),
]
Intrinsics = Annotated[
    Path | None,
    typer.Option(
        help="JSON or TOML file with camera_matrix (3x3), dist_coeffs, image_size (width, height).",
        show_default="none",
        callback=expand_user_option,
    ),
]
MeshOption = Annotated[
    Literal["mqhmr", "fit"],
    typer.Option(
        "--mesh",
        help="How the body is found: by a network and a fit near what that says, or by the fit alone.",
    ),
]
Body = Annotated[
    Path | None,
    typer.Option(
        help="SMPL body file (.pkl or .npz).",
        show_default="the free body that comes with biopose",
        callback=expand_user_option,
    ),
]
ImportBody = Annotated[
    Path | None,
    typer.Option(
        "--body",
        help="The SMPL body file (.pkl or .npz) that the track was made for; `default`: the free body that comes with "
        "biopose.",
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
        "--video", help="The video that the track was made from.", show_default=False, callback=expand_user_option
    ),
]
TrackId = Annotated[
    str | None,
    typer.Option("--track", help="Which of the file's tracks, by its id there.", show_default="the only one"),
]
Height = Annotated[
    float | None,
    typer.Option(help="The person's standing height, m: it sets the scale.", show_default="estimated"),
]
Ik = Annotated[
    Literal["neural", "opensim"],
    typer.Option(help="Inverse kinematics: the NeurIK network and our solver, or OpenSim's own tool."),
]
IkIterations = Annotated[
    int | None,
    typer.Option(
        help="Steps of the solver after the network; 0: the network alone.",
        show_default="until nothing changes",
    ),
]
IkSmoothness = Annotated[
    float,
    typer.Option(help="Smoothness of the angles over frames, m2/rad2: about 1 at 30 frames/s; 0: none."),
]
Model = Annotated[
    Path | None,
    typer.Option(
        help="Your own .osim, scaled and driven instead of the default.",
        show_default="BioPose's skeleton",
        callback=expand_user_option,
    ),
]
Mass = Annotated[float | None, typer.Option(help="The person's mass, kg.", show_default="estimated from the stature")]
Pitch = Annotated[
    float | None,
    typer.Option(
        help="Camera tilt, degrees, positive looking down.",
        show_default="by the person's balance and the floor",
    ),
]
Roll = Annotated[
    float | None,
    typer.Option(
        help="Camera roll, degrees, positive clockwise.", show_default="by the person's balance and the floor"
    ),
]
Device = Annotated[
    Literal["auto", "cpu", "cuda", "mps"],
    typer.Option(
        help="Where the network computes; everything else runs on the CPU. auto: CUDA if there, else the CPU."
    ),
]
From = Annotated[
    Literal["detect", "mesh", "refine", "neurik", "export"] | None,
    typer.Option(
        "--from", help="Run this stage and all after it even if nothing changed.", show_default="what changed"
    ),
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
    typer.Option("--out", "-o", help="Folder of the run; one that was cut goes on.", callback=expand_user_option),
]
RunConfig = Annotated[
    Path | None,
    typer.Option(
        help="TOML file with the run's settings.",
        show_default="the one that comes with BioPose",
        callback=expand_user_option,
    ),
]
BenchmarkFolder = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        help="Folder for the clips and their results; what is there is kept.",
        callback=expand_user_option,
    ),
]
