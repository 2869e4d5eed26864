"""Poses of SMPL's joints for synthetic views: motion capture, and actions that it lacks.

Motion capture is mostly walking and running. `joint_motion.py` has squats, chairs, floor exercises, reaching, patients'
gaits and quiet standing as joint angles of the skeleton; here they become rotations of SMPL's joints. Global rotations
are in SMPL's axes (x to the subject's left, y up, z forward). N poses.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from biopose_cli.body.kinematics import ACTIVE_JOINTS, NUM_JOINTS
from biopose_cli.body.model import MIRROR_JOINT, load_body
from biopose_cli.mesh_fit.priors import joint_ranges
from biopose_cli.skeleton.kinematics import Kinematics
from biopose_cli.skeleton.static_trial import OPENSIM_FROM_SMPL
from biopose_cli.synthesis import joint_motion
from biopose_cli.synthesis.mocap import INDEX, PARENTS
from biopose_cli.synthesis.retarget import Motion
from biopose_cli.synthesis.subjects import ScaledSubject
from biopose_cli.typing import Array

SEGMENT_BODY = {  # SMPL joint: the skeleton's body that moves its segment
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
# Joints between two of them: fraction of the rotation between their neighbours
_INTERPOLATED_SEGMENTS = {
    "spine1": ("pelvis", "spine3", 1 / 3),
    "spine2": ("pelvis", "spine3", 2 / 3),
    "neck": ("spine3", "head", 0.5),
}
_MAX_PERTURBATION = 22.0  # degrees, largest random rotation of a joint
_FULL_RANGE = np.radians(60)  # an axis with a narrower range is rotated less
_ARMS = (13, 14, *range(16, 22))
_UPPER_BODY = (3, 6, 9, 12, 15, *_ARMS)  # the hips
_LIMBS = ((16, 18, 20), (17, 19, 21), (1, 4, 7, 10), (2, 5, 8, 11))
_RANDOM_LIMB_PROB = 0.4  # per limb, in people with random limbs
# of the upper arm's rotation out of the T-pose goes to the shoulder blade, which the skeleton lacks
_SCAPULA_FRACTION = 0.15


class PoseSampler:
    """Endless random poses; `draw` returns rotation vectors relative to the parents.

    Parameters
    ----------
    motions : captured motion, at one frame rate
    mocap_fraction : fraction of poses from motion capture
    static_fraction : fraction of static poses (mostly standing); the remaining ones are frames of `joint_motion`
    perturbed_fraction : fraction of poses with random joint rotations added
    recombined_fraction : fraction of poses with the arms, or everything above the hips, of another pose
    random_fraction : fraction of poses with some limbs drawn at random within their ranges
    """

    def __init__(
        self,
        motions: Sequence[Motion],
        mocap_fraction: float = 0.6,
        static_fraction: float = 0.12,
        perturbed_fraction: float = 0.5,
        recombined_fraction: float = 0.0,
        random_fraction: float = 0.0,
    ) -> None:
        self.mocap_poses = np.concatenate([motion.pose for motion in motions]).astype(np.float32)
        self.mocap_fraction, self.static_fraction, self.perturbed_fraction = (
            mocap_fraction,
            static_fraction,
            perturbed_fraction,
        )
        self.recombined_fraction, self.random_fraction = recombined_fraction, random_fraction
        self.joint_space = JointSpacePoses()

    def draw(self, count: int, rng: np.random.Generator) -> Array:
        """Rotation vectors (N, 24, 3), rad; half of them mirrored.

        The root's is in the world (y up), with any heading.
        """
        num_mocap, num_static = round(count * self.mocap_fraction), round(count * self.static_fraction)
        poses = np.concatenate(
            [
                self.mocap_poses[rng.integers(0, len(self.mocap_poses), num_mocap)],
                self.joint_space.static(num_static, rng),
                self.joint_space.dynamic(count - num_mocap - num_static, rng),
            ]
        )
        if self.recombined_fraction:
            poses = recombine(poses, rng, self.recombined_fraction)
        if self.random_fraction:
            randomized = rng.random(count) < self.random_fraction
            poses[randomized] = sample_within_limits(poses[randomized], rng)
        chosen = np.flatnonzero(rng.random(count) < self.perturbed_fraction)
        perturbation_std = np.radians(rng.uniform(0, _MAX_PERTURBATION, len(chosen)))
        poses[chosen] = perturb(poses[chosen], rng, perturbation_std)
        lean = Rotation.from_rotvec(0.5 * perturbation_std[:, None] * rng.normal(size=(len(chosen), 3)))
        poses[chosen, 0] = (lean * Rotation.from_rotvec(poses[chosen, 0])).as_rotvec()
        mirrored = rng.random(count) < 0.5
        poses[mirrored] = poses[mirrored][:, list(MIRROR_JOINT)] * np.array([1, -1, -1], np.float32)
        return np.asarray(poses[rng.permutation(count)], np.float32)


def perturb(poses: Array, rng: np.random.Generator, std: Array) -> Array:
    """Poses (N, 24, 3) with random rotations of standard deviation `std` (N) rad added to their joints.

    Joints stay within their ranges (`body/data/limits.csv`), or no further outside than before. The root is unchanged.
    """
    lower, upper = joint_ranges()
    joints = list(ACTIVE_JOINTS[1:])
    initial = poses[:, joints]
    range_factor = np.minimum(1.0, (upper - lower) / _FULL_RANGE)  # a knee rotates only about its hinge
    perturbed = initial + std[:, None, None] * range_factor * rng.normal(size=initial.shape)
    result = poses.copy()
    result[:, joints] = np.clip(perturbed, np.minimum(lower, initial), np.maximum(upper, initial))
    return result


def recombine(poses: Array, rng: np.random.Generator, fraction: float) -> Array:
    """Poses (N, 24, 3), a fraction of which get the arms, or everything above the hips, of another pose."""
    result, donors = poses.copy(), poses[rng.permutation(len(poses))]
    selected = rng.random(len(poses)) < fraction
    for joints, receivers in ((_UPPER_BODY, selected & (rng.random(len(poses)) < 0.5)), (_ARMS, selected)):
        rows = np.ix_(np.flatnonzero(receivers), joints)
        result[rows] = donors[rows]
    return result


def sample_within_limits(poses: Array, rng: np.random.Generator) -> Array:
    """Poses (N, 24, 3), some of whose limbs are moved towards random angles within their ranges."""
    lower, upper = joint_ranges()
    result = poses.copy()
    for limb in _LIMBS:
        limit_rows = np.array(limb) - 1  # rows of the ranges, which exclude the pelvis
        target = rng.uniform(lower[limit_rows], upper[limit_rows], (len(poses), len(limb), 3))
        weight = rng.random((len(poses), 1, 1)) * (rng.random((len(poses), 1, 1)) < _RANDOM_LIMB_PROB)
        result[:, limb] += weight * (target - result[:, limb])
    return result


class JointSpacePoses:
    """Joint-space motion as poses of the mean body."""

    def __init__(self) -> None:
        subject = ScaledSubject(load_body(), np.zeros(10))
        self.kinematics = Kinematics(subject.spec)
        self.coordinate_order = [joint_motion.INDEX[name] for name in subject.spec.coordinates]
        rest_q = subject.solver.solve(subject.markers(np.zeros((1, 24, 3)), np.zeros((1, 3)))).q
        self.rest_rotations = self._body_rotations(rest_q)[:, 0]

    def dynamic(self, count: int, rng: np.random.Generator) -> Array:
        """(N, 24, 3): frames of `joint_motion.sample`."""
        frames = 4
        motion = joint_motion.sample(-(-count // frames), frames, 1.0, rng)
        return self.to_smpl(motion.reshape(-1, motion.shape[-1])[:count])

    def static(self, count: int, rng: np.random.Generator) -> Array:
        """Poses (N, 24, 3) of people who hold still: two in five stand quietly, the others sit, crouch or dance."""
        return self.to_smpl(joint_motion.sample_action(joint_motion.HOLD, count, 2, 1.0, rng)[:, 0])

    def to_smpl(self, q: Array) -> Array:
        """SMPL poses (N, 24, 3) of angles (N, D) in the order of `joint_motion.COORDINATES`."""
        rotations = (
            self._body_rotations(q[:, self.coordinate_order]) @ np.swapaxes(self.rest_rotations, 1, 2)[:, None]
        )  # (J, N, 3, 3), relative to the T-pose
        names = self.kinematics.spec.bodies
        global_rotations = np.empty((NUM_JOINTS, len(q), 3, 3))
        for joint, body in SEGMENT_BODY.items():
            global_rotations[INDEX[joint]] = OPENSIM_FROM_SMPL.T @ rotations[names.index(body)] @ OPENSIM_FROM_SMPL
        for joint, (start, end, fraction) in _INTERPOLATED_SEGMENTS.items():
            global_rotations[INDEX[joint]] = _interpolate(
                global_rotations[INDEX[start]], global_rotations[INDEX[end]], fraction
            )
        chest = global_rotations[INDEX["spine3"]]
        for side in ("left", "right"):
            global_rotations[INDEX[f"{side}_collar"]] = _interpolate(
                chest, global_rotations[INDEX[f"{side}_shoulder"]], _SCAPULA_FRACTION
            )
        local = global_rotations.copy()
        for index in range(1, NUM_JOINTS):
            local[index] = np.swapaxes(global_rotations[PARENTS[index]], -1, -2) @ global_rotations[index]
        axis_angles = Rotation.from_matrix(np.swapaxes(local, 0, 1).reshape(-1, 3, 3)).as_rotvec()
        return np.asarray(axis_angles.reshape(-1, NUM_JOINTS, 3), np.float32)

    def _body_rotations(self, q: Array) -> Array:
        """Rotations (J, N, 3, 3) of the skeleton's bodies in ground, from angles (N, D)."""
        with torch.no_grad():
            rotation = self.kinematics.body_transforms(torch.as_tensor(np.asarray(q, np.float64))).rotation
        return np.moveaxis(rotation.numpy(), -1, 1)


def _interpolate(start: Array, end: Array, fraction: float) -> Array:
    """Rotations (N, 3, 3) at a fraction of the way from `start` to `end`."""
    axis_angle = Rotation.from_matrix(np.swapaxes(start, -1, -2) @ end).as_rotvec()
    return np.asarray(start @ Rotation.from_rotvec(fraction * axis_angle).as_matrix())
