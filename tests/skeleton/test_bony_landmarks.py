"""The generic segments are as large as the bones between the joints, and the landmarks lie on them."""

from __future__ import annotations

import numpy as np
import pytest

from biopose_cli.skeleton.bony_landmarks import dimensions, load_bony_landmarks
from biopose_cli.skeleton.build import build_model
from biopose_cli.skeleton.osim import opensim
from biopose_cli.typing import Array

NO_EXTENT = {f"{body}_{side}" for body in ("patella", "toes", "hand") for side in "rl"}


@pytest.fixture(scope="module")
def sizes() -> dict[str, Array]:
    return dimensions(build_model())


@pytest.mark.parametrize(
    ("body", "axis", "length"),
    [
        ("femur_r", 1, 0.408),
        ("tibia_r", 1, 0.400),
        ("humerus_l", 1, 0.286),
        ("radius_l", 1, 0.236),
        ("calcn_r", 0, 0.219),
        ("lumbar", 1, 0.157),
        ("torso", 2, 0.340),  # shoulder to shoulder
        ("head", 1, 0.184),
        ("pelvis", 2, 0.257),  # ASIS to ASIS
    ],
)
def test_a_body_is_as_long_as_its_bone(sizes: dict[str, Array], body: str, axis: int, length: float) -> None:
    assert sizes[body][axis] == pytest.approx(length, abs=0.001)


def test_every_body_has_a_size_and_sides_are_alike(sizes: dict[str, Array]) -> None:
    assert len(sizes) == 24
    assert {body for body, size in sizes.items() if size.max() == 0} == NO_EXTENT
    for body, size in sizes.items():
        if body.endswith("_r"):
            np.testing.assert_allclose(sizes[f"{body[:-2]}_l"], size, atol=1e-9)


def test_the_knee_is_as_far_from_the_hip_as_the_femur_is_long(sizes: dict[str, Array]) -> None:
    model = build_model()
    state = model.initSystem()
    hip, knee = (
        model.getJointSet().get(name).getParentFrame().getPositionInGround(state)
        for name in ("hip_r", "walker_knee_r")
    )
    assert hip.get(1) - knee.get(1) == pytest.approx(sizes["femur_r"][1], abs=0.001)


def test_landmarks_are_on_both_sides_of_bodies_that_exist(sizes: dict[str, Array]) -> None:
    names, bodies, places = load_bony_landmarks()
    assert len(names) == len(set(names)) == len(bodies) == len(places) == 29
    assert set(bodies) <= set(sizes)
    right, left = names.index("heel_r"), names.index("heel_l")
    assert (bodies[right], bodies[left]) == ("calcn_r", "calcn_l")
    np.testing.assert_allclose(places[right], places[left] * [1, 1, -1])
    np.testing.assert_allclose(places[right], [-0.0322, 0.0326, -0.0112])


def test_landmarks_stand_in_their_order_from_the_floor_up() -> None:
    model = build_model()
    state = model.initSystem()
    names, bodies, places = load_bony_landmarks()
    heights = {}
    for name, body, place in zip(names, bodies, places, strict=True):
        frame = model.getBodySet().get(body)
        heights[name] = frame.findStationLocationInGround(state, opensim.Vec3(*map(float, place))).get(1)
    upwards = ["heel_l", "ankle_medial_l", "knee_lateral_l", "asis_l", "clavicle", "c7", "vertex"]
    assert sorted(upwards, key=heights.__getitem__) == upwards
