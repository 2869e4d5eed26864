"""Random human motion in joint space: training data for NeurIK, which predicts joint angles from virtual markers.

Captured motion is mostly walking. This module adds squats, chairs, floor exercises, jumps, reaching and patients' gaits
(`joint_actions.py`), and smooth motion between random poses over the full range of every coordinate.

    q = sample(256, 64, 30.0, np.random.default_rng(1))  # (256, 64, 42)

Actions are drawn from `ACTION_PROBABILITIES`. Amplitude, speed, phase, side and posture are random, and a smooth random
drift is added to every coordinate, so that none is ever constant. All distributions are our choice.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import BSpline
from scipy.spatial.transform import Rotation

from biopose_cli.skeleton.build import coordinate_rows
from biopose_cli.synthesis.joint_actions import ACTIONS, Action
from biopose_cli.synthesis.joint_poses import HOLDS, POSES, STANDING, Pose
from biopose_cli.typing import Array

_ROWS = coordinate_rows()
COORDINATES = tuple(row["coordinate"] for row in _ROWS)
INDEX = {name: index for index, name in enumerate(COORDINATES)}
LOWER = np.array([float(row["min"]) for row in _ROWS])  # rad, m
UPPER = np.array([float(row["max"]) for row in _ROWS])

RANDOM, HOLD, POSED = "random", "hold", "posed"
ACTION_PROBABILITIES = {RANDOM: 0.30, HOLD: 0.08, POSED: 0.12} | dict.fromkeys(ACTIONS, 0.50 / len(ACTIONS))
UPPER_BODY_SWAP_PROB = 0.25  # of the clips: everything above the pelvis comes from another clip
SOFT_MARGIN = 0.05  # rad, m: margin within a range (at most 5 % of it) in which motion is slowed down smoothly

_RANDOM_KEYS, _POSED_KEYS = 8, 4  # per cycle
_RANDOM_STEP, _POSED_STEP = (0.7, 2.5), (0.9, 3.0)  # s between keys
_RANDOM_SPEED = 5.0  # rad/s, mean speed between two keys
_MAX_UPRIGHT_LIST = np.radians(60)  # of pelvis_list: OpenSim's tilt-list-rotation is singular at 90 degrees
_THIGH, _SHANK, _PELVIS_AND_FOOT = 0.41, 0.40, 0.13  # m, lengths on the unscaled skeleton
# degrees, standard deviations of a clip's habitual posture; 3 for all other coordinates
_POSTURE_STD_DEG: Pose = {
    "pelvis_tilt": 5, "hip_rotation": 8, "lumbar_extension": 5, "neck_extension": 7, "neck_rotation": 6,
    "arm_flex": 7, "arm_add": 6, "arm_rot": 12, "elbow_flex": 9, "pro_sup": 18, "wrist_flex": 9, "wrist_dev": 5,
    "pelvis_ty": 0.01, "pelvis_tx": 0, "pelvis_tz": 0,
}  # fmt: skip
_STOOP_DEG: Pose = {
    "lumbar_extension": -14,
    "neck_extension": 9,
    "arm_flex": 5,
}  # for one clip in three, times |normal|


def sample(clips: int, frames: int, fps: float, rng: np.random.Generator) -> Array:
    """Random actions: (clips, frames, 42) float32, rad and m in the order of `COORDINATES`.

    All values lie within the coordinates' ranges, and the motion is smooth. `pelvis_tx` and `pelvis_tz` follow the
    walk from the origin; `pelvis_ty` follows the height of the legs. Upright clips face any direction.

    Parameters
    ----------
    clips : number of clips
    frames : frames per clip
    fps : frames/s
    rng : source of all random choices
    """
    names = rng.choice(list(ACTION_PROBABILITIES), size=clips, p=list(ACTION_PROBABILITIES.values()))
    q = np.empty((clips, frames, len(COORDINATES)), np.float32)
    for name in np.unique(names):
        rows = names == name
        q[rows] = sample_action(str(name), int(rows.sum()), frames, fps, rng)
    receivers = np.flatnonzero(rng.random(clips) < UPPER_BODY_SWAP_PROB)
    donors = rng.permutation(clips)[: len(receivers)]
    upper_body = slice(INDEX["lumbar_extension"], None)
    q[receivers, :, upper_body] = q[donors, :, upper_body]
    return q


def sample_action(name: str, clips: int, frames: int, fps: float, rng: np.random.Generator) -> Array:
    """Like `sample`, with a single action: `name` is a key of `ACTION_PROBABILITIES`."""
    action, keys, period = _sample_keys(name, clips, rng)
    time = np.arange(frames) / fps
    phase = rng.random((clips, 1)) + time / period[:, None]
    q = _interpolate(action.phases, keys, phase)
    if action.lag:
        q[..., _LEFT] = _interpolate(action.phases, keys[..., _LEFT], phase - action.lag)
    q += _sample_posture(clips, rng)[:, None]
    drift_std = np.radians(np.exp(rng.uniform(np.log(0.4), np.log(4), (clips, 1, len(COORDINATES)))))
    q += drift_std * (_drift(clips, time, 0.8, rng) + 0.2 * _drift(clips, time, 0.25, rng))
    mirrored_clips = rng.random(clips) < 0.5
    q[mirrored_clips] = mirror(q[mirrored_clips])
    return _soft_clamp(_add_root_motion(q, action, fps, rng)).astype(np.float32)


def perturb(q: Array, rng: np.random.Generator, degrees: float) -> Array:
    """Add random offsets and drifts to motion (C, T, 42) (rad, m); float32, within the ranges.

    Every coordinate of every clip gets a constant and a smooth drift (16 frames between knots) of equal strength. The
    standard deviation of their sum is `degrees`; for translations, 1 m stands for 1 rad.
    """
    clips, frames, count = q.shape
    offset = rng.standard_normal((clips, 1, count)) + _drift(clips, np.arange(frames), 16, rng)
    return _soft_clamp(q + np.radians(degrees) * np.sqrt(0.5) * offset).astype(np.float32)


def mirror(q: Array) -> Array:
    """Mirror motion (..., 42): left and right exchanged, heading and path mirrored."""
    result: Array = q[..., _MIRROR_INDEX] * _MIRROR_SIGN
    return result


def _sample_keys(name: str, clips: int, rng: np.random.Generator) -> tuple[Action, Array, Array]:
    """Action, its keys (C, K, D) in rad and m, and the cycle's duration (C) in s, of each clip."""
    if name == RANDOM:
        key_interval = rng.uniform(*_RANDOM_STEP, clips)
        return _evenly(_RANDOM_KEYS), _random_keys(key_interval, rng), key_interval * _RANDOM_KEYS
    if name == POSED:
        key_interval = rng.uniform(*_POSED_STEP, clips)
        chosen = rng.integers(len(_POSES), size=(clips, _POSED_KEYS))
        return _evenly(_POSED_KEYS), _jitter_keys(_POSES[chosen], (0.8, 1.1), rng), key_interval * _POSED_KEYS
    if name == HOLD:
        chosen = rng.integers(len(HOLDS), size=(clips, 1))
        return _evenly(1), _jitter_keys(_HOLD_POSES[chosen], (0.85, 1.1), rng), np.ones(clips)
    action = ACTIONS[name]
    keys = np.broadcast_to(_ACTION_KEYS[name], (clips, *_ACTION_KEYS[name].shape))
    return action, _jitter_keys(keys, action.amplitude, rng), rng.uniform(*action.period, clips)


