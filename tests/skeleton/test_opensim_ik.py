"""Inverse kinematics gives back the pose that the markers were made from, and equals OpenSim's own tool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biopose_cli.errors import ModelFileError, SolverError
from biopose_cli.io.trc import write_trc
from biopose_cli.progress import NullProgress
from biopose_cli.skeleton import opensim_ik, osim
from biopose_cli.skeleton.osim import opensim, vec3, vec3_to_array
from biopose_cli.skeleton.scaling import PALMS_IN, ScaledModel, body_transforms, skeleton_points
from biopose_cli.skeleton.static_trial import StaticTrial
from biopose_cli.typing import Array

RATE = 30.0


def _walk(model: Any, frames: int) -> tuple[Array, Array]:
    """A smooth motion around a walking posture: time (T) and q (T, D)."""
    time = np.arange(frames) / RATE
    generator = np.random.default_rng(11)
    middle = {"knee_angle": 0.7, "elbow_flex": 0.8, "pelvis_ty": 0.95} | {
        name[:-2]: v for name, v in PALMS_IN.items()
    }
    columns = {}
    for name in opensim_ik.coordinate_names(model):
        base = name[:-2] if name.endswith(("_r", "_l")) else name
        swing = 0.02 if name in {"pelvis_tx", "pelvis_ty", "pelvis_tz"} else 0.25
        phase = generator.uniform(0, 2 * np.pi)
        columns[name] = middle.get(base, 0.0) + swing * np.sin(2 * np.pi * 0.8 * time + phase)
    for side in "rl":
        columns[f"knee_angle_{side}_beta"] = columns[f"knee_angle_{side}"]
    return time, np.stack(list(columns.values()), axis=1)


def _markers(calibrated: ScaledModel, q: Array) -> Array:
    names = opensim_ik.coordinate_names(calibrated.model)
    poses = [dict(zip(names, row, strict=True)) for row in q]
    points = [skeleton_points(calibrated.model, pose) for pose in poses]
    return np.array([[point[name] for name in calibrated.markers] for point in points])


@pytest.fixture(scope="module")
def walk(calibrated: ScaledModel) -> tuple[Array, Array, Array]:
    time, q = _walk(calibrated.model, 30)
    return time, q, _markers(calibrated, q)


@pytest.fixture(scope="module")
def solution(calibrated: ScaledModel, walk: tuple[Array, Array, Array]) -> opensim_ik.OpenSimIKSolution:
    time, _, markers = walk
    return opensim_ik.solve(calibrated.model, calibrated.markers, markers, time, NullProgress())


def test_the_pose_comes_back(
    calibrated: ScaledModel, walk: tuple[Array, Array, Array], solution: opensim_ik.OpenSimIKSolution
) -> None:
    _, q, markers = walk
    error = np.degrees(np.abs(solution.q - q))[:, opensim_ik.is_rotational(calibrated.model)]
    assert error.mean() < 0.5
    assert np.median(error) < 0.3
    assert np.linalg.norm(solution.markers - markers, axis=-1).mean() < 0.002


def test_the_patella_comes_with_the_knee(
    calibrated: ScaledModel, solution: opensim_ik.OpenSimIKSolution
) -> None:
    names = opensim_ik.coordinate_names(calibrated.model)
    knee, patella = (solution.q[:, names.index(name)] for name in ("knee_angle_r", "knee_angle_r_beta"))
    np.testing.assert_allclose(patella, knee, atol=1e-3)
    assert not opensim_ik.is_rotational(calibrated.model)[names.index("knee_angle_r_beta")]


def test_opensims_own_tool_gives_the_same_angles(
    calibrated: ScaledModel,
    walk: tuple[Array, Array, Array],
    solution: opensim_ik.OpenSimIKSolution,
    tmp_path: Path,
) -> None:
    time, _, markers = walk
    trc, model = tmp_path / "walk.trc", tmp_path / "walk.osim"
    write_trc(trc, time, calibrated.markers, markers)
    model.write_text(osim.to_xml(calibrated.model), encoding="utf-8")
    found_time, names, q = opensim_ik.run_tool(trc, model)
    assert names == opensim_ik.coordinate_names(calibrated.model)
    np.testing.assert_allclose(found_time, time, atol=1e-5)
    error = np.degrees(np.abs(q - solution.q))[:, opensim_ik.is_rotational(calibrated.model)]
    assert error.mean() < 0.5


def test_angles_stay_in_their_ranges(calibrated: ScaledModel, walk: tuple[Array, Array, Array]) -> None:
    time, _, markers = walk
    generator = np.random.default_rng(0)
    noisy = markers[:2] + generator.normal(0.0, 0.02, markers[:2].shape)
    q = opensim_ik.solve(calibrated.model, calibrated.markers, noisy, time[:2], NullProgress()).q
    for column, coordinate in enumerate(calibrated.model.getCoordinateSet()):
        assert q[:, column].min() >= coordinate.getRangeMin() - 1e-6, coordinate.getName()
        assert q[:, column].max() <= coordinate.getRangeMax() + 1e-6, coordinate.getName()


@pytest.mark.parametrize(
    "posture",
    [
        {"hip_flexion_r": 1.9, "hip_flexion_l": 1.9, "knee_angle_r": 2.0, "knee_angle_l": 2.0},
        {"pelvis_tilt": -1.4, "hip_flexion_r": 0.4, "knee_angle_l": 0.8},
        {"arm_flex_r": 2.6, "arm_flex_l": 2.6},
        {"pelvis_rotation": 3.0, "knee_angle_r": 0.5},
    ],
    ids=["squat", "lying", "overhead", "turned round"],
)
def test_a_first_frame_far_from_standing_is_found(calibrated: ScaledModel, posture: dict[str, float]) -> None:
    _, q = _walk(calibrated.model, 1)
    names = opensim_ik.coordinate_names(calibrated.model)
    for name, value in posture.items():
        q[:, names.index(name)] = value
    for side in "rl":
        q[:, names.index(f"knee_angle_{side}_beta")] = q[:, names.index(f"knee_angle_{side}")]
    markers = _markers(calibrated, q)
    found = opensim_ik.solve(calibrated.model, calibrated.markers, markers, np.zeros(1), NullProgress())
    assert np.linalg.norm(found.markers - markers, axis=-1).mean() < 0.01


def test_a_lost_frame_starts_again_upright_where_the_person_is_and_faces(
    calibrated: ScaledModel, standing: StaticTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Markers that no pose explains, of someone who bends forward and faces backwards."""
    assemble, tried = opensim_ik._assemble_from, []

    def watched(*arguments: Any) -> tuple[float, Array]:
        tried.append(dict(arguments[-1]))
        return assemble(*arguments)

    monkeypatch.setattr(opensim_ik, "_assemble_from", watched)
    start = np.zeros(len(opensim_ik.coordinate_names(calibrated.model)))
    start[2] = 2.6
    turn = Rotation.from_euler("zy", [-30, 150], degrees=True)
    markers = turn.apply(1.4 * standing.markers)
    opensim_ik.solve(calibrated.model, calibrated.markers, markers[None], np.zeros(1), NullProgress(), start)
    lost, upright, *others = tried
    kept = ("pelvis_rotation", "pelvis_tx", "pelvis_ty", "pelvis_tz")
    assert abs(lost["pelvis_tilt"]) > 0.2
    assert abs(lost["pelvis_rotation"]) > 2
    assert upright["pelvis_tilt"] == 0.0
    assert upright["pelvis_list"] == 0.0
    for pose in (upright, *others[:-1]):
        assert [pose[name] for name in kept] == [lost[name] for name in kept]


