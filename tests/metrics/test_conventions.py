"""Coordinates of other models in Rajagopal's convention: by hand, and against OpenSim's own kinematics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biopose_cli.io.storage import Motion
from biopose_cli.metrics.conventions import (
    ARM,
    LUMBAR,
    SHOULDER,
    SPINE,
    SPINE_ANGLES,
    THREE_AXIS_JOINTS,
    euler_zxy,
    in_heading_frame,
    to_canonical,
)
from biopose_cli.skeleton.build import build_model
from biopose_cli.skeleton.euler_branches import three_axis_joints
from biopose_cli.skeleton.extract import extract_model
from biopose_cli.skeleton.osim import load_model

MODELS = {
    "rajagopal": "data/models/Rajagopal2016.osim",
    "gait2392": "data/models/gait2392_thelen2003muscle.osim",
    "lai": "data/models/LaiUhlrich2022.osim",
    "rajagopal_lai": "data/models/RajagopalLaiUhlrich2023.osim",
    "opencap": "data/dev/opencap_squat/LaiArnoldModified2017_poly_withArms_weldHand_scaled.osim",
    "pose2sim": "data/dev/multiview_balance/balance_reference_scaled.osim",
}
SEGMENTS = ("pelvis", "femur_r", "femur_l", "tibia_r", "tibia_l", "calcn_r", "calcn_l", "toes_r", "toes_l")
UPPER = (
    "torso",
    "humerus_r",
    "humerus_l",
    "ulna_r",
    "ulna_l",
    "radius_r",
    "radius_l",
    "hand_r",
    "hand_l",
    "head",
)


def motion(**columns: list[float]) -> Motion:
    values = np.array(list(columns.values()), float).T
    return Motion(np.arange(len(values)) / 10, tuple(columns), values)


def orientations(model: Any, degrees: dict[str, float]) -> dict[str, np.ndarray]:
    """Each body's axes in the ground with these angles and zeros elsewhere."""
    state = model.initSystem()
    for coordinate in model.getCoordinateSet():
        coordinate.setLocked(state, False)
        coordinate.setValue(state, np.deg2rad(degrees.get(coordinate.getName(), 0.0)), False)
    model.realizePosition(state)
    found = {}
    for body in model.getBodySet():
        rotation = body.getTransformInGround(state).R()
        found[body.getName()] = np.array([[rotation.get(i, j) for j in range(3)] for i in range(3)])
    return found


def random_pose(model: Any, seed: int) -> dict[str, float]:
    """Angles of every kind the model has, within what knees and shoulders allow."""
    rng = np.random.default_rng(seed)
    pose = {}
    for coordinate in model.getCoordinateSet():
        name = coordinate.getName()
        if coordinate.getMotionType() != 1 or name.startswith("Abs_") or name.endswith("_beta"):
            continue
        low, high = np.rad2deg([coordinate.getRangeMin(), coordinate.getRangeMax()])
        pose[name] = float(rng.uniform(max(low, -30), min(high, 30)))
    return pose


@pytest.mark.parametrize("name", MODELS)
def test_converted_angles_orient_our_bodies_alike(shared: Path, name: str) -> None:
    model, ours = load_model(shared / MODELS[name]), build_model()
    for seed in range(3):
        pose = random_pose(model, seed)
        if name == "gait2392":  # its knee is a hinge about z, Rajagopal's is oblique: the sign is what counts
            pose |= {"knee_angle_r": -25.0, "knee_angle_l": -40.0}
        converted, _ = to_canonical(motion(**{key: [value] for key, value in pose.items()}))
        here = orientations(model, pose)
        there = orientations(ours, {n: float(converted[n][0]) for n in converted.names})
        segments = [segment for segment in (*SEGMENTS, *UPPER) if segment in here]
        if name in {"lai", "opencap"}:  # their hand is welded to the radius
            segments = [s for s in segments if not s.startswith("hand")]
        for segment in segments:
            angle = Rotation.from_matrix(here[segment].T @ there[segment]).magnitude()
            loose = name == "gait2392" and not segment.startswith(("pelvis", "femur", "torso"))
            assert np.rad2deg(angle) < (15.0 if loose else 0.1), (segment, seed)


