"""Reader of BVH files on the Character-Creator skeleton (CC_Base_*), to which the CMU motions were
retargeted.

All files share one skeleton. A few begin with a T-pose, which serves as the reference pose of all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from biopose_cli.synthesis import cmu
from biopose_cli.synthesis.mocap import INDEX, Reference, Take, euler
from biopose_cli.typing import Array

_BONES = {
    "pelvis": "Pelvis", "spine1": "Waist", "spine2": "Spine01", "spine3": "Spine02",
    "neck": "NeckTwist02", "head": "Head",
    **{f"{side}_{joint}": f"{side[0].upper()}_{bone}" for side in ("left", "right") for joint, bone in (
        ("hip", "Thigh"), ("knee", "Calf"), ("ankle", "Foot"), ("foot", "ToeBase"), ("collar", "Clavicle"),
        ("shoulder", "Upperarm"), ("elbow", "Forearm"), ("wrist", "Hand"), ("hand", "Hand"),
    )},
}  # fmt: skip

# In the T-pose, the knee joints are 4 cm in front of the line from hip to ankle, the palms face down, and the elbow
# hinges have the orientation of the CMU skeleton from which the motion came.
REFERENCE = Reference(
    thigh=np.array([[0.0, -47.5, 3.7], [0.0, -47.5, 3.7]]) / np.hypot(47.5, 3.7),
    shank=np.array([[0.0, -49.7, -3.7], [0.0, -49.7, -3.7]]) / np.hypot(49.7, 3.7),
    knee_axis=np.array([[1.0, 0, 0], [1.0, 0, 0]]),
    arm=cmu.REFERENCE.arm,
    elbow_axis=cmu.REFERENCE.elbow_axis,
    palm=cmu.REFERENCE.palm,
)

_T_POSE = (
    ("L_Upperarm", "L_Hand", (1, 0, 0)), ("R_Upperarm", "R_Hand", (-1, 0, 0)),
    ("L_Thigh", "L_Foot", (0, -1, 0)), ("R_Thigh", "R_Foot", (0, -1, 0)),
)  # fmt: skip


@dataclass(frozen=True)
class Tree:
    """A .bvh file: joints in file order with their channels and the motion of T frames."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Array  # (J, 3) file units
    channels: tuple[tuple[str, ...], ...]
    values: Array  # (T, C)
    fps: float


def read_tree(text: str) -> Tree:
    """Parse a .bvh file's text.

    Raises
    ------
    ValueError
        The header and the motion are inconsistent.
    """
    header, _, motion = text.partition("MOTION")
    names: list[str] = []
    parents: list[int] = []
    offsets: list[list[float]] = []
    channels: list[tuple[str, ...]] = []
    stack: list[int] = []
    for line in header.splitlines():
        keyword, *rest = line.split() or [""]
        if keyword in {"ROOT", "JOINT", "End"}:
            names.append(" ".join(rest))
            parents.append(stack[-1] if stack else -1)
            channels.append(())
        elif keyword == "{":
            stack.append(len(names) - 1)
        elif keyword == "}":
            stack.pop()
        elif keyword == "OFFSET":
            offsets.append([float(value) for value in rest])
        elif keyword == "CHANNELS":
            channels[-1] = tuple(rest[1:])
    found = re.match(r"\s*Frames:\s*(\d+)\s*Frame Time:\s*(\S+)(.*)", motion, re.S)
    if found is None:
        raise ValueError("not a .bvh file: it has no motion")
    frames, interval, rows = found.groups()
    values = np.array(rows.split(), float).reshape(int(frames), -1)
    if values.shape[1] != sum(map(len, channels)):
        raise ValueError(f"{values.shape[1]} motion columns for {sum(map(len, channels))} channels")
    return Tree(
        tuple(names),
        tuple(parents),
        np.array(offsets),
        tuple(channels),
        values,
        round(1 / float(interval), 1),
    )


