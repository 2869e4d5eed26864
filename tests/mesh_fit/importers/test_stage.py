"""Tracks of other tools: what comes back, what is refused, and what is said. The default body stands for SMPL's."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from biopose_cli.body.kinematics import KinematicChain, Pose, build_kinematic_chain
from biopose_cli.body.model import load_body
from biopose_cli.errors import PersonError, TrackFileError
from biopose_cli.geometry import so3
from biopose_cli.io.results import Detection, Mesh
from biopose_cli.io.video.probe import VideoInfo
from biopose_cli.mesh_fit.importers.layouts import load_track
from biopose_cli.mesh_fit.importers.safe_load import safe_load
from biopose_cli.mesh_fit.importers.stage import run
from biopose_cli.mesh_fit.mesh_stage import unwrap_axis_angles
from biopose_cli.settings import Settings
from tests.helpers.other_tools import (
    BodyInCamera,
    write_biopose,
    write_gvhmr,
    write_phalp,
    write_weak_perspective,
    write_wham,
)
from tests.helpers.stick_body import make_detection, make_pose

T = 20
DATA = Path(__file__).parent / "data"
INFO = VideoInfo(Path("walk.mp4"), 1000, 1000, 0, T, T / 30, 30.0, False, "h264", "yuv420p", None, None, False)


@pytest.fixture(scope="module")
def body_chain() -> KinematicChain:
    return build_kinematic_chain(load_body())


@pytest.fixture(scope="module")
def pose(body_chain: KinematicChain) -> Pose:
    """The walking body, off the image's centre, with bent hands."""
    shape = np.zeros(body_chain.num_shape_params)
    shape[:10] = np.random.default_rng(5).normal(0, 0.5, 10)
    made = make_pose(np.arange(T) / 30, shape)
    made.rotations[:, 22:] = so3.axis_angle_to_matrix(np.array([0.1, -0.2, 0.3]))
    return replace(made, transl=made.transl + np.array([0.6, 0.1, 0.5]))


@pytest.fixture(scope="module")
def detection(body_chain: KinematicChain, pose: Pose) -> Detection:
    return make_detection(body_chain, pose, np.arange(T) / 30)


@pytest.fixture
def walker(body_chain: KinematicChain, pose: Pose, detection: Detection) -> BodyInCamera:
    rest = body_chain.rest_joints[0] + body_chain.joint_shapedirs[0] @ pose.shape_params
    return BodyInCamera(
        pose.rotations,
        pose.transl + rest,
        pose.shape_params[:10],
        rest,
        detection.camera_matrix,
        (1000, 1000),
    )


def import_track(path: Path, detection: Detection, **settings: Any) -> Mesh:
    return run(INFO, detection, Settings(mesh="import", track=path, **settings))


@pytest.mark.parametrize(
    ("name", "write", "track"),
    [
        ("a.npz", write_biopose, None),
        ("a.npz", write_weak_perspective, None),
        ("a.pkl", write_phalp, "7"),
        ("a.pkl", write_wham, None),
    ],
)
def test_every_layout_gives_the_body_back(
    name: str,
    write: Callable[[Path, BodyInCamera], Path],
    track: str | None,
    tmp_path: Path,
    walker: BodyInCamera,
    pose: Pose,
    detection: Detection,
) -> None:
    mesh = import_track(write(tmp_path / name, walker), detection, track_id=track)
    np.testing.assert_allclose(mesh.body_pose, walker.axis_angles[:, 1:], atol=1e-5)
    np.testing.assert_allclose(mesh.global_orient, unwrap_axis_angles(walker.axis_angles[:, 0]), atol=1e-5)
    np.testing.assert_allclose(mesh.betas, walker.betas, atol=1e-5)
    np.testing.assert_allclose(mesh.transl, pose.transl, atol=1e-5)
    assert mesh.warnings == ()
    assert mesh.reprojection_px.max() < 0.01
    assert mesh.stature_m == pytest.approx(float(load_body().stature(torch.tensor(mesh.betas))))


def test_gvhmr_gives_the_pose_but_not_the_shape(
    tmp_path: Path, walker: BodyInCamera, body_chain: KinematicChain, detection: Detection
) -> None:
    mesh = import_track(write_gvhmr(tmp_path / "a.pt", walker), detection)
    np.testing.assert_allclose(mesh.body_pose[:, :21], walker.axis_angles[:, 1:22], atol=1e-5)
    np.testing.assert_array_equal(mesh.body_pose[:, 21:], 0)
    np.testing.assert_allclose(mesh.global_orient, unwrap_axis_angles(walker.axis_angles[:, 0]), atol=1e-5)
    np.testing.assert_array_equal(mesh.betas, 0)
    np.testing.assert_allclose(mesh.transl + body_chain.rest_joints[0], walker.pelvis, atol=1e-5)
    assert "SMPL-X" in mesh.warnings[0]


