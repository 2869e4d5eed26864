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

from biopose_cli.body.model import MIRROR_JOINT
from biopose_cli.synthesis.mocap import INDEX, PARENTS, Reference, Take, euler
from biopose_cli.typing import Array

STANCE_SPEED = 0.15  # m/s; a slower ankle and toe belong to a foot that stands (our choice)
STANCE_HEIGHT = 0.05  # m above the lowest ankle of the take
_SOFTNESS = np.radians(2.0)  # a knee that comes near straight is straightened by less, and never past it


@dataclass(frozen=True)
class RestBody:
    """What retargeting needs to know of a body in SMPL's T-pose (m, SMPL's axes)."""

    joints: Array  # (24, 3)
    floor: float  # height of the soles

    @property
    def leg_length(self) -> float:
        """Length of the left thigh and shank together, m."""
        bones = [self.joints[INDEX[f"left_{b}"]] - self.joints[INDEX[f"left_{a}"]] for a, b in _LEG]
        return float(sum(np.linalg.norm(bone) for bone in bones))


@dataclass(frozen=True)
class Corrections:
    """What one subject's recording leaves open. `axes` (24, 3, 3): turns of the segments. `knees` (2) rad: by how much
    the left and the right knee are recorded too bent."""

    rotations: Array
    excess_knee_flexion: Array


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


def retarget(take: Take, body: RestBody, corrections: Corrections | None = None) -> Motion:
    """The take on `body`, standing on y = 0.

    Parameters
    ----------
    corrections
        Of the take's subject, from `estimate_corrections`; None: none.
    """
    rotations = segment_rotations(take, body, corrections)
    scale = body.leg_length / take.leg_length
    pelvis = body.joints[0]
    hips = (body.joints[INDEX["left_hip"]] + body.joints[INDEX["right_hip"]]) / 2
    transl = take.hips * scale - rotations[:, 0] @ (hips - pelvis) - pelvis
    transl[:, 1] -= _floor_height(rotations, transl, body, take.fps)
    pose = Rotation.from_matrix(_local_rotations(rotations).reshape(-1, 3, 3)).as_rotvec().reshape(-1, 24, 3)
    return Motion(take.source, take.subject, take.name, take.fps, pose, transl)


def knee_flexion(rotations: Array, body: RestBody) -> Array:
    """Angles (T, 2) of left, right shank to thigh about the lateral axis, rad; 0: hip, knee and ankle are in line."""
    flexion = np.empty((len(rotations), 2))
    for side, name in enumerate(("left", "right")):
        hip, knee, ankle = (INDEX[f"{name}_{joint}"] for joint in ("hip", "knee", "ankle"))
        local = np.swapaxes(rotations[:, hip], -1, -2) @ rotations[:, knee]
        thigh, shank = body.joints[knee] - body.joints[hip], body.joints[ankle] - body.joints[knee]
        at_rest = np.arctan2(thigh[2], -thigh[1]) - np.arctan2(shank[2], -shank[1])
        flexion[:, side] = Rotation.from_matrix(local).as_rotvec()[:, 0] + at_rest
    return flexion


def _straighten_knees(rotations: Array, body: RestBody, excess: Array) -> Array:
    """The segments (T, 24, 3, 3), knees less bent: half by the thigh, half by the shank; the ankle hardly moves."""
    flexion = knee_flexion(rotations, body)
    reduction = np.where(excess > 0, flexion - _SOFTNESS * np.logaddexp(0, (flexion - excess) / _SOFTNESS), 0).clip(
        min=0
    )
    result = rotations.copy()
    for side, name in enumerate(("left", "right")):
        half = np.degrees(reduction[:, side, None] / 2)
        result[:, INDEX[f"{name}_hip"]] @= euler("x", half)
        result[:, INDEX[f"{name}_knee"]] @= euler("x", -half)
    return result


def stance_frames(positions: Array, fps: float) -> Array:
    """Frames (T, 2) in which the left, right foot stands still and low."""
    stance = []
    for side in ("left", "right"):
        ankle, toe = positions[:, INDEX[f"{side}_ankle"]], positions[:, INDEX[f"{side}_foot"]]
        speed = np.maximum(*(np.linalg.norm(np.gradient(p, axis=0), axis=-1) for p in (ankle, toe))) * fps
        height = ankle[:, 1] - np.percentile(ankle[:, 1], 2)
        stance.append((speed < STANCE_SPEED) & (height < STANCE_HEIGHT))
    return np.stack(stance, axis=1)


def forward_kinematics(rotations: Array, root: Array, body: RestBody) -> Array:
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


def has_off_axis_knees(motion: Motion) -> bool:
    """Whether a knee ever turns more than 10 degrees about another axis than its hinge: the recording came apart."""
    knees = motion.pose[:, [INDEX["left_knee"], INDEX["right_knee"]]]
    return bool(np.degrees(np.abs(knees[..., 1:])).max() > 10)


