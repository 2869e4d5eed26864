"""The stage on bodies posed by hand: known turns of known joints become the right angles, on the right side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from biopose_cli.body.markers import MARKER_NAMES
from biopose_cli.errors import ModelFileError, PersonError, SettingError
from biopose_cli.ik import stage
from biopose_cli.ik.trajectory import solve_trajectory
from biopose_cli.io.results import JointKinematics, Refined
from biopose_cli.settings import Settings
from biopose_cli.typing import Array
from tests.helpers.posed_body import LEVEL, Turn, frame_times, posed_body

# one joint turned from the standing posture, and the angle that must come out, in degrees
CASES: list[tuple[Turn, str, float]] = [
    ({"right_hip": (-30, 0, 0)}, "hip_flexion_r", 30),
    ({"left_hip": (-30, 0, 0)}, "hip_flexion_l", 30),
    ({"right_hip": (0, 0, -20)}, "hip_adduction_r", -20),
    ({"left_hip": (0, 0, 20)}, "hip_adduction_l", -20),
    ({"right_hip": (0, -20, 0)}, "hip_rotation_r", -20),
    ({"left_hip": (0, 20, 0)}, "hip_rotation_l", -20),
    ({"right_knee": (60, 0, 0)}, "knee_angle_r", 60),
    ({"left_knee": (60, 0, 0)}, "knee_angle_l", 60),
    ({"right_ankle": (-20, 0, 0)}, "ankle_angle_r", 20),
    ({"left_ankle": (20, 0, 0)}, "ankle_angle_l", -20),
    ({"right_foot": (-25, 0, 0)}, "mtp_angle_r", -25),
    ({"left_foot": (-25, 0, 0)}, "mtp_angle_l", -25),
    ({"right_shoulder": (-60, 0, 0)}, "arm_flex_r", 60),
    ({"left_shoulder": (-60, 0, 0)}, "arm_flex_l", 60),
    ({"right_shoulder": (0, 0, -60)}, "arm_add_r", -60),
    ({"left_shoulder": (0, 0, 60)}, "arm_add_l", -60),
    ({"right_elbow": (0, 90, 0)}, "elbow_flex_r", 90),
    ({"left_elbow": (0, -90, 0)}, "elbow_flex_l", 90),
    ({"neck": (15, 0, 0), "head": (15, 0, 0)}, "neck_extension", -30),
    ({"head": (0, 30, 0)}, "neck_rotation", 30),
    ({"spine1": (0, 0, 7), "spine2": (0, 0, 7), "spine3": (0, 0, 6)}, "lumbar_bending", 20),
    ({"spine1": (0, 7, 0), "spine2": (0, 7, 0), "spine3": (0, 6, 0)}, "lumbar_rotation", 20),
    ({"spine1": (10, 0, 0), "spine2": (10, 0, 0), "spine3": (10, 0, 0)}, "lumbar_extension", -26),
]
QUIET = ("pelvis_list", "pelvis_rotation", "hip", "knee", "ankle", "lumbar", "arm", "elbow", "neck")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def kinematics() -> JointKinematics:
    """Frame 0 stands still, frame k + 1 is case k; two frames of standing between them for the solver."""
    turns = [turn for case in CASES for turn in ({}, case[0], case[0])]
    return stage.run(*frame_times(len(turns)), posed_body(turns, yaw=30.0), LEVEL)


def _degrees(joints: JointKinematics, frame: int, name: str) -> float:
    return float(np.degrees(joints.q[frame, list(joints.coordinates).index(name)]))


def test_standing_is_zero_upright_and_on_the_floor(kinematics: JointKinematics) -> None:
    for name in kinematics.coordinates[kinematics.rotational]:
        if name.startswith(QUIET) or name == "pelvis_tilt":
            assert _degrees(kinematics, 0, name) == pytest.approx(0.0, abs=4.0), name
    height = list(kinematics.coordinates).index("pelvis_ty")
    assert 0.9 < kinematics.q[0, height] < 1.05  # m
    toes = kinematics.markers[0, [MARKER_NAMES.index(name) for name in ("RTOE", "LTOE")], 1]
    assert np.all((toes > 0.0) & (toes < 0.05))
    head = kinematics.markers[0, MARKER_NAMES.index("HTOP")]
    assert 1.6 < head[1] < 1.85
    right, left = (kinematics.markers[0, MARKER_NAMES.index(name), 2] for name in ("RASI", "LASI"))
    assert right > 0.05 > -0.05 > left


@pytest.mark.parametrize("case", range(len(CASES)), ids=[name for _, name, _ in CASES])
def test_a_known_rotation_gives_its_angle(kinematics: JointKinematics, case: int) -> None:
    _, name, wanted = CASES[case]
    frame = 3 * case + 2
    tolerance = 3.0 + 0.05 * abs(wanted)
    assert _degrees(kinematics, frame, name) - _degrees(kinematics, 0, name) == pytest.approx(wanted, abs=tolerance)
    joint = name[:-2].split("_")[0] if name.endswith(("_r", "_l")) else name.split("_")[0]
    for other in kinematics.coordinates[kinematics.rotational]:
        if other.startswith(QUIET) and not other.startswith(joint):
            change = _degrees(kinematics, frame, str(other)) - _degrees(kinematics, 0, str(other))
            # the spine bends in three places, the skeleton in one; the elbow's axis is oblique to the forearm's
            limit = {"lumbar": 8.0, "neck": 8.0, "elbow": 12.0}.get(joint, 5.0)
            assert abs(change) < limit, other


def test_the_record_is_complete(kinematics: JointKinematics) -> None:
    assert kinematics.valid.all()
    assert np.isfinite(kinematics.q).all()
    assert kinematics.mass_source == "estimated from the stature"
    assert 50 < kinematics.mass_kg < 90
    assert len(kinematics.bodies) == 24
    assert np.sqrt(np.mean(kinematics.marker_residual**2)) < 0.01
    assert not any("limit" in warning or "misses" in warning for warning in kinematics.warnings)


def test_frames_without_the_person_stay_empty() -> None:
    valid = np.array([False, True, True, False, False, True, False])
    body = posed_body([{}] * 7)
    for array in (body.body_pose, body.global_orient, body.transl):
        array[~valid] = np.nan
    joints = stage.run(*frame_times(7, valid), body, LEVEL)
    np.testing.assert_array_equal(np.isfinite(joints.q).all(axis=1), valid)
    np.testing.assert_array_equal(np.isnan(joints.q).all(axis=1), ~valid)
    np.testing.assert_array_equal(np.isfinite(joints.markers).all(axis=(1, 2)), valid)
    np.testing.assert_array_equal(np.isfinite(joints.marker_residual).all(axis=1), valid)


@pytest.mark.parametrize("options", [{}, {"ik_iterations": 0}, {"ik": "opensim"}], ids=["both", "alone", "opensim"])
def test_an_angle_is_continuous_across_a_gap(options: dict[str, Any]) -> None:
    """Someone who turns nearly once round, is not seen for a while, and comes back 15 degrees further round."""
    headings = np.concatenate([np.linspace(0, 350, 36), np.full(5, np.nan), np.linspace(365, 380, 4)])
    valid = np.isfinite(headings)
    body = posed_body([{}] * len(headings))
    body.global_orient[valid] = (
        Rotation.from_euler("x", 180, degrees=True) * Rotation.from_euler("y", headings[valid, None], degrees=True)
    ).as_rotvec()
    settings = Settings(camera_pitch=0.0, camera_roll=0.0, **options)
    joints = stage.run(*frame_times(len(headings), valid), body, settings)
    heading = np.degrees(joints.q[valid, list(joints.coordinates).index("pelvis_rotation")])
    np.testing.assert_allclose(heading - heading[0], headings[valid], atol=5.0)


def test_a_given_mass_is_used_and_named() -> None:
    joints = stage.run(*frame_times(1), posed_body([{}]), Settings(mass=80.0))
    assert joints.mass_kg == pytest.approx(80.0)
    assert joints.mass_source == "--mass"


def test_a_users_model_keeps_its_muscles(shared: Path) -> None:
    path = shared / "data/models/gait2392_thelen2003muscle.osim"
    joints = stage.run(*frame_times(2), posed_body([{}, {"right_knee": (50, 0, 0)}]), Settings(model=path))
    assert joints.model_xml.count("<Thelen2003Muscle") == 92
    assert _degrees(joints, 1, "knee_angle_r") == pytest.approx(-50, abs=5)  # this model's knee bends to minus
    assert np.isnan(joints.marker_residual[:, MARKER_NAMES.index("RLEL")]).all()


def test_a_pose_at_the_end_of_a_range_is_pointed_out() -> None:
    joints = stage.run(*frame_times(2), posed_body([{"right_hip": (0, 60, 0)}] * 2), LEVEL)
    assert any("hip_rotation_r is at the end of its range" in warning for warning in joints.warnings)


def test_impossible_requests_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PersonError):
        stage.run(*frame_times(1, np.zeros(1, bool)), posed_body([{}]), LEVEL)
    notes = tmp_path / "notes.osim"
    notes.write_text("not a model")
    with pytest.raises(ModelFileError, match="not an OpenSim model"):
        stage.run(*frame_times(1), posed_body([{}]), Settings(model=notes))


@pytest.fixture(scope="module")
def walking() -> tuple[Array, Array, Refined]:
    """A body whose right leg and left arm swing."""
    swing = np.sin(np.linspace(0, 2 * np.pi, 40))
    turns: list[Turn] = [
        {"right_hip": (-30 * s, 0, 0), "right_knee": (25 + 20 * s, 0, 0), "left_shoulder": (-30 * s, 0, 0)}
        for s in swing
    ]
    return (*frame_times(40), posed_body(turns, yaw=60.0))


def _rms(joints: JointKinematics) -> float:
    return float(np.sqrt(np.nanmean(joints.marker_residual**2)))


def test_network_and_solver_fit_no_worse_than_opensim(walking: tuple[Array, Array, Refined]) -> None:
    ours = stage.run(*walking, Settings(camera_pitch=0.0, camera_roll=0.0, ik="neural"))
    theirs = stage.run(*walking, Settings(camera_pitch=0.0, camera_roll=0.0, ik="opensim"))
    assert _rms(ours) <= _rms(theirs)
    apart = np.degrees(np.abs(ours.q - theirs.q))[:, ours.rotational]
    assert apart.mean() < 1.0  # OpenSim stops half a degree early


def test_the_network_alone_brings_its_own_skeleton(walking: tuple[Array, Array, Refined]) -> None:
    alone = stage.run(*walking, Settings(camera_pitch=0.0, camera_roll=0.0, ik_iterations=0))
    whole = stage.run(*walking, LEVEL)
    assert _rms(whole) < _rms(alone) < 0.06
    own, given = (dict(zip(j.bodies, j.scale, strict=True)) for j in (alone, whole))
    assert own.keys() == given.keys()
    apart = np.abs([own[body] - given[body] for body in own])
    assert 1e-4 < apart.max() < 0.12
    few = stage.run(*walking, Settings(camera_pitch=0.0, camera_roll=0.0, ik_iterations=1))
    assert _rms(whole) <= _rms(few) < _rms(alone)


def test_smoothness_takes_the_jitter_out(walking: tuple[Array, Array, Refined]) -> None:
    rng = np.random.default_rng(0)
    time, valid, body = walking
    shaken = Refined(**{**vars(body), "body_pose": body.body_pose + rng.normal(0, 0.03, body.body_pose.shape)})
    rough, smooth = (
        stage.run(time, valid, shaken, Settings(camera_pitch=0.0, camera_roll=0.0, ik_smoothness=size))
        for size in (0.0, 1.0)
    )

    def jitter(joints: JointKinematics) -> float:
        return float(np.abs(np.diff(joints.q[:, joints.rotational], n=2, axis=0)).mean())

    assert jitter(smooth) < 0.5 * jitter(rough)


def test_smoothness_gets_the_times_of_the_frames(
    walking: tuple[Array, Array, Refined], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, body = walking
    uneven = np.cumsum(np.where(np.arange(40) % 7 == 3, 0.1, 1 / 30))
    valid = np.arange(40) != 20
    given: list[Array] = []

    def record(*args: Any, **options: Any) -> Any:
        given.append(options["time"])
        return solve_trajectory(*args, **options)

    monkeypatch.setattr(stage, "solve_trajectory", record)
    stage.run(uneven, valid, body, Settings(camera_pitch=0.0, camera_roll=0.0, ik_smoothness=1.0))
    np.testing.assert_array_equal(given[0], uneven[:20])
    np.testing.assert_array_equal(given[1], uneven[21:])


@pytest.mark.parametrize(
    "wrong",
    [
        {"ik": "opensim", "ik_iterations": 3},
        {"ik": "opensim", "ik_smoothness": 1.0},
        {"ik_iterations": 0, "ik_smoothness": 1.0},
    ],
)
def test_options_that_contradict_each_other_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingError):
        Settings(**wrong)


@pytest.mark.parametrize("iterations", [0, 1, 60])
def test_a_users_model_takes_no_number_of_iterations(iterations: int, tmp_path: Path) -> None:
    """They follow the network, which does not know it."""
    path = tmp_path / "mine.osim"
    path.touch()
    with pytest.raises(SettingError, match="--ik-iterations does not go with --model"):
        Settings(model=path, ik_iterations=iterations)