def test_a_run_goes_on_from_where_the_last_one_ended(calibrated: ScaledModel) -> None:
    """Someone who turned round once and a half keeps those 540 degrees after a gap."""
    _, q = _walk(calibrated.model, 1)
    q[:, opensim_ik.coordinate_names(calibrated.model).index("pelvis_rotation")] = 3 * np.pi
    found = opensim_ik.solve(
        calibrated.model, calibrated.markers, _markers(calibrated, q), np.zeros(1), NullProgress(), q[0]
    )
    assert np.degrees(found.q[0, 2]) == pytest.approx(540.0, abs=1.0)


def test_constraints_hold(calibrated: ScaledModel, standing: StaticTrial) -> None:
    """A right hand tied to a point on the pelvis, 4 cm from where the markers have it."""
    model = calibrated.model.clone()
    frames = body_transforms(model, calibrated.pose)
    tied = frames["hand_r"][:3, 3] + [0.03, 0.03, 0.0] - frames["pelvis"][:3, 3]
    point = vec3(frames["pelvis"][:3, :3].T @ tied)
    pelvis, hand = (model.getBodySet().get(name) for name in ("pelvis", "hand_r"))
    model.addConstraint(opensim.PointConstraint(pelvis, point, hand, vec3([0, 0, 0])))
    model.finalizeConnections()
    model = osim.load_xml(osim.to_xml(model))
    found = opensim_ik.solve(model, calibrated.markers, standing.markers[None], np.zeros(1), NullProgress())
    frames = body_transforms(
        calibrated.model, dict(zip(opensim_ik.coordinate_names(model), found.q[0], strict=True))
    )
    held = frames["pelvis"] @ [*vec3_to_array(point), 1.0]
    np.testing.assert_allclose(frames["hand_r"][:3, 3], held[:3], atol=1e-4)
    assert 0.005 < np.linalg.norm(found.markers - standing.markers, axis=-1).mean() < 0.02


def test_the_tool_refuses_what_it_cannot_read(tmp_path: Path, calibrated: ScaledModel) -> None:
    model = tmp_path / "model.osim"
    with pytest.raises(ModelFileError):
        opensim_ik.run_tool(tmp_path / "a.trc", model)
    model.write_text(osim.to_xml(calibrated.model), encoding="utf-8")
    with pytest.raises(SolverError, match=r"a\.trc"):
        opensim_ik.run_tool(tmp_path / "a.trc", model)
