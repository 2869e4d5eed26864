"""Rotation matrices: against SciPy, proper whatever they are made of, and free to be learned."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from biopose_cli.geometry import so3_torch

UNIT = torch.tensor([1.0, 0, 0, 0, 1, 0], dtype=torch.float64)


def test_the_nearest_rotation_is_proper_and_keeps_rotations() -> None:
    rotation = torch.as_tensor(Rotation.random(20, random_state=0).as_matrix())
    torch.testing.assert_close(so3_torch.project_to_so3(3 * rotation), rotation)
    mirrored = so3_torch.project_to_so3(rotation * torch.tensor([1.0, 1.0, -0.5]))
    torch.testing.assert_close(torch.linalg.det(mirrored), torch.ones(20, dtype=torch.float64))


def test_the_nearest_rotation_to_a_sum_of_two_is_half_way() -> None:
    first, second = Rotation.random(random_state=1), Rotation.from_rotvec([0.3, -1.0, 0.4])
    half = first * Rotation.from_rotvec([0.15, -0.5, 0.2])
    both = torch.as_tensor(first.as_matrix() + (first * second).as_matrix())
    np.testing.assert_allclose(so3_torch.project_to_so3(both).numpy(), half.as_matrix(), atol=1e-9)


def test_six_numbers_make_a_proper_rotation() -> None:
    torch.testing.assert_close(so3_torch.rotation_6d_to_matrix(UNIT), torch.eye(3, dtype=torch.float64))
    six = 5 * torch.randn(500, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rotation = so3_torch.rotation_6d_to_matrix(six)
    unit = torch.eye(3, dtype=torch.float64).expand(500, 3, 3)
    torch.testing.assert_close(rotation.transpose(1, 2) @ rotation, unit, atol=1e-9, rtol=0)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(500, dtype=torch.float64))


def test_every_direction_of_turning_can_be_learned_from_the_identity() -> None:
    slopes = torch.autograd.functional.jacobian(so3_torch.rotation_6d_to_matrix, UNIT).reshape(9, 6)
    assert torch.isfinite(slopes).all()
    assert torch.linalg.matrix_rank(slopes) == 3
