"""The evaluation of mesh recovery: errors that are put in are found, the truth has none, the report is as promised."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from biopose_cli.benchmarks import held_out, mqhmr
from biopose_cli.benchmarks.camera_views import CameraView
from biopose_cli.benchmarks.held_out import load_detections
from biopose_cli.benchmarks.methods import (
    Estimate,
    MonocularInput,
    frame_optimization,
    from_mesh,
    from_rendered,
)
from biopose_cli.benchmarks.mqhmr import Evaluator, evaluate
from biopose_cli.body.kinematics import NUM_JOINTS, Pose, build_kinematic_chain, forward_kinematics
from biopose_cli.body.model import load_body
from biopose_cli.errors import SettingError
from biopose_cli.geometry import so3
from biopose_cli.io.results import LANDMARKS, Mesh
from biopose_cli.metrics.points import (
    ANGLE_TRIPLES,
    LIMB_LANDMARK_NAMES,
    LIMB_LANDMARKS,
    format_report,
    landmark_errors,
)
from biopose_cli.progress import NullProgress
from biopose_cli.synthesis.rendered_detections import RenderedDetections
from tests.benchmarks.test_camera_views import make_detection
from tests.conftest import Call, one_line

COUNT = 5


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    torch.set_num_threads(1)
    return Evaluator(load_body())


@pytest.fixture(scope="module")
def detections() -> RenderedDetections:
    """Random people before random cameras; the network's 3D is 10 mm off, to the side."""
    rng = np.random.default_rng(1)
    chain = build_kinematic_chain(load_body())
    pose = 0.3 * rng.normal(size=(COUNT, NUM_JOINTS, 3))
    pose[:, 22:] = 0
    betas, transl = rng.normal(size=(COUNT, 10)), rng.normal(size=(COUNT, 3))
    turn, shift = (
        so3.axis_angle_to_matrix(rng.normal(size=(COUNT, 3))),
        rng.normal(size=(COUNT, 3)) + np.array([0, 0, 9]),
    )
    world = np.empty((COUNT, LANDMARKS, 3))
    for k in range(COUNT):
        shape = np.pad(betas[k], (0, chain.num_shape_params - 10))
        points = forward_kinematics(
            chain, Pose(so3.axis_angle_to_matrix(pose[k : k + 1]), transl[k : k + 1], shape)
        ).landmarks[0]
        world[k] = points @ turn[k].T
    world += 0.01 * (np.arange(LANDMARKS) == 11)[:, None] * np.array([1.0, 0, 0])
    return RenderedDetections(
        pose=pose,
        perturbed=np.zeros(len(pose), bool),
        betas=betas,
        transl=transl,
        rotation=turn,
        translation=shift,
        focal=np.full(COUNT, 500.0),
        size=np.array([480, 640]),
        roi=np.tile([240.0, 320, 300, 0], (COUNT, 1)),
        keypoints=rng.normal(size=(COUNT, LANDMARKS, 2)) * 50 + np.array([240, 320]),
        confidence=np.ones((COUNT, LANDMARKS)),
        landmarks_3d=world,
        subject=np.array(["07"] * COUNT),
    )


@dataclass(frozen=True)
class FixedMethod:
    """A method that answers with what it was given, and keeps what it was asked."""

    estimate: Estimate
    inputs: list[MonocularInput]

    def __call__(self, frames: MonocularInput) -> Estimate:
        self.inputs.append(frames)
        return self.estimate


def test_sixteen_points() -> None:
    assert len(LIMB_LANDMARKS) == len(LIMB_LANDMARK_NAMES) == 16
    assert {name.split("_", 1)[1] for name in LIMB_LANDMARK_NAMES} == {
        "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "heel", "foot_index",
    }  # fmt: skip
    named = dict(zip(LIMB_LANDMARKS, LIMB_LANDMARK_NAMES, strict=True))
    for name, (_, joint, _) in ANGLE_TRIPLES.items():
        assert named[joint] == name


def test_a_point_10_mm_off_counts_for_itself_and_in_the_mean() -> None:
    truth = np.random.default_rng(0).normal(size=(3, LANDMARKS, 3))
    points = truth + np.array([1.0, 2, 3])  # where the body stands does not count
    points[:, 27, 1] += 0.010
    points[:, 0] += 9  # a landmark of the face does not either
    found = landmark_errors(points, truth)
    assert found["mpjpe_mm"] == pytest.approx(10 / 16)
    assert found["by_point"]["left_ankle"]["mpjpe_mm"] == pytest.approx(10)
    assert found["by_point"]["right_ankle"]["mpjpe_mm"] == pytest.approx(0, abs=1e-9)
    assert 0 < found["pa_mpjpe_mm"] < 10 / 6
    assert found["angles_deg"]["left_knee"] > 0
    assert found["angles_deg"]["right_knee"] == pytest.approx(0, abs=1e-9)
    assert found["elbow_deg"] == pytest.approx(0, abs=1e-9)
    assert found["knee_deg"] == pytest.approx(found["angles_deg"]["left_knee"] / 2)


