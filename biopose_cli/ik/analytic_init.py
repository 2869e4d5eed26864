"""A first guess of the joint angles from the segments' attitudes to each other, in closed form.

Each segment's frame is fitted to its points (`segments.py`), so the rotation between two segments is known, up to how
the person's markers differ from a typical person's. A joint's turns are read off it as Euler angles about the joint's
own axes at zero. The network corrects this guess, as it corrects the pelvis' frame. For a typical person it is right
but where joints are more than a turn about a point: at the knee and in the forearm. C clips, T frames; rad.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from biopose_cli.body.markers import MARKER_NAMES
from biopose_cli.geometry.euler import angles_of
from biopose_cli.ik.segments import SEGMENTS
from biopose_cli.skeleton.kinematics import Kinematics

_SIDED = {
    "femur": ("hip_flexion", "hip_adduction", "hip_rotation"),
    "tibia": ("knee_angle",),
    "calcn": ("ankle_angle", "subtalar_angle"),
    "humerus": ("arm_flex", "arm_add", "arm_rot"),
    "forearm": ("elbow_flex", "pro_sup"),
    "hand": ("wrist_flex", "wrist_dev"),
}
# Segment: the coordinates that turn it against the one before it, in order
JOINTS: dict[str, tuple[str, ...]] = {
    "torso": ("lumbar_extension", "lumbar_bending", "lumbar_rotation"),
    "head": ("neck_extension", "neck_bending", "neck_rotation"),
    **{f"{s}_{side}": tuple(f"{n}_{side}" for n in names) for side in "rl" for s, names in _SIDED.items()},
}
TOES = ("mtp_angle_r", "mtp_angle_l")
_OUTSIDE = 100.0  # rad of angle squared, per rad squared outside the range: which of two names is meant


def joint_axes(kinematics: Kinematics) -> tuple[Tensor, Tensor]:
    """Axes of the joints in `JOINTS` at zero (J, 3, 3), a row per turn; missing ones are square to the others. And for
    both toes the axis and the centre of the joint (2, 2, 3), pelvis at the origin, m."""
    names = kinematics.table.coordinates
    zero = torch.zeros(1, len(names), dtype=kinematics.dtype)
    _, turn, slide = kinematics.screws(zero)

    def axis(name: str) -> Tensor:
        return torch.nn.functional.normalize(turn[names.index(name), :, 0], dim=0)

    axes = []
    for turns in JOINTS.values():
        own = [axis(name) for name in turns]
        if len(own) == 1:
            across = torch.tensor([1.0, 0.0, 0.0], dtype=kinematics.dtype)
            own.append(torch.nn.functional.normalize(across - (across @ own[0]) * own[0], dim=0))
        if len(own) == 2:
            own.append(torch.nn.functional.normalize(torch.linalg.cross(own[0], own[1]), dim=0))
        axes.append(torch.stack(own))
    toes = []
    for name in TOES:
        way, spin = slide[names.index(name), :, 0], turn[names.index(name), :, 0]
        toes.append(torch.stack([axis(name), torch.linalg.cross(spin, way) / (spin @ spin)]))
    return torch.stack(axes).float(), torch.stack(toes).float()


def guess_angles(
    rotations: Tensor, toes: Tensor, axes: Tensor, toe_joints: Tensor, template: Tensor
) -> Tensor:
    """(C, T, 3 J + 2): the turns about every joint's axes, then the toes' angles.

    rotations: (C, T, G, 3, 3) of every segment against the one before it. toes: (C, T, 2, 3) the tips of the right
    and left toes as seen from the foot, in the template's frame. axes, toe_joints: `joint_axes`. A joint of two turns
    has zero for the third, one of one turn for the others.
    """
    rows = [SEGMENTS.index(segment) for segment in JOINTS]
    parts = []
    for row, own, names in zip(rows, axes, JOINTS.values(), strict=True):
        rotation = rotations[:, :, row]
        if len(names) == 2:
            turned, back = rotation @ own[1], rotation.transpose(-1, -2) @ own[0]
            first = _about(own[0], own[1], turned)
            parts.append(torch.stack([first, -_about(own[1], own[0], back), torch.zeros_like(first)], -1))
        else:
            basis = torch.stack([own[1], own[2], own[0]], dim=1)  # turns come about z, x, y
            angles = angles_of(basis.T @ rotation @ basis)
            parts.append(angles if len(names) == 3 else angles * angles.new_tensor([1.0, 0.0, 0.0]))
    axis, centre = toe_joints.unbind(1)
    tips = template[[MARKER_NAMES.index(name) for name in ("RTOE", "LTOE")]] - centre
    bends = [_about(axis[side], tips[side], toes[:, :, side] - centre[side]) for side in range(2)]
    return torch.cat([torch.stack(parts, 2).flatten(2), torch.stack(bends, -1)], dim=-1)


def _about(axis: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """The angle (...) about `axis` (3) that brings `start` (3) to `end` (..., 3), both seen along the axis."""
    sine = torch.linalg.cross(start.expand_as(end), end, dim=-1) @ axis
    return torch.atan2(sine, end @ start - (end @ axis) * (start @ axis))


def columns(names: Sequence[str]) -> list[int]:
    """Where `guess_angles` has each of the named coordinates."""
    places = {name: 3 * row + i for row, turns in enumerate(JOINTS.values()) for i, name in enumerate(turns)}
    places |= {name: 3 * len(JOINTS) + side for side, name in enumerate(TOES)}
    return [places[name] for name in names]


def in_range(turns: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Turns (..., 3) about three axes under the one of their two names that lies inside the ranges (3), or, if both
    do, that with the smaller angles; by whole circles nearest to the middle of the range, then cut to it."""
    middle = (lower + upper) / 2
    names = torch.stack([turns, turns * turns.new_tensor([1.0, -1.0, 1.0]) + torch.pi], dim=-2)
    names = names - 2 * torch.pi * torch.round((names - middle) / (2 * torch.pi))
    cut = torch.minimum(torch.maximum(names, lower), upper)
    cost = (cut.square() + _OUTSIDE * (names - cut).square()).sum(-1, keepdim=True)
    better = cost.argmin(dim=-2, keepdim=True).expand(*turns.shape[:-1], 1, 3)
    return torch.gather(cut, -2, better)[..., 0, :]
