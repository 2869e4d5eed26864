from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from biopose_cli.body.kinematics import KinematicChain, Pose, forward_kinematics
from biopose_cli.errors import PersonError, SettingError
from biopose_cli.geometry import so3
from biopose_cli.io.results import Detection, Mesh
from biopose_cli.mesh_fit import mesh_stage, windows
from biopose_cli.mesh_fit.costs import State
from biopose_cli.mesh_fit.observations import build_observations
from biopose_cli.mesh_fit.priors import joint_limits
from biopose_cli.progress import NullProgress
from biopose_cli.settings import Settings
from biopose_cli.typing import Array
from tests.helpers.stick_body import Clip, StickBody, make_detection, make_pose

KNEES = (4, 5)


@pytest.fixture(autouse=True)
def stick_body(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesh_stage, "load_body", lambda path: StickBody())


def fit(detection: Detection, **settings: float) -> Mesh:
    return mesh_stage.run(detection, Settings(mesh="fit", **settings), NullProgress())  # type: ignore[arg-type]


def joints(chain: KinematicChain, mesh: Mesh) -> Array:
    vectors = np.concatenate([mesh.global_orient[:, None], mesh.body_pose], axis=1)
    shape = np.concatenate([mesh.betas, mesh.landmark_offsets])
    return forward_kinematics(chain, Pose(so3.axis_angle_to_matrix(vectors), mesh.transl, shape)).joints


def knee_error(clip: Clip, mesh: Mesh) -> float:
    """Mean absolute error of knee flexion, degrees."""
    truth = so3.matrix_to_axis_angle(clip.pose.rotations[:, KNEES])[..., 0]
    return float(np.degrees(np.abs(mesh.body_pose[:, [k - 1 for k in KNEES], 0] - truth).mean()))


def test_exact_keypoints_give_the_pose_back(clip: Clip) -> None:
    height = float(StickBody().stature(np.asarray(clip.pose.shape_params)))  # type: ignore[arg-type]
    mesh = fit(clip.detection, height=height)
    found, true = joints(clip.chain, mesh), forward_kinematics(clip.chain, clip.pose).joints
    limbs = [1, 2, 4, 5, 7, 8, 16, 17, 18, 19, 20, 21]
    assert np.linalg.norm(found - true, axis=-1)[:, limbs].mean() < 0.04
    assert knee_error(clip, mesh) < 8  # keypoints alone leave depth to the prior
    assert mesh.reprojection_px.mean() < 2
    assert mesh.query_tokens.shape == (20, 0, 0)


def test_height_is_honoured(clip: Clip) -> None:
    for height in (1.5, 1.9):
        mesh = fit(clip.detection, height=height)
        assert mesh.stature_m == pytest.approx(height, abs=0.004)
        assert mesh.stature_source == "--height"
        assert not mesh.warnings


def test_an_assumed_height_is_reported_as_assumed(clip: Clip) -> None:
    mesh = fit(clip.detection)
    assert 1.6 < mesh.stature_m < 1.85
    assert mesh.stature_source != "--height"
    assert any("--height" in warning for warning in mesh.warnings)


def test_frames_without_keypoints_are_bridged(clip: Clip) -> None:
    gap = np.zeros(20, bool)
    gap[8:12] = True
    holes = {
        name: np.where(
            gap.reshape(-1, *[1] * (getattr(clip.detection, name).ndim - 1)),
            np.nan,
            getattr(clip.detection, name),
        )
        for name in ("keypoints_2d", "confidence", "landmarks_3d", "roi", "box")
    }
    detection = dataclasses.replace(clip.detection, visible=~gap, **holes)
    mesh = fit(detection)
    assert np.isfinite(mesh.body_pose).all()
    assert np.isfinite(mesh.transl).all()
    assert (mesh.reprojection_px[gap] == 0).all()
    steps = np.linalg.norm(np.diff(mesh.transl, axis=0), axis=1)
    assert steps.max() < 0.1  # no jump into or out of the gap
    assert knee_error(clip, mesh) < 10


def test_too_few_frames_are_refused(clip: Clip) -> None:
    seen = np.arange(20) < 2
    detection = dataclasses.replace(clip.detection, visible=seen)
    with pytest.raises(PersonError, match="2 frames"):
        fit(detection)


@pytest.mark.parametrize("height", [0.1, 17.5])
def test_an_impossible_height_is_refused(clip: Clip, height: float) -> None:
    with pytest.raises(SettingError, match="--height"):
        fit(clip.detection, height=height)


def test_an_unknown_method_is_refused(clip: Clip) -> None:
    with pytest.raises(SettingError, match="fit"):
        mesh_stage.run(clip.detection, Settings(mesh="magic"), NullProgress())


def test_the_same_input_gives_the_same_mesh(clip: Clip) -> None:
    first, second = fit(clip.detection), fit(clip.detection)
    np.testing.assert_array_equal(first.body_pose, second.body_pose)
    np.testing.assert_array_equal(first.betas, second.betas)


def test_knees_do_not_bend_forward(clip: Clip) -> None:
    """Keypoints of a body whose knees bend the wrong way are not followed past the joint's range."""
    broken = clip.pose.rotations.copy()
    broken[:, KNEES] = so3.axis_angle_to_matrix(np.radians([-50.0, 0, 0]))
    detection = make_detection(clip.chain, dataclasses.replace(clip.pose, rotations=broken), clip.detection.time)
    mesh = fit(detection)
    assert np.degrees(mesh.body_pose[:, [3, 4], 0]).min() > -20
    true = State(clip.chain, dataclasses.replace(clip.pose, rotations=broken))
    assert joint_limits(np.ones(20)).energy(true) > 1000