def test_a_known_flexion_error_is_the_angle_error() -> None:
    truth = np.random.default_rng(0).normal(size=(2, LANDMARKS, 3))
    truth[:, [12, 14, 16]] = np.array([[0, 0.3, 0], [0, 0, 0], [0, -0.3, 0]])
    points = truth.copy()
    points[:, 16] = np.array([[0.3 * np.sin(a), -0.3 * np.cos(a), 0] for a in np.radians([20, -30])])
    found = landmark_errors(points, truth)
    assert found["angles_deg"]["right_elbow"] == pytest.approx(25)
    assert found["elbow_deg"] == pytest.approx(12.5)


def test_rendered_people_stand_before_their_cameras(evaluator: Evaluator, detections: RenderedDetections) -> None:
    """The truth in the camera frame is the body of the world frame, seen by the camera."""
    frames, truth = from_rendered(detections)
    np.testing.assert_array_equal(frames.camera_matrix[0], [[500, 0, 240], [0, 500, 320], [0, 0, 1]])
    body = load_body()
    vectors = torch.as_tensor(detections.pose).float()
    inputs = (torch.as_tensor(detections.betas).float(), torch.as_tensor(detections.transl).float())
    world = body.pose(vectors[:, 1:], vectors[:, 0], *inputs).joints.double().numpy()
    camera = np.einsum("nij,nlj->nli", detections.rotation, world) + detections.translation[:, None]
    own = torch.as_tensor(so3.matrix_to_axis_angle(truth.rotations)).float()
    inputs = (torch.as_tensor(truth.betas).float(), torch.as_tensor(truth.transl).float())
    seen = body.pose(own[:, 1:], own[:, 0], *inputs).joints.double().numpy()
    np.testing.assert_allclose(seen, camera, atol=1e-5)


def test_the_truth_has_no_error_and_others_have(evaluator: Evaluator, detections: RenderedDetections) -> None:
    _, truth = from_rendered(detections)
    assert evaluator.body_errors(truth, truth) == pytest.approx(
        {"joints_mpjpe_mm": 0, "joints_pa_mpjpe_mm": 0, "mve_mm": 0}, abs=1e-6
    )
    aside = replace(truth, transl=truth.transl + 1)
    assert evaluator.body_errors(aside, truth)["mve_mm"] == pytest.approx(0, abs=1e-3)
    turned = truth.rotations.copy()
    turned[:, 0] = so3.axis_angle_to_matrix(np.array([0, 0, 0.2])) @ turned[:, 0]
    found = evaluator.body_errors(replace(truth, rotations=turned), truth)
    assert found["joints_pa_mpjpe_mm"] == pytest.approx(0, abs=1e-2)
    assert found["joints_mpjpe_mm"] > 20
    assert found["mve_mm"] > 20
    taller = evaluator.body_errors(replace(truth, betas=truth.betas + 0.5), truth)
    assert taller["mve_mm"] > 2


