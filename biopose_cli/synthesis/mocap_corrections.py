"""What a recorded skeleton leaves open, set straight subject by subject: knees, soles, face, belt and hands."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from biopose_cli.geometry.so3 import rotation_between
from biopose_cli.synthesis.mocap import INDEX, PARENTS, Take, euler
from biopose_cli.synthesis.retarget import (
    Corrections,
    RestBody,
    forward_kinematics,
    knee_flexion,
    segment_rotations,
    stance_frames,
)
from biopose_cli.typing import Array

GAZE_ANGLE = 5.0  # degrees below the horizon, on average (our choice); the recorded heads differ by 50 between subjects
# degrees that the chest leans further forward than the pelvis, on average, in an upright person on a straight leg: the
# median of the recorded subjects, who differ by 25, because belt markers sit anywhere on the belt
CHEST_LEAN = 4.0
_MAX_STRAIGHT_KNEE, _MAX_UPRIGHT_LEAN = 25.0, 25.0  # degrees, of such a leg's knee and of the chest
# Walking with sound knees, a tenth of all frames has less than about 5 degrees of flexion (heel strike and the end of
# stance; Perry and Burnfield 2010, "Gait Analysis", ch. 5). The recorded knees have 10 to 25 there.
_FLEXION_10TH_PERCENTILE = 5.0  # degrees
_MAX_STRAIGHTENING = 15.0  # degrees; players and climbers do keep their knees bent

_SPINE = ("pelvis", "spine1", "spine2")  # below the chest


def estimate_corrections(takes: list[Take], body: RestBody, *, one_person: bool = True) -> Corrections:
    """Of what one subject's recorded skeleton leaves open: knees, soles, face, belt and hands.

    Knee centres were recorded before the line from hip to ankle, so that knees hardly ever come straight: thigh and
    shank are turned until a tenth of the frames has less than `_FLEXION_10TH_PERCENTILE` of flexion, as in walking. The
    recorded foot is a line from ankle to toes, the head follows a headband, the pelvis the markers on a belt, and the
    hands two markers on the wrist. So the soles are made level, on average, in the frames in which a foot stands still,
    and the face, on average, looks `GAZE_ANGLE` below the horizon (the neck takes half). In upright frames the spine
    leans `CHEST_LEAN`, evenly from pelvis to chest, and over all frames the hands are bent neither to the thumb nor
    away. one_person: False, if the takes may be of several: every spine is left as it was recorded. Their knees are
    straightened all the same, by one angle: they come straight as seldom as those of known subjects.
    """
    foot_ups: tuple[list[Array], list[Array]] = ([], [])
    faces: list[Array] = []
    spine_leans: list[Array] = []
    wrist_deviations: list[Array] = []
    corrections = Corrections(np.tile(np.eye(3), (24, 1, 1)), _excess_knee_flexion(takes, body))
    for take in takes:
        rotations = segment_rotations(take, body, corrections)
        positions = forward_kinematics(rotations, take.hips * (body.leg_length / take.leg_length), body)
        stance = stance_frames(positions, take.fps)
        for side, side_ups in enumerate(foot_ups):
            up_in_foot = rotations[:, INDEX["left_ankle"] + side, 1]
            side_ups.append(up_in_foot[stance[:, side]])
        upright = rotations[:, INDEX["spine3"], 1, 1] > np.cos(np.radians(_MAX_UPRIGHT_LEAN))
        faces.append(rotations[upright, INDEX["head"], 1, 2])  # height of the face's direction
        spine_leans.append(_spine_lean(rotations[_on_straight_leg(rotations)]))
        wrist_deviations.append(_wrist_deviation(rotations))
    rotations_by_joint = corrections.rotations
    for side, side_ups in enumerate(foot_ups):
        up = np.concatenate(side_ups)
        if len(up):
            level = rotation_between(np.array([0.0, 1, 0]), np.median(up, axis=0))
            rotations_by_joint[[INDEX["left_ankle"] + side, INDEX["left_foot"] + side]] = level
    face = np.concatenate(faces)
    if len(face):
        lift = np.degrees(np.arcsin(-np.median(face))) - GAZE_ANGLE
        rotations_by_joint[INDEX["head"]] = euler("x", [-lift])
        rotations_by_joint[INDEX["neck"]] = euler("x", [-lift / 2])
    spine_lean = np.concatenate(spine_leans)
    if one_person and len(spine_lean):
        target = -CHEST_LEAN * np.array([1, 2 / 3, 1 / 3])
        for joint, correction in zip(_SPINE, target - np.median(spine_lean, axis=0), strict=True):
            rotations_by_joint[INDEX[joint]] = euler("x", [correction])
    wrist_deviation = np.median(np.concatenate(wrist_deviations), axis=0)
    for hand, joints in enumerate((("left_wrist", "left_hand"), ("right_wrist", "right_hand"))):
        rotations_by_joint[[INDEX[joint] for joint in joints]] = euler("y", [-wrist_deviation[hand]])
    return corrections


def _excess_knee_flexion(takes: list[Take], body: RestBody) -> Array:
    """By how much (2) the subject's left, right knee is recorded too bent, rad."""
    flexion = np.concatenate([knee_flexion(segment_rotations(take, body, None), body) for take in takes])
    tenth = np.array([np.percentile(knee[knee > 0], 10) if (knee > 0).any() else 0.0 for knee in flexion.T])
    excess: Array = np.clip(tenth - np.radians(_FLEXION_10TH_PERCENTILE), 0, np.radians(_MAX_STRAIGHTENING))
    return excess


def _on_straight_leg(rotations: Array) -> Array:
    """Frames (T) in which the chest is upright and one leg straight below it."""
    limit = np.cos(np.radians([_MAX_UPRIGHT_LEAN, _MAX_STRAIGHT_KNEE]))
    straight = [
        (rotations[:, INDEX[f"{side}_hip"], 1, 1] > limit[0])
        & (
            (rotations[:, INDEX[f"{side}_hip"], :, 1] * rotations[:, INDEX[f"{side}_knee"], :, 1]).sum(1)
            > limit[1]
        )
        for side in ("left", "right")
    ]
    return np.asarray((rotations[:, INDEX["spine3"], 1, 1] > limit[0]) & (straight[0] | straight[1]))


def _spine_lean(rotations: Array) -> Array:
    """How far (T, 3) pelvis and lower spine lean further forward than the chest, degrees."""
    up = (
        np.swapaxes(rotations[:, INDEX["spine3"]], -1, -2)[:, None]
        @ rotations[:, [INDEX[j] for j in _SPINE], :, 1:2]
    )
    return np.asarray(np.degrees(np.arctan2(up[..., 2, 0], up[..., 1, 0])))


def _wrist_deviation(rotations: Array) -> Array:
    """Turns (T, 2) of the left, right hand about the T-pose's vertical, to the thumb or away from it, degrees."""
    hands = [INDEX["left_wrist"], INDEX["right_wrist"]]
    local = np.swapaxes(rotations[:, [PARENTS[hand] for hand in hands]], -1, -2) @ rotations[:, hands]
    axis_angles = Rotation.from_matrix(local.reshape(-1, 3, 3)).as_rotvec().reshape(-1, 2, 3)
    return np.degrees(axis_angles[..., 1])
