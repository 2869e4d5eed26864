"""Bodies posed by hand before a camera, as the ik stage takes them."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from biopose_cli.body.model import JOINT_NAMES
from biopose_cli.io.results import Refined
from biopose_cli.settings import Settings
from biopose_cli.typing import Array

Turn = dict[str, tuple[float, float, float]]  # degrees about SMPL's x (left), y (up), z (forward)
LEVEL = Settings(camera_pitch=0.0, camera_roll=0.0)


def frame_times(frames: int, valid: Array | None = None) -> tuple[Array, Array]:
    """Times (T) s at 30 frames/s, and the valid frames (T); None: all."""
    return np.arange(frames) / 30.0, np.ones(frames, bool) if valid is None else valid


def posed_body(postures: list[Turn], yaw: float = 0.0) -> Refined:
    """Someone 3 m before a camera, facing it or turned by `yaw` degrees, one posture per frame."""
    poses = np.zeros((len(postures), 23, 3))
    for frame, turn in enumerate(postures):
        rotations = {
            "left_shoulder": Rotation.from_euler("z", -90, degrees=True),
            "right_shoulder": Rotation.from_euler("z", 90, degrees=True),
        }
        for joint, angles in turn.items():
            kinematics = Rotation.from_rotvec(np.radians(angles))
            rotations[joint] = kinematics * rotations[joint] if joint in rotations else kinematics
        for joint, rotation in rotations.items():
            poses[frame, JOINT_NAMES.index(joint) - 1] = rotation.as_rotvec()
    facing = Rotation.from_euler("x", 180, degrees=True) * Rotation.from_euler("y", yaw, degrees=True)
    return Refined(
        body_pose=poses,
        global_orient=np.tile(facing.as_rotvec(), (len(postures), 1)),
        betas=np.zeros(10),
        transl=np.tile([0.1, 0.0, 3.0], (len(postures), 1)),
        query_tokens=np.zeros((len(postures), 0, 1)),
        reprojection_px=np.zeros(len(postures)),
    )
