"""Poses of upright people on bent legs: what the numbers of `joint_poses.py` mean on the body."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biopose_cli.synthesis.joint_motion import COORDINATES, INDEX
from biopose_cli.synthesis.joint_poses import POSES, STANDING
from biopose_cli.synthesis.mocap import INDEX as JOINT
from biopose_cli.synthesis.mocap import PARENTS
from biopose_cli.synthesis.pose_sampler import JointSpacePoses
from biopose_cli.typing import Array

KNEES = {"dip": 34, "crouched": 55, "low_crouch": 74, "plie": 75}  # degrees


@pytest.fixture(scope="module")
def invented() -> JointSpacePoses:
    return JointSpacePoses()


def posed(invented: JointSpacePoses, name: str) -> Array:
    """(24, 3, 3): the joints' rotations in the world (SMPL's axes, y up) in the pose of that name."""
    q = np.zeros((1, len(COORDINATES)))
    for coordinate, degrees in (STANDING | POSES[name]).items():
        for full in (coordinate,) if coordinate in INDEX else (f"{coordinate}_r", f"{coordinate}_l"):
            q[0, INDEX[full]] = np.radians(degrees)
    local = Rotation.from_rotvec(invented.to_smpl(q)[0]).as_matrix()
    whole = local.copy()
    for joint in range(1, len(local)):
        whole[joint] = whole[PARENTS[joint]] @ local[joint]
    return whole


@pytest.mark.parametrize("name", KNEES)
def test_who_crouches_upright_has_flat_soles(invented: JointSpacePoses, name: str) -> None:
    rotations = posed(invented, name)

    def lean(joint: str) -> float:
        return float(np.degrees(np.arccos(rotations[JOINT[joint], 1, 1])))

    assert lean("spine3") < 8
    for side in ("left", "right"):
        assert lean(f"{side}_ankle") < 10
        knee = rotations[JOINT[f"{side}_hip"]].T @ rotations[JOINT[f"{side}_knee"]]
        bent = np.degrees(Rotation.from_matrix(knee).magnitude())
        assert bent == pytest.approx(KNEES[name], abs=4)


def test_a_thigh_turned_outwards_lifts_the_knee_to_the_side(invented: JointSpacePoses) -> None:
    for name in ("tree", "passe"):
        rotations = posed(invented, name)
        thigh, shank = (-rotations[JOINT[f"right_{joint}"]][:, 1] for joint in ("hip", "knee"))
        assert thigh[0] < -0.6  # x is to the subject's left
        assert abs(thigh[2]) < 0.35
        assert shank[0] > 0.5  # back to the other leg
