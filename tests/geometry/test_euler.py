"""Rotations of the pelvis by the model's own angles."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from biopose_cli.geometry.euler import euler_zxy_to_matrix, matrix_to_euler_zxy
from biopose_cli.ik.network import PELVIS_COORDINATES
from biopose_cli.skeleton.build import build_model
from biopose_cli.skeleton.scaling import body_transforms


def test_angles_are_intrinsic_turns_about_z_x_y() -> None:
    rng = np.random.default_rng(0)
    angles = rng.uniform(-1, 1, (50, 3)) * [np.pi, 1.5, np.pi]
    expected = Rotation.from_euler("ZXY", angles).as_matrix()
    rotation = euler_zxy_to_matrix(torch.as_tensor(angles))
    np.testing.assert_allclose(rotation, expected, atol=1e-12)
    np.testing.assert_allclose(matrix_to_euler_zxy(rotation), angles, atol=1e-9)


def test_angles_mean_what_they_mean_in_the_model() -> None:
    model = build_model()
    values = np.array([0.4, -0.7, 2.1, 0.3, 1.1, -0.2])
    frame = body_transforms(model, dict(zip(PELVIS_COORDINATES, values.tolist(), strict=True)))["pelvis"]
    np.testing.assert_allclose(euler_zxy_to_matrix(torch.as_tensor(values[:3])), frame[:3, :3], atol=1e-9)
    np.testing.assert_allclose(frame[:3, 3], values[3:], atol=1e-9)
