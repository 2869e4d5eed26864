"""The public Python API: whole runs, results from disk, and every stage as a function without a folder.

`biopose_cli` exports these names; import them from there. What a stage needs (torch, OpenSim, FFmpeg) is loaded by the
first call of its function. In all of them, T is the number of frames; `progress` receives the progress of the work,
None means that nobody does; `**settings` are fields of `Settings`, the options of `biopose run` with underscores. What
a stage is given is positional where a setting has its name: `refine(detection, mesh, mesh="fit")`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from biopose_cli.errors import SettingError
from biopose_cli.io.results import Detection, JointKinematics, Mesh, Refined
from biopose_cli.pipeline import run as pipeline
from biopose_cli.pipeline.output_folder import check_names
from biopose_cli.pipeline.result import Result, load_result
from biopose_cli.pipeline.steps import STAGES
from biopose_cli.progress import NullProgress, Progress
from biopose_cli.settings import settings_from


def run(
    video: str | Path,
    out: str | Path,
    *,
    progress: Progress | None = None,
    from_stage: str | None = None,
    overwrite: bool = False,
    **settings: Any,
) -> Result:
    """Take a video through all stages; what is up to date in the folder is reused.

    Parameters
    ----------
    video
        The file.
    out
        The folder in which the folder of the clip, named as the video, is made.
    from_stage
        The stage ("detect", "mesh", "refine", "neurik" or "export") that runs, with all after it, even when nothing
        changed.
    overwrite
        Run everything, and allow replacing the results of another video of the same name.
    **settings
        Fields of `Settings`, such as `height=1.75`.

    Returns
    -------
    Result
        The results of all stages, and the paths of the files.

    Raises
    ------
    UserError, Failure
        One line: what is wrong, where, and what to do. Finished stages stay on disk.

    Examples
    --------
    >>> result = biopose_cli.run("walk.mp4", "results", height=1.75)  # doctest: +SKIP
    >>> result.kinematics.angles_deg["knee_angle_r"]  # doctest: +SKIP
    """
    if from_stage is not None and from_stage not in STAGES:
        raise SettingError(f"there is no stage {from_stage!r}", f"Choose from: {', '.join(STAGES)}")
    check_names([Path(video)])
    return pipeline.run(
        Path(video), Path(out), settings_from(settings), progress, from_stage=from_stage, overwrite=overwrite
    )


def load(folder: str | Path) -> Result:
    """Read the results of an earlier run back; the video is not needed.

    Parameters
    ----------
    folder
        The folder of one clip, such as "results/walk".

    Raises
    ------
    StageOrderError
        The folder holds no results, or results of different runs.
    ArtifactError
        A file is corrupt.
    """
    return load_result(Path(folder))


def detect(video: str | Path, *, progress: Progress | None = None, **settings: Any) -> Detection:
    """Find the people in a video and choose one: keypoints, flags and the camera.

    Parameters
    ----------
    video
        The file.
    **settings
        `weights`, `start`, `end` (s), `capture_rate` (1/s), `person`, `max_gap` (s), and for the camera one of
        `focal` (px), `fov` (degrees) and `intrinsics` (a file).

    Returns
    -------
    Detection
        T frames, from the first to the last in which the person is visible; image frame, px.

    Raises
    ------
    VideoError, PersonError, SettingError, AssetError
    """
    from biopose_cli.detect import stage
    from biopose_cli.io.video.intrinsics import resolve_intrinsics
    from biopose_cli.io.video.probe import probe

    chosen, info = settings_from(settings), probe(Path(video))
    resolve_intrinsics(info, chosen)  # a mistake in the camera's settings shows now, not after minutes of work
    return stage.select_person(stage.track(info, chosen, progress or NullProgress()), info, chosen)


def recover_mesh(detection: Detection, *, progress: Progress | None = None, **settings: Any) -> Mesh:
    """Fit a body to the keypoints: one shape for the clip, a pose and a position per frame.

    Parameters
    ----------
    detection
        From `detect`.
    **settings
        `mesh` ("mqhmr" or "fit"), `height` (m), `body` (an SMPL file), `device`.

    Returns
    -------
    Mesh
        SMPL's parameters in T frames; camera frame, rad and m.

    Raises
    ------
    SettingError, PersonError, BodyFileError, AssetError
    """
    from biopose_cli.mesh_fit import mesh_stage

    return mesh_stage.run(detection, settings_from(settings), progress or NullProgress())


def refine(detection: Detection, mesh: Mesh, /, *, progress: Progress | None = None, **settings: Any) -> Refined:
    """Refine a body on the keypoints: outliers count less, planted feet stand still.

    Parameters
    ----------
    detection
        From `detect`.
    mesh
        From `recover_mesh`, of the same detection.
    **settings
        `mesh`, `height`, `body`, `device`, with the values that `recover_mesh` was given.

    Returns
    -------
    Refined
        The body in T frames; camera frame, rad and m; with `mesh="mqhmr"`, the standard deviations of its rotations.

    Raises
    ------
    SettingError, PersonError, BodyFileError, AssetError
    """
    from biopose_cli.mesh_fit import refine_stage

    return refine_stage.run(detection, mesh, settings_from(settings), progress or NullProgress())


def solve_ik(
    time: ArrayLike, valid: ArrayLike, body: Mesh, /, *, progress: Progress | None = None, **settings: Any
) -> JointKinematics:
    """Joint angles, a scaled skeleton and virtual markers of a body.

    Parameters
    ----------
    time
        (T) s, strictly increasing: `detection.time`.
    valid
        (T) bool, the frames in which the body is known: `detection.usable`.
    body
        A `Refined`, or a `Mesh` (then there are no standard deviations); T frames, camera frame.
    **settings
        `ik` ("neural" or "opensim"), `ik_iterations`, `ik_smoothness` (m2/rad2), `model` (an .osim), `mass` (kg),
        `camera_pitch` and `camera_roll` (degrees), `body` (the SMPL file of the fitted body), `device`.

    Returns
    -------
    JointKinematics
        T frames; ground frame, rad and m; NaN in frames that are not valid.

    Raises
    ------
    SettingError, PersonError, ModelFileError, SolverError
    """
    from biopose_cli.ik import stage

    times, frames = np.asarray(time, np.float64), np.asarray(valid, np.bool_)
    if times.ndim != 1 or not times.shape == frames.shape == (len(body.transl),):
        raise SettingError(
            f"time {times.shape}, valid {frames.shape} and a body in {len(body.transl)} frames do not go together",
            "Give one of each per frame",
        )
    refined = body if isinstance(body, Refined) else Refined(**vars(body))
    return stage.run(times, frames, refined, settings_from(settings), progress)


def solve_ik_from_markers(
    time: ArrayLike, markers: ArrayLike, names: Sequence[str], *, progress: Progress | None = None, **settings: Any
) -> JointKinematics:
    """Joint angles and a scaled skeleton from measured markers, without a video.

    The markers must lie on the sites that `MARKER_NAMES` names (`body/data/markers.csv` describes them); give as many
    of them as there are. The scales of the skeleton are NeurIK's, and markers sit on its bones as on a typical
    person. `q_std` is empty: nothing predicts how wrong the markers are.

    Parameters
    ----------
    time
        (T) s, strictly increasing.
    markers
        (T, N, 3) m, OpenSim's ground frame (y up, floor at y = 0); NaN where a marker was not seen.
    names
        The N names, of `MARKER_NAMES`, in any order; at least three of the pelvis.
    **settings
        `ik` ("neural" or "opensim"), `ik_iterations`, `ik_smoothness` (m2/rad2), `mass` (kg), `height` (m, for the
        mass), `device`.

    Returns
    -------
    JointKinematics
        T frames; ground frame, rad and m; NaN in frames with too few markers (under half of them, or under three of
        the pelvis). The markers are those given.

    Raises
    ------
    SettingError, PersonError, SolverError

    Examples
    --------
    >>> measured = biopose_cli.read_trc("trial.trc")  # doctest: +SKIP
    >>> biopose_cli.solve_ik_from_markers(measured.time, measured.positions, measured.names)  # doctest: +SKIP
    """
    from biopose_cli.ik import from_markers

    return from_markers.run(np.asarray(time), np.asarray(markers), tuple(names), settings_from(settings), progress)


def export(
    video: str | Path,
    detection: Detection,
    refined: Refined,
    kinematics: JointKinematics,
    folder: str | Path,
    *,
    name: str | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> list[Path]:
    """Write the files that `biopose run` writes: motion, table, model, markers, overlay and summary.

    Parameters
    ----------
    video
        The file, for the overlay.
    detection, refined, kinematics
        From `detect`, `refine` and `solve_ik`.
    folder
        Where the files go; it is made if it is not there.
    name
        What their names begin with; None: as the video.
    **settings
        Those of the stages before: the summary lists them, and the overlay needs `body`.

    Returns
    -------
    list of Path
        The files, the summary last.

    Raises
    ------
    SolverError
        No frame has joint angles.
    VideoError, SettingError, BodyFileError, DiskFullError, OutputError
    """
    from biopose_cli.export import stage
    from biopose_cli.io.video.probe import probe

    info, chosen = probe(Path(video)), settings_from(settings)
    name = Path(video).stem if name is None else name
    return stage.run(info, detection, refined, kinematics, chosen, Path(folder), name, progress)
