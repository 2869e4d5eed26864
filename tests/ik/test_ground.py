"""The change from camera to ground: upright, on the floor, facing forward, whatever the camera does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biopose_cli.geometry.camera import roll_pitch_from_up
from biopose_cli.ik import ground
from biopose_cli.typing import Array

RATE = 30.0
LEVEL = np.array([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]])  # camera from world (x right, y up, z back)


def _camera(pitch: float, roll: float) -> Array:
    """Rotation camera from world of a camera that looks down by `pitch` and is rolled clockwise, in degrees."""
    look_down = Rotation.from_euler("x", pitch, degrees=True).as_matrix()
    clockwise = Rotation.from_euler("z", -roll, degrees=True).as_matrix()
    return clockwise @ look_down @ LEVEL


def _tilt(result: ground.Ground, camera: Array) -> float:
    """Degrees between the true up and the ground's."""
    return float(np.degrees(np.arccos((result.matrix[:3, :3] @ camera)[1, 1].clip(-1.0, 1.0))))


def _pelvis_angles(from_world: Array, facing: Array, trunk: Array) -> Array:
    """`pelvis_tilt`, `pelvis_list` and `pelvis_rotation` in degrees."""
    axes = np.stack([facing, trunk, np.cross(facing, trunk)], axis=1)
    return np.asarray(Rotation.from_matrix(from_world @ axes).as_euler("ZXY", degrees=True))


class SyntheticWalk:
    """Someone in a world with y up: the pelvis 0.95 m over the floor, each sole point resting by turns.

    Half way through the walk they go on with the second velocity, if there is one.
    """

    def __init__(self, velocity: Array, facing: Array, then: Array | None = None, seconds: float = 5.0) -> None:
        self.time = np.arange(round(seconds * RATE)) / RATE
        self.facing = np.tile(facing, (len(self.time), 1))
        self.trunk = np.tile([0.0, 1.0, 0.0], (len(self.time), 1))
        late = (self.time > seconds / 2)[:, None]
        velocities = np.where(late, velocity if then is None else then, velocity)
        start = np.array([-1.0, -1.1, -6.0])
        place = start + np.cumsum(velocities, axis=0) / RATE
        self.pelvis = place + np.array([0.0, 0.95, 0.0])
        soles = []
        for foot in range(4):
            phase = self.time / 1.2 + (0.5 if foot % 2 else 0.0)
            step, within = np.floor(phase), phase % 1.0
            swing = np.clip((within - 0.6) / 0.4, 0.0, 1.0)  # stands for 60 % of a stride
            along = (step + swing - phase)[:, None] * 1.2 * velocities
            lift = 0.1 * np.sin(np.pi * swing) * (np.linalg.norm(velocity) > 0)
            width = 0.1 * np.array([1 if foot % 2 else -1, 0, 1 if foot < 2 else -1])
            soles.append(place + along + width + lift[:, None] * [0, 1, 0])
        self.soles = np.stack(soles, axis=1)

    def ground_from(self, camera: Array, balanced: Array | None = None, **given: Any) -> ground.Ground:
        return ground.camera_to_ground(
            self.time,
            self.pelvis @ camera.T,
            self.facing @ camera.T,
            self.trunk @ camera.T,
            self.soles @ camera.T,
            balance_up=balanced,
            **given,
        )


STILL, TO_CAMERA, AWAY = np.zeros(3), np.array([0.0, 0.0, 1.0]), np.array([0.0, 0.0, -1.0])


