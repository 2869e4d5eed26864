"""From a recorded skeleton's segment rotations to SMPL's pose parameters.

Each SMPL segment takes the global rotation of the recorded segment, after both have been laid over each other
in their reference poses: long axis on long axis, hinge on hinge. So knees and elbows bend about the body's
own hinges, and a straight knee of the recording (hip, knee and ankle centres in line) is a straight knee of
the body.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from biopose_cli.artifact import Array
from biopose_cli.body.model import OTHER_SIDE
from biopose_cli.training.takes import INDEX, PARENTS, Reference, Take, euler

STANCE_SPEED = 0.15  # m/s; a slower ankle and toe belong to a foot that stands (our choice)
STANCE_HEIGHT = 0.05  # m above the lowest ankle of the take
GAZE = 5.0  # degrees below the horizon, on average (our choice); the recorded heads differ by 50 between subjects
# degrees that the chest leans further forward than the pelvis, on average, in an upright person on a straight leg: the
# median of the recorded subjects, who differ by 25, because belt markers sit anywhere on the belt
LEAN = 4.0
_STRAIGHT, _UPRIGHT = 25.0, 25.0  # degrees, of such a leg's knee and of the chest


@dataclass(frozen=True)
class RestBody:
    """What retargeting needs to know of a body in SMPL's T-pose (m, SMPL's axes)."""

    joints: Array  # (24, 3)
    floor: float  # height of the soles

    @property
    def leg_length(self) -> float:
        bones = [self.joints[INDEX[f"left_{b}"]] - self.joints[INDEX[f"left_{a}"]] for a, b in _LEG]
        return float(sum(np.linalg.norm(bone) for bone in bones))


@dataclass(frozen=True)
class Motion:
    """A clip of T frames as SMPL parameters of the default body, y up."""

    source: str
    subject: str
    name: str
    fps: float
    pose: Array  # (T, 24, 3) axis-angle, rad
    transl: Array  # (T, 3) m, SMPL's translation


_LEG = (("hip", "knee"), ("knee", "ankle"))
_SPINE = ("pelvis", "spine1", "spine2")  # below the chest


def retarget(take: Take, body: RestBody, corrections: Array | None = None) -> Motion:
    """The take on `body`, standing on y = 0.

    Parameters
    ----------
    corrections
        (24, 3, 3) of the segments' axes, from `calibrate`; None: none.
    """
    rotations = _segments(take, body, corrections)
    scale = body.leg_length / take.leg_length
    pelvis = body.joints[0]
    hips = (body.joints[INDEX["left_hip"]] + body.joints[INDEX["right_hip"]]) / 2
    transl = take.hips * scale - rotations[:, 0] @ (hips - pelvis) - pelvis
    transl[:, 1] -= _floor(rotations, transl, body, take.fps)
    pose = Rotation.from_matrix(_local(rotations).reshape(-1, 3, 3)).as_rotvec().reshape(-1, 24, 3)
    return Motion(take.source, take.subject, take.name, take.fps, pose, transl)


def calibrate(takes: list[Take], body: RestBody, *, one_person: bool = True) -> Array:
    """Corrections (24, 3, 3) of what one subject's recorded skeleton leaves open: soles, face, belt and hands.

    The recorded foot is a line from ankle to toes, the head follows a headband, the pelvis the markers on a belt, and
    the hands two markers on the wrist. So the soles are made level, on average, in the frames in which a foot stands
    still, and the face, on average, looks `GAZE` below the horizon (the neck takes half). In upright frames the spine
    leans `LEAN`, evenly from pelvis to chest, and over all frames the hands are bent neither to the thumb nor away.
    one_person: False, if the takes may be of several: every spine is left as it was recorded.
    """
    ups: tuple[list[Array], list[Array]] = ([], [])
    faces: list[Array] = []
    leans: list[Array] = []
    bends: list[Array] = []
    for take in takes:
        rotations = _segments(take, body, None)
        positions = positions_of(rotations, take.hips * (body.leg_length / take.leg_length), body)
        standing = _standing(positions, take.fps)
        for side, found in enumerate(ups):
            up_in_foot = rotations[:, INDEX["left_ankle"] + side, 1]
            found.append(up_in_foot[standing[:, side]])
        upright = rotations[:, INDEX["spine3"], 1, 1] > np.cos(np.radians(25))
        faces.append(rotations[upright, INDEX["head"], 1, 2])  # height of the face's direction
        leans.append(_leans(rotations[_on_a_straight_leg(rotations)]))
        bends.append(_bends(rotations))
    corrections = np.tile(np.eye(3), (24, 1, 1))
    for side, found in enumerate(ups):
        up = np.concatenate(found)
        if len(up):
            level = _between(np.array([0.0, 1, 0]), np.median(up, axis=0))
            corrections[[INDEX["left_ankle"] + side, INDEX["left_foot"] + side]] = level
    face = np.concatenate(faces)
    if len(face):
        lift = np.degrees(np.arcsin(-np.median(face))) - GAZE
        corrections[INDEX["head"]] = euler("x", [-lift])
        corrections[INDEX["neck"]] = euler("x", [-lift / 2])
    lean = np.concatenate(leans)
    if one_person and len(lean):
        wanted = -LEAN * np.array([1, 2 / 3, 1 / 3])
        for joint, turn in zip(_SPINE, wanted - np.median(lean, axis=0), strict=True):
            corrections[INDEX[joint]] = euler("x", [turn])
    bend = np.median(np.concatenate(bends), axis=0)
    for hand, joints in enumerate((("left_wrist", "left_hand"), ("right_wrist", "right_hand"))):
        corrections[[INDEX[joint] for joint in joints]] = euler("y", [-bend[hand]])
    return corrections


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


def _standing(positions: Array, fps: float) -> Array:
    """Frames (T, 2) in which the left, right foot stands still and low."""
    standing = []
    for side in ("left", "right"):
        ankle, toe = positions[:, INDEX[f"{side}_ankle"]], positions[:, INDEX[f"{side}_foot"]]
        speed = np.maximum(*(np.linalg.norm(np.gradient(p, axis=0), axis=-1) for p in (ankle, toe))) * fps
        height = ankle[:, 1] - np.percentile(ankle[:, 1], 2)
        standing.append((speed < STANCE_SPEED) & (height < STANCE_HEIGHT))
    return np.stack(standing, axis=1)


def positions_of(rotations: Array, root: Array, body: RestBody) -> Array:
    """Joints (T, 24, 3) of global rotations (T, 24, 3, 3) with the pelvis at `root` (T, 3)."""
    positions = np.empty((len(rotations), 24, 3))
    positions[:, 0] = root
    for joint in range(1, 24):
        parent = PARENTS[joint]
        bone = body.joints[joint] - body.joints[parent]
        positions[:, joint] = positions[:, parent] + rotations[:, parent] @ bone
    return positions


def global_rotations(pose: Array) -> Array:
    """Global rotations (T, 24, 3, 3) of SMPL poses (T, 24, 3)."""
    local = Rotation.from_rotvec(np.reshape(pose, (-1, 3))).as_matrix().reshape(-1, 24, 3, 3)
    result = local.copy()
    for joint in range(1, 24):
        result[:, joint] = result[:, PARENTS[joint]] @ local[:, joint]
    return result


def broken_knees(motion: Motion) -> bool:
    """Whether a knee ever turns more than 10 degrees about another axis than its hinge: the recording came apart."""
    knees = motion.pose[:, [INDEX["left_knee"], INDEX["right_knee"]]]
    return bool(np.degrees(np.abs(knees[..., 1:])).max() > 10)


def mirrored(pose: Array, transl: Array) -> tuple[Array, Array]:
    """The same motion seen in a mirror (left and right exchanged, x negated)."""
    return pose[:, list(OTHER_SIDE)] * np.array([1.0, -1, -1]), transl * np.array([-1.0, 1, 1])


def _segments(take: Take, body: RestBody, corrections: Array | None) -> Array:
    """Global rotations (T, 24, 3, 3) of the body's segments."""
    rotations: Array = take.rotations @ alignment(take.reference, body)
    return rotations if corrections is None else rotations @ corrections


