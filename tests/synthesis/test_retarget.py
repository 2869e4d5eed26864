"""Retargeting: bones point where the recorded ones do, hinges stay hinges, a mirror is a mirror."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biopose_cli.synthesis.cmu import REFERENCE
from biopose_cli.synthesis.mocap import INDEX, PARENTS, Take, euler
from biopose_cli.synthesis.retarget import (
    RestBody,
    forward_kinematics,
    global_rotations,
    has_off_axis_knees,
    mirror_motion,
    rest_alignment,
    retarget,
)
from biopose_cli.typing import Array

MakeTake = Callable[..., Take]


def unit(vector: Array) -> Array:
    return np.asarray(vector / np.linalg.norm(vector))


def joints_of(pose: Array, transl: Array, body: RestBody) -> Array:
    return forward_kinematics(global_rotations(pose), transl + body.joints[0], body)


def turned(axis: Array, degrees: float) -> Array:
    return np.asarray(Rotation.from_rotvec(np.radians(degrees) * unit(axis)).as_matrix())


@pytest.mark.parametrize("side", ["left", "right"])
def test_limbs_point_where_the_recorded_ones_do(side: str, make_take: MakeTake, rest_body: RestBody) -> None:
    one = 0 if side == "left" else 1
    swing = turned(np.array([1.0, 0.2, 0.3]), 40)
    parts = {f"{side}_{joint}": swing for joint in ("hip", "knee", "ankle", "shoulder", "elbow")}
    motion = retarget(make_take(**parts), rest_body)
    joints = joints_of(motion.pose, motion.transl, rest_body)[0]
    for start, end, recorded in (("hip", "ankle", REFERENCE.thigh), ("shoulder", "wrist", REFERENCE.arm)):
        limb = unit(joints[INDEX[f"{side}_{end}"]] - joints[INDEX[f"{side}_{start}"]])
        assert limb @ (swing @ recorded[one]) > np.cos(np.radians(0.6))


@pytest.mark.parametrize("degrees", [0.0, 35.0, 110.0])
@pytest.mark.parametrize("side", ["left", "right"])
def test_knee_flexion_is_a_turn_about_the_lateral_axis_that_takes_the_foot_back(
    side: str, degrees: float, make_take: MakeTake, rest_body: RestBody
) -> None:
    one = 0 if side == "left" else 1
    bent = turned(REFERENCE.knee_axis[one], degrees)
    motion = retarget(make_take(**{f"{side}_knee": bent}), rest_body)
    knee = np.degrees(motion.pose[0, INDEX[f"{side}_knee"]])
    assert np.abs(knee[1:]).max() < 0.05  # degrees about other axes
    joints = joints_of(motion.pose, motion.transl, rest_body)[0]
    thigh = joints[INDEX[f"{side}_knee"]] - joints[INDEX[f"{side}_hip"]]
    shank = joints[INDEX[f"{side}_ankle"]] - joints[INDEX[f"{side}_knee"]]
    angle = np.degrees(np.arccos(unit(thigh) @ unit(shank)))
    assert angle == pytest.approx(
        degrees, abs=3.0 if degrees == 0 else 0.2
    )  # the rest knee is 3 degrees sideways
    if degrees:
        assert shank[2] < thigh[2] - 0.1


@pytest.mark.parametrize("side", ["left", "right"])
def test_elbow_flexion_brings_the_hand_forward_from_the_t_pose(
    side: str, make_take: MakeTake, rest_body: RestBody
) -> None:
    """The CMU elbow's hinge is turned 30 degrees about the arm; on the body it is vertical in the T-pose."""
    one = 0 if side == "left" else 1
    straight = retarget(make_take(), rest_body).pose[0, INDEX[f"{side}_elbow"]]
    bent = retarget(make_take(**{f"{side}_elbow": turned(REFERENCE.elbow_axis[one], 70)}), rest_body)
    hinge = Rotation.from_rotvec(bent.pose[0, INDEX[f"{side}_elbow"]]) * Rotation.from_rotvec(straight).inv()
    expected = 70 * np.array([0, -1.0 if side == "left" else 1.0, 0])
    np.testing.assert_allclose(np.degrees(hinge.as_rotvec()), expected, atol=1.5)


def test_left_and_right_are_mirror_images(make_take: MakeTake, rest_body: RestBody) -> None:
    aligned = rest_alignment(REFERENCE, rest_body)
    flip = np.diag([-1.0, 1, 1])
    for joint, index in INDEX.items():
        if joint.startswith("left"):
            other = aligned[INDEX[joint.replace("left", "right")]]
            np.testing.assert_allclose(flip @ aligned[index] @ flip, other, atol=1e-12)


def test_mirrored_motion_puts_the_joints_at_mirrored_places(rest_body: RestBody) -> None:
    rng = np.random.default_rng(0)
    pose, transl = rng.normal(0, 0.5, (5, 24, 3)), rng.normal(0, 1, (5, 3))
    joints = joints_of(pose, transl, rest_body)
    seen = joints_of(*mirror_motion(pose, transl), rest_body)
    order = [INDEX[n.replace("left", "#").replace("right", "left").replace("#", "right")] for n in INDEX]
    np.testing.assert_allclose(seen, joints[:, order] * [-1, 1, 1], atol=1e-12)
    again = mirror_motion(*mirror_motion(pose, transl))
    np.testing.assert_array_equal(again[0], pose)


def test_bones_keep_their_lengths(rest_body: RestBody) -> None:
    rng = np.random.default_rng(1)
    joints = joints_of(rng.normal(0, 1, (3, 24, 3)), np.zeros((3, 3)), rest_body)
    for joint in range(1, 24):
        length = np.linalg.norm(rest_body.joints[joint] - rest_body.joints[PARENTS[joint]])
        np.testing.assert_allclose(
            np.linalg.norm(joints[:, joint] - joints[:, PARENTS[joint]], axis=1), length
        )


def test_a_recording_that_comes_apart_is_noticed(make_take: MakeTake, rest_body: RestBody) -> None:
    sound = retarget(make_take(), rest_body)
    broken = retarget(make_take(left_knee=euler("y", [35.0])), rest_body)
    assert not has_off_axis_knees(sound)
    assert has_off_axis_knees(broken)