@pytest.mark.parametrize("facing", [TO_CAMERA, AWAY, np.array([1.0, 0.0, 0.0]), np.array([-0.6, 0.0, 0.8])])
def test_a_standing_person_stands_upright_on_the_floor_facing_forward(facing: Array) -> None:
    person = SyntheticWalk(STILL, facing)
    matrix = person.ground_from(LEVEL).matrix
    pelvis, feet = (ground.transform_points(matrix, points @ LEVEL.T) for points in (person.pelvis, person.soles))
    np.testing.assert_allclose(pelvis[0], [0.0, 0.95, 0.0], atol=1e-6)
    np.testing.assert_allclose(feet[..., 1], 0.0, atol=1e-6)
    np.testing.assert_allclose(matrix[:3, :3] @ LEVEL @ facing, [1.0, 0.0, 0.0], atol=1e-9)
    right = np.cross(facing, [0.0, 1.0, 0.0])  # of someone upright
    np.testing.assert_allclose(matrix[:3, :3] @ LEVEL @ right, [0.0, 0.0, 1.0], atol=1e-9)
    assert np.linalg.det(matrix[:3, :3]) == pytest.approx(1.0)


def test_walking_gives_the_heading() -> None:
    """Someone who looks 20 degrees to the side while walking still walks along x."""
    velocity = np.array([1.2, 0.0, 0.0])
    gaze = Rotation.from_euler("y", 20, degrees=True).apply([1.0, 0.0, 0.0])
    person = SyntheticWalk(velocity, gaze)
    matrix = person.ground_from(LEVEL).matrix
    np.testing.assert_allclose(matrix[:3, :3] @ LEVEL @ velocity, [1.2, 0.0, 0.0], atol=1e-6)


@pytest.mark.parametrize("velocity", [AWAY, np.array([1.2, 0.0, 0.0])], ids=["backwards", "sideways"])
def test_walking_backwards_or_sideways_keeps_the_heading(velocity: Array) -> None:
    person = SyntheticWalk(velocity, TO_CAMERA)
    matrix = person.ground_from(LEVEL).matrix
    np.testing.assert_allclose(matrix[:3, :3] @ LEVEL @ TO_CAMERA, [1.0, 0.0, 0.0], atol=1e-6)


@pytest.mark.parametrize(("pitch", "roll"), [(12.0, 0.0), (0.0, 5.0), (-8.0, 3.0), (25.0, -4.0)])
def test_a_given_camera_tilt_is_removed(pitch: float, roll: float) -> None:
    person = SyntheticWalk(STILL, TO_CAMERA)
    camera = _camera(pitch, roll)
    result = person.ground_from(camera, pitch=pitch, roll=roll)
    np.testing.assert_allclose(result.matrix[:3, :3] @ camera @ [0.0, 1.0, 0.0], [0.0, 1.0, 0.0], atol=1e-9)
    assert result.roll_pitch_deg == pytest.approx((roll, pitch))


@pytest.mark.parametrize(("pitch", "roll"), [(8.0, 0.0), (0.0, 3.0), (6.0, -2.0)])
def test_a_walk_in_depth_and_across_gives_the_tilt(pitch: float, roll: float) -> None:
    person = SyntheticWalk(TO_CAMERA, TO_CAMERA, then=np.array([1.0, 0.0, 0.0]))
    camera = _camera(pitch, roll)
    result = person.ground_from(camera)
    assert _tilt(result, camera) < 1.0
    assert result.warnings == ()


def test_a_walk_across_gives_no_pitch() -> None:
    person = SyntheticWalk(np.array([1.2, 0.0, 0.0]), np.array([1.0, 0.0, 0.0]))
    assert person.ground_from(_camera(8.0, 0.0)).roll_pitch_deg == pytest.approx((0.0, 0.0), abs=0.5)


@pytest.mark.parametrize("heading", [-60.0, -45.0, 45.0, 60.0])
def test_an_oblique_walk_is_leveled_for_any_camera_tilt(heading: float) -> None:
    """Only the slope along the walk is seen, and roll and pitch share it as is likeliest."""
    walk = Rotation.from_euler("y", heading, degrees=True).apply(TO_CAMERA)
    tilts = []
    for pitch, roll in ((6.0, 3.0), (6.0, -3.0)):  # as much of each as the prior has
        camera = _camera(pitch, roll)
        result = SyntheticWalk(walk, walk, seconds=3.0).ground_from(camera)
        assert abs((result.matrix[:3, :3] @ camera @ walk)[1]) < np.sin(np.radians(0.5))
        tilts.append(_tilt(result, camera))
    assert np.mean(tilts) < 3.6