@pytest.mark.parametrize(
    "change",
    [
        lambda w: {"body_pose": w.axis_angles[:, 1:].reshape(T, 69)},
        lambda w: {"body_pose": w.rotations[:, 1:], "global_orient": w.rotations[:, 0]},
        lambda w: {"global_orient": w.rotations[:, :1]},
        lambda w: {"betas": np.tile(w.betas, (T, 1))},
        lambda w: {"camera_matrix": w.camera_matrix},
    ],
)
def test_biopose_layouts_of_other_shapes_give_the_same_body(
    change: Callable[[BodyInCamera], dict[str, Any]],
    tmp_path: Path,
    walker: BodyInCamera,
    detection: Detection,
) -> None:
    plain = import_track(write_biopose(tmp_path / "a.npz", walker), detection)
    other = import_track(write_biopose(tmp_path / "b.npz", walker, **change(walker)), detection)
    for name in ("body_pose", "global_orient", "betas", "transl"):
        np.testing.assert_allclose(getattr(other, name), getattr(plain, name), atol=1e-5)


def test_a_body_of_21_joints_has_straight_hands(tmp_path: Path, walker: BodyInCamera, detection: Detection) -> None:
    for shape in ((T, 63), (T, 21, 3)):
        path = write_biopose(tmp_path / "a.npz", walker, body_pose=walker.axis_angles[:, 1:22].reshape(shape))
        mesh = import_track(path, detection)
        np.testing.assert_allclose(mesh.body_pose[:, :21], walker.axis_angles[:, 1:22], atol=1e-5)
        np.testing.assert_array_equal(mesh.body_pose[:, 21:], 0)


def test_a_changing_shape_becomes_its_median(tmp_path: Path, walker: BodyInCamera, detection: Detection) -> None:
    betas = np.tile(walker.betas, (T, 1))
    betas[0, 0] += 3
    mesh = import_track(write_biopose(tmp_path / "a.npz", walker, betas=betas), detection)
    np.testing.assert_allclose(mesh.betas, walker.betas, atol=1e-6)
    assert "median" in mesh.warnings[0]


def test_missing_frames_are_filled_and_counted(
    tmp_path: Path, walker: BodyInCamera, pose: Pose, detection: Detection
) -> None:
    at = np.delete(np.arange(T), [5, 6, 7])
    mesh = import_track(write_wham(tmp_path / "a.pkl", walker, at), detection)
    np.testing.assert_allclose(mesh.transl[at], pose.transl[at], atol=1e-5)
    assert np.abs(mesh.body_pose - walker.axis_angles[:, 1:]).max() < 0.05
    assert "3 of 20 frames" in mesh.warnings[0]


def test_height_moves_the_body_so_that_its_image_stays(
    tmp_path: Path, walker: BodyInCamera, body_chain: KinematicChain, detection: Detection
) -> None:
    mesh = import_track(write_biopose(tmp_path / "a.npz", walker), detection, height=1.9)
    assert mesh.stature_m == pytest.approx(1.9, abs=1e-3)
    assert mesh.stature_source == "--height"
    pelvis = mesh.transl + body_chain.rest_joints[0] + body_chain.joint_shapedirs[0, :, :10] @ mesh.betas
    image = pelvis[:, :2] / pelvis[:, 2:]
    np.testing.assert_allclose(image, walker.pelvis[:, :2] / walker.pelvis[:, 2:], atol=1e-5)
    assert mesh.reprojection_px.mean() < 5


def test_a_track_of_another_person_is_noticed(tmp_path: Path, walker: BodyInCamera, detection: Detection) -> None:
    aside = write_biopose(tmp_path / "a.npz", walker, transl=walker.transl + np.array([1.0, 0, 0]))
    with pytest.raises(PersonError, match="from the keypoints of person 1"):
        import_track(aside, detection)
    with pytest.raises(PersonError, match="from the keypoints"):
        import_track(write_phalp(tmp_path / "b.pkl", walker), detection, track_id="3")


def test_a_short_track_is_of_another_video(tmp_path: Path, walker: BodyInCamera, detection: Detection) -> None:
    with pytest.raises(TrackFileError, match="only 4 of the 20 frames"):
        import_track(write_wham(tmp_path / "a.pkl", walker, np.arange(4)), detection)


