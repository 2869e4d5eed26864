"""The clip's body standing like the skeleton at zero coordinates: the equivalent of a lab's static trial.

Upright, legs straight and parallel under the hips, feet flat as in the body's own rest pose, arms hanging
straight down, palms to the thighs. Only the limbs' directions are set, each by the smallest rotation, so no limb
rotates about its own axis: knees and elbows bend in the body's own plane.

Frame: OpenSim's axes (x forward, y up, z to the subject's right), origin half way between the hip centres, m.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from biopose_cli.body.markers import MARKER_NAMES, joint_centers
from biopose_cli.body.model import JOINT_NAMES, Body, BodyOutput
from biopose_cli.typing import Array

OPENSIM_FROM_SMPL = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])  # SMPL: x left, y up, z forward
# chains from the trunk outwards: SMPL joint that rotates, and the two joint centres that span the limb
_LIMBS = (
    ("hip", "hip", "knee"),
    ("knee", "knee", "ankle"),
    ("shoulder", "shoulder", "elbow"),
    ("elbow", "elbow", "wrist"),
)
_PASSES = 4  # a joint centre on the skin differs from the body's centre of rotation: a few passes converge
SOLE_THICKNESS = 0.01  # m above the lowest vertex: these vertices make the sole


@dataclass(frozen=True)
class StaticTrial:
    """The static trial.

    `markers` (M, 3) in the order of MARKER_NAMES, `joint_centers` (3) by joint and side, `vertices` (V, 3), all m.
    """

    markers: Array
    joint_centers: dict[str, Array]
    vertices: Array

    def marker(self, name: str) -> Array:
        """The position (3,) of a virtual marker, m."""
        return np.asarray(self.markers[MARKER_NAMES.index(name)])


def pose_static(body: Body, betas: Array, directions: dict[str, Array]) -> StaticTrial:
    """Pose the body of shape `betas` (10) with its limbs along `directions`.

    directions: unit vectors (3) in OpenSim's axes for thigh, shank, upper arm and forearm, by the joint they
    start from ("hip_r", "knee_r", "shoulder_r", "elbow_r", and _l).
    """
    shape = torch.as_tensor(betas, dtype=torch.float32)
    rotations = {name: Rotation.identity() for name in JOINT_NAMES}
    for side, sign in (("left", -1.0), ("right", 1.0)):  # arms down from the T-pose
        rotations[f"{side}_shoulder"] = Rotation.from_rotvec([0.0, 0.0, sign * np.pi / 2])
    for _ in range(_PASSES):
        for joint, start, end in _LIMBS:
            centers = _joint_centers(_pose_body(body, shape, rotations))
            for side in ("left", "right"):
                letter = side[0]
                current = centers[f"{end}_{letter}"][0] - centers[f"{start}_{letter}"][0]
                target = OPENSIM_FROM_SMPL.T @ directions[f"{start}_{letter}"]
                _rotate_joint(rotations, f"{side}_{joint}", _smallest_rotation(current.double().numpy(), target))
        for side in ("left", "right"):  # the foot stays as it stands at rest
            rotations[f"{side}_ankle"] = (rotations[f"{side}_hip"] * rotations[f"{side}_knee"]).inv()
    posed = _pose_body(body, shape, rotations)
    vertices = body.vertices(_pose_vector(rotations), torch.zeros(1, 3), shape, torch.zeros(1, 3))[0]
    centers = {name: center[0] for name, center in _joint_centers(posed).items()}
    origin = ((centers["hip_r"] + centers["hip_l"]) / 2).double().numpy()

    def ground(points: torch.Tensor) -> Array:
        return np.asarray((points.double().numpy() - origin) @ OPENSIM_FROM_SMPL.T)

    return StaticTrial(
        ground(posed.markers[0]),
        {name: ground(centre) for name, centre in centers.items()},
        ground(vertices),
    )


def sole_points(static_trial: StaticTrial) -> dict[str, Array]:
    """Points (3) under each foot that touch the floor: "heel_r", "ball_r", "heel_l", "ball_l"; same frame.

    Each is the lowest part of the mesh below the heel's marker and below the heads of the metatarsals.
    """
    sole_vertices = static_trial.vertices[
        static_trial.vertices[:, 1] < static_trial.vertices[:, 1].min() + SOLE_THICKNESS
    ]
    points: dict[str, Array] = {}
    for side in "rl":
        heel = static_trial.marker(f"{side.upper()}CAL")
        ball = (static_trial.marker(f"{side.upper()}MT1") + static_trial.marker(f"{side.upper()}MT5")) / 2
        for name, position in (("heel", heel + 0.15 * (ball - heel)), ("ball", ball)):
            nearest = np.argsort(np.linalg.norm((sole_vertices - position)[:, [0, 2]], axis=1))[:10]
            points[f"{name}_{side}"] = sole_vertices[nearest].mean(axis=0)
    return points


def _rotate_joint(rotations: dict[str, Rotation], joint: str, rotation: Rotation) -> None:
    """Rotate everything distal to `joint`, about the body's axes, by changing that joint's own rotation."""
    parent_joint = {"elbow": "shoulder", "knee": "hip"}
    side, name = joint.split("_")
    parent_rotation = rotations[f"{side}_{parent_joint[name]}"] if name in parent_joint else Rotation.identity()
    rotations[joint] = parent_rotation.inv() * rotation * parent_rotation * rotations[joint]


def _smallest_rotation(current: Array, target: Array) -> Rotation:
    # not by way of `so3.rotation_between`: another rounding of the float32 pose moves the angles by 1e-4 degrees
    current = current / np.linalg.norm(current)
    axis = np.cross(current, target)
    sine, cosine = np.linalg.norm(axis), current @ target
    angle = np.arctan2(sine, cosine)
    return Rotation.from_rotvec(axis / sine * angle) if sine > 1e-12 else Rotation.identity()


def _pose_vector(rotations: dict[str, Rotation]) -> torch.Tensor:
    vectors = np.stack([rotations[name].as_rotvec() for name in JOINT_NAMES[1:]])
    return torch.as_tensor(vectors, dtype=torch.float32)[None]


def _pose_body(body: Body, shape: torch.Tensor, rotations: dict[str, Rotation]) -> BodyOutput:
    zero = torch.zeros(1, 3)
    return body.pose(_pose_vector(rotations), zero, shape, zero)


def _joint_centers(posed: BodyOutput) -> dict[str, torch.Tensor]:
    """Joint centres from the markers; the shoulder is the body's own, as its skin sites move with the arm."""
    centers = joint_centers(posed.markers)
    for side in ("left", "right"):
        centers[f"shoulder_{side[0]}"] = posed.joints[:, JOINT_NAMES.index(f"{side}_shoulder")]
    return centers
