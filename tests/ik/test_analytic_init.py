"""The first guess against the skeleton's own kinematics: known angles come back from a typical person's markers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from biopose_cli.body.markers import MARKER_NAMES
from biopose_cli.ik.analytic_init import JOINTS, TOES, columns, guess_angles, in_range, joint_axes
from biopose_cli.ik.network import INNER
from biopose_cli.ik.segments import BEFORE, SEGMENTS, membership, point_sums, segment_frames
from biopose_cli.skeleton.kinematics import Kinematics
from biopose_cli.synthesis.joint_motion import INDEX, perform
from tests.helpers.synthetic_markers import template, typical

NAMES = [name for name, _, _ in INNER]
THREE = [names for names in JOINTS.values() if len(names) == 3]
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
    """(C, T, I) in the order of INNER, of markers (C, T, M, 3)."""
    seen = torch.ones(markers.shape[:3], dtype=torch.bool)
    rotations, places, _ = segment_frames(markers, seen, template(), membership(), point_sums())
    between = rotations[:, :, list(BEFORE)].transpose(-1, -2) @ rotations
    tips = []
    for side in "rl":
        foot = SEGMENTS.index(f"calcn_{side}")
        tip = markers[:, :, MARKER_NAMES.index(f"{side.upper()}TOE")] - places[:, :, foot]
        tips.append((rotations[:, :, foot].transpose(-1, -2) @ tip[..., None])[..., 0])
    axes = joint_axes(Kinematics(typical()[0]))
    return guess_angles(between, torch.stack(tips, 2), *axes, template())[..., columns(NAMES)]


def test_every_inner_coordinate_is_guessed() -> None:
    known = {name for turns in JOINTS.values() for name in turns} | set(TOES)
    assert known == set(NAMES)
    assert len(set(columns(NAMES))) == len(NAMES)


@pytest.mark.parametrize("action", ["walk", "squats", "reaching_down"])
def test_a_typical_persons_angles_come_back(action: str) -> None:
    table, _ = typical()
    order = [INDEX[name] for name in table.coordinates]
    q = perform(action, 2, 20, 30.0, np.random.default_rng(3)).astype(float)[..., order]
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
        low, high = (torch.tensor([INNER[i][bound] for i in own]) for bound in (1, 2))
        turns = in_range(torch.as_tensor(found[..., own]), low, high).numpy()
        truth = q[..., [table.coordinates.index(name) for name in names]]
        near = np.degrees(np.abs(turns - truth)).max(axis=-1) < 0.1
        assert near.mean() > 0.9, names  # the rest: an arm under its other name


def test_a_turn_is_named_inside_the_range() -> None:
    low, high = torch.tensor([-1.5, -3.1, -2.0]), torch.tensor([3.1, 1.5, 2.0])
    turns = torch.tensor([0.3, -0.4, 0.5])
    other = turns * torch.tensor([1.0, -1.0, 1.0]) + torch.pi
    for given in (turns, other, turns + 2 * torch.pi):
        torch.testing.assert_close(in_range(given, low, high), turns, atol=1e-5, rtol=0)
    many = in_range(torch.randn(1000, 3) * 4, low, high)
    assert bool(((many >= low) & (many <= high)).all())
