"""Rotations of the pelvis: the model's own angles, and what the network says in their place."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from biopose_cli.neurik.network import ROOT
from biopose_cli.neurik.pelvis import angles_of, nearest_rotation, orthonormal, rotation_of
from biopose_cli.skeleton.build import build_model
from biopose_cli.skeleton.scaling import body_frames


def turns(count: int) -> Tensor:
    return torch.as_tensor(Rotation.random(count, random_state=0).as_matrix())


def test_angles_are_intrinsic_turns_about_z_x_y() -> None:
    rng = np.random.default_rng(0)
    angles = rng.uniform(-1, 1, (50, 3)) * [np.pi, 1.5, np.pi]
    expected = Rotation.from_euler("ZXY", angles).as_matrix()
    rotation = rotation_of(torch.as_tensor(angles))
    np.testing.assert_allclose(rotation, expected, atol=1e-12)
    np.testing.assert_allclose(angles_of(rotation), angles, atol=1e-9)


def test_angles_mean_what_they_mean_in_the_model() -> None:
    model = build_model()
    values = np.array([0.4, -0.7, 2.1, 0.3, 1.1, -0.2])
    frame = body_frames(model, dict(zip(ROOT, values.tolist(), strict=True)))["pelvis"]
    np.testing.assert_allclose(rotation_of(torch.as_tensor(values[:3])), frame[:3, :3], atol=1e-9)
    np.testing.assert_allclose(frame[:3, 3], values[3:], atol=1e-9)


def test_the_nearest_rotation_is_proper_and_keeps_rotations() -> None:
    rotation = turns(20)
    torch.testing.assert_close(nearest_rotation(3 * rotation), rotation)
    mirrored = nearest_rotation(rotation * torch.tensor([1.0, 1.0, -0.5]))
    torch.testing.assert_close(torch.linalg.det(mirrored), torch.ones(20, dtype=torch.float64))


def test_six_numbers_make_a_proper_rotation_and_zero_the_identity() -> None:
    torch.testing.assert_close(orthonormal(torch.zeros(2, 6)), torch.eye(3).expand(2, 3, 3))
    six = 5 * torch.randn(500, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rotation = orthonormal(six)
    unit = torch.eye(3, dtype=torch.float64).expand(500, 3, 3)
    torch.testing.assert_close(rotation.transpose(1, 2) @ rotation, unit, atol=1e-9, rtol=0)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(500, dtype=torch.float64))


def test_every_direction_of_turning_can_be_learned_from_zero() -> None:
    slopes = torch.autograd.functional.jacobian(orthonormal, torch.zeros(6)).reshape(9, 6)
    assert torch.isfinite(slopes).all()
    assert torch.linalg.matrix_rank(slopes) == 3