def alignment(reference: Reference, body: RestBody) -> Array:
    """Rotations (24, 3, 3) that lay the body's T-pose over the recorded skeleton's reference pose."""
    result = np.tile(np.eye(3), (24, 1, 1))
    lateral, vertical = np.array([1.0, 0, 0]), np.array([0.0, 1, 0])
    for side, name in enumerate(("left", "right")):
        place = {joint: body.joints[INDEX[f"{name}_{joint}"]] for joint in ("hip", "knee", "ankle")}
        thigh = _in_plane(place["knee"] - place["hip"], place["ankle"] - place["hip"], lateral)
        shank = _in_plane(place["ankle"] - place["knee"], place["ankle"] - place["hip"], lateral)
        axis = reference.knee_axis[side]
        result[INDEX[f"{name}_hip"]] = _frame(reference.thigh[side], axis) @ _frame(thigh, lateral).T
        result[INDEX[f"{name}_knee"]] = _frame(reference.shank[side], axis) @ _frame(shank, lateral).T
        leg = _frame(_unit(reference.thigh[side] + reference.shank[side]), axis)
        feet = leg @ _frame(-vertical, lateral).T
        result[INDEX[f"{name}_ankle"]] = result[INDEX[f"{name}_foot"]] = feet

        place = {joint: body.joints[INDEX[f"{name}_{joint}"]] for joint in ("shoulder", "elbow", "wrist")}
        hinge = vertical if name == "right" else -vertical
        arm = place["wrist"] - place["shoulder"]
        upper = _in_plane(place["elbow"] - place["shoulder"], arm, vertical)
        lower = _in_plane(place["wrist"] - place["elbow"], arm, vertical)
        recorded = reference.arm[side]
        result[INDEX[f"{name}_shoulder"]] = (
            _frame(recorded, reference.elbow_axis[side]) @ _frame(upper, hinge).T
        )
        forearm = _frame(recorded, reference.palm[side]) @ _frame(lower, -vertical).T
        for joint in ("elbow", "wrist", "hand"):
            result[INDEX[f"{name}_{joint}"]] = forearm
    return result