def mirror_motion(pose: Array, transl: Array) -> tuple[Array, Array]:
    """The same motion seen in a mirror (left and right exchanged, x negated)."""
    return pose[:, list(MIRROR_JOINT)] * np.array([1.0, -1, -1]), transl * np.array([-1.0, 1, 1])


def segment_rotations(take: Take, body: RestBody, corrections: Corrections | None) -> Array:
    """Global rotations (T, 24, 3, 3) of the body's segments."""
    rotations: Array = take.rotations @ rest_alignment(take.reference, body)
    if corrections is None:
        return rotations
    return _straighten_knees(rotations, body, corrections.excess_knee_flexion) @ corrections.rotations


def rest_alignment(reference: Reference, body: RestBody) -> Array:
    """Rotations (24, 3, 3) that lay the body's T-pose over the recorded skeleton's reference pose."""
    result = np.tile(np.eye(3), (24, 1, 1))
    lateral, vertical = np.array([1.0, 0, 0]), np.array([0.0, 1, 0])
    for side, name in enumerate(("left", "right")):
        positions = {joint: body.joints[INDEX[f"{name}_{joint}"]] for joint in ("hip", "knee", "ankle")}
        thigh = _in_plane(positions["knee"] - positions["hip"], positions["ankle"] - positions["hip"], lateral)
        shank = _in_plane(positions["ankle"] - positions["knee"], positions["ankle"] - positions["hip"], lateral)
        axis = reference.knee_axis[side]
        result[INDEX[f"{name}_hip"]] = _frame(reference.thigh[side], axis) @ _frame(thigh, lateral).T
        result[INDEX[f"{name}_knee"]] = _frame(reference.shank[side], axis) @ _frame(shank, lateral).T
        leg = _frame(_unit(reference.thigh[side] + reference.shank[side]), axis)
        feet = leg @ _frame(-vertical, lateral).T
        result[INDEX[f"{name}_ankle"]] = result[INDEX[f"{name}_foot"]] = feet

        positions = {joint: body.joints[INDEX[f"{name}_{joint}"]] for joint in ("shoulder", "elbow", "wrist")}
        hinge = vertical if name == "right" else -vertical
        arm = positions["wrist"] - positions["shoulder"]
        upper = _in_plane(positions["elbow"] - positions["shoulder"], arm, vertical)
        lower = _in_plane(positions["wrist"] - positions["elbow"], arm, vertical)
        recorded = reference.arm[side]
        result[INDEX[f"{name}_shoulder"]] = _frame(recorded, reference.elbow_axis[side]) @ _frame(upper, hinge).T
        forearm = _frame(recorded, reference.palm[side]) @ _frame(lower, -vertical).T
        for joint in ("elbow", "wrist", "hand"):
            result[INDEX[f"{name}_{joint}"]] = forearm
    return result


def _floor_height(rotations: Array, transl: Array, body: RestBody, fps: float) -> float:
    """Height of the floor: the soles' when the feet stand still, else (a run, a hanging climber) the lowest
    they get to."""
    positions = forward_kinematics(rotations, transl + body.joints[0], body)
    heights = []
    for side in ("left", "right"):
        ankle, ball = INDEX[f"{side}_ankle"], INDEX[f"{side}_foot"]
        heel_at = np.array([0, body.floor - body.joints[ankle, 1], -0.05])
        ball_at = np.array([0, body.floor - body.joints[ball, 1], 0])
        points = [
            positions[:, joint] + rotations[:, joint] @ offset for joint, offset in ((ankle, heel_at), (ball, ball_at))
        ]
        heights.append(np.mean(points, axis=0)[:, 1])
    low = np.stack(heights, axis=1)[stance_frames(positions, fps)]
    return float(np.median(low) if len(low) else np.percentile(np.min(heights, axis=0), 2))


def _local_rotations(rotations: Array) -> Array:
    local = rotations.copy()
    for joint in range(1, 24):
        local[:, joint] = np.swapaxes(rotations[:, PARENTS[joint]], -1, -2) @ rotations[:, joint]
    return local


def _in_plane(bone: Array, limb: Array, hinge: Array) -> Array:
    """The bone's direction, its part along the hinge taken from the whole limb: the hinge then stays square
    to the limb."""
    in_plane_bone, in_plane_limb = bone - hinge * (bone @ hinge), limb - hinge * (limb @ hinge)
    return _unit(in_plane_bone + hinge * (limb @ hinge) * np.linalg.norm(in_plane_bone) / np.linalg.norm(in_plane_limb))


def _frame(long: Array, hinge: Array) -> Array:
    """Orthonormal axes (3, 3), columns: `long`, the part of `hinge` square to it, their cross product."""
    second = _unit(hinge - long * (long @ hinge))
    return np.stack([long, second, np.cross(long, second)], axis=1)


def _unit(vector: Array) -> Array:
    unit: Array = vector / np.linalg.norm(vector)
    return unit
