"""Corrections of recorded skeletons, per subject: knees, soles, face, pelvis and hands."""

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

GAZE_ANGLE = 5.0  # degrees below the horizon, mean (our choice); recorded heads differ by 50 between subjects
# degrees: mean forward lean of the chest relative to the pelvis, in an upright person on a straight leg. It is the
# median of the recorded subjects, who differ by 25, because belt markers are placed differently.
CHEST_LEAN = 4.0
_MAX_STRAIGHT_KNEE, _MAX_UPRIGHT_LEAN = 25.0, 25.0  # degrees: of that leg's knee and of the chest
# In walking with healthy knees, a tenth of all frames has less than about 5 degrees of flexion (heel strike and the end
# of stance; Perry and Burnfield 2010, "Gait Analysis", ch. 5). The recorded knees have 10 to 25 there.
_FLEXION_10TH_PERCENTILE = 5.0  # degrees
_MAX_STRAIGHTENING = 15.0  # degrees; players and climbers really keep their knees bent

_SPINE = ("pelvis", "spine1", "spine2")  # below the chest


def estimate_corrections(takes: list[Take], body: RestBody, *, one_person: bool = True) -> Corrections:
    """Estimate the corrections of one subject's recorded skeleton: knees, soles, face, pelvis and hands.

    Recorded knee centres are in front of the line from hip to ankle, so knees hardly ever become straight. Thigh and
    shank are rotated until a tenth of the frames has less than `_FLEXION_10TH_PERCENTILE` of flexion, as in walking.
    The recorded foot is a line from ankle to toes, the head follows a headband, the pelvis the markers on a belt, and
    the hands two markers on the wrist. So these means are corrected: the soles are level in the frames in which a foot
    stands still; the face points `GAZE_ANGLE` below the horizon (the neck takes half); in upright frames the spine
    leans by `CHEST_LEAN`, distributed evenly from pelvis to chest; the hands have no radial or ulnar deviation.

    Parameters
    ----------
    takes : all takes of the subject
    body : the body in its T-pose
    one_person : False if the takes may show several people. Then the spine is left as recorded, and one angle
        straightens all knees.
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
        faces.append(rotations[upright, INDEX["head"], 1, 2])  # vertical component of the face's direction
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
    """Excess flexion (2) of the subject's left and right knee in the recording, rad."""
    flexion = np.concatenate([knee_flexion(segment_rotations(take, body, None), body) for take in takes])
    tenth = np.array([np.percentile(knee[knee > 0], 10) if (knee > 0).any() else 0.0 for knee in flexion.T])
    excess: Array = np.clip(tenth - np.radians(_FLEXION_10TH_PERCENTILE), 0, np.radians(_MAX_STRAIGHTENING))
    return excess


def _on_straight_leg(rotations: Array) -> Array:
    """Mask (T) of frames in which the chest is upright and one leg is straight below it."""
    limit = np.cos(np.radians([_MAX_UPRIGHT_LEAN, _MAX_STRAIGHT_KNEE]))
    straight = [
        (rotations[:, INDEX[f"{side}_hip"], 1, 1] > limit[0])
        & ((rotations[:, INDEX[f"{side}_hip"], :, 1] * rotations[:, INDEX[f"{side}_knee"], :, 1]).sum(1) > limit[1])
        for side in ("left", "right")
    ]
    return np.asarray((rotations[:, INDEX["spine3"], 1, 1] > limit[0]) & (straight[0] | straight[1]))


def _spine_lean(rotations: Array) -> Array:
    """Forward lean (T, 3) of pelvis and lower spine relative to the chest, degrees."""
    up = np.swapaxes(rotations[:, INDEX["spine3"]], -1, -2)[:, None] @ rotations[:, [INDEX[j] for j in _SPINE], :, 1:2]
    return np.asarray(np.degrees(np.arctan2(up[..., 2, 0], up[..., 1, 0])))


def _wrist_deviation(rotations: Array) -> Array:
    """Angles (T, 2) of the left and right hand about the T-pose's vertical (radial or ulnar deviation), degrees."""
    hands = [INDEX["left_wrist"], INDEX["right_wrist"]]
    local = np.swapaxes(rotations[:, [PARENTS[hand] for hand in hands]], -1, -2) @ rotations[:, hands]
    axis_angles = Rotation.from_matrix(local.reshape(-1, 3, 3)).as_rotvec().reshape(-1, 2, 3)
    return np.degrees(axis_angles[..., 1])
