"""Joint angles of the common OpenSim models in one convention: Rajagopal 2016's, and BioPose's own neck.

Differences, found by forward kinematics of the models themselves (the tests repeat it): every body of every model has
the ground's axes at zero angles, and the pelvis, hip, knee, ankle, subtalar, lumbar, arm, elbow and wrist axes of
Rajagopal2016, LaiUhlrich2022, RajagopalLaiUhlrich2023 and OpenCap's LaiArnold model agree. The exceptions:

- gait2392 and its relatives flex the knee and extend the toes negatively.
- Pose2Sim's model calls the neck's extension flexion, with the same sign.
- It has six intervertebral joints, each rotating about z, x, y, instead of one lumbar joint, and a
  shoulder of elevation plane (about y), elevation and axial rotation instead of flexion, adduction, rotation.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from biopose_cli.io.storage import Motion
from biopose_cli.typing import Array

SPINE = ("L5_S1", "L4_L5", "L3_L4", "L2_L3", "L1_L2", "L1_T12")  # from the pelvis up
SPINE_ANGLES = ("Flex_Ext", "Lat_Bending", "axial_rotation")
LUMBAR = ("lumbar_extension", "lumbar_bending", "lumbar_rotation")
SHOULDER = ("sh_plane_elev", "sh_elev", "sh_axial_rot")
ARM = ("arm_flex", "arm_add", "arm_rot")
HIP = ("hip_flexion", "hip_adduction", "hip_rotation")
NECK = ("neck_extension", "neck_bending", "neck_rotation")
# Joints with three successive perpendicular axes, so that every posture has two sets of angles. The pelvis is excluded:
# its rotation has an arbitrary offset, so neither set is nearer.
THREE_AXIS_JOINTS = (
    LUMBAR,
    NECK,
    *(tuple(f"{name}_{side}" for name in joint) for joint in (HIP, ARM) for side in ("r", "l")),
)
_HUMERUS_AXIS = np.array([-0.0846, 0.9947, -0.0584])  # the axial rotation's axis in Pose2Sim's model
SHOULDER_AXES = {side: sign * np.array([[0, 1, 0], [-1, 0, 0], _HUMERUS_AXIS]) for side, sign in (("r", 1), ("l", -1))}
MAX_HYPEREXTENSION = (
    20.0  # degrees: knees more negative than this are flexed, as none hyperextends that far; our choice
)
ARM_SIGN = {"r": np.array([1, 1, 1]), "l": np.array([1, -1, -1])}  # adduction and rotation of the left arm


def to_canonical(motion: Motion) -> tuple[Motion, tuple[str, ...]]:
    """Convert a motion to Rajagopal's coordinates.

    Returns
    -------
    motion : Rajagopal's coordinates, then the file's other ones
    notes : "knee_angle: ..." and so on, one per conversion; may be empty
    """
    notes = []
    for convert in (_convert_knees, _convert_spine, _convert_arms):
        motion, note = convert(motion)
        notes += [note] if note else []
    return motion, tuple(notes)


def _convert_knees(motion: Motion) -> tuple[Motion, str]:
    """Flexion positive.

    The sign is not in the file. Knees that are negative on average and at times beyond the range of hyperextension
    follow the other convention. Straight knees with a mean just below 0 are ambiguous and stay.
    """
    knees = [i for i, name in enumerate(motion.names) if re.fullmatch(r"knee_angle_[rl]", name)]
    coupled = any(name.endswith("_beta") for name in motion.names)  # only in Rajagopal's family
    if not knees or coupled or motion.values[:, knees].mean() >= 0:
        return motion, ""
    if np.percentile(motion.values[:, knees], 5) > -MAX_HYPEREXTENSION:
        return motion, ""
    negated = [name.startswith(("knee_angle_", "mtp_angle_")) for name in motion.names]
    values = np.where(negated, -motion.values, motion.values)
    note = "knee and toe angles reversed (flexion is negative, as in gait2392)"
    return replace(motion, values=values), note


def _convert_spine(motion: Motion) -> tuple[Motion, str]:
    joints = [joint for joint in SPINE if all(f"{joint}_{angle}" in motion.names for angle in SPINE_ANGLES)]
    if not joints or LUMBAR[0] in motion.names:
        return motion, ""
    columns = [f"{joint}_{angle}" for joint in joints for angle in SPINE_ANGLES]
    lumbar_rotation = Rotation.identity(len(motion.time))
    for joint in joints:
        lumbar_rotation *= euler_zxy(np.stack([motion[f"{joint}_{angle}"] for angle in SPINE_ANGLES], axis=1))
    names = tuple("neck_extension" if name == "neck_flexion" else name for name in motion.names)
    motion = _replace_columns(replace(motion, names=names), columns, LUMBAR, to_zxy(lumbar_rotation))
    return motion, f"lumbar angles from {len(joints)} spinal joints"


def _convert_arms(motion: Motion) -> tuple[Motion, str]:
    note = ""
    for side, axes in SHOULDER_AXES.items():
        columns = [f"{name}_{side}" for name in SHOULDER]
        names = tuple(f"{name}_{side}" for name in ARM)
        if not set(columns) <= set(motion.names) or names[0] in motion.names:
            continue
        plane, elevation, axial = (
            Rotation.from_rotvec(np.deg2rad(motion[name])[:, None] * axis)
            for name, axis in zip(columns, axes, strict=True)
        )
        motion = _replace_columns(motion, columns, names, to_zxy(plane * elevation * axial) * ARM_SIGN[side])
        note = "arm angles from elevation plane, elevation and axial rotation"
    return motion, note


def _replace_columns(motion: Motion, old: list[str], new: tuple[str, ...], values: Array) -> Motion:
    """Replace the columns `old` by the columns `values` (T, D) named `new`."""
    kept = [i for i, name in enumerate(motion.names) if name not in old]
    names = (*new, *(motion.names[i] for i in kept))
    return replace(motion, names=names, values=np.hstack([values, motion.values[:, kept]]))


def euler_zxy(degrees: Array) -> Rotation:
    """Rotations from angles (T, 3), degrees, about z, then the rotated x, then the rotated y.

    This is OpenSim's order for pelvis, hip, back and arm.
    """
    return Rotation.from_euler("ZXY", degrees, degrees=True)


def to_zxy(rotation: Rotation) -> Array:
    """Angles (T, 3), degrees, about z, x, y, continuous in time; the middle angle is within 90 degrees."""
    angles: Array = np.unwrap(rotation.as_euler("ZXY", degrees=True), period=360, axis=0)
    return angles


def in_heading_frame(angles: Array) -> tuple[Array, float | None]:
    """Pelvis tilt and list relative to the person's mean heading.

    OpenSim rotates the pelvis about the ground's z first, so tilt and list are exchanged for a person who walks along
    z. They are comparable only relative to the heading.

    Parameters
    ----------
    angles : (T, 3) pelvis_tilt, pelvis_list, pelvis_rotation, degrees

    Returns
    -------
    angles : (T, 3) the same in a ground frame rotated to the mean heading, with the heading added to the rotation again
    heading : degrees about y, 0 along x; None (and unchanged angles) without a mean heading: lying, or walking in a
        circle
    """
    pelvis = euler_zxy(angles)
    forward = pelvis.apply([1.0, 0.0, 0.0]).mean(axis=0)
    if np.hypot(forward[0], forward[2]) < 0.3:
        return angles, None
    heading = float(np.rad2deg(np.arctan2(-forward[2], forward[0])))
    aligned = to_zxy(Rotation.from_euler("y", -heading, degrees=True) * pelvis)
    aligned[:, 2] += heading
    return aligned, heading
