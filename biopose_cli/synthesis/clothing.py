"""Clothes for a body with SMPL's topology: a colour and an offset per vertex, by region of the T-pose.

The regions follow the joints (a shirt ends part-way down the upper arm, trousers at the ankle), so any body file works.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from biopose_cli.synthesis.mocap import INDEX
from biopose_cli.typing import Array


@dataclass(frozen=True)
class Outfit:
    """Colour and cloth offset of a body's vertices."""

    colors: Array  # (V, 3) albedo, 0..1
    offsets: Array  # (V,) m along the normal: cloth over skin


# Plausible ranges of linear albedo, dark to light (our choice).
_SKIN = np.array([[0.22, 0.13, 0.09], [0.80, 0.60, 0.48]])
_HAIR = np.array([[0.04, 0.03, 0.03], [0.35, 0.25, 0.14]])


def dress(vertices: Array, joints: Array, weights: Array, seed: int) -> Outfit:
    """Random clothes for a T-pose.

    Parameters
    ----------
    vertices : (V, 3) m
    joints : (24, 3) m
    weights : (V, 24) skinning weights
    seed : of the choice
    """
    rng = np.random.default_rng(seed)
    main_joint = np.asarray(weights).argmax(axis=1)

    def belongs_to(*names: str) -> Array:
        return np.isin(main_joint, [INDEX[name] for name in names])

    def along_bone(start: str, end: str) -> Array:
        """Position (V) along the bone from the left joint `start` (0) to `end` (1); mirrored on the right."""
        a, b = joints[INDEX[start]], joints[INDEX[end]]
        mirrored = np.abs(vertices) * [1, 0, 0] + vertices * [0, 1, 1]
        along: Array = (mirrored - a) @ (b - a) / ((b - a) @ (b - a))
        return along

    def both_sides(name: str) -> tuple[str, str]:
        return f"left_{name}", f"right_{name}"

    sleeve, shorts = rng.choice([0.45, 0.6, 1.9]), rng.choice([0.75, 1.93, 1.93])
    arm = along_bone("left_shoulder", "left_elbow")
    arm = np.where(arm > 1, 1 + along_bone("left_elbow", "left_wrist"), arm)
    leg = along_bone("left_hip", "left_knee")
    leg = np.where(leg > 1, 1 + along_bone("left_knee", "left_ankle"), leg)
    waist = joints[INDEX["spine1"], 1] - 0.02
    trunk = belongs_to("pelvis", "spine1", "spine2", "spine3", "neck", *both_sides("collar"), *both_sides("hip"))
    neckline = joints[INDEX["neck"], 1] - 0.005
    limbs = belongs_to(*both_sides("shoulder"), *both_sides("elbow"))
    shirt = (trunk & (vertices[:, 1] > waist) & (vertices[:, 1] < neckline)) | (limbs & (arm < sleeve))
    legs = belongs_to("pelvis", *both_sides("hip"), *both_sides("knee"), *both_sides("ankle"), "spine1")
    trousers = legs & (vertices[:, 1] <= waist) & (leg < shorts)
    shoes = belongs_to(*both_sides("ankle"), *both_sides("foot")) & (leg >= 1.85) & ~(trousers & (shorts > 1.5))

    head = joints[INDEX["head"]]
    crown = float(vertices[:, 1].max())
    up = (vertices[:, 1] - head[1]) / (crown - head[1])
    skull = belongs_to("head")
    front = vertices[:, 2] - head[2]
    hair = skull & ((up > 0.80) | ((up > 0.30) & (front < -0.01 + 0.10 * np.maximum(up - 0.55, 0))))

    skin = _SKIN[0] + (_SKIN[1] - _SKIN[0]) * rng.uniform()
    colors = np.tile(skin, (len(vertices), 1))
    top, bottom = _cloth_color(rng), _cloth_color(rng)
    while np.abs(top - bottom).max() < 0.15:
        bottom = _cloth_color(rng)
    sole = vertices[:, 1] < vertices[:, 1].min() + 0.018
    for region, color in (
        (hair, _HAIR[0] + (_HAIR[1] - _HAIR[0]) * rng.uniform() ** 2),
        (trousers, bottom),
        (shirt, top),
        (shoes, rng.uniform(0.05, 0.6) * np.array([1.0, 0.97, 0.95])),
        (shoes & sole, np.full(3, 0.75)),
    ):
        colors[region] = color
    _paint_face(colors, vertices, skull & ~hair, up, skin)
    texture = rng.normal(0, 0.012, (len(vertices), 1)) + 0.03 * np.sin(vertices @ rng.normal(0, 60, (3, 1)))
    colors *= 1 + np.where((shirt | trousers)[:, None], texture, 0.5 * texture)
    folds = 0.0015 * np.sin(vertices @ rng.normal(0, 50, 3)) * np.sin(vertices @ rng.normal(0, 35, 3))
    offsets = np.where(shirt | trousers, 0.007 + folds, 0) + np.where(shoes, 0.003, 0) + np.where(hair, 0.012, 0)
    return Outfit(np.clip(colors, 0, 1), offsets)


def _cloth_color(rng: np.random.Generator) -> Array:
    """A cloth colour: mostly muted, from near black to near white."""
    value, hue = rng.uniform(0.06, 0.75), rng.uniform(0, 2 * np.pi)
    tint = np.cos(hue + np.array([0, 2, 4]) * np.pi / 3) * rng.uniform(0, 0.35) * value
    color: Array = np.clip(value + tint, 0.02, 0.85)
    return color


def _paint_face(colors: Array, vertices: Array, face_mask: Array, up: Array, skin: Array) -> None:
    """Paint brows, eyes and lips of a MakeHuman-like head: keypoint networks rely on them."""
    frontal = vertices[:, 2] > np.percentile(vertices[face_mask, 2], 55)
    lateral = np.abs(vertices[:, 0])
    eye = face_mask & frontal & (np.abs(up - 0.325) < 0.025) & (np.abs(lateral - 0.031) < 0.013)
    brow = face_mask & frontal & (np.abs(up - 0.475) < 0.022) & (np.abs(lateral - 0.032) < 0.018)
    lips = face_mask & frontal & (np.abs(up + 0.09) < 0.05) & (lateral < 0.024)
    colors[brow] = skin * 0.35
    colors[lips] = skin * np.array([0.95, 0.62, 0.62])
    colors[eye] = skin * 0.3
