"""What a recorded skeleton leaves open is set straight: knees, soles, face, belt and hands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biopose_cli.synthesis.cmu import REFERENCE
from biopose_cli.synthesis.mocap import INDEX, Take, euler
from biopose_cli.synthesis.mocap_corrections import estimate_corrections
from biopose_cli.synthesis.retarget import (
    RestBody,
    forward_kinematics,
    global_rotations,
    knee_flexion,
    retarget,
)
from biopose_cli.typing import Array

MakeTake = Callable[..., Take]


def joints_of(pose: Array, transl: Array, body: RestBody) -> Array:
    return forward_kinematics(global_rotations(pose), transl + body.joints[0], body)


def flexion_of(pose: Array, body: RestBody) -> Array:
    return np.degrees(knee_flexion(global_rotations(pose), body))


def with_knees(take: Take, flexion: Array) -> Take:
    """The take for as many frames, its thighs and shanks turned about the knees' axes to bend left and right by so many
    degrees (T, 2), the ankle below the hip."""
    rotations = np.repeat(take.rotations[:1], len(flexion), axis=0)
    for side, name in enumerate(("left", "right")):
        half = np.radians(flexion.T[side] / 2)[:, None] * REFERENCE.knee_axis[side]
        rotations[:, INDEX[f"{name}_hip"]] = Rotation.from_rotvec(-half).as_matrix()
        rotations[:, INDEX[f"{name}_knee"]] = Rotation.from_rotvec(half).as_matrix()
    return replace(take, rotations=rotations, hips=np.repeat(take.hips[:1], len(flexion), axis=0))


def test_a_standing_person_stands_on_the_floor_with_flat_feet_and_a_level_gaze(
    make_take: MakeTake, rest_body: RestBody
) -> None:
    legs = {}
    for side, tilt in (("left", 20.0), ("right", -20.0)):  # legs together, feet recorded 12 degrees toes-up
        for joint in ("hip", "knee"):
            legs[f"{side}_{joint}"] = euler("z", [-tilt])
        for joint in ("ankle", "foot"):
            legs[f"{side}_{joint}"] = euler("x", [-12.0]) @ euler("z", [-tilt])
    take = make_take(head=euler("x", [30.0]), **legs)
    motion = retarget(take, rest_body, estimate_corrections([take], rest_body))
    rotations = global_rotations(motion.pose)
    for joint in ("left_ankle", "right_ankle", "left_foot"):
        np.testing.assert_allclose(rotations[0, INDEX[joint], 1], [0, 1, 0], atol=1e-6)
    joints = joints_of(motion.pose, motion.transl, rest_body)[0]
    sole = rest_body.joints[INDEX["left_ankle"], 1] - rest_body.floor
    assert joints[INDEX["left_ankle"], 1] == pytest.approx(sole, abs=1e-6)
    assert np.degrees(np.arcsin(-rotations[0, INDEX["head"], 1, 2])) == pytest.approx(5.0)


def test_a_belt_and_hands_put_on_askew_are_set_straight(make_take: MakeTake, rest_body: RestBody) -> None:
    """The spine leans evenly from pelvis to chest, the hands follow the forearms; the chest stays as recorded."""
    legs = {f"{side}_{joint}": np.eye(3) for side in ("left", "right") for joint in ("hip", "knee")}
    chest = euler("x", [5.0])
    hand = euler("y", [20.0])
    take = make_take(
        pelvis=euler("x", [22.0]), spine1=euler("x", [-6.0]), spine2=chest, spine3=chest,
        left_wrist=hand, left_hand=hand, **legs,
    )  # fmt: skip
    pose = np.degrees(retarget(take, rest_body, estimate_corrections([take], rest_body)).pose[0])
    rotations = global_rotations(np.radians(pose[None]))[0]
    lean = [
        np.degrees(np.arctan2(*rotations[INDEX[joint], [2, 1], 1]))
        for joint in ("pelvis", "spine1", "spine2", "spine3")
    ]
    np.testing.assert_allclose(lean, [1, 5 - 8 / 3, 5 - 4 / 3, 5], atol=1e-6)
    assert pose[INDEX["left_wrist"], 1] == pytest.approx(0, abs=1e-3)
    as_it_was = retarget(take, rest_body, estimate_corrections([take], rest_body, one_person=False)).pose
    assert np.degrees(as_it_was[0, 0, 0]) == pytest.approx(22)


def test_knees_that_never_come_straight_are_straightened_and_the_ankles_stay(
    make_take: MakeTake, rest_body: RestBody
) -> None:
    """To 5 degrees in a tenth of the frames, by 15 at most: a player keeps his knees bent."""
    for recorded, kept in (((12.0, 25.0), (5.0, 10.0)), ((25.0, 4.0), (10.0, 4.0))):
        ramp = np.linspace(-1, 9, 101)[:, None]
        take = with_knees(make_take(), np.array(recorded) + ramp)
        before = retarget(take, rest_body)
        after = retarget(take, rest_body, estimate_corrections([take], rest_body))
        legs = [joints_of(m.pose, m.transl, rest_body) for m in (before, after)]
        for number, side in enumerate(("left", "right")):
            flexion = flexion_of(after.pose, rest_body)[:, number]
            assert np.percentile(flexion, 10) == pytest.approx(kept[number], abs=0.4)
            assert flexion.min() > 0
            assert np.all(np.diff(flexion) > 0)
            ways = [j[:, INDEX[f"{side}_ankle"]] - j[:, INDEX[f"{side}_hip"]] for j in legs]
            directions = [way / np.linalg.norm(way, axis=1, keepdims=True) for way in ways]
            assert np.degrees(np.arccos((directions[0] * directions[1]).sum(1).clip(-1, 1))).max() < 1.0


def test_a_knee_that_was_recorded_straight_is_never_bent_backwards(
    make_take: MakeTake, rest_body: RestBody
) -> None:
    recorded = np.repeat([0.0, 20.0], [5, 95])
    take = with_knees(make_take(), np.stack([recorded, recorded], 1))
    motion = retarget(take, rest_body, estimate_corrections([take], rest_body))
    flexion = flexion_of(motion.pose, rest_body)
    assert flexion.min() > -0.1
    assert flexion[:5].max() < 0.1
