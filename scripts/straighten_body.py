"""The geometry behind `build_body.py`: from a mesh in MakeHuman's A-pose to SMPL's T-pose, and its shape space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from biopose_cli.body.markers import MARKERS, harrington_hips
from biopose_cli.body.model import JOINT_NAMES

Array = NDArray[np.float64]

COMPONENTS = 10
JOINTS = list(JOINT_NAMES)

# The SOMA bone whose head is the joint, for the joints that are not measured from the skin. The left side;
# the right is its mirror.
BONE_OF_JOINT = {
    "pelvis": "Hips", "spine1": "Spine1", "spine2": "Spine2", "spine3": "Chest", "neck": "Neck1", "head": "Head",
    "left_hip": "LeftLeg", "left_knee": "LeftShin", "left_ankle": "LeftFoot", "left_foot": "LeftToeBase",
    "left_collar": "LeftShoulder", "left_shoulder": "LeftArm", "left_elbow": "LeftForeArm", "left_wrist": "LeftHand",
    "left_hand": "LeftHandMiddle2",
}  # fmt: skip
# Skin vertices (left side) that the measured joints rest on.
ASIS, PSIS, LATERAL_MALLEOLUS, MEDIAL_MALLEOLUS = 10915, 10978, 12804, 12907
PALM = ("LeftHandIndex2", "LeftHandPinky2", "LeftHand")  # two knuckles and the wrist: the plane of the palm
FINGER_STRAIGHTENING = 0.6  # share of each phalanx's bend that is taken out
# The SMPL joint that carries a marker's bone. What a scapula carries moves with the collar.
JOINT_OF_SEGMENT = {
    "pelvis": "pelvis", "lumbar": "spine1", "torso": "spine3", "head": "head", "femur": "hip",
    "tibia": "knee", "calcn": "ankle", "toes": "foot", "humerus": "shoulder", "ulna": "elbow", "radius": "elbow",
    "hand": "wrist",
}  # fmt: skip
SCAPULA = ("SHO", "ASH", "PSH")
# Around a marker the skin goes over to moving with the bone alone: within this radius, m, and to this share. Not
# wholly on the shoulder, where a fold would show when the arm hangs; its markers move 8 mm with the arm instead.
BONY, BONY_SCAPULA = (0.025, 1.0), (0.035, 0.6)


@dataclass(frozen=True)
class Rig:
    """What is the same for every shape."""

    faces: NDArray[np.int64]  # (F, 3)
    weights: Array  # (V, B)
    bones: list[str]
    parents: list[int]
    mirror: NDArray[np.int64]  # (V,) the vertex on the other side
    bone_mirror: NDArray[np.int64]  # (B,)
    left: NDArray[np.bool_]  # (V,) on the left side of the A-pose; in the T-pose heavy thighs cross the middle

    def index(self, bone: str) -> int:
        return self.bones.index(bone)


def mirror_points(points: Array, index: NDArray[np.int64]) -> Array:
    return points[..., index, :] * np.array([-1.0, 1.0, 1.0])


def opposite(name: str) -> str:
    swap = {"Left": "Right", "Right": "Left", "left_": "right_", "right_": "left_"}
    return next((swap[p] + name[len(p) :] for p in swap if name.startswith(p)), name)


def symmetrize(shape: tuple[Array, Array], rig: Rig) -> tuple[Array, Array]:
    """Vertices (N, V, 3) and bone heads (N, B, 3), each averaged with its mirror image."""
    vertices, heads = shape
    return (vertices + mirror_points(vertices, rig.mirror)) / 2, (heads + mirror_points(heads, rig.bone_mirror)) / 2


def rotation_between(source: Array, target: Array) -> Array:
    """The smallest rotation matrix that takes direction `source` to direction `target`."""
    a, b = source / np.linalg.norm(source), target / np.linalg.norm(target)
    axis = np.cross(a, b)
    sine = np.linalg.norm(axis)
    if sine < 1e-12:
        return np.eye(3)
    return Rotation.from_rotvec(axis / sine * np.arctan2(sine, a @ b)).as_matrix()


def orthonormal_frame(first: Array, second: Array) -> Array:
    """Columns: `first`, the part of `second` at right angles to it, and their cross product."""
    x = first / np.linalg.norm(first)
    y = second - (second @ x) * x
    y /= np.linalg.norm(y)
    return np.stack([x, y, np.cross(x, y)], axis=1)


def estimate_joints(vertices: Array, heads: Array, lean: Sequence[Array], rig: Rig) -> Array:
    """Bone heads (B, 3) with the hips and the ankles put where anthropometry has them (A-pose, m).

    Fat moves the skin, not the hips: they are regressed from the pelvis of the same person when `lean`
    (vertices and bone heads) and carried over by the middle between the rig's own hips.
    """
    heads = heads.copy()
    foot, shin, hip = (rig.index(bone) for bone in ("LeftFoot", "LeftShin", "LeftLeg"))
    heads[foot] = (vertices[LATERAL_MALLEOLUS] + vertices[MEDIAL_MALLEOLUS]) / 2
    heads[rig.bone_mirror[foot]] = heads[foot] * [-1, 1, 1]

    skin, bones = lean
    points = [torch.from_numpy(skin[i]) for i in (rig.mirror[ASIS], ASIS, rig.mirror[PSIS], PSIS)]
    leg = np.linalg.norm(bones[shin] - bones[foot]) + np.linalg.norm(bones[hip] - bones[shin])
    left = harrington_hips(*points, torch.tensor(leg))[1].numpy()
    heads[hip] = left + (heads[hip] - bones[hip]) * [0, 1, 1]
    heads[rig.bone_mirror[hip]] = heads[hip] * [-1, 1, 1]
    return heads


def straighten(vertices: Array, heads: Array, rig: Rig) -> tuple[Array, Array]:
    """From the A-pose to a T-pose: legs vertical, arms along x with the palms down, fingers almost straight.

    The left side is straightened and mirrored.
    """
    at = {bone: heads[i] for i, bone in enumerate(rig.bones)}
    rotation = np.tile(np.eye(3), (len(rig.bones), 1, 1))
    down, out = np.array([0.0, -1.0, 0.0]), np.array([1.0, 0.0, 0.0])

    thigh, shank = at["LeftShin"] - at["LeftLeg"], at["LeftFoot"] - at["LeftShin"]
    upper, fore = at["LeftForeArm"] - at["LeftArm"], at["LeftHand"] - at["LeftForeArm"]
    hand = at["LeftHandMiddle2"] - at["LeftHand"]
    sole = at["LeftToeBase"] - at["LeftFoot"]
    elbow_axis = np.cross(upper, fore)
    across = orthonormal_frame(out, down)  # the left forearm is to flex forward, about -y
    rules = {
        "LeftLeg": rotation_between(thigh, down),
        "LeftShin": rotation_between(shank, down),
        "LeftFoot": rotation_between(sole * [1, 0, 1], np.array([0.0, 0.0, 1.0])),
        "LeftArm": across @ orthonormal_frame(upper, elbow_axis).T,
        "LeftForeArm": across @ orthonormal_frame(fore, elbow_axis).T,
    }
    rules["LeftHand"] = rotation_between(rules["LeftForeArm"] @ hand, out) @ rules["LeftForeArm"]
    for i, (bone, parent) in enumerate(zip(rig.bones, rig.parents, strict=True)):
        if bone in rules:
            rotation[i] = rules[bone]
        elif bone.startswith("LeftHand") and bone[-1] in "234" and "Thumb" not in bone:
            finger = bone[:-1]
            tip = finger + ("End" if bone[-1] == "4" else str(int(bone[-1]) + 1))
            metacarpal, phalanx = (
                rules["LeftHand"] @ (at[b] - at[a]) for a, b in ((finger + "1", finger + "2"), (bone, tip))
            )
            unbent = Rotation.from_matrix(rotation_between(phalanx, metacarpal)).as_rotvec() * FINGER_STRAIGHTENING
            rotation[i] = Rotation.from_rotvec(unbent).as_matrix() @ rules["LeftHand"]
        elif parent >= 0:
            rotation[i] = rotation[parent]

    offset = np.zeros((len(rig.bones), 3))  # bone i moves a point p to rotation[i] @ p + offset[i]
    for i, parent in enumerate(rig.parents):
        moved = heads[i] if parent < 0 else rotation[parent] @ heads[i] + offset[parent]
        offset[i] = moved - rotation[i] @ heads[i]
    blended = np.einsum("vb,bij->vij", rig.weights, rotation)
    posed = np.einsum("vij,vj->vi", blended, vertices) + rig.weights @ offset
    joints = np.einsum("bij,bj->bi", rotation, heads) + offset
    posed, joints = pronate(posed, joints, rig)

    posed = np.where(rig.left[:, None], posed, mirror_points(posed, rig.mirror))
    middle = rig.mirror == np.arange(len(posed))
    posed[middle, 0] = 0.0
    left_bones = np.array([bone.startswith("Left") for bone in rig.bones])
    joints = np.where(left_bones[rig.bone_mirror][:, None], mirror_points(joints, rig.bone_mirror), joints)
    joints[rig.bone_mirror == np.arange(len(joints)), 0] = 0.0
    return posed, joints


def pronate(vertices: Array, joints: Array, rig: Rig) -> tuple[Array, Array]:
    """Turn the left palm down; the twist grows along the forearm from nothing at the elbow, as skin twists."""
    index, little, wrist = (joints[rig.index(bone)] for bone in PALM)
    elbow = joints[rig.index("LeftForeArm")]
    back_of_hand = np.cross(index - wrist, little - wrist)  # up when the palm is down
    angle = np.arctan2(back_of_hand[2], back_of_hand[1])

    def twist(points: Array, far: Array) -> Array:
        turns = Rotation.from_rotvec(np.outer(far * -angle, [-1.0, 0.0, 0.0])).as_matrix()
        return np.einsum("nij,nj->ni", turns, points - elbow) + elbow

    arm = [i for i, bone in enumerate(rig.bones) if bone.startswith(("LeftForeArm", "LeftHand"))]
    length = wrist[0] - elbow[0]
    far = np.clip((vertices[:, 0] - elbow[0]) / length, 0, 1) * (rig.weights[:, arm].sum(1) > 0.05)
    joints = joints.copy()
    joints[arm] = twist(joints[arm], np.clip((joints[arm, 0] - elbow[0]) / length, 0, 1))
    return twist(vertices, far), joints


def stretch(points: Array, joints: Array, arm: Array, factors: Array) -> tuple[Array, Array]:
    """Lengthen thigh, shank, upper arm and forearm (the four `factors`) of a T-pose along the bones.

    `arm` (V,) is 1 on the arms. The whole body is scaled back to its stature.
    """
    hip, knee, ankle = (joints[JOINTS.index(f"left_{name}")][1] for name in ("hip", "knee", "ankle"))
    shoulder, elbow, wrist = (joints[JOINTS.index(f"left_{name}")][0] for name in ("shoulder", "elbow", "wrist"))
    bones = np.array([hip - knee, knee - ankle, elbow - shoulder, wrist - elbow])
    extra = bones * (factors - 1)
    leg, reach = ((np.cumsum([0, *bones[k]]), np.cumsum([0, *extra[k]])) for k in (slice(2), slice(2, 4)))

    def move(p: Array, arms: Array) -> Array:
        down = np.interp(hip - p[:, 1], *leg)  # nothing above the hip, all of it beyond the ankle
        out = np.interp(np.abs(p[:, 0]) - shoulder, *reach) * arms * np.sign(p[:, 0])
        return p + np.stack([out, -down, np.zeros(len(p))], axis=1)

    on_arm = np.array([name.endswith(("shoulder", "elbow", "wrist", "hand")) for name in JOINTS], float)
    scale = np.ptp(points[:, 1])
    points, joints = move(points, arm), move(joints, on_arm)
    scale /= np.ptp(points[:, 1])
    return points * scale, joints * scale


def fix_landmarks(weights: Array, template: Array) -> Array:
    """Let the skin around every marker move with the bone under it and not with the joint beside it."""
    weights = weights.copy()
    for marker in MARKERS:
        segment, _, side = marker.segment.partition("_")
        joint, (radius, max_weight) = JOINT_OF_SEGMENT[segment], BONY
        if marker.name[1:] in SCAPULA:
            joint, side, (radius, max_weight) = "collar", marker.name[0].lower(), BONY_SCAPULA
        joint = {"r": "right_", "l": "left_", "": ""}[side] + joint
        distance = np.linalg.norm(template - template[marker.vertex], axis=1)
        weight = np.clip(1.2 - 1.2 * distance / radius, 0, 1)[:, None]
        weight = max_weight * weight * weight * (3 - 2 * weight)
        weights = (1 - weight) * weights + weight * np.eye(len(JOINTS))[JOINTS.index(joint)]
    return weights


def smpl_weights(rig: Rig) -> Array:
    """Skinning weights (V, 24): every bone's share goes to the SMPL joint it hangs from."""
    bone_of = dict(BONE_OF_JOINT) | {opposite(j): opposite(b) for j, b in BONE_OF_JOINT.items()}
    joint_of_bone = {bone: JOINTS.index(joint) for joint, bone in bone_of.items() if not joint.endswith("_hand")}
    weights = np.zeros((len(rig.weights), len(JOINTS)))
    for i in range(len(rig.bones)):
        ancestor = i
        while ancestor >= 0 and rig.bones[ancestor] not in joint_of_bone:
            ancestor = rig.parents[ancestor]
        weights[:, joint_of_bone[rig.bones[ancestor]] if ancestor >= 0 else 0] += rig.weights[:, i]
    return weights


def principal_components(points: Array) -> tuple[Array, Array]:
    """The mean (V, 3) and the first components (10, V, 3) of the `points` (N, V, 3), m per standard deviation."""
    mean = points.mean(0)
    centered = (points - mean).reshape(len(points), -1)
    values, vectors = np.linalg.eigh((centered @ centered.T).astype(np.float64))
    largest = np.argsort(values)[::-1][:COMPONENTS]
    scores = vectors[:, largest] * np.sqrt(len(points))  # unit variance
    directions = (scores.T @ centered / len(points)).reshape(COMPONENTS, *mean.shape)
    print(f"\n{COMPONENTS} components keep {values[largest].sum() / values.sum():.4%} of the variance")
    stature_change = directions[:, mean[:, 1].argmax(), 1] - directions[:, mean[:, 1].argmin(), 1]
    return mean, directions * np.sign(stature_change)[:, None, None]