def test_negative_knees_are_reversed_together_with_the_toes() -> None:
    converted, notes = to_canonical(motion(knee_angle_r=[-60, -5], mtp_angle_r=[-10, 0], hip_flexion_r=[-9, 1]))
    np.testing.assert_array_equal(converted["knee_angle_r"], [60, 5])
    np.testing.assert_array_equal(converted["mtp_angle_r"], [10, 0])
    np.testing.assert_array_equal(converted["hip_flexion_r"], [-9, 1])
    assert len(notes) == 1


def test_straight_knees_just_below_zero_keep_their_sign() -> None:
    sway = np.sin(np.arange(0, 6, 0.1))
    given = motion(knee_angle_r=list(4 * sway - 1.5), knee_angle_l=list(3 * sway - 2), mtp_angle_r=list(5 * sway))
    converted, notes = to_canonical(given)
    np.testing.assert_array_equal(converted.values, given.values)
    assert notes == ()


def test_one_bent_knee_suffices_to_detect_the_sign() -> None:
    converted, _ = to_canonical(motion(knee_angle_r=[-1.0] * 60, knee_angle_l=list(-30 * np.ones(60))))
    assert (converted.values > 0).all()


def test_a_model_with_a_patella_may_hyperextend() -> None:
    given = motion(knee_angle_r=[-6, -5], knee_angle_r_beta=[-0.1, -0.1])
    converted, notes = to_canonical(given)
    np.testing.assert_array_equal(converted.values, given.values)
    assert notes == ()


def test_the_spine_adds_up_about_one_axis() -> None:
    columns = {f"{joint}_{angle}": [0.0, 0.0] for joint in SPINE for angle in SPINE_ANGLES}
    for joint in SPINE:
        columns[f"{joint}_Flex_Ext"] = [-5.0, 2.0]
    converted, _ = to_canonical(motion(**columns))
    assert converted.names == LUMBAR
    np.testing.assert_allclose(converted.values, [[-30, 0, 0], [12, 0, 0]], atol=1e-9)


@pytest.mark.parametrize("side", ["r", "l"])
def test_raising_the_arm_forward_and_sideways(side: str) -> None:
    """Elevation in the plane at 90 degrees is flexion, at 0 it is abduction: negative adduction."""
    columns = {SHOULDER[0]: [90.0, 0.0], SHOULDER[1]: [40.0, 40.0], SHOULDER[2]: [-90.0, 0.0]}
    converted, _ = to_canonical(motion(**{f"{name}_{side}": column for name, column in columns.items()}))
    assert converted.names == tuple(f"{name}_{side}" for name in ARM)
    np.testing.assert_allclose(converted.values[1], [0, -40, 0], atol=1e-9)
    assert converted.values[0, 0] == pytest.approx(40, abs=9)  # the axial rotation's axis is 6 degrees oblique
    assert abs(converted.values[0, 1]) < 9


def test_tilt_and_list_are_in_the_heading_frame() -> None:
    """A pelvis tilted 10 degrees back and dropped 5, heading 0 and -90: the same anatomy."""
    ahead = np.array([[10.0, 5.0, 0.0], [12.0, 3.0, 2.0]])
    turned = (Rotation.from_euler("y", -90, degrees=True) * euler_zxy(ahead)).as_euler("ZXY", degrees=True)
    found, heading = in_heading_frame(turned)
    straight, own = in_heading_frame(ahead)
    assert heading == pytest.approx(-90 + own)
    np.testing.assert_allclose(found[:, :2], straight[:, :2], atol=1e-9)
    np.testing.assert_allclose(found[:, 2], straight[:, 2] - 90, atol=1e-9)
    np.testing.assert_allclose(straight, ahead, atol=0.3)


def test_turning_in_a_circle_gives_no_heading() -> None:
    angles = np.zeros((36, 3))
    angles[:, 2] = np.arange(0, 360, 10)
    found, heading = in_heading_frame(angles)
    assert heading is None
    np.testing.assert_array_equal(found, angles)


def test_joints_with_two_names_are_those_of_our_skeleton() -> None:
    table = extract_model(build_model())
    found = {tuple(table.coordinates[c] for c in columns) for columns in three_axis_joints(table)}
    assert set(THREE_AXIS_JOINTS) <= found