def test_standing_still_gives_no_camera_tilt() -> None:
    assert SyntheticWalk(STILL, TO_CAMERA).ground_from(_camera(8.0, 3.0)).roll_pitch_deg == (0.0, 0.0)


@pytest.mark.parametrize(("pitch", "roll"), [(8.0, 3.0), (25.0, -15.0)])
def test_balance_gives_most_of_the_tilt(pitch: float, roll: float) -> None:
    """The prior, that cameras are level, takes two fifths of the roll and a seventh of the pitch."""
    camera = _camera(pitch, roll)
    result = SyntheticWalk(STILL, TO_CAMERA).ground_from(camera, balanced=camera @ [0.0, 1.0, 0.0])
    assert result.roll_pitch_deg == (
        pytest.approx(0.590 * roll, abs=0.02),
        pytest.approx(0.852 * pitch, abs=0.02),
    )


def test_balance_and_floor_together_are_better_than_either() -> None:
    camera = _camera(10.0, 8.0)
    person = SyntheticWalk(np.array([1.2, 0.0, 0.0]), np.array([1.0, 0.0, 0.0]))  # across: the floor shows roll only
    together = person.ground_from(camera, balanced=camera @ [0.0, 1.0, 0.0])
    assert _tilt(together, camera) < 1.5
    assert _tilt(person.ground_from(camera), camera) > 6.0
    assert _tilt(SyntheticWalk(STILL, TO_CAMERA).ground_from(camera, balanced=camera @ [0.0, 1.0, 0.0]), camera) > 2.5


@pytest.mark.parametrize("given", [{"pitch": 0.0}, {"roll": 0.0}], ids=["pitch", "roll"])
def test_a_stated_angle_is_not_overruled_by_balance(given: dict[str, float]) -> None:
    camera = _camera(8.0, 3.0)
    leaned = (
        SyntheticWalk(STILL, TO_CAMERA).ground_from(camera, balanced=camera @ [0.0, 1.0, 0.0], **given).roll_pitch_deg
    )
    assert leaned[1 if "pitch" in given else 0] == 0.0
    assert leaned[0 if "pitch" in given else 1] > 1.5


@pytest.mark.parametrize("given", [{"pitch": 30.0}, {"roll": 4.0}], ids=["pitch", "roll"])
def test_the_feet_give_the_angle_that_was_not_given(given: dict[str, float]) -> None:
    walk = Rotation.from_euler("y", 60, degrees=True).apply(TO_CAMERA)
    roll, pitch = 4.0, given.get("pitch", 8.0)
    leaned = SyntheticWalk(walk, walk).ground_from(_camera(pitch, roll), **given).roll_pitch_deg
    assert leaned == pytest.approx((roll, pitch), abs=0.3)


def test_a_stated_angle_is_not_overruled_by_the_feet() -> None:
    person = SyntheticWalk(TO_CAMERA, TO_CAMERA)
    assert person.ground_from(_camera(8.0, 0.0), pitch=0.0, roll=0.0).roll_pitch_deg == (0.0, 0.0)


@pytest.mark.parametrize("roll", [0.0, 45.0, -45.0, 90.0, -90.0, 120.0, 180.0])
def test_the_pitch_is_found_for_any_camera_roll(roll: float) -> None:
    result = SyntheticWalk(TO_CAMERA, TO_CAMERA).ground_from(_camera(8.0, roll), roll=roll)
    assert result.roll_pitch_deg == (pytest.approx(roll), pytest.approx(8.0, abs=0.5))
    assert _tilt(result, _camera(8.0, roll)) < 0.5


def test_a_slope_that_no_floor_has_is_ignored_with_a_warning() -> None:
    person = SyntheticWalk(TO_CAMERA, TO_CAMERA)
    person.soles = person.soles + person.soles[..., 2:] * [0.0, 0.6, 0.0]
    result = person.ground_from(LEVEL)
    assert result.roll_pitch_deg == (0.0, 0.0)
    assert "slope" in result.warnings[0]