def test_several_tracks_are_listed(tmp_path: Path, walker: BodyInCamera) -> None:
    path = write_phalp(tmp_path / "a.pkl", walker)
    with pytest.raises(TrackFileError, match=r"2 tracks: 3, 7.*--track"):
        load_track(path, None, INFO)
    with pytest.raises(TrackFileError, match="--track 5"):
        load_track(path, "5", INFO)
    assert len(load_track(path, "3", INFO).frame) == T - 1  # lost in the last frame: the body there is an old one
    with pytest.raises(TrackFileError, match=r"1000x1000 px, the video is 640x1000"):
        load_track(path, "7", replace(INFO, width=640))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"body_pose": np.zeros((T - 1, 69))}, "global_orient has 20 frames, body_pose has 19"),
        ({"body_pose": np.zeros((T, 60))}, r"body_pose has the shape \(20, 60\)"),
        ({"transl": np.zeros((T + 1, 3))}, r"transl has the shape \(21, 3\)"),
        ({"betas": np.zeros(16)}, r"betas has the shape \(16,\)"),
        ({"betas": np.full(10, np.nan)}, "finite"),
        ({"frame": np.arange(T - 1)}, "frame has the shape"),
        ({"frame": np.arange(T) + 1}, "frame 20 is beyond the 20 frames of walk.mp4"),
        ({"frame": np.zeros(T)}, "come twice"),
        ({"global_orient": np.ones((T, 3, 3))}, "not rotations"),
        ({"transl": None}, "'camera' is missing"),
        ({"camera_matrix": np.zeros((3, 3))}, "camera matrix is impossible"),
    ],
)
def test_errors_in_a_track_are_reported(
    change: dict[str, Any], said: str, tmp_path: Path, walker: BodyInCamera
) -> None:
    with pytest.raises(TrackFileError, match=said):
        load_track(write_biopose(tmp_path / "a.npz", walker, **change), None, INFO)


def test_a_track_without_numbers_must_have_every_frame(tmp_path: Path, walker: BodyInCamera) -> None:
    with pytest.raises(TrackFileError, match=r"20 frames without numbers, walk\.mp4 has 45"):
        load_track(write_biopose(tmp_path / "a.npz", walker), None, replace(INFO, frame_count=45))


def test_a_body_behind_the_camera_is_refused(tmp_path: Path, walker: BodyInCamera, detection: Detection) -> None:
    path = write_biopose(tmp_path / "a.npz", walker, transl=-walker.transl)
    with pytest.raises(TrackFileError, match="behind the camera in 20 frames"):
        import_track(path, detection)


def test_joblibs_files_are_read() -> None:
    """Files that joblib 1.6 wrote: plain (WHAM's way), and zlib with a torch tensor (4D-Humans' way)."""

    def ramp(*shape: int) -> Any:
        return (np.arange(np.prod(shape), dtype=np.float32) / 1000).reshape(shape)

    person = safe_load(DATA / "wham_joblib.pkl")[0]
    np.testing.assert_array_equal(person["pose"], ramp(3, 72))
    np.testing.assert_array_equal(person["trans"], ramp(3, 3) + np.float32(2))
    np.testing.assert_array_equal(person["verts"], ramp(3, 4, 3))  # stored in Fortran's order
    np.testing.assert_array_equal(person["frame_ids"], [0, 1, 2])
    track = load_track(DATA / "phalp_joblib.pkl", None, replace(INFO, width=100, height=100))
    np.testing.assert_array_equal(track.transl[:, 2], [50, 51, 52])
    np.testing.assert_array_equal(track.betas[0], ramp(10))


class Evil:
    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_malicious_pickle_is_refused(tmp_path: Path, protocol: int) -> None:
    trace, path = tmp_path / "trace", tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"pose": Evil(os.mkdir, str(trace))}, protocol))
    with pytest.raises(TrackFileError, match="not safe to load"):
        safe_load(path)
    assert not trace.exists()


def test_changing_a_class_by_a_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(b"cjoblib.numpy_pickle\nNumpyArrayWrapper\nN(S'array'\nI1\nd\x86b.")
    with pytest.raises(TrackFileError, match="not safe to load: it asks for a change of a type"):
        safe_load(path)


def test_a_malicious_torch_file_is_refused(tmp_path: Path) -> None:
    trace, path = tmp_path / "trace", tmp_path / "a.pt"
    torch.save({"smpl_params_incam": Evil(os.mkdir, str(trace))}, path)
    with pytest.raises(TrackFileError, match="not safe to load"):
        safe_load(path)
    assert not trace.exists()


def test_objects_in_an_npz_are_refused(tmp_path: Path) -> None:
    trace, path = tmp_path / "trace", tmp_path / "a.npz"
    np.savez(path, global_orient=np.array([Evil(os.mkdir, str(trace))], dtype=object))
    with pytest.raises(TrackFileError, match=r"a\.npz"):
        safe_load(path)
    assert not trace.exists()


@pytest.mark.parametrize("name", ["a.npz", "a.pkl", "a.pt", "a.txt"])
def test_damaged_and_foreign_files_are_one_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with pytest.raises(TrackFileError, match=name):
        safe_load(path)
    path.write_bytes(b"no track at all")
    with pytest.raises(TrackFileError, match=name):
        safe_load(path)


def test_a_truncated_joblib_file_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    for name in ("wham_joblib.pkl", "phalp_joblib.pkl"):
        content = (DATA / name).read_bytes()
        for length in range(1, len(content) - 1, 97):
            path.write_bytes(content[:length])
            with pytest.raises(TrackFileError):
                safe_load(path)


def test_another_pickle_is_no_track(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    stream = io.BytesIO()
    pickle.dump({"a": [1, 2]}, stream)
    path.write_bytes(stream.getvalue())
    with pytest.raises(TrackFileError, match="no SMPL track in a known layout"):
        load_track(path, None, INFO)
