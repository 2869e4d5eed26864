"""The first guess against the skeleton's own kinematics: known angles come back from a typical person's markers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from biopose_cli.body.markers import MARKER_NAMES
from biopose_cli.ik.analytic_init import (
    SEGMENT_COORDINATES,
    TOE_COORDINATES,
    coordinate_columns,
    initial_angles,
    joint_axes,
    wrap_into_range,
)
from biopose_cli.ik.network import JOINT_COORDINATES
from biopose_cli.ik.segments import (
    PARENT,
    SEGMENTS,
    segment_frames,
    segment_membership,
    virtual_point_weights,
)
from biopose_cli.skeleton.kinematics import Kinematics
from biopose_cli.synthesis.joint_motion import INDEX, sample_action
from tests.helpers.synthetic_markers import template, typical

NAMES = [name for name, _, _ in JOINT_COORDINATES]
THREE = [names for names in SEGMENT_COORDINATES.values() if len(names) == 3]
# degrees: the knee is no hinge and its middle moves with it, the forearm is two bones
LOOSE = {
    "knee_angle": 4.0,
    "ankle": 3.0,
    "subtalar": 3.0,
    "mtp": 1.0,
    "wrist": 15.0,
    "elbow_flex": 9.0,
    "pro_sup": 9.0,
}


def guessed(markers: Tensor) -> Tensor:
    """(C, T, I) in the order of JOINT_COORDINATES, of markers (C, T, M, 3)."""
    seen = torch.ones(markers.shape[:3], dtype=torch.bool)
    rotations, places, _ = segment_frames(
        markers, seen, template(), segment_membership(), virtual_point_weights()
    )
    between = rotations[:, :, list(PARENT)].transpose(-1, -2) @ rotations
    tips = []
    for side in "rl":
        foot = SEGMENTS.index(f"calcn_{side}")
        tip = markers[:, :, MARKER_NAMES.index(f"{side.upper()}TOE")] - places[:, :, foot]
        tips.append((rotations[:, :, foot].transpose(-1, -2) @ tip[..., None])[..., 0])
    axes = joint_axes(Kinematics(typical()[0]))
    return initial_angles(between, torch.stack(tips, 2), *axes, template())[..., coordinate_columns(NAMES)]


def test_every_inner_coordinate_is_guessed() -> None:
    known = {name for turns in SEGMENT_COORDINATES.values() for name in turns} | set(TOE_COORDINATES)
    assert known == set(NAMES)
    assert len(set(coordinate_columns(NAMES))) == len(NAMES)


@pytest.mark.parametrize("action", ["walk", "squats", "reaching_down"])
def test_a_typical_persons_angles_come_back(action: str) -> None:
    table, _ = typical()
    order = [INDEX[name] for name in table.coordinates]
    q = sample_action(action, 2, 20, 30.0, np.random.default_rng(3)).astype(float)[..., order]
    markers = Kinematics(table).markers(torch.as_tensor(q.reshape(-1, q.shape[-1])))
    found = guessed(markers.float().unflatten(0, (2, 20))).numpy()
    for column, name in enumerate(NAMES):
        if name.startswith(("arm", "neck", "lumbar", "hip")):
            continue  # by groups of three, below: names may differ by a turn
        truth = q[..., table.coordinates.index(name)]
        limit = next((size for start, size in LOOSE.items() if name.startswith(start)), 0.1)
        assert np.degrees(np.abs(found[..., column] - truth)).max() < limit, name
    for names in THREE:
        own = [NAMES.index(name) for name in names]
        low, high = (torch.tensor([JOINT_COORDINATES[i][bound] for i in own]) for bound in (1, 2))
        turns = wrap_into_range(torch.as_tensor(found[..., own]), low, high).numpy()
        truth = q[..., [table.coordinates.index(name) for name in names]]
        near = np.degrees(np.abs(turns - truth)).max(axis=-1) < 0.1
        assert near.mean() > 0.9, names  # the rest: an arm under its other name


def test_a_turn_is_named_inside_the_range() -> None:
    low, high = torch.tensor([-1.5, -3.1, -2.0]), torch.tensor([3.1, 1.5, 2.0])
    turns = torch.tensor([0.3, -0.4, 0.5])
    other = turns * torch.tensor([1.0, -1.0, 1.0]) + torch.pi
    for given in (turns, other, turns + 2 * torch.pi):
        torch.testing.assert_close(wrap_into_range(given, low, high), turns, atol=1e-5, rtol=0)
    many = wrap_into_range(torch.randn(1000, 3) * 4, low, high)
    assert bool(((many >= low) & (many <= high)).all())
