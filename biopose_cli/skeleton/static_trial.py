"""The body of a clip standing as the skeleton does with its coordinates at zero: the static trial that a lab
records.

Upright, legs straight and parallel under the hips, feet flat as in the body's own rest pose, arms hanging
straight down, palms to the thighs. Only the limbs' directions are set, each by the smallest rotation, so that
no limb turns about its own length: the knees and the elbows bend in the plane that the body was made for.

Frame: OpenSim's axes (x forward, y up, z to the subject's right), origin half way between the hip centres, m.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from biopose_cli.body.markers import MARKER_NAMES, joint_centres
from biopose_cli.body.model import JOINT_NAMES, Body, Posed
from biopose_cli.typing import Array

FROM_SMPL = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])  # SMPL: x left, y up, z forward
# chains from the trunk outwards: SMPL joint that turns, and the two joint centres that span the limb
_LIMBS = (
    ("hip", "hip", "knee"),
    ("knee", "knee", "ankle"),
    ("shoulder", "shoulder", "elbow"),
    ("elbow", "elbow", "wrist"),
)
_SWEEPS = 4  # a joint centre on the skin is not quite where the body turns: a few passes settle it
SOLE_THICKNESS = 0.01  # m above the lowest vertex: these vertices make the sole


@dataclass(frozen=True)
class Standing:
    """The static trial.

    `markers` (M, 3) in the order of MARKER_NAMES, `centres` (3) by joint and side, `vertices` (V, 3), all m.
    """

    markers: Array
    centres: dict[str, Array]
    vertices: Array

    def marker(self, name: str) -> Array:
        return np.asarray(self.markers[MARKER_NAMES.index(name)])


def stand(body: Body, betas: Array, directions: dict[str, Array]) -> Standing:
    """Pose the body of shape `betas` (10) with its limbs along `directions`.

    directions: unit vectors (3) in OpenSim's axes for thigh, shank, upper arm and forearm, by the joint they
    start from ("hip_r", "knee_r", "shoulder_r", "elbow_r", and _l).
    """
    shape = torch.as_tensor(betas, dtype=torch.float32)
    turns = {name: Rotation.identity() for name in JOINT_NAMES}
    for side, sign in (("left", -1.0), ("right", 1.0)):  # arms down from the T-pose
        turns[f"{side}_shoulder"] = Rotation.from_rotvec([0.0, 0.0, sign * np.pi / 2])
    for _ in range(_SWEEPS):
        for joint, start, end in _LIMBS:
            centres = _centres(_posed(body, shape, turns))
            for side in ("left", "right"):
                letter = side[0]
                current = centres[f"{end}_{letter}"][0] - centres[f"{start}_{letter}"][0]
                wanted = FROM_SMPL.T @ directions[f"{start}_{letter}"]
                _turn(turns, f"{side}_{joint}", _smallest_rotation(current.double().numpy(), wanted))
        for side in ("left", "right"):  # the foot stays as it stands at rest
            turns[f"{side}_ankle"] = (turns[f"{side}_hip"] * turns[f"{side}_knee"]).inv()
    posed = _posed(body, shape, turns)
    vertices = body.vertices(_pose_vector(turns), torch.zeros(1, 3), shape, torch.zeros(1, 3))[0]
    centres = {name: centre[0] for name, centre in _centres(posed).items()}
    origin = ((centres["hip_r"] + centres["hip_l"]) / 2).double().numpy()

    def ground(points: torch.Tensor) -> Array:
        return np.asarray((points.double().numpy() - origin) @ FROM_SMPL.T)

    return Standing(
        ground(posed.markers[0]),
        {name: ground(centre) for name, centre in centres.items()},
        ground(vertices),
    )


def soles(standing: Standing) -> dict[str, Array]:
    """Points under each foot where it meets the floor, by "heel_r", "ball_r", "heel_l", "ball_l" (3), frame
    of `standing`.

    Each is the lowest part of the mesh below the heel's marker and below the heads of the metatarsals.
    """
    low = standing.vertices[standing.vertices[:, 1] < standing.vertices[:, 1].min() + SOLE_THICKNESS]
    points: dict[str, Array] = {}
    for side in "rl":
        heel = standing.marker(f"{side.upper()}CAL")
        ball = (standing.marker(f"{side.upper()}MT1") + standing.marker(f"{side.upper()}MT5")) / 2
        for name, place in (("heel", heel + 0.15 * (ball - heel)), ("ball", ball)):
            nearest = np.argsort(np.linalg.norm((low - place)[:, [0, 2]], axis=1))[:10]
            points[f"{name}_{side}"] = low[nearest].mean(axis=0)
    return points


def _turn(turns: dict[str, Rotation], joint: str, rotation: Rotation) -> None:
    """Rotate everything from `joint` outwards, about the body's axes, by changing that joint's own rotation."""
    chain = {"elbow": "shoulder", "knee": "hip"}
    side, name = joint.split("_")
    before = turns[f"{side}_{chain[name]}"] if name in chain else Rotation.identity()
    turns[joint] = before.inv() * rotation * before * turns[joint]


def _smallest_rotation(current: Array, wanted: Array) -> Rotation:
    current = current / np.linalg.norm(current)
    axis = np.cross(current, wanted)
    sine, cosine = np.linalg.norm(axis), current @ wanted
    angle = np.arctan2(sine, cosine)
    return Rotation.from_rotvec(axis / sine * angle) if sine > 1e-12 else Rotation.identity()


def _pose_vector(turns: dict[str, Rotation]) -> torch.Tensor:
    vectors = np.stack([turns[name].as_rotvec() for name in JOINT_NAMES[1:]])
    return torch.as_tensor(vectors, dtype=torch.float32)[None]


def _posed(body: Body, shape: torch.Tensor, turns: dict[str, Rotation]) -> Posed:
    zero = torch.zeros(1, 3)
    return body.pose(_pose_vector(turns), zero, shape, zero)


def _centres(posed: Posed) -> dict[str, torch.Tensor]:
    """Joint centres from the markers; the shoulder is the body's own: its skin sites move with the arm."""
    centres = joint_centres(posed.markers)
    for side in ("left", "right"):
        centres[f"shoulder_{side[0]}"] = posed.joints[:, JOINT_NAMES.index(f"{side}_shoulder")]
    return centres