def test_the_mesh_is_judged_in_parts_as_in_one(
    evaluator: Evaluator, detections: RenderedDetections, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, truth = from_rendered(detections)
    other = replace(truth, betas=truth.betas[::-1])
    whole = evaluator.body_errors(other, truth)["mve_mm"]
    monkeypatch.setattr(mqhmr, "_CHUNK", 2)
    assert evaluator.body_errors(other, truth)["mve_mm"] == pytest.approx(whole, rel=1e-6)


def test_landmarks_are_those_of_the_fitted_chain(evaluator: Evaluator) -> None:
    rng = np.random.default_rng(4)
    rotations = so3.axis_angle_to_matrix(0.3 * rng.normal(size=(2, NUM_JOINTS, 3)))
    shape = rng.normal(size=evaluator.chain.num_shape_params)
    placed = forward_kinematics(evaluator.chain, Pose(rotations, np.zeros((2, 3)), shape))
    shapes = np.tile(shape, (2, 1))
    with_own = Estimate(rotations, shapes[:, :10], np.zeros((2, 3)), shapes[:, 10:])
    expected = placed.landmarks - placed.joints[:, :1]
    np.testing.assert_allclose(evaluator.landmarks(with_own), expected, atol=1e-5)
    assert np.abs(evaluator.landmarks(replace(with_own, landmark_offsets=None)) - expected).max() > 0.003


def test_the_report_on_rendered_people(detections: RenderedDetections, tmp_path: Path) -> None:
    detections.save(tmp_path / "looks.npz")
    frames, truth = from_rendered(detections)
    method = FixedMethod(truth, [])
    report = evaluate(tmp_path / "looks.npz", [], {"keypoints": method}, {}, NullProgress())
    assert set(report) == {"points", "rendered"}
    assert set(report["rendered"]) == {"frames", "blazepose", "keypoints"}
    assert report["rendered"]["frames"] == COUNT
    np.testing.assert_array_equal(method.inputs[0].keypoints, frames.keypoints)
    found = report["rendered"]["keypoints"]
    for key in ("mpjpe_mm", "pa_mpjpe_mm", "joints_mpjpe_mm", "joints_pa_mpjpe_mm", "mve_mm"):
        assert found[key] == pytest.approx(0, abs=1e-3)
    blaze = report["rendered"]["blazepose"]
    assert blaze["by_point"]["left_shoulder"]["mpjpe_mm"] == pytest.approx(10, abs=0.01)
    assert blaze["mpjpe_mm"] == pytest.approx(10 / 16, abs=0.01)
    assert "mve_mm" not in blaze
    (own,) = blaze["by_subject"].values()  # all move as one subject does
    assert own == blaze["subjects_mean"]
    assert own["mpjpe_mm"] == blaze["mpjpe_mm"]
    json.dumps(report)


@pytest.fixture
def camera_views(evaluator: Evaluator) -> list[CameraView]:
    """Two views of one standing body, whose network says the truth in one and a body 1 % too large in the other."""
    vectors = np.zeros((6, NUM_JOINTS, 3))
    vectors[:, 0] = [np.pi, 0, 0]
    shape = np.zeros(evaluator.chain.num_shape_params)
    pose = Pose(so3.axis_angle_to_matrix(vectors), np.tile([0.0, 0, 4], (6, 1)), shape)
    truth = forward_kinematics(evaluator.chain, pose).landmarks
    frames = np.arange(1, 7)
    result = []
    for name, size in (("one", 1.0), ("two", 1.01)):
        detection = make_detection(8)
        detection.landmarks_3d[frames] = size * truth
        result.append(CameraView(name, replace(detection, camera_matrix=np.diag([900.0, 900, 1])), frames, truth))
    return result


def test_the_report_on_real_views(evaluator: Evaluator, camera_views: list[CameraView]) -> None:
    vectors = np.zeros((8, NUM_JOINTS, 3))
    vectors[:, 0] = [np.pi, 0, 0]
    vectors[0, 0] = 0  # not among the frames that are compared
    clip = Estimate(so3.axis_angle_to_matrix(vectors), np.zeros((8, 10)), np.zeros((8, 3)))
    method = FixedMethod(clip.select(np.arange(1, 7)), [])
    report = evaluate(None, camera_views, {"keypoints": method}, {"fit": lambda _: clip}, NullProgress())["real"]
    assert set(report) == {"frames", "floor_betas", "floor", "blazepose", "keypoints", "fit"}
    assert report["frames"] == 12
    assert [len(frames.landmarks_3d) for frames in method.inputs] == [6, 6]
    for name in ("keypoints", "fit"):
        assert report[name]["mean"]["mpjpe_mm"] == pytest.approx(0, abs=1e-3)
    one, two = (report["blazepose"]["views"][name]["mpjpe_mm"] for name in ("one", "two"))
    assert one == pytest.approx(0, abs=1e-3)
    assert two > 1
    assert report["blazepose"]["views"]["two"]["pa_mpjpe_mm"] == pytest.approx(0, abs=1e-3)
    assert report["blazepose"]["mean"]["mpjpe_mm"] == pytest.approx((one + two) / 2)
    assert report["floor"]["pa_mpjpe_mm"] < 3
    assert report["floor_betas"]["pa_mpjpe_mm"] < 3


def test_frames_are_fitted_each_by_itself(evaluator: Evaluator) -> None:
    """Two people seen by two cameras, without noise: both are found, and neither knows of the other."""
    vectors = np.zeros((2, NUM_JOINTS, 3))
    vectors[:, 0] = [[np.pi, 0, 0], [np.pi * 0.95, 0, 0.3]]
    vectors[0, 4] = vectors[1, 18] = [0.6, 0, 0]
    shape = np.zeros(evaluator.chain.num_shape_params)
    transl = np.array([[0.1, 0, 3], [-0.4, 0.2, 5]])
    truth = forward_kinematics(evaluator.chain, Pose(so3.axis_angle_to_matrix(vectors), transl, shape)).landmarks
    matrix = np.array([[[f, 0, 300], [0, f, 400], [0, 0, 1]] for f in (800.0, 1200.0)])
    image = np.einsum("nij,nlj->nli", matrix, truth)
    frames = MonocularInput(
        keypoints=image[..., :2] / image[..., 2:],
        confidence=np.ones((2, LANDMARKS)),
        roi=np.tile([300.0, 400, 500, 0], (2, 1)),
        camera_matrix=matrix,
        landmarks_3d=truth - truth[:, [23, 24]].mean(1, keepdims=True),
        distorted_keypoints=image[..., :2] / image[..., 2:],
    )
    both = frame_optimization(frames)
    assert landmark_errors(evaluator.landmarks(both), truth)["pa_mpjpe_mm"] < 30
    np.testing.assert_allclose(both.transl, transl, atol=0.3)
    second = MonocularInput(*(getattr(frames, field.name)[1:] for field in fields(MonocularInput)))
    np.testing.assert_allclose(frame_optimization(second).rotations[0], both.rotations[1], atol=1e-12)


def test_a_mesh_artifact_as_an_estimate(evaluator: Evaluator) -> None:
    rng = np.random.default_rng(2)
    mesh = Mesh(
        body_pose=0.2 * rng.normal(size=(3, 23, 3)),
        global_orient=rng.normal(size=(3, 3)),
        betas=rng.normal(size=10),
        transl=rng.normal(size=(3, 3)),
        query_tokens=np.zeros((3, 0, 0)),
        reprojection_px=np.zeros(3),
        landmark_offsets=rng.normal(size=evaluator.chain.num_shape_params - 10),
    )
    found = from_mesh(mesh)
    np.testing.assert_allclose(so3.matrix_to_axis_angle(found.rotations[:, 5]), mesh.body_pose[:, 4], atol=1e-6)
    np.testing.assert_allclose(so3.matrix_to_axis_angle(found.rotations[:, 0]), mesh.global_orient, atol=1e-6)
    assert found.betas.shape == (3, 10)
    assert found.landmark_offsets is not None
    np.testing.assert_allclose(found.landmark_offsets[2], mesh.landmark_offsets)


def test_the_table_lists_methods_and_views() -> None:
    figures = {"mpjpe_mm": 81.23, "pa_mpjpe_mm": 51.0, "knee_deg": 7.4, "elbow_deg": 9.1}
    body = figures | {"joints_mpjpe_mm": 61.5, "joints_pa_mpjpe_mm": 41.5, "mve_mm": 71.5}
    report: dict[str, Any] = {
        "points": [],
        "rendered": {"frames": 900, "blazepose": figures, "keypoints": body},
        "real": {"frames": 377, "floor": figures, "fit": {"views": {"cam01": figures}, "mean": figures}},
    }
    table = format_report(report)
    assert [line.split()[0] for line in table] == [
        "rendered,", "blazepose", "keypoints", "real,", "floor", "fit", "cam01",
    ]  # fmt: skip
    assert "900 frames" in table[0]
    assert table[2].split()[1:] == ["81.2", "51.0", "7.4", "9.1", "61.5", "41.5", "71.5"]
    assert table[1].split()[1:] == ["81.2", "51.0", "7.4", "9.1"]


def test_unreadable_detections_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="no such file"):
        load_detections(tmp_path / "looks.npz")
    np.savez(tmp_path / "other.npz", pose=np.zeros(3))
    with pytest.raises(SettingError, match=r"other\.npz"):
        load_detections(tmp_path / "other.npz")


def test_the_command(
    biopose: Call, detections: RenderedDetections, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, error = biopose("evaluate", "mqhmr")
    assert (code, out) == (2, "")
    assert "--motion or --trial is missing" in one_line(error)
    code, _, error = biopose("evaluate", "mqhmr", "--trial", tmp_path)
    assert code == 2
    assert "multiview_balance" in one_line(error)
    code, _, error = biopose("evaluate", "mqhmr", "--motion", tmp_path, "--quiet")
    assert code == 2
    assert "cmu_amc" in one_line(error)
    detections.save(tmp_path / "looks.npz")
    monkeypatch.setattr(held_out, "held_out_detections", lambda motion, folder, progress: folder / "looks.npz")
    code, out, error = biopose("evaluate", "mqhmr", "--motion", tmp_path, "--cache", tmp_path, "--json")
    assert code == 0, error
    assert json.loads(out)["rendered"]["frames"] == COUNT
    code, out, _ = biopose("evaluate", "mqhmr", "--motion", tmp_path, "--cache", tmp_path, "--quiet")
    assert code == 0, error
    assert "blazepose" in out
