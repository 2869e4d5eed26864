"""Four real views of one man on a beam, seen by the detect stage, with the landmarks that all four together show.

The videos are `single_cam01.mp4` to `single_cam04.mp4` of tools/fetch_clips.py. The truth is `triangulated.npz` of the
trial `multiview_balance`: BlazePose's landmarks in 3D from the four cameras, whose calibration is in the same file. It
is BlazePose against BlazePose: what all views get wrong alike does not show.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from biopose_cli.body.kinematics import NUM_BETAS, Pose, build_kinematic_chain
from biopose_cli.body.model import Body
from biopose_cli.errors import SettingError
from biopose_cli.io.results import LANDMARKS, Detection
from biopose_cli.mesh_fit import priors
from biopose_cli.mesh_fit.costs import Cost, Landmarks3D
from biopose_cli.mesh_fit.fit import landmarks_cost, prior_costs
from biopose_cli.mesh_fit.initialization import initial_pose
from biopose_cli.mesh_fit.mesh_stage import build_shape_prior
from biopose_cli.mesh_fit.observations import build_observations
from biopose_cli.mesh_fit.solver import levenberg_marquardt
from biopose_cli.pipeline import run
from biopose_cli.progress import Progress
from biopose_cli.settings import Settings
from biopose_cli.typing import Array

TRUTH = Path("multiview_balance", "triangulated.npz")
CAMERAS = ("cam01", "cam02", "cam03", "cam04")
# The calibration is for frames of 1088 x 1920 px. The videos of cam01 and cam02 are that frame scaled to a width of
# 1080 px, with bars above and below (found by the developers: limbs triangulate at one length only in this way).
_CALIBRATED_WIDTH, _MIDDLE = 1088.0, 960.0  # px
_SIGMA = 0.01  # m, of the fit to the true landmarks
_ARRAYS = {
    "points": (LANDMARKS, 3),
    "frame": (),
    "frame_shift": (),
    "camera_matrix": (3, 3),
    "dist_coeffs": (4,),
    "R": (3, 3),
    "t": (3,),
}


@dataclass(frozen=True)
class RealView:
    """What one camera saw.

    detection : of the whole clip, with the camera as calibrated
    frames : (N) which of its frames have a truth
    truth : (N, 33, 3) m, camera frame, the landmarks at those frames' times
    """

    name: str
    detection: Detection
    frames: Array
    truth: Array


def real_views(trials: Path, videos: Path, cache: Path, progress: Progress) -> list[RealView]:
    """The four views. What was detected is kept in `cache`, as by `biopose detect --out CACHE`.

    Parameters
    ----------
    trials : folder that holds `multiview_balance`, or that folder itself
    videos : folder of the four videos

    Raises
    ------
    SettingError
        The truth or a video is not there, or the truth is of another form.
    UserError, Failure
        As `pipeline.run`.
    """
    calibrated = _read(trials)
    paths = [videos / f"single_{camera}.mp4" for camera in CAMERAS]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise SettingError(
            f"{videos} lacks {', '.join(missing)}", "Fetch the clips with tools/fetch_clips.py (make samples)"
        )
    views = []
    for number, (camera, path) in enumerate(zip(CAMERAS, paths, strict=True)):
        result = run.run(path, cache, Settings(), progress, only="detect")
        views.append(seen_by(camera, result.artifacts["detect"], calibrated, number))
    return views


def seen_by(name: str, detection: Detection, calibrated: dict[str, Array], number: int) -> RealView:
    """The view of camera `number` of the calibration, by the keys of `triangulated.npz`."""
    dist = np.zeros(5)
    dist[:4] = calibrated["dist_coeffs"][number]
    matrix = video_matrix(calibrated["camera_matrix"][number], float(detection.image_size[0]))
    # The camera shows the truth's frame f at its own frame f + shift.
    wanted = detection.frame - calibrated["frame_shift"][number]
    known = calibrated["frame"]
    frames = np.flatnonzero(detection.visible & (wanted >= known[0]) & (wanted <= known[-1]))
    flat = calibrated["points"].reshape(len(known), -1).astype(np.float64)
    points = np.stack([np.interp(wanted[frames], known, column) for column in flat.T], axis=1)
    truth = points.reshape(len(frames), LANDMARKS, 3) @ calibrated["R"][number].T + calibrated["t"][number]
    return RealView(name, replace(detection, camera_matrix=matrix, dist_coeffs=dist), frames, truth)


def video_matrix(calibrated: Array, width: float) -> Array:
    """The camera matrix (3, 3), px, of a video `width` px wide, from that of the calibration's frame."""
    scale = width / _CALIBRATED_WIDTH
    matrix = np.array(calibrated, np.float64)
    matrix[:2] *= scale
    matrix[1, 2] += _MIDDLE * (1 - scale)
    return matrix


def fitted_to_truth(view: RealView, body: Body, landmarks: Sequence[int], *, deviations: bool) -> Pose:
    """The body, with one shape, whose `landmarks` are as near to the true ones as the joints' limits let them be.

    Frames and camera frame of `view.truth`; the place is not fitted. Without `deviations` the shape is SMPL's (10)
    alone: the landmarks sit on the body where they do on average.
    """
    chain = build_kinematic_chain(body)
    if not deviations:
        chain = replace(
            chain,
            joint_shapedirs=chain.joint_shapedirs[..., :NUM_BETAS],
            offset_shapedirs=chain.offset_shapedirs[..., :NUM_BETAS],
        )
    seen = replace(build_observations(view.detection).select(view.frames), landmarks_3d=view.truth)
    shape = build_shape_prior(body, None)
    begin = [landmarks_cost(seen, 1.0), *prior_costs(seen, shape, standing=True)]
    pose, _ = levenberg_marquardt(chain, initial_pose(chain, seen), begin, 20, free_shape=False)
    weight = np.zeros(view.truth.shape[:2])
    weight[:, list(landmarks)] = 1
    near: list[Cost] = [
        Landmarks3D(view.truth, weight, _SIGMA, delta=3.0),
        priors.joint_limits(np.ones(len(weight))),
        shape,
    ]
    return levenberg_marquardt(chain, pose, near, 60, free_shape=True)[0]


def _read(trials: Path) -> dict[str, Array]:
    path = trials / TRUTH if (trials / TRUTH).is_file() else trials / TRUTH.name
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in _ARRAYS}
    except FileNotFoundError as error:
        raise SettingError(f"there is no {trials / TRUTH}", "Name the folder of the trials") from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise SettingError(f"{path} is not the trial's truth: {error}", "Get the file again") from error
    for name, shape in _ARRAYS.items():
        if arrays[name].shape[1:] != shape:
            raise SettingError(f"{path}: {name} is {arrays[name].shape}", f"Needed is (number, {shape})")
    return arrays
