"""The real views: cameras and truth put where the notes say, and one line for what is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from biopose_cli.benchmarks.camera_views import CAMERAS, camera_view, load_camera_views, video_camera_matrix
from biopose_cli.benchmarks.camera_views import fit_to_ground_truth as fitted
from biopose_cli.body.kinematics import NUM_JOINTS, Pose, build_kinematic_chain, forward_kinematics
from biopose_cli.body.model import load_body
from biopose_cli.errors import SettingError
from biopose_cli.geometry import so3
from biopose_cli.geometry.camera import undistort
from biopose_cli.io.results import LANDMARKS, Detection
from biopose_cli.metrics.points import LIMB_LANDMARKS, landmark_errors
from biopose_cli.progress import NullProgress
from biopose_cli.typing import Array

SHIFT = np.array([0.25, 0.0])


def make_calibration(points: Array) -> dict[str, Array]:
    """Two cameras that look at the same points (T, 33, 3), frames 2 to T + 1."""
    camera_matrix = np.array([[1680.0, 0, 530], [0, 1681, 950], [0, 0, 1]])
    rotations = so3.axis_angle_to_matrix(np.array([[0.1, 0.2, 0.3], [0, 1.5, 0]]))
    return {
        "points": points,
        "frame": np.arange(2, 2 + len(points)),
        "frame_shift": SHIFT,
        "camera_matrix": np.stack([camera_matrix, camera_matrix]),
        "dist_coeffs": np.array([[-0.05, 0.14, 0.001, 0.0007]] * 2),
        "R": rotations,
        "t": np.array([[0.0, 0, 4], [0.1, 0.2, 5]]),
    }


def make_detection(frames: int, width: int = 1080) -> Detection:
    shape = frames, LANDMARKS
    return Detection(
        time=np.arange(frames) / 60,
        frame=np.arange(frames),
        image_size=np.array([width, 1920]),
        box=np.zeros((frames, 4)),
        roi=np.tile([500.0, 900, 800, 0], (frames, 1)),
        keypoints_2d=np.full((*shape, 2), 600.0),
        confidence=np.ones(shape),
        landmarks_3d=np.zeros((*shape, 3)),
        visible=np.ones(frames, bool),
        swapped=np.zeros(frames, bool),
        interpolated=np.zeros(frames, bool),
        people_box=np.zeros((1, frames, 4)),
        camera_matrix=np.eye(3),
        dist_coeffs=np.zeros(5),
    )


def test_letterboxed_pixels_give_the_rays_of_the_calibrations_frame() -> None:
    """x * 1088 / 1080 and (y - 960) * 1088 / 1080 + 960 lead from a video's pixel to the calibration's."""
    own = make_calibration(np.zeros((1, LANDMARKS, 3)))["camera_matrix"][0]
    dist = np.array([-0.05, 0.14, 0.001, 0.0007, 0])
    video = np.array([[100.0, 200], [540, 960], [900, 1700]])
    frame = np.stack([video[:, 0] * 1088 / 1080, (video[:, 1] - 960) * 1088 / 1080 + 960], axis=1)

    def rays(pixels: Array, matrix: Array) -> Array:
        straight = np.c_[undistort(pixels, matrix, dist), np.ones(3)]
        return straight @ np.linalg.inv(matrix).T

    np.testing.assert_allclose(rays(video, video_camera_matrix(own, 1080)), rays(frame, own), atol=1e-12)
    np.testing.assert_array_equal(video_camera_matrix(own, 1088), own)


def test_the_truth_is_at_the_frames_own_time_and_before_its_own_camera() -> None:
    frames = 6
    points = np.zeros((frames, LANDMARKS, 3))
    points[:, 5, 0] = np.arange(frames) ** 2  # m, at frames 2 to 7
    known = make_calibration(points)
    detection = make_detection(10)
    detection.visible[4] = False
    view = camera_view("cam", detection, known, 0)
    np.testing.assert_array_equal(view.frames, [3, 5, 6, 7])  # frame 2 shows the truth's 1.75, before its first
    world = (view.gt_landmarks - known["t"][0]) @ known["R"][0]
    np.testing.assert_allclose(world[:, 5, 0], [0.75, 7.75, 14.25, 22.75], atol=1e-9)
    np.testing.assert_array_equal(camera_view("cam", make_detection(10), known, 1).frames, [2, 3, 4, 5, 6, 7])
    assert view.detection.camera_matrix[0, 0] == pytest.approx(1680 * 1080 / 1088)
    assert view.detection.dist_coeffs[1] == pytest.approx(0.14)
    assert detection.camera_matrix[0, 0] == 1  # what was detected is left as it is


def test_our_own_body_is_fitted_almost_exactly_with_or_without_offsets() -> None:
    rng = np.random.default_rng(0)
    body = load_body()
    chain = build_kinematic_chain(body)
    vectors = np.zeros((8, NUM_JOINTS, 3))
    vectors[:, 4] = [0.5, 0, 0]  # the left knee
    vectors[:, 0] = [np.pi, 0, 0]  # upright before the camera
    shape = np.zeros(chain.num_shape_params)
    shape[:3] = 0.4 * rng.normal(size=3)
    truth = forward_kinematics(
        chain, Pose(so3.axis_angle_to_matrix(vectors), np.tile([0.0, 0, 4], (8, 1)), shape)
    ).landmarks
    known = make_calibration(truth)
    known["R"][1], known["t"][1] = np.eye(3), np.zeros(3)
    view = camera_view("cam", make_detection(12), known, 1)
    for deviations in (False, True):
        pose = fitted(view, body, LIMB_LANDMARKS, fit_offsets=deviations)
        own = chain if deviations else None
        assert len(pose.shape_params) == (chain.num_shape_params if deviations else 10)
        full = Pose(
            pose.rotations,
            pose.transl,
            np.pad(pose.shape_params, (0, chain.num_shape_params - len(pose.shape_params))),
        )
        found = landmark_errors(forward_kinematics(own or chain, full).landmarks, view.gt_landmarks)
        assert found["pa_mpjpe_mm"] < 4
        assert found["knee_deg"] < 3


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"triangulated\.npz"):
        load_camera_views(tmp_path, tmp_path, tmp_path, NullProgress())
    (tmp_path / "triangulated.npz").write_bytes(b"nothing")
    with pytest.raises(SettingError, match="not the trial's ground truth"):
        load_camera_views(tmp_path, tmp_path, tmp_path, NullProgress())
    known = make_calibration(np.zeros((3, LANDMARKS, 3)))
    np.savez(tmp_path / "triangulated.npz", **known)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match=r"lacks single_cam01\.mp4, .*single_cam04\.mp4.*assets --samples"):
        load_camera_views(tmp_path, tmp_path, tmp_path, NullProgress())
    np.savez(tmp_path / "triangulated.npz", **(known | {"R": np.zeros((2, 4, 4))}))  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="R has the shape"):
        load_camera_views(tmp_path, tmp_path, tmp_path, NullProgress())


def test_the_real_truth_projects_into_the_cameras(shared: Path) -> None:
    """Every view's truth lies before its camera, inside its picture, and stands upright in it."""
    with np.load(shared / "data" / "dev" / "multiview_balance" / "triangulated.npz") as stored:
        known = dict(stored)
    for number, name in enumerate(CAMERAS):
        view = camera_view(name, make_detection(100, 1080 if number < 2 else 1088), known, number)
        assert len(view.frames) >= 94
        assert view.gt_landmarks[..., 2].min() > 1
        matrix = view.detection.camera_matrix
        image = view.gt_landmarks @ matrix.T
        image = image[..., :2] / image[..., 2:]
        assert (image > 0).all()
        assert (image < view.detection.image_size).all()
        assert (image[:, 0, 1] < image[:, 23, 1]).all()  # the nose above the hip
