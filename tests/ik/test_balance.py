"""Up from balance: a recorded walk, one leg, turned frames, and people who rest on something else than their feet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from biopose_cli.body.model import JOINT_NAMES, load_body
from biopose_cli.ik.balance import center_of_mass, up_from_center_of_mass
from biopose_cli.typing import Array

WALK = Path(__file__).parents[2] / "sample_videos" / "walk_truth.npz"
UP = np.array([0.0, 1.0, 0.0])
TIME = np.arange(60) / 30
TURNS = Rotation.from_euler("zyx", [[-8, 50, 12], [20, -100, -25], [3, 170, 30]], degrees=True).as_matrix()


def _angle(found: Array | None, true: Array) -> float:
    assert found is not None
    return float(np.degrees(np.arccos(np.clip(found @ true, -1, 1))))


def _held(**turned: tuple[float, float, float]) -> Array:
    """(60, 24, 3): the mean body, y up, with these joints turned by rotation vectors, degrees."""
    pose = torch.zeros(60, len(JOINT_NAMES), 3)
    for name, degrees in turned.items():
        pose[:, JOINT_NAMES.index(name)] = torch.deg2rad(torch.tensor(degrees))
    with torch.no_grad():
        posed = load_body().pose(pose[:, 1:], pose[:, 0], torch.zeros(10), torch.zeros(60, 3))
    return posed.joints.double().numpy()


@pytest.fixture(scope="module")
def walk() -> tuple[Array, Array]:
    """Time and joints of the walk in the sample clip, world (y up)."""
    with np.load(WALK, allow_pickle=False) as truth, torch.no_grad():
        pose, transl = (torch.as_tensor(truth[name]).float() for name in ("pose", "transl"))
        betas = torch.as_tensor(truth["betas"]).float()
        return truth["time"], load_body().pose(pose[:, 1:], pose[:, 0], betas, transl).joints.double().numpy()


def test_the_mass_centre_is_in_the_belly() -> None:
    """Of a man who stands: 0.56 of the stature over the floor (Winter 2009, 4.1.5: anterior superior iliac spine)."""
    body = _held()
    with torch.no_grad():
        stature = float(load_body().stature(torch.zeros(10)))
    floor = body[0, JOINT_NAMES.index("left_foot"), 1] - 0.02
    assert (center_of_mass(body)[0, 1] - floor) / stature == pytest.approx(0.56, abs=0.03)
    away = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(center_of_mass(body + away), center_of_mass(body) + away)


def test_a_walk_shows_up(walk: tuple[Array, Array]) -> None:
    assert _angle(up_from_center_of_mass(*walk, UP), UP) < 2.0


@pytest.mark.parametrize("turn", TURNS)
def test_it_turns_with_the_frame(walk: tuple[Array, Array], turn: Array) -> None:
    time, joints = walk
    still, turned = (
        up_from_center_of_mass(time, joints, UP),
        up_from_center_of_mass(time, joints @ turn.T, turn @ UP),
    )
    assert still is not None
    assert _angle(turned, turn @ still) < 1e-4


def test_who_stands_on_one_leg_is_over_that_foot() -> None:
    """The pelvis is shifted over the standing leg, the other foot is lifted to the side."""
    body = _held(pelvis=(0, 0, 7), left_hip=(0, 0, 40), left_knee=(60, 0, 0))
    found = up_from_center_of_mass(TIME, body, UP)
    right_foot = body[0, [JOINT_NAMES.index(f"right_{name}") for name in ("ankle", "foot")]].mean(0)
    towards = center_of_mass(body)[0] - right_foot
    assert _angle(found, towards / np.linalg.norm(towards)) < 3.0


@pytest.mark.parametrize(
    "turned",
    [
        {
            "left_hip": (-90, 0, 0),
            "left_knee": (90, 0, 0),
            "right_hip": (-90, 0, 0),
            "right_knee": (90, 0, 0),
        },
        {"left_hip": (-85, 0, 0), "right_hip": (-85, 0, 0)},
        {"left_knee": (120, 0, 0), "right_knee": (120, 0, 0)},
        {"pelvis": (-85, 0, 0)},
    ],
    ids=["on a chair", "on the floor", "kneeling", "lying"],
)
def test_who_is_not_on_their_feet_says_nothing(turned: dict[str, tuple[float, float, float]]) -> None:
    assert up_from_center_of_mass(TIME, _held(**turned), UP) is None


def test_half_a_second_on_the_feet_is_needed() -> None:
    body = _held()
    assert up_from_center_of_mass(TIME[:12], body[:12], UP) is None
    assert up_from_center_of_mass(TIME[:1], body[:1], UP) is None
    assert up_from_center_of_mass(TIME[:20], body[:20], UP) is not None