def _evenly(count: int) -> Action:
    return Action(tuple(index / count for index in range(count)), (), (0, 0))


def _jitter_keys(keys: Array, amplitude: tuple[float, float], rng: np.random.Generator) -> Array:
    """Scale keys (C, K, D) at random: as a whole, by coordinate (12 %, not the pelvis), by key (2 degrees)."""
    clips, _, count = keys.shape
    coordinate_factor = 0.12 * rng.standard_normal((clips, 1, count))
    coordinate_factor[..., _PELVIS] = 0
    factor = rng.uniform(*amplitude, (clips, 1, 1)) * (1 + coordinate_factor)
    noise = np.radians(2) * rng.standard_normal(keys.shape) * _IS_ROTATION
    jittered: Array = _STANDING_Q + factor * (keys - _STANDING_Q) + noise
    return jittered


def _random_keys(key_interval: Array, rng: np.random.Generator) -> Array:
    """Random keys (C, 8, D), `key_interval` (C) s apart, within a random part of each coordinate's range; half of the
    clips prefer its ends."""
    shape = (len(key_interval), _RANDOM_KEYS, len(COORDINATES))
    prefer_ends = rng.random((len(key_interval), 1, 1)) < 0.5
    quantile = np.where(prefer_ends, rng.beta(0.4, 0.4, shape), rng.random(shape))
    center = rng.random((len(key_interval), 1, shape[2]))
    width = rng.uniform(0.4, 1.0, center.shape)
    width = np.minimum(width, _RANDOM_SPEED * key_interval[:, None, None] / np.maximum(_KEY_UPPER - _KEY_LOWER, 0.1))
    keys: Array = _KEY_LOWER + (_KEY_UPPER - _KEY_LOWER) * (center + width * (quantile - center))
    return keys


