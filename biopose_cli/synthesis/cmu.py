"""Readers of the CMU motion-capture skeleton: ASF/AMC files, and the same skeleton's joints as exponential
maps.

Source of the motions: the CMU Graphics Lab Motion Capture Database, mocap.cs.cmu.edu, created with funding
from NSF EIA-0196217. The file formats are described there; the order of the exponential-map columns is that
of the published human-motion-prediction data sets (Jain et al. 2016, Li et al. 2018), which store row-vector
rotations, hence the minus sign.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from biopose_cli.synthesis.mocap import INDEX, Reference, Take, euler
from biopose_cli.typing import Array

FPS = 120.0
UNIT = 0.0254 / 0.45  # m per length unit of the database: inches, divided by the files' scale

# The CMU bone whose rotation moves the segment below each SMPL joint. The forearm follows `wrist`, the CMU bone that
# carries pronation, so that pronation appears in the forearm, as in the body model.
_BONES = {
    "pelvis": "root", "spine1": "lowerback", "spine2": "upperback", "spine3": "thorax",
    "neck": "upperneck", "head": "head",
    **{f"{side}_{joint}": f"{side[0]}{bone}" for side in ("left", "right") for joint, bone in (
        ("hip", "femur"), ("knee", "tibia"), ("ankle", "foot"), ("foot", "toes"), ("collar", "clavicle"),
        ("shoulder", "humerus"), ("elbow", "wrist"), ("wrist", "hand"), ("hand", "hand"),
    )},
}  # fmt: skip

_COS20, _SIN20 = np.cos(np.radians(20)), np.sin(np.radians(20))
_COS30, _SIN30 = np.cos(np.radians(30)), np.sin(np.radians(30))
# Facts of every .asf of the database: legs 20 degrees apart, elbow hinges turned 30 degrees about the arm,
# palms down.
REFERENCE = Reference(
    thigh=np.array([[_SIN20, -_COS20, 0], [-_SIN20, -_COS20, 0]]),
    shank=np.array([[_SIN20, -_COS20, 0], [-_SIN20, -_COS20, 0]]),
    knee_axis=np.array([[_COS20, _SIN20, 0], [_COS20, -_SIN20, 0]]),
    arm=np.array([[1.0, 0, 0], [-1.0, 0, 0]]),
    elbow_axis=np.array([[0, -_COS30, _SIN30], [0, _COS30, -_SIN30]]),
    palm=np.array([[0.0, -1, 0], [0.0, -1, 0]]),
)

_EXPMAP_BONES = (
    "root", "lhipjoint", "lfemur", "ltibia", "lfoot", "ltoes", "",
    "rhipjoint", "rfemur", "rtibia", "rfoot", "rtoes", "",
    "lowerback", "upperback", "thorax", "lowerneck", "upperneck", "head", "",
    "lclavicle", "lhumerus", "lradius", "lwrist", "lhand", "lfingers", "", "lthumb", "",
    "rclavicle", "rhumerus", "rradius", "rwrist", "rhand", "rfingers", "", "rthumb", "",
)  # fmt: skip


@dataclass(frozen=True)
class Skeleton:
    """An .asf file: a tree of bones, each with the axes its angles are given in."""

    parents: dict[str, str]  # parents come before their children
    axes: dict[str, Array]  # (3, 3)
    dofs: dict[str, str]  # such as "xz"
    vectors: dict[str, Array]  # (3) m, from the bone's start to its end in the reference pose


def read_asf(text: str) -> Skeleton:
    """Parse an .asf file's text.

    Raises
    ------
    ValueError
        The bone data or the hierarchy is missing.
    """
    bones, _, hierarchy = text.partition(":hierarchy")
    axes, dofs, vectors = {"root": np.eye(3)}, {"root": "xyz"}, {"root": np.zeros(3)}
    for block in re.findall(r"begin(.*?)end", bones.partition(":bonedata")[2], re.S):
        rows = {line.split()[0]: line.split()[1:] for line in block.strip().splitlines() if line.split()}
        name = rows["name"][0]
        axes[name] = _zyx(np.array(rows["axis"][:3], float))
        dofs[name] = "".join(dof[1] for dof in rows.get("dof", []))
        vectors[name] = np.array(rows["direction"], float) * float(rows["length"][0]) * UNIT
    parents = {"root": ""}
    for line in hierarchy.strip().splitlines():
        first, *children = line.split() or [""]
        if first not in {"begin", "end", ""}:
            parents.update(dict.fromkeys(children, first))
    if len(parents) == 1 or len(axes) == 1:
        raise ValueError("not an .asf file: it has no bone data or no hierarchy")
    return Skeleton(parents, axes, dofs, vectors)


def read_amc(text: str, skeleton: Skeleton, subject: str, name: str) -> Take:
    """Parse an .amc file's text into a take."""
    angles: dict[str, list[list[float]]] = {}
    for line in text.splitlines():
        bone, *values = line.split() or [""]
        if values and bone in skeleton.parents:
            angles.setdefault(bone, []).append([float(value) for value in values])
    root = np.array(angles["root"])
    local: dict[str, Array] = {}
    for bone, axis in skeleton.axes.items():
        degrees = np.zeros((len(root), 3))
        if bone == "root":
            degrees = root[:, 3:]
        elif bone in angles:
            degrees[:, ["xyz".index(dof) for dof in skeleton.dofs[bone]]] = angles[bone]
        local[bone] = axis @ _zyx(degrees) @ axis.T
    hips = (skeleton.vectors["lhipjoint"] + skeleton.vectors["rhipjoint"]) / 2
    legs = [skeleton.vectors[side + bone] for side in "lr" for bone in ("femur", "tibia")]
    length = sum(float(np.linalg.norm(vector)) for vector in legs) / 2
    return _to_take("cmu_amc", subject, name, skeleton.parents, local, root[:, :3] * UNIT, hips, length)


