"""Closed-form initial joint angles from the relative orientations of the segments.

Each segment's frame is fitted to its points (`segments.py`), so the rotation between two segments is known, up to the
difference between the person's markers and a typical person's. The joint angles are its Euler angles about the joint's
own axes at zero. The network corrects these angles, as it corrects the pelvis' frame. For a typical person they are
exact except for joints that do not just rotate about a point: the knee and the forearm. C clips, T frames; rad.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from biopose_cli.body.markers import MARKER_NAMES
from biopose_cli.geometry.euler import matrix_to_euler_zxy
from biopose_cli.ik.segments import SEGMENTS
from biopose_cli.skeleton.kinematics import Kinematics

_LIMB_COORDINATES = {
    "femur": ("hip_flexion", "hip_adduction", "hip_rotation"),
    "tibia": ("knee_angle",),
    "calcn": ("ankle_angle", "subtalar_angle"),
    "humerus": ("arm_flex", "arm_add", "arm_rot"),
    "forearm": ("elbow_flex", "pro_sup"),
    "hand": ("wrist_flex", "wrist_dev"),
}
# Segment: the coordinates that rotate it relative to its parent, in order
SEGMENT_COORDINATES: dict[str, tuple[str, ...]] = {
    "torso": ("lumbar_extension", "lumbar_bending", "lumbar_rotation"),
    "head": ("neck_extension", "neck_bending", "neck_rotation"),
    **{f"{s}_{side}": tuple(f"{n}_{side}" for n in names) for side in "rl" for s, names in _LIMB_COORDINATES.items()},
}
TOE_COORDINATES = ("mtp_angle_r", "mtp_angle_l")
_OUT_OF_RANGE_WEIGHT = 100.0  # rad^2 of angle, per rad^2 outside the range: selects one of two Euler branches


def joint_axes(kinematics: Kinematics) -> tuple[Tensor, Tensor]:
    """Axes of the joints in `SEGMENT_COORDINATES` at zero (J, 3, 3), a row per rotation; missing ones are orthogonal.

    Also, for both toes, the axis and the centre of the joint (2, 2, 3), pelvis at the origin, m.
    """
    names = kinematics.spec.coordinates
    zero = torch.zeros(1, len(names), dtype=kinematics.dtype)
    _, angular, linear = kinematics.screws(zero)

    def axis(name: str) -> Tensor:
        return torch.nn.functional.normalize(angular[names.index(name), :, 0], dim=0)

    axes = []
    for coordinates in SEGMENT_COORDINATES.values():
        basis = [axis(name) for name in coordinates]
        if len(basis) == 1:
            reference = torch.tensor([1.0, 0.0, 0.0], dtype=kinematics.dtype)
            basis.append(torch.nn.functional.normalize(reference - (reference @ basis[0]) * basis[0], dim=0))
        if len(basis) == 2:
            basis.append(torch.nn.functional.normalize(torch.linalg.cross(basis[0], basis[1]), dim=0))
        axes.append(torch.stack(basis))
    toes = []
    for name in TOE_COORDINATES:
        linear_velocity, angular_velocity = linear[names.index(name), :, 0], angular[names.index(name), :, 0]
        toes.append(
            torch.stack(
                [
                    axis(name),
                    torch.linalg.cross(angular_velocity, linear_velocity) / (angular_velocity @ angular_velocity),
                ]
            )
        )
    return torch.stack(axes).float(), torch.stack(toes).float()


def initial_angles(rotations: Tensor, toes: Tensor, axes: Tensor, toe_joints: Tensor, template: Tensor) -> Tensor:
    """(C, T, 3 J + 2): the turns about every joint's axes, then the toes' angles.

    rotations: (C, T, G, 3, 3) of every segment against the one before it. toes: (C, T, 2, 3) the tips of the right
    and left toes as seen from the foot, in the template's frame. axes, toe_joints: `joint_axes`. A joint of two turns
    has zero for the third, one of one turn for the others.
    """
    rows = [SEGMENTS.index(segment) for segment in SEGMENT_COORDINATES]
    parts = []
    for row, joint_basis, names in zip(rows, axes, SEGMENT_COORDINATES.values(), strict=True):
        rotation = rotations[:, :, row]
        if len(names) == 2:
            rotated, rotated_back = rotation @ joint_basis[1], rotation.transpose(-1, -2) @ joint_basis[0]
            first_angle = _signed_angle(joint_basis[0], joint_basis[1], rotated)
            parts.append(
                torch.stack(
                    [
                        first_angle,
                        -_signed_angle(joint_basis[1], joint_basis[0], rotated_back),
                        torch.zeros_like(first_angle),
                    ],
                    -1,
                )
            )
        else:
            basis = torch.stack([joint_basis[1], joint_basis[2], joint_basis[0]], dim=1)  # turns come about z, x, y
            angles = matrix_to_euler_zxy(basis.T @ rotation @ basis)
            parts.append(angles if len(names) == 3 else angles * angles.new_tensor([1.0, 0.0, 0.0]))
    axis, center = toe_joints.unbind(1)
    tips = template[[MARKER_NAMES.index(name) for name in ("RTOE", "LTOE")]] - center
    toe_angles = [_signed_angle(axis[side], tips[side], toes[:, :, side] - center[side]) for side in range(2)]
    return torch.cat([torch.stack(parts, 2).flatten(2), torch.stack(toe_angles, -1)], dim=-1)


def _signed_angle(axis: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Angle (...) about `axis` (3) from `start` (3) to `end` (..., 3), both projected along the axis."""
    sine = torch.linalg.cross(start.expand_as(end), end, dim=-1) @ axis
    return torch.atan2(sine, end @ start - (end @ axis) * (start @ axis))


def coordinate_columns(names: Sequence[str]) -> list[int]:
    """Column of each of the named coordinates in the result of `initial_angles`."""
    index = {
        name: 3 * row + i
        for row, coordinates in enumerate(SEGMENT_COORDINATES.values())
        for i, name in enumerate(coordinates)
    }
    index |= {name: 3 * len(SEGMENT_COORDINATES) + side for side, name in enumerate(TOE_COORDINATES)}
    return [index[name] for name in names]


def wrap_into_range(angles: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Turns (..., 3) about three axes under the one of their two names that lies inside the ranges (3), or, if both
    do, that with the smaller angles; by whole circles nearest to the middle of the range, then cut to it."""
    center = (lower + upper) / 2
    candidates = torch.stack([angles, angles * angles.new_tensor([1.0, -1.0, 1.0]) + torch.pi], dim=-2)
    candidates = candidates - 2 * torch.pi * torch.round((candidates - center) / (2 * torch.pi))
    clipped = torch.minimum(torch.maximum(candidates, lower), upper)
    cost = (clipped.square() + _OUT_OF_RANGE_WEIGHT * (candidates - clipped).square()).sum(-1, keepdim=True)
    best = cost.argmin(dim=-2, keepdim=True).expand(*angles.shape[:-1], 1, 3)
    return torch.gather(clipped, -2, best)[..., 0, :]
