"""What a recorded skeleton leaves open, set straight subject by subject: knees, soles, face, belt and hands."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from biopose_cli.geometry.so3 import between
from biopose_cli.synthesis.mocap import INDEX, PARENTS, Take, euler
from biopose_cli.synthesis.retarget import (
    Corrections,
    RestBody,
    knee_flexion,
    positions_of,
    segments,
    standing,
)
from biopose_cli.typing import Array

GAZE = 5.0  # degrees below the horizon, on average (our choice); the recorded heads differ by 50 between subjects
# degrees that the chest leans further forward than the pelvis, on average, in an upright person on a straight leg: the
# median of the recorded subjects, who differ by 25, because belt markers sit anywhere on the belt
LEAN = 4.0
_STRAIGHT, _UPRIGHT = 25.0, 25.0  # degrees, of such a leg's knee and of the chest
# Walking with sound knees, a tenth of all frames has less than about 5 degrees of flexion (heel strike and the end of
# stance; Perry and Burnfield 2010, "Gait Analysis", ch. 5). The recorded knees have 10 to 25 there.
_LEAST_TENTH = 5.0  # degrees
_MOST_STRAIGHTENED = 15.0  # degrees; players and climbers do keep their knees bent

_SPINE = ("pelvis", "spine1", "spine2")  # below the chest


def calibrate(takes: list[Take], body: RestBody, *, one_person: bool = True) -> Corrections:
    """Of what one subject's recorded skeleton leaves open: knees, soles, face, belt and hands.

    Knee centres were recorded before the line from hip to ankle, so that knees hardly ever come straight: thigh and
    shank are turned until a tenth of the frames has less than `_LEAST_TENTH` of flexion, as in walking. The recorded
    foot is a line from ankle to toes, the head follows a headband, the pelvis the markers on a belt, and the hands two
    markers on the wrist. So the soles are made level, on average, in the frames in which a foot stands still, and the
    face, on average, looks `GAZE` below the horizon (the neck takes half). In upright frames the spine leans `LEAN`,
    evenly from pelvis to chest, and over all frames the hands are bent neither to the thumb nor away.
    one_person: False, if the takes may be of several: every spine is left as it was recorded. Their knees are
    straightened all the same, by one angle: they come straight as seldom as those of known subjects.
    """
    ups: tuple[list[Array], list[Array]] = ([], [])
    faces: list[Array] = []
    leans: list[Array] = []
    bends: list[Array] = []
    corrections = Corrections(np.tile(np.eye(3), (24, 1, 1)), _too_bent(takes, body))
    for take in takes:
        rotations = segments(take, body, corrections)
        positions = positions_of(rotations, take.hips * (body.leg_length / take.leg_length), body)
        still = standing(positions, take.fps)
        for side, found in enumerate(ups):
            up_in_foot = rotations[:, INDEX["left_ankle"] + side, 1]
            found.append(up_in_foot[still[:, side]])
        upright = rotations[:, INDEX["spine3"], 1, 1] > np.cos(np.radians(_UPRIGHT))
        faces.append(rotations[upright, INDEX["head"], 1, 2])  # height of the face's direction
        leans.append(_leans(rotations[_on_a_straight_leg(rotations)]))
        bends.append(_bends(rotations))
    axes = corrections.axes
    for side, found in enumerate(ups):
        up = np.concatenate(found)
        if len(up):
            level = between(np.array([0.0, 1, 0]), np.median(up, axis=0))
            axes[[INDEX["left_ankle"] + side, INDEX["left_foot"] + side]] = level
    face = np.concatenate(faces)
    if len(face):
        lift = np.degrees(np.arcsin(-np.median(face))) - GAZE
        axes[INDEX["head"]] = euler("x", [-lift])
        axes[INDEX["neck"]] = euler("x", [-lift / 2])
    lean = np.concatenate(leans)
    if one_person and len(lean):
        wanted = -LEAN * np.array([1, 2 / 3, 1 / 3])
        for joint, turn in zip(_SPINE, wanted - np.median(lean, axis=0), strict=True):
            axes[INDEX[joint]] = euler("x", [turn])
    bend = np.median(np.concatenate(bends), axis=0)
    for hand, joints in enumerate((("left_wrist", "left_hand"), ("right_wrist", "right_hand"))):
        axes[[INDEX[joint] for joint in joints]] = euler("y", [-bend[hand]])
    return corrections


def _too_bent(takes: list[Take], body: RestBody) -> Array:
    """By how much (2) the subject's left, right knee is recorded too bent, rad."""
    flexion = np.concatenate([knee_flexion(segments(take, body, None), body) for take in takes])
    tenth = np.array([np.percentile(knee[knee > 0], 10) if (knee > 0).any() else 0.0 for knee in flexion.T])
    too_bent: Array = np.clip(tenth - np.radians(_LEAST_TENTH), 0, np.radians(_MOST_STRAIGHTENED))
    return too_bent


def _on_a_straight_leg(rotations: Array) -> Array:
    """Frames (T) in which the chest is upright and one leg straight below it."""
    limit = np.cos(np.radians([_UPRIGHT, _STRAIGHT]))
    straight = [
        (rotations[:, INDEX[f"{side}_hip"], 1, 1] > limit[0])
        & (
            (rotations[:, INDEX[f"{side}_hip"], :, 1] * rotations[:, INDEX[f"{side}_knee"], :, 1]).sum(1)
            > limit[1]
        )
        for side in ("left", "right")
    ]
    return np.asarray((rotations[:, INDEX["spine3"], 1, 1] > limit[0]) & (straight[0] | straight[1]))


def _leans(rotations: Array) -> Array:
    """How far (T, 3) pelvis and lower spine lean further forward than the chest, degrees."""
    up = (
        np.swapaxes(rotations[:, INDEX["spine3"]], -1, -2)[:, None]
        @ rotations[:, [INDEX[j] for j in _SPINE], :, 1:2]
    )
    return np.asarray(np.degrees(np.arctan2(up[..., 2, 0], up[..., 1, 0])))


def _bends(rotations: Array) -> Array:
    """Turns (T, 2) of the left, right hand about the T-pose's vertical, to the thumb or away from it, degrees."""
    hands = [INDEX["left_wrist"], INDEX["right_wrist"]]
    local = np.swapaxes(rotations[:, [PARENTS[hand] for hand in hands]], -1, -2) @ rotations[:, hands]
    vectors = Rotation.from_matrix(local.reshape(-1, 3, 3)).as_rotvec().reshape(-1, 2, 3)
    return np.degrees(vectors[..., 1])