def test_a_standing_person_is_upright_in_a_level_camera(chain: KinematicChain) -> None:
    """Short legs seen from the front are not taken for bent ones."""
    time = np.arange(20) / 30
    pose = make_pose(time, np.zeros(chain.num_shape_params))
    pose.shape_params[1] = -1.5  # legs 6 cm shorter
    rotations = np.broadcast_to(np.eye(3), pose.rotations.shape).copy()
    rotations[:, 16], rotations[:, 17] = so3.axis_angle_to_matrix(np.array([[0, 0, -1.3], [0, 0, 1.3]]))
    rotations[:, 0] = so3.axis_angle_to_matrix(np.array([np.pi, 0, 0]))
    mesh = fit(make_detection(chain, dataclasses.replace(pose, rotations=rotations), time))
    assert np.degrees(mesh.body_pose[:, [3, 4], 0]).mean() < 12


@pytest.mark.slow
def test_long_clips_in_windows_agree_with_one_fit(chain: KinematicChain, monkeypatch: pytest.MonkeyPatch) -> None:
    time = np.arange(60) / 30
    detection = make_detection(chain, make_pose(time, np.zeros(chain.num_shape_params)), time)
    whole = fit(detection)
    monkeypatch.setattr(windows, "MAX_FRAMES", 30)
    monkeypatch.setattr(windows, "OVERLAP", 10)
    assert len(windows.window_slices(60)) > 1
    parts = fit(detection)
    assert np.degrees(np.abs(parts.body_pose - whole.body_pose)[:, [0, 1, 3, 4]].mean()) < 2
    assert np.linalg.norm(np.diff(parts.transl, axis=0), axis=1).max() < 0.05


def test_a_window_without_detections_is_bridged(chain: KinematicChain, monkeypatch: pytest.MonkeyPatch) -> None:
    time = np.arange(90) / 30
    detection = make_detection(chain, make_pose(time, np.zeros(chain.num_shape_params)), time)
    monkeypatch.setattr(windows, "MAX_FRAMES", 30)
    monkeypatch.setattr(windows, "OVERLAP", 6)
    there = (time < 0.6) | (time > 2.4)
    assert any(not there[span].any() for span in windows.window_slices(90))
    mesh = fit(dataclasses.replace(detection, visible=there))
    assert np.isfinite(mesh.body_pose).all()
    assert np.isfinite(mesh.transl).all()


def test_keypoints_outside_the_lens_model_do_not_count(clip: Clip) -> None:
    lens = np.array([-0.28, 0.07, 0, 0, 0])
    far = clip.detection.keypoints_2d.copy()
    far[:, 31] = 3000.0
    seen = build_observations(dataclasses.replace(clip.detection, keypoints_2d=far, dist_coeffs=lens))
    assert (seen.weight[:, 31] == 0).all()
    assert (seen.confidence[:, 31] == 0).all()
    assert np.isfinite(seen.keypoints).all()
    assert (seen.confidence[:, 11] > 0.9).all()


def test_spans_cover_the_clip_with_the_overlap() -> None:
    for frames in (1, 499, 500, 501, 1234, 10_000):
        parts = windows.window_slices(frames)
        assert parts[0].start == 0
        assert parts[-1].stop == frames
        assert max(part.stop - part.start for part in parts) <= windows.MAX_FRAMES
        assert all(before.stop - after.start == windows.OVERLAP for before, after in itertools.pairwise(parts))


def test_continuous_keeps_the_rotations_and_takes_out_the_jumps() -> None:
    angles = np.linspace(2.5, 4.5, 30)
    vectors = so3.matrix_to_axis_angle(so3.axis_angle_to_matrix(angles[:, None] * np.array([0.6, 0, 0.8])))
    assert np.linalg.norm(np.diff(vectors, axis=0), axis=1).max() > 3
    smooth = mesh_stage.unwrap_axis_angles(vectors)
    assert np.linalg.norm(np.diff(smooth, axis=0), axis=1).max() < 0.1
    np.testing.assert_allclose(so3.axis_angle_to_matrix(smooth), so3.axis_angle_to_matrix(vectors), atol=1e-9)


@pytest.mark.parametrize(
    ("heading", "aside", "said"),
    [
        (0, 0, True),
        (170, 0, True),
        (60, 0, False),
        (-90, 0, False),
        (-32, 32, True),
        (0, 32, False),
    ],
)
def test_a_frontal_view_warns_that_knee_angles_are_uncertain(
    clip: Clip, heading: float, aside: float, said: bool
) -> None:
    """What counts is the line of sight, wherever in the picture the person is."""
    rotations = clip.pose.rotations.copy()
    rotations[:, 0] = so3.axis_angle_to_matrix(np.array([np.pi, 0, 0])) @ so3.axis_angle_to_matrix(
        np.radians([0.0, heading, 0])
    )
    transl = clip.pose.transl * [0, 1, 1] + [3.2 * np.tan(np.radians(aside)), 0, 0]
    pose = dataclasses.replace(clip.pose, rotations=rotations, transl=transl)
    found = mesh_stage.warnings(clip.chain, pose, build_observations(clip.detection), 1.75)
    assert any("knee flexion" in warning for warning in found) == said