def _floor(rotations: Array, transl: Array, body: RestBody, fps: float) -> float:
    """Height of the floor: the soles' when the feet stand still, else (a run, a hanging climber) the lowest
    they get to."""
    positions = positions_of(rotations, transl + body.joints[0], body)
    heights = []
    for side in ("left", "right"):
        ankle, ball = INDEX[f"{side}_ankle"], INDEX[f"{side}_foot"]
        heel_at = np.array([0, body.floor - body.joints[ankle, 1], -0.05])
        ball_at = np.array([0, body.floor - body.joints[ball, 1], 0])
        points = [
            positions[:, joint] + rotations[:, joint] @ at
            for joint, at in ((ankle, heel_at), (ball, ball_at))
        ]
        heights.append(np.mean(points, axis=0)[:, 1])
    standing = np.stack(heights, axis=1)[_standing(positions, fps)]
    return float(np.median(standing) if len(standing) else np.percentile(np.min(heights, axis=0), 2))


def _local(rotations: Array) -> Array:
    local = rotations.copy()
    for joint in range(1, 24):
        local[:, joint] = np.swapaxes(rotations[:, PARENTS[joint]], -1, -2) @ rotations[:, joint]
    return local


def _in_plane(bone: Array, limb: Array, hinge: Array) -> Array:
    """The bone's direction, its part along the hinge taken from the whole limb: the hinge then stays square
    to the limb."""
    flat, whole = bone - hinge * (bone @ hinge), limb - hinge * (limb @ hinge)
    return _unit(flat + hinge * (limb @ hinge) * np.linalg.norm(flat) / np.linalg.norm(whole))


def _frame(long: Array, hinge: Array) -> Array:
    """Orthonormal axes (3, 3), columns: `long`, the part of `hinge` square to it, their cross product."""
    second = _unit(hinge - long * (long @ hinge))
    return np.stack([long, second, np.cross(long, second)], axis=1)


def _between(start: Array, end: Array) -> Array:
    """The smallest rotation that takes one direction to the other."""
    axis = np.cross(start, _unit(end))
    sine = float(np.linalg.norm(axis))
    angle = np.arctan2(sine, start @ _unit(end))
    matrix: Array = Rotation.from_rotvec(axis / max(sine, 1e-12) * angle).as_matrix()
    return matrix


def _unit(vector: Array) -> Array:
    unit: Array = vector / np.linalg.norm(vector)
    return unit