def forward_kinematics(tree: Tree) -> tuple[Array, Array]:
    """Global rotations (T, J, 3, 3) and positions (T, J, 3), in the file's axes and units."""
    frames, count = len(tree.values), len(tree.names)
    rotations, positions = np.empty((frames, count, 3, 3)), np.empty((frames, count, 3))
    column = 0
    for joint, (parent, channels) in enumerate(zip(tree.parents, tree.channels, strict=True)):
        values = tree.values[:, column : column + len(channels)]
        column += len(channels)
        rotation_channels = [index for index, kind in enumerate(channels) if kind.endswith("rotation")]
        position_channels = [index for index, kind in enumerate(channels) if kind.endswith("position")]
        offset = np.broadcast_to(tree.offsets[joint], (frames, 3)).copy()
        for index in position_channels:
            offset[:, "XYZ".index(channels[index][0])] = values[:, index]
        local = (
            euler("".join(channels[index][0] for index in rotation_channels), values[:, rotation_channels])
            if rotation_channels
            else np.eye(3)
        )
        if parent < 0:
            rotations[:, joint], positions[:, joint] = local, offset
        else:
            rotations[:, joint] = rotations[:, parent] @ local
            positions[:, joint] = positions[:, parent] + (rotations[:, parent] @ offset[..., None])[..., 0]
    return rotations, positions


def rest_rotations(tree: Tree) -> Array | None:
    """Global rotations (J, 3, 3) of the T-pose in the first frame; None if that frame is no T-pose."""
    rotations, positions = forward_kinematics(replace(tree, values=tree.values[:1]))
    for start, end, direction in _T_POSE:
        limb = positions[0, _bone(tree, end)] - positions[0, _bone(tree, start)]
        if limb @ direction < np.cos(np.radians(2)) * np.linalg.norm(limb):
            return None
    return np.asarray(rotations[0])


def read_bvh(tree: Tree, rest: Array, subject: str, name: str) -> Take | None:
    """Read a take, relative to the T-pose `rest`; None if its vertical position is missing.

    The recording has the pronation in the hand; it is moved to the forearm, as in the body model.
    """
    rotations, positions = forward_kinematics(
        tree if rest_rotations(tree) is None else replace(tree, values=tree.values[1:])
    )
    if np.ptp(positions[:, _bone(tree, "Hip"), 1]) < 1e-3:
        return None
    rest_relative_rotations = rotations @ np.swapaxes(rest, -1, -2)
    segments = rest_relative_rotations[:, [_bone(tree, _BONES[joint]) for joint in INDEX]]
    for side in ("left", "right"):
        elbow, wrist = INDEX[f"{side}_elbow"], INDEX[f"{side}_wrist"]
        hand = np.swapaxes(segments[:, elbow], -1, -2) @ segments[:, wrist]
        segments[:, elbow] = segments[:, elbow] @ _twist_about_x(hand)
    positions_m = {bone: positions[:, _bone(tree, bone)] * 0.01 for bone in ("L_Thigh", "R_Thigh", "L_Calf", "L_Foot")}
    bones = (
        (positions_m["L_Calf"] - positions_m["L_Thigh"])[0],
        (positions_m["L_Foot"] - positions_m["L_Calf"])[0],
    )
    length = float(sum(np.linalg.norm(bone) for bone in bones))
    hips = (positions_m["L_Thigh"] + positions_m["R_Thigh"]) / 2
    return Take("cmu_bvh", subject, name, tree.fps, segments, hips, length, REFERENCE)


def _bone(tree: Tree, name: str) -> int:
    return tree.names.index(f"CC_Base_{name}")


def _twist_about_x(rotations: Array) -> Array:
    """Twist (T, 3, 3) about x of rotations (T, 3, 3): swing first, then twist."""
    quaternions = Rotation.from_matrix(rotations).as_quat()
    quaternions[:, 1:3] = 0
    matrices: Array = Rotation.from_quat(quaternions).as_matrix()
    return matrices
