"""The joint-space motion generator: ranges, smoothness, variety, and poses that are what they are called."""

from __future__ import annotations

import numpy as np
import pytest

from biopose_cli.skeleton.build import build_model
from biopose_cli.skeleton.scaling import body_transforms
from biopose_cli.synthesis.joint_actions import ACTIONS
from biopose_cli.synthesis.joint_motion import (
    ACTION_PROBABILITIES,
    COORDINATES,
    INDEX,
    LOWER,
    UPPER,
    mirror,
    perturb,
    sample,
    sample_action,
)
from biopose_cli.typing import Array

PLACE = ("pelvis_tx", "pelvis_ty", "pelvis_tz")
HEADING = "pelvis_rotation"  # its range is 100 rad either way
FASTEST = 25.0  # rad/s; a sprinter's knee reaches 20


@pytest.fixture(scope="module")
def many() -> Array:
    return sample(3000, 48, 30.0, np.random.default_rng(0))


def test_shape_and_seed() -> None:
    first, again = (sample(40, 20, 30.0, np.random.default_rng(5)) for _ in range(2))
    assert first.shape == (40, 20, len(COORDINATES))
    assert first.dtype == np.float32
    assert np.array_equal(first, again)
    assert not np.array_equal(first, sample(40, 20, 30.0, np.random.default_rng(6)))


def test_inside_the_ranges_and_patellae_follow(many: Array) -> None:
    assert (many > LOWER).all()
    assert (many < UPPER).all()
    for side in "rl":
        assert np.array_equal(
            many[..., INDEX[f"knee_angle_{side}_beta"]], many[..., INDEX[f"knee_angle_{side}"]]
        )


def test_covers_the_ranges(many: Array) -> None:
    low, high = np.percentile(many.reshape(-1, len(COORDINATES)), (1, 99), axis=0)
    span = (high - low) / (UPPER - LOWER)
    for name in set(COORDINATES) - {*PLACE, HEADING}:
        # towards 90 degrees of list the pelvis's angles become singular
        assert span[INDEX[name]] > (0.65 if name in ("pelvis_list", "pelvis_tilt") else 0.8), name
    faced, _ = np.histogram(many[:, 0, INDEX[HEADING]] % (2 * np.pi), 12, (0, 2 * np.pi))
    assert faced.min() > 0.6 * faced.mean()


def test_no_coordinate_stands_still(many: Array) -> None:
    assert np.ptp(many, axis=1).min() > 1e-5


def turning_speed(name: str, clips: int, seconds: float, fps: int) -> Array:
    """(C, T, D) rad/s of all angles."""
    q = sample_action(name, clips, int(seconds * fps) + 1, fps, np.random.default_rng(3)).astype(float)
    return np.diff(np.delete(q, [INDEX[place] for place in PLACE], axis=2), axis=1) * fps


@pytest.mark.parametrize("name", ACTION_PROBABILITIES)
def test_every_kind_moves_at_a_human_speed_and_without_kinks(name: str) -> None:
    speed = turning_speed(name, 24, 2.0, 100)
    assert 0.05 < np.abs(speed).max() < FASTEST
    # from frame to frame a smooth speed changes by less the closer the frames; at a kink it does not
    coarse, fine = (np.abs(np.diff(turning_speed(name, 6, 0.5, fps), axis=1)).max() for fps in (500, 2000))
    assert fine < 0.5 * coarse


def test_speed_does_not_depend_on_the_frame_rate() -> None:
    slow, fast = (
        sample_action("walk", 8, frames, fps, np.random.default_rng(2))
        for frames, fps in ((31, 30.0), (121, 120.0))
    )
    assert np.allclose(slow, fast[:, ::4], atol=0.02)


def test_shares() -> None:
    assert sum(ACTION_PROBABILITIES.values()) == pytest.approx(1)
    assert set(ACTIONS) < set(ACTION_PROBABILITIES)


def test_walks_the_way_it_faces() -> None:
    q = sample_action("walk", 30, 91, 30.0, np.random.default_rng(1)).astype(float)
    way = q[:, -1] - q[:, 0]
    x, z = way[:, INDEX["pelvis_tx"]], way[:, INDEX["pelvis_tz"]]
    assert 1.5 < np.hypot(x, z).mean() < 6
    heading = np.unwrap(q[..., INDEX[HEADING]], axis=1).mean(axis=1)
    assert (np.cos(np.arctan2(-z, x) - heading) > 0.9).all()


def test_mirroring_twice_gives_the_motion_back() -> None:
    q = sample(20, 5, 30.0, np.random.default_rng(1))
    assert np.array_equal(mirror(mirror(q)), q)
    assert np.array_equal(mirror(q)[..., INDEX["hip_rotation_l"]], q[..., INDEX["hip_rotation_r"]])
    assert np.array_equal(mirror(q)[..., INDEX["lumbar_bending"]], -q[..., INDEX["lumbar_bending"]])


def test_perturbed_stays_inside_and_near() -> None:
    q = sample(200, 40, 30.0, np.random.default_rng(1))
    rng = np.random.default_rng(2)
    other = perturb(q, rng, 5.0)
    assert other.dtype == np.float32
    assert ((other > LOWER) & (other < UPPER)).all()
    assert np.array_equal(other[..., INDEX["knee_angle_r_beta"]], other[..., INDEX["knee_angle_r"]])
    change = np.degrees(other - q)[..., INDEX["arm_flex_r"]]
    assert 4 < change.std() < 6
    assert np.abs(np.diff(change, axis=1)).max() < 4
    assert np.allclose(perturb(q, rng, 0.0), q, atol=1e-5) or np.abs(perturb(q, rng, 0.0) - q).max() < 0.05


def heights(q: Array) -> dict[str, float]:
    """Height of the origins of bodies over the pelvis's, m, in one frame of motion."""
    frames = body_transforms(build_model(), dict(zip(COORDINATES, q.tolist(), strict=True)))
    return {name: float(frame[1, 3] - frames["pelvis"][1, 3]) for name, frame in frames.items()}


def extreme(name: str, coordinate: str) -> Array:
    """The frame of the action in which the coordinate is largest."""
    q = sample_action(name, 30, 90, 15.0, np.random.default_rng(4)).reshape(-1, len(COORDINATES))
    frame: Array = q[q[:, INDEX[coordinate]].argmax()]
    return frame


def test_actions_are_what_they_are_called() -> None:
    """Signs: seen on the skeleton itself, not in the angles."""
    squat = heights(extreme("deep_squats", "knee_angle_r"))
    assert squat["talus_r"] > -0.35  # the seat comes down to the heels
    assert squat["head"] > 0.3
    up = heights(extreme("arms_front", "arm_flex_r"))
    assert up["hand_r"] > up["head"]
    lying = heights(sample_action("lying", 1, 1, 30.0, np.random.default_rng(0))[0, 0])
    assert abs(lying["head"]) < 0.5
    floor = heights(extreme("bowing", "hip_flexion_r"))
    assert floor["hand_r"] < -0.3