def _interpolate(phases: tuple[float, ...], keys: Array, clip_phases: Array) -> Array:
    """Periodic curves through `keys` (C, K, D) at `phases` (K, from 0, in cycles), evaluated at `clip_phases` (C, T).

    Cubic, C1, and monotone between the keys (harmonic means of the slopes: Fritsch & Butland 1984), so that a
    key that appears twice is held.
    """
    knots = np.array([*phases, 1.0])
    widths = np.diff(knots)[None, :, None]
    after = (np.roll(keys, -1, axis=1) - keys) / widths
    before = np.roll(after, 1, axis=1)
    product = before * after
    tangents = np.where(product > 0, 2 * product / np.where(product > 0, before + after, 1), 0)
    clip_phases = clip_phases % 1.0
    segment = np.clip(np.searchsorted(knots, clip_phases, side="right") - 1, 0, len(phases) - 1)
    next_key = (segment + 1) % len(phases)
    width = np.diff(knots)[segment][..., None]
    u = (clip_phases - knots[segment])[..., None] / width
    clip = np.arange(len(keys))[:, None]
    blend = u * u * (3 - 2 * u)
    curves: Array = keys[clip, segment] * (1 - blend) + keys[clip, next_key] * blend
    curves += tangents[clip, segment] * (width * u * (1 - u) ** 2)
    curves += tangents[clip, next_key] * (width * u * u * (u - 1))
    return curves


def _drift(clips: int, time: Array, spacing: float, rng: np.random.Generator) -> Array:
    """Smooth noise (C, T, D) of unit variance: cubic B-splines with random coefficients, knots `spacing` s apart."""
    count = int(time[-1] / spacing) + 4
    basis = BSpline.design_matrix(time, (np.arange(count + 4) - 3) * spacing, 3).toarray()
    coefficients = rng.standard_normal((clips, count, len(COORDINATES)))
    drift: Array = np.einsum("tk,ckd->ctd", basis, coefficients, optimize=True) / 0.69  # RMS of a basis row
    return drift


def _sample_posture(clips: int, rng: np.random.Generator) -> Array:
    """Habitual posture (C, D) of a person, added to all motion; the hips compensate for the pelvis's tilt."""
    stoop = np.abs(rng.standard_normal((clips, 1))) * (rng.random((clips, 1)) < 1 / 3)
    posture: Array = _POSTURE_STD * rng.standard_normal((clips, len(COORDINATES))) + stoop * _STOOP_Q
    posture[:, _HIPS] -= posture[:, [INDEX["pelvis_tilt"]]]
    return posture


def _add_root_motion(q: Array, action: Action, fps: float, rng: np.random.Generator) -> Array:
    """Rotate, translate and lift, in place, motion (C, T, D) that faces +x at the origin."""
    clips, frames, _ = q.shape
    q[..., INDEX["pelvis_ty"]] += _leg_height(q)
    turn_rate = np.radians(rng.normal(0, action.turn_rate_std, (clips, 1)))
    heading = rng.uniform(-np.pi, np.pi, (clips, 1)) + turn_rate * np.arange(frames) / fps
    step = rng.uniform(*action.speed, (clips, 1)) / fps
    for name, displacement in (("pelvis_tx", step * np.cos(heading)), ("pelvis_tz", -step * np.sin(heading))):
        q[..., INDEX[name]] += np.cumsum(displacement, axis=1) - displacement[:, :1]
    pelvis_rotation = Rotation.from_euler("ZXY", q[..., _PELVIS].reshape(-1, 3))
    rotated_pelvis = (
        (Rotation.from_euler("Y", heading.reshape(-1, 1)) * pelvis_rotation).as_euler("ZXY").reshape(clips, frames, 3)
    )
    upright = (np.abs(rotated_pelvis[..., 1]) < _MAX_UPRIGHT_LIST).all(axis=1) & (
        np.abs(q[..., INDEX["pelvis_tilt"]]) < 2.8
    ).all(axis=1)
    q[upright, :, _PELVIS] = np.unwrap(rotated_pelvis[upright], axis=1)
    return q


