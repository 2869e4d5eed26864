"""Four real views of one man on a beam: detections, and landmarks triangulated from all four views.

The videos are `single_cam01.mp4` to `single_cam04.mp4` of `biopose assets --samples`. The truth is `triangulated.npz`
of the trial `multiview_balance`: BlazePose's landmarks in 3D from the four cameras, whose calibration is in the same
file. It is BlazePose against BlazePose: what all views get wrong alike does not show.
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

GT_FILE = Path("multiview_balance", "triangulated.npz")
CAMERAS = ("cam01", "cam02", "cam03", "cam04")
# The calibration is for frames of 1088 x 1920 px. The videos of cam01 and cam02 are that frame scaled to a width of
# 1080 px, with bars above and below (our finding: only then do triangulated limbs have constant lengths).
_CALIBRATED_WIDTH, _CENTER_Y = 1088.0, 960.0  # px
_LANDMARK_SIGMA = 0.01  # m, of the fit to the true landmarks
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
class CameraView:
    """Detections and ground truth of one camera.

    detection : of the whole clip, with the calibrated camera
    frames : (N) indices of the frames with ground truth
    gt_landmarks : (N, 33, 3) m, camera frame, landmarks at the times of those frames
    """

    name: str
    detection: Detection
    frames: Array
    gt_landmarks: Array


def load_camera_views(trials: Path, videos: Path, cache: Path, progress: Progress) -> list[CameraView]:
    """Load the four views; detections are cached in `cache`, as by `biopose detect --out CACHE`.

    Parameters
    ----------
        trials : folder that holds `multiview_balance`, or that folder itself
        videos : folder of the four videos
    cache : folder of the detections
    progress : reports the detection

    Raises
    ------
        SettingError
            The ground truth or a video is missing, or the ground truth has another layout.
        UserError, Failure
            As `pipeline.run`.
    """
    calibration = _read_ground_truth(trials)
    paths = [videos / f"single_{camera}.mp4" for camera in CAMERAS]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise SettingError(f"{videos} lacks {', '.join(missing)}", "Fetch them with `biopose assets --samples`")
    views = []
    for number, (camera, path) in enumerate(zip(CAMERAS, paths, strict=True)):
        result = run.run(path, cache, Settings(), progress, only="detect")
        views.append(camera_view(camera, result.detection, calibration, number))
    return views


def camera_view(name: str, detection: Detection, calibration: dict[str, Array], camera_index: int) -> CameraView:
    """View number `camera_index` of the calibration, whose keys are those of `triangulated.npz`."""
    dist_coeffs = np.zeros(5)
    dist_coeffs[:4] = calibration["dist_coeffs"][camera_index]
    camera_matrix = video_camera_matrix(calibration["camera_matrix"][camera_index], float(detection.image_size[0]))
    # Frame f of the ground truth is frame f + shift of the camera.
    gt_frame = detection.frame - calibration["frame_shift"][camera_index]
    calibrated_frames = calibration["frame"]
    frames = np.flatnonzero(
        detection.visible & (gt_frame >= calibrated_frames[0]) & (gt_frame <= calibrated_frames[-1])
    )
    flat = calibration["points"].reshape(len(calibrated_frames), -1).astype(np.float64)
    points = np.stack([np.interp(gt_frame[frames], calibrated_frames, column) for column in flat.T], axis=1)
    gt_landmarks = (
        points.reshape(len(frames), LANDMARKS, 3) @ calibration["R"][camera_index].T + calibration["t"][camera_index]
    )
    return CameraView(
        name, replace(detection, camera_matrix=camera_matrix, dist_coeffs=dist_coeffs), frames, gt_landmarks
    )


def video_camera_matrix(calibrated_matrix: Array, width: float) -> Array:
    """The camera matrix (3, 3), px, of a video `width` px wide, from that of the calibration's frame."""
    scale = width / _CALIBRATED_WIDTH
    camera_matrix = np.array(calibrated_matrix, np.float64)
    camera_matrix[:2] *= scale
    camera_matrix[1, 2] += _CENTER_Y * (1 - scale)
    return camera_matrix


def fit_to_ground_truth(view: CameraView, body: Body, landmarks: Sequence[int], *, fit_offsets: bool) -> Pose:
    """Fit the body, with one shape, to the true landmarks within the joint limits.

    The result has the frames and the camera frame of `view.gt_landmarks`. With `fit_offsets`, the landmarks' offsets
    from their mean positions on the body are fitted too; otherwise only SMPL's betas (10).
    """
    chain = build_kinematic_chain(body)
    if not fit_offsets:
        chain = replace(
            chain,
            joint_shapedirs=chain.joint_shapedirs[..., :NUM_BETAS],
            offset_shapedirs=chain.offset_shapedirs[..., :NUM_BETAS],
        )
    observations = replace(build_observations(view.detection).select(view.frames), landmarks_3d=view.gt_landmarks)
    prior_cost = build_shape_prior(body, None)
    init_costs = [landmarks_cost(observations, 1.0), *prior_costs(observations, prior_cost, standing=True)]
    pose, _ = levenberg_marquardt(chain, initial_pose(chain, observations), init_costs, 20, free_shape=False)
    weight = np.zeros(view.gt_landmarks.shape[:2])
    weight[:, list(landmarks)] = 1
    costs: list[Cost] = [
        Landmarks3D(view.gt_landmarks, weight, _LANDMARK_SIGMA, delta=3.0),
        priors.joint_limits(np.ones(len(weight))),
        prior_cost,
    ]
    return levenberg_marquardt(chain, pose, costs, 60, free_shape=True)[0]


def _read_ground_truth(trials: Path) -> dict[str, Array]:
    path = trials / GT_FILE if (trials / GT_FILE).is_file() else trials / GT_FILE.name
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in _ARRAYS}
    except FileNotFoundError as error:
        raise SettingError(f"{trials / GT_FILE} does not exist", "Give the folder of the trials") from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise SettingError(f"{path} is not the trial's ground truth: {error}", "Download the file again") from error
    for name, shape in _ARRAYS.items():
        if arrays[name].shape[1:] != shape:
            raise SettingError(f"{path}: {name} has the shape {arrays[name].shape}", f"Expected: (number, {shape})")
    return arrays