def read_expmap(text: str, skeleton: Skeleton, subject: str, name: str) -> Take:
    """Parse a file of 117 columns. It names no subject: `skeleton` gives the tree and typical lengths."""
    # The file's first row is the reference pose, not a recorded frame.
    values = np.array([line.split(",") for line in text.split()], float)[1:]
    maps = values[:, 3:].reshape(len(values), 38, 3)
    rotations = Rotation.from_rotvec(-maps.reshape(-1, 3)).as_matrix().reshape(len(values), 38, 3, 3)
    local = {bone: rotations[:, index] for index, bone in enumerate(_EXPMAP_BONES) if bone}
    hips = (skeleton.vectors["lhipjoint"] + skeleton.vectors["rhipjoint"]) / 2
    legs = [skeleton.vectors[side + bone] for side in "lr" for bone in ("femur", "tibia")]
    length = sum(float(np.linalg.norm(vector)) for vector in legs) / 2
    return _to_take("cmu_expmap", subject, name, skeleton.parents, local, values[:, :3] * UNIT, hips, length)


def _to_take(
    source: str, subject: str, name: str, parents: dict[str, str], local: dict[str, Array], root: Array,
    hips: Array, leg_length: float,
) -> Take:  # fmt: skip
    """Chain the bones' local rotations and pick the segments of the SMPL tree."""
    global_rotations: dict[str, Array] = {}
    for bone, parent in parents.items():
        global_rotations[bone] = global_rotations[parent] @ local[bone] if parent else local[bone]
    rotations = np.empty((len(root), len(INDEX), 3, 3))
    for joint, index in INDEX.items():
        rotations[:, index] = global_rotations[_BONES[joint]]
    return Take(source, subject, name, FPS, rotations, root + global_rotations["root"] @ hips, leg_length, REFERENCE)


def _zyx(degrees: Array) -> Array:
    """Rotation Rz Ry Rx of angles (..., 3), degrees, about x, y and z: fixed axes, x first."""
    return euler("zyx", np.asarray(degrees)[..., ::-1])
