"""The virtual camera: what it shows does not depend on where the person is in the picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from biopose_cli.body.blazepose import MIRROR_LANDMARK
from biopose_cli.hmr.virtual_camera import (
    HIPS,
    SHOULDERS,
    camera_from_keypoints,
    camera_from_roi,
    flip_camera,
)

SURE = torch.ones(4, 33)


@pytest.fixture
def person() -> Tensor:
    """(4, 33, 3) m, camera frame, upright, 4 m away."""
    points = 0.4 * torch.randn(4, 33, 3, generator=torch.Generator().manual_seed(0))
    points[:, SHOULDERS, 1] -= 0.5
    return points + torch.tensor([0.0, 0, 4])


def flat(points: Tensor) -> Tensor:
    return points[..., :2] / points[..., 2:]


def test_the_hips_are_in_the_middle_and_the_trunk_points_up(person: Tensor) -> None:
    view = camera_from_keypoints(flat(person), SURE)
    rays = torch.nn.functional.normalize(torch.nn.functional.pad(flat(person), (0, 1), value=1.0), dim=-1)
    middle = rays[:, HIPS].mean(1)
    seen = (view.rotation @ middle[..., None])[..., 0]
    torch.testing.assert_close(seen[:, :2], torch.zeros(4, 2), atol=1e-6, rtol=0)
    shoulders = view.normalized_keypoints[:, SHOULDERS].mean(1)
    assert (shoulders[:, 1] < 0).all()
    assert (shoulders[:, 0].abs() < 0.2 * shoulders[:, 1].abs()).all()
    unit = torch.eye(3).expand(4, 3, 3)
    torch.testing.assert_close(view.rotation @ view.rotation.transpose(1, 2), unit, atol=1e-6, rtol=0)
    torch.testing.assert_close(torch.linalg.det(view.rotation), torch.ones(4))


def test_turning_the_camera_changes_nothing_in_the_view_but_where_up_is(person: Tensor) -> None:
    turn = torch.as_tensor(Rotation.from_euler("zxy", [40, 10, -15], degrees=True).as_matrix()).float()
    before, after = (
        camera_from_keypoints(flat(person), SURE),
        camera_from_keypoints(flat(person @ turn.T), SURE),
    )
    torch.testing.assert_close(after.normalized_keypoints, before.normalized_keypoints, atol=1e-4, rtol=0)
    torch.testing.assert_close(after.half_fov_tan, before.half_fov_tan, atol=1e-5, rtol=0)
    torch.testing.assert_close(after.rotation @ turn, before.rotation, atol=1e-4, rtol=0)
    assert (after.up - before.up).abs().max() > 0.1


def test_a_person_twice_as_far_looks_alike_and_half_as_large(person: Tensor) -> None:
    far = person + torch.tensor([0.0, 0, 400])
    farther = person + torch.tensor([0.0, 0, 804])
    near, away = camera_from_keypoints(flat(far), SURE), camera_from_keypoints(flat(farther), SURE)
    torch.testing.assert_close(away.normalized_keypoints, near.normalized_keypoints, atol=0.01, rtol=0)
    np.testing.assert_allclose(near.half_fov_tan / away.half_fov_tan, 2, rtol=0.01)


def test_an_unsure_keypoint_hardly_moves_the_size(person: Tensor) -> None:
    moved, unsure = flat(person).clone(), SURE.clone()
    moved[:, 27] += 1.0
    unsure[:, 27] = 0.0
    before = camera_from_keypoints(flat(person), unsure).half_fov_tan
    assert ((camera_from_keypoints(moved, unsure).half_fov_tan / before) < 1.2).all()
    assert ((camera_from_keypoints(moved, SURE).half_fov_tan / before) > 1.5).all()


def test_the_mirrored_view_is_the_view_of_the_mirrored_picture(person: Tensor) -> None:
    sides = torch.as_tensor(MIRROR_LANDMARK)
    confidence = torch.rand(4, 33, generator=torch.Generator().manual_seed(1))
    picture = (flat(person) * torch.tensor([-1.0, 1]))[:, sides]
    expected = camera_from_keypoints(picture, confidence[:, sides])
    found = flip_camera(camera_from_keypoints(flat(person), confidence), sides)
    for name in ("rotation", "half_fov_tan", "normalized_keypoints", "confidence"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), atol=1e-5, rtol=0)


@pytest.mark.parametrize("lean", [-40.0, 0.0, 25.0])
def test_the_view_of_a_square_is_upright_as_the_person_in_it(lean: float) -> None:
    """A person who leans to the right in the picture, and the square that is turned as far."""
    focal, hips = torch.tensor([900.0]), torch.tensor([[500.0, 300.0]])
    centre = torch.tensor([[320.0, 240.0]])
    angle = np.radians(lean)
    axis = torch.tensor([[np.sin(angle), -np.cos(angle)]]).float()
    keypoints = hips[:, None].repeat(1, 33, 1)
    keypoints[:, SHOULDERS] += 90 * axis[:, None]
    person = camera_from_keypoints((keypoints - centre) / focal, torch.ones(1, 33))
    square = camera_from_roi(torch.cat([hips, torch.tensor([[250.0, angle]])], 1).float(), focal, centre)
    torch.testing.assert_close(square.rotation, person.rotation, atol=0.03, rtol=0)
    assert square.half_fov_tan.item() == pytest.approx(0.32 * 250 / 900)


def test_a_mirrored_square_gives_the_mirrored_view() -> None:
    focal, centre = torch.tensor([900.0]), torch.tensor([[320.0, 240.0]])
    roi = torch.tensor([[500.0, 300.0, 250.0, 0.4]])
    turned = torch.tensor([[640 - 500.0, 300.0, 250.0, -0.4]])
    own = flip_camera(camera_from_roi(roi, focal, centre), torch.as_tensor(MIRROR_LANDMARK))
    torch.testing.assert_close(own.rotation, camera_from_roi(turned, focal, centre).rotation)