def test_jumping_does_not_lift_the_floor() -> None:
    person = SyntheticWalk(STILL, TO_CAMERA)
    up = 0.4 * np.maximum(np.sin(2 * np.pi * person.time), 0.0)[:, None] * [0.0, 1.0, 0.0]
    person.pelvis = person.pelvis + up
    person.soles = person.soles + up[:, None]
    feet = ground.transform_points(person.ground_from(LEVEL).matrix, person.soles @ LEVEL.T)
    assert feet[..., 1].min() == pytest.approx(0.0, abs=0.02)


def test_one_frame_is_enough() -> None:
    person = SyntheticWalk(STILL, TO_CAMERA, seconds=1 / RATE)
    feet = ground.transform_points(person.ground_from(LEVEL).matrix, person.soles @ LEVEL.T)
    np.testing.assert_allclose(feet[..., 1], 0.0, atol=1e-6)


@pytest.mark.parametrize("posture", [1.0, -1.0], ids=["on the back", "on the face"])
@pytest.mark.parametrize("towards", [0.0, 50.0, 180.0])
def test_someone_who_lies_has_tilt_and_neither_list_nor_a_chance_heading(posture: float, towards: float) -> None:
    """`towards`: where the head points. The pelvis is turned by a few degrees every which way."""
    lying = Rotation.from_euler("y", towards, degrees=True) * Rotation.from_euler("x", -90 * posture, degrees=True)
    for turn in np.random.default_rng(0).normal(0, 3, (20, 3)):
        facing, trunk = (Rotation.from_euler("xyz", turn, degrees=True) * lying).apply([TO_CAMERA, [0.0, 1.0, 0.0]])
        person = SyntheticWalk(STILL, facing)
        person.trunk[:] = trunk
        matrix = person.ground_from(LEVEL, pitch=0.0, roll=0.0).matrix
        np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-9)
        tilt, side, rotation = _pelvis_angles(matrix[:3, :3] @ LEVEL, facing, trunk)
        assert (tilt, side, rotation) == (
            pytest.approx(90 * posture, abs=12),
            pytest.approx(0, abs=1),
            pytest.approx(0, abs=12),
        )


def test_someone_who_crawls_goes_forward() -> None:
    person = SyntheticWalk(TO_CAMERA, np.array([0.05, -1.0, 0.02]) / np.linalg.norm([0.05, -1.0, 0.02]))
    person.trunk[:] = Rotation.from_euler("y", 20, degrees=True).apply(TO_CAMERA)
    matrix = person.ground_from(LEVEL).matrix
    np.testing.assert_allclose(matrix[:3, :3] @ LEVEL @ TO_CAMERA, [1.0, 0.0, 0.0], atol=1e-6)


@pytest.mark.parametrize("bend", [-80.0, -50.0, 0.0, 50.0, 70.0, 85.0, 110.0])
def test_bending_keeps_the_heading(bend: float) -> None:
    bent = Rotation.from_euler("x", bend, degrees=True)
    person = SyntheticWalk(STILL, bent.apply(TO_CAMERA))
    person.trunk[:] = bent.apply([0.0, 1.0, 0.0])
    matrix = person.ground_from(LEVEL).matrix
    np.testing.assert_allclose(matrix[:3, :3] @ LEVEL @ TO_CAMERA, [1.0, 0.0, 0.0], atol=1e-6)


@pytest.mark.parametrize(("roll", "pitch"), [(0.0, 0.0), (10.0, -30.0), (-170.0, 60.0), (90.0, 5.0)])
def test_roll_and_pitch_follow_from_up(roll: float, pitch: float) -> None:
    up = ground.up_vector(*np.radians([roll, pitch]))
    np.testing.assert_allclose(up, _camera(pitch, roll) @ [0.0, 1.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(np.degrees(roll_pitch_from_up(up)), [roll, pitch], atol=1e-9)
