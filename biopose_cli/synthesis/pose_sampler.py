"""Poses of SMPL's joints for synthetic views: motion capture, and what people do that it lacks.

Motion capture is mostly walking and running. `joint_motion.py` has squats, chairs, floors, reaching, patients' gaits
and quiet standing as angles of the skeleton; here they become rotations of the body's joints. Global rotations are
meant in SMPL's axes (x to the subject's left, y up, z forward). N poses.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from biopose_cli.body.kinematics import JOINTS, MOVING
from biopose_cli.body.model import OTHER_SIDE, load_body
from biopose_cli.mesh_fit.priors import ranges
from biopose_cli.skeleton.kinematics import Kinematics
from biopose_cli.skeleton.static_trial import FROM_SMPL
from biopose_cli.synthesis import joint_motion
from biopose_cli.synthesis.mocap import INDEX, PARENTS
from biopose_cli.synthesis.retarget import Motion
from biopose_cli.synthesis.subjects import Wearer
from biopose_cli.typing import Array

FOLLOWS = {  # SMPL joint: the skeleton's body that its segment moves with
    "pelvis": "pelvis", "spine3": "torso", "head": "head",
    **{
        f"{side}_{joint}": f"{body}_{side[0]}"
        for side in ("left", "right")
        for joint, body in (
            ("hip", "femur"), ("knee", "tibia"), ("ankle", "calcn"), ("foot", "toes"), ("shoulder", "humerus"),
            ("elbow", "radius"), ("wrist", "hand"), ("hand", "hand"),
        )
    },
}  # fmt: skip
# What lies between two of them, as a share of the way
_BETWEEN = {
    "spine1": ("pelvis", "spine3", 1 / 3),
    "spine2": ("pelvis", "spine3", 2 / 3),
    "neck": ("spine3", "head", 0.5),
}
_CHANGE = 22.0  # degrees, the most by which joints are turned at random
_FREE = np.radians(60)  # an axis with a narrower range is turned less
_ARMS = (13, 14, *range(16, 22))
_ABOVE = (3, 6, 9, 12, 15, *_ARMS)  # the hips
_LIMBS = ((16, 18, 20), (17, 19, 21), (1, 4, 7, 10), (2, 5, 8, 11))
_MOVED = 0.4  # of the limbs of a person whose limbs may be anywhere
_GIRDLE = 0.15  # of the upper arm's turn out of the T-pose is the shoulder blade's: the skeleton has none


class Postures:
    """Poses without end: `draw` gives rotations relative to the parents.

    motions: captured, at any rate. captured, held: shares of all poses that are taken from them, and that are held
    quietly (mostly standing); the others are invented. crossed, wide, changed: shares of all whose arms, or all above
    the hips, are then those of another; some of whose limbs are anywhere; whose joints are turned at random.
    """

    def __init__(
        self,
        motions: Sequence[Motion],
        captured: float = 0.6,
        held: float = 0.12,
        changed: float = 0.5,
        crossed: float = 0.0,
        wide: float = 0.0,
    ) -> None:
        self.motions = np.concatenate([motion.pose for motion in motions]).astype(np.float32)
        self.captured, self.held, self.changed = captured, held, changed
        self.crossed, self.wide = crossed, wide
        self.invented = Invented()

    def draw(self, count: int, rng: np.random.Generator) -> Array:
        """(N, 24, 3) rad, rotation vectors; half of them mirrored. World frame, y up, any heading."""
        real, still = round(count * self.captured), round(count * self.held)
        poses = np.concatenate(
            [
                self.motions[rng.integers(0, len(self.motions), real)],
                self.invented.held(still, rng),
                self.invented.moving(count - real - still, rng),
            ]
        )
        if self.crossed:
            poses = crossed(poses, rng, self.crossed)
        if self.wide:
            somewhere = rng.random(count) < self.wide
            poses[somewhere] = wide(poses[somewhere], rng)
        chosen = np.flatnonzero(rng.random(count) < self.changed)
        size = np.radians(rng.uniform(0, _CHANGE, len(chosen)))
        poses[chosen] = changed(poses[chosen], rng, size)
        lean = Rotation.from_rotvec(0.5 * size[:, None] * rng.normal(size=(len(chosen), 3)))
        poses[chosen, 0] = (lean * Rotation.from_rotvec(poses[chosen, 0])).as_rotvec()
        swapped = rng.random(count) < 0.5
        poses[swapped] = poses[swapped][:, list(OTHER_SIDE)] * np.array([1, -1, -1], np.float32)
        return np.asarray(poses[rng.permutation(count)], np.float32)


def changed(poses: Array, rng: np.random.Generator, size: Array) -> Array:
    """Poses (N, 24, 3) with their joints turned at random by a standard deviation of `size` (N) rad, within their
    ranges (`body/data/limits.csv`) or no further out of them than they were; the root stays."""
    lower, upper = ranges()
    joints = list(MOVING[1:])
    old = poses[:, joints]
    narrow = np.minimum(1.0, (upper - lower) / _FREE)  # a knee turns about its hinge only
    new = old + size[:, None, None] * narrow * rng.normal(size=old.shape)
    result = poses.copy()
    result[:, joints] = np.clip(new, np.minimum(lower, old), np.maximum(upper, old))
    return result


def crossed(poses: Array, rng: np.random.Generator, share: float) -> Array:
    """Poses (N, 24, 3), a share of which has the arms, or all above the hips, of another of them."""
    result, other = poses.copy(), poses[rng.permutation(len(poses))]
    taken = rng.random(len(poses)) < share
    for joints, some in ((_ABOVE, taken & (rng.random(len(poses)) < 0.5)), (_ARMS, taken)):
        rows = np.ix_(np.flatnonzero(some), joints)
        result[rows] = other[rows]
    return result


def wide(poses: Array, rng: np.random.Generator) -> Array:
    """Poses (N, 24, 3) some of whose limbs are on their way to anywhere within their ranges."""
    lower, upper = ranges()
    result = poses.copy()
    for limb in _LIMBS:
        place = np.array(limb) - 1  # of the ranges, which leave out the pelvis
        target = rng.uniform(lower[place], upper[place], (len(poses), len(limb), 3))
        way = rng.random((len(poses), 1, 1)) * (rng.random((len(poses), 1, 1)) < _MOVED)
        result[:, limb] += way * (target - result[:, limb])
    return result


class Invented:
    """Joint-space motion as poses of the mean body."""

    def __init__(self) -> None:
        wearer = Wearer(load_body(), np.zeros(10))
        self.kinematics = Kinematics(wearer.table)
        self.order = [joint_motion.INDEX[name] for name in wearer.table.coordinates]
        rest = wearer.solver.solve(wearer.markers(np.zeros((1, 24, 3)), np.zeros((1, 3)))).q
        self.rest = self._turned(rest)[:, 0]

    def moving(self, count: int, rng: np.random.Generator) -> Array:
        """(N, 24, 3): frames of `joint_motion.sample`."""
        frames = 4
        motion = joint_motion.sample(-(-count // frames), frames, 1.0, rng)
        return self.poses(motion.reshape(-1, motion.shape[-1])[:count])

    def held(self, count: int, rng: np.random.Generator) -> Array:
        """(N, 24, 3): people who hold a pose; two of five stand quietly, others sit, crouch or dance."""
        return self.poses(joint_motion.perform(joint_motion.HOLD, count, 2, 1.0, rng)[:, 0])

    def poses(self, q: Array) -> Array:
        """(N, 24, 3) of angles (N, D) in the order of `joint_motion.COORDINATES`."""
        turned = (
            self._turned(q[:, self.order]) @ np.swapaxes(self.rest, 1, 2)[:, None]
        )  # (J, N, 3, 3), from the T-pose
        names = self.kinematics.table.bodies
        whole = np.empty((JOINTS, len(q), 3, 3))
        for joint, body in FOLLOWS.items():
            whole[INDEX[joint]] = FROM_SMPL.T @ turned[names.index(body)] @ FROM_SMPL
        for joint, (start, end, share) in _BETWEEN.items():
            whole[INDEX[joint]] = _part(whole[INDEX[start]], whole[INDEX[end]], share)
        chest = whole[INDEX["spine3"]]
        for side in ("left", "right"):
            whole[INDEX[f"{side}_collar"]] = _part(chest, whole[INDEX[f"{side}_shoulder"]], _GIRDLE)
        local = whole.copy()
        for index in range(1, JOINTS):
            local[index] = np.swapaxes(whole[PARENTS[index]], -1, -2) @ whole[index]
        vectors = Rotation.from_matrix(np.swapaxes(local, 0, 1).reshape(-1, 3, 3)).as_rotvec()
        return np.asarray(vectors.reshape(-1, JOINTS, 3), np.float32)

    def _turned(self, q: Array) -> Array:
        """Rotations of the skeleton's bodies in ground, (J, N, 3, 3), of angles (N, D)."""
        with torch.no_grad():
            rotation = self.kinematics.frames(torch.as_tensor(np.asarray(q, np.float64))).rotation
        return np.moveaxis(rotation.numpy(), -1, 1)


def _part(start: Array, end: Array, share: float) -> Array:
    """Rotations (N, 3, 3) a share of the way from `start` to `end`."""
    way = Rotation.from_matrix(np.swapaxes(start, -1, -2) @ end).as_rotvec()
    return np.asarray(start @ Rotation.from_rotvec(share * way).as_matrix())