def _leg_height(q: Array) -> Array:
    """Height (C, T) of the pelvis above the floor, m: of the leg that reaches further down, and at least its own."""
    reach = np.zeros(q.shape[:2])
    for side in "rl":
        thigh = q[..., INDEX["pelvis_tilt"]] + q[..., INDEX[f"hip_flexion_{side}"]]
        leg_reach = _THIGH * np.cos(thigh) + _SHANK * np.cos(thigh - q[..., INDEX[f"knee_angle_{side}"]])
        reach = np.logaddexp(reach / 0.02, leg_reach / 0.02) * 0.02
    height: Array = reach + _PELVIS_AND_FOOT
    return height


def _soft_clamp(q: Array) -> Array:
    """Motion within the ranges, bent smoothly within `SOFT_MARGIN` of their ends; the patellae follow the knees."""
    soft = np.minimum(SOFT_MARGIN, 0.05 * (UPPER - LOWER))
    low, high = LOWER + soft, UPPER - soft
    clipped = np.clip(q, low, high)
    headroom = 0.95 * soft  # never exactly at the end
    excess = q - clipped
    q = clipped + excess / (1 + np.abs(excess) / headroom)
    for follower, leader in _FOLLOWERS:
        q[..., follower] = q[..., leader]
    return q


def _vector(values: Pose, default: float = 0.0) -> Array:
    """Vector (D) in the units of `values`; a limb's coordinate without side applies to both sides."""
    vector = np.full(len(COORDINATES), default)
    for name, value in values.items():
        for full in (name,) if name in INDEX else (f"{name}_r", f"{name}_l"):
            vector[INDEX[full]] = value
    return vector


def _other_side(name: str) -> str:
    return "_".join({"r": "l", "l": "r"}.get(part, part) for part in name.split("_"))


_IS_ROTATION = np.array([row["motion"] == "rotation" for row in _ROWS])
_UNIT = np.where(_IS_ROTATION, np.pi / 180, 1.0)  # of the poses, in rad and m
_LEFT = np.array(["l" in name.split("_") for name in COORDINATES])
_MIRROR_INDEX = [INDEX[_other_side(name)] for name in COORDINATES]
_MIRROR_NEGATED = (
    "pelvis_list",
    "pelvis_rotation",
    "pelvis_tz",
    "lumbar_bending",
    "lumbar_rotation",
    "neck_bending",
    "neck_rotation",
)
_MIRROR_SIGN = _vector(dict.fromkeys(_MIRROR_NEGATED, -1.0), 1.0)
_FOLLOWERS = [(INDEX[row["coordinate"]], INDEX[row["follows"]]) for row in _ROWS if row["follows"]]
_HIPS = [INDEX["hip_flexion_r"], INDEX["hip_flexion_l"]]
_PELVIS = slice(INDEX["pelvis_tilt"], INDEX["pelvis_rotation"] + 1)  # tilt, list, rotation
_STANDING_Q = _vector(STANDING) * _UNIT
_POSTURE_STD = _vector(_POSTURE_STD_DEG, 3.0) * _UNIT
_STOOP_Q = _vector(_STOOP_DEG) * _UNIT
_POSES = np.array([_vector(STANDING | pose) for pose in POSES.values()]) * _UNIT
_HOLD_POSES = np.array([_vector(STANDING | POSES[name]) for name in HOLDS]) * _UNIT
_ACTION_KEYS = {
    name: np.array([_vector(STANDING | key) for key in action.keys]) * _UNIT for name, action in ACTIONS.items()
}
# Span of random keys: the ranges, a full turn of the heading, no translation
_KEY_LOWER = np.where(_IS_ROTATION, np.maximum(LOWER, -np.pi), 0.0)
_KEY_UPPER = np.where(_IS_ROTATION, np.minimum(UPPER, np.pi), 0.0)
