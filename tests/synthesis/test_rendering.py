"""Pictures of the body: the camera is the one the rest of the program assumes, and people are where they should be."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from biopose_cli.geometry.camera import project
from biopose_cli.render.scene import Background, Camera, look_at, shadow
from biopose_cli.synthesis.clothing import dress
from biopose_cli.synthesis.mocap import INDEX
from biopose_cli.synthesis.rendering import (
    Actor,
    Render,
    load_actor,
    render_clip,
    render_images,
    to_camera_frame,
)
from biopose_cli.typing import Array

BETAS = np.array([0.5, -0.5, 0.3, 0, 0, 0, 0, 0, 0, 0])


@pytest.fixture(scope="module")
def actor() -> Actor:
    return load_actor()


@pytest.fixture(scope="module")
def standing(actor: Actor) -> tuple[Array, Array]:
    """One frame, arms down, on the floor."""
    pose = np.zeros((1, 24, 3))
    pose[0, INDEX["left_shoulder"], 2], pose[0, INDEX["right_shoulder"], 2] = -1.2, 1.2
    return pose, np.array([[0, -actor.rest_body(BETAS).floor, 0]])


@pytest.fixture(scope="module")
def camera() -> Camera:
    return look_at(np.array([1.0, 1.3, 3.5]), np.array([0.1, 0.9, 0.0]), 150.0, 160, 120)


@pytest.fixture(scope="module")
def shot(actor: Actor, standing: tuple[Array, Array], camera: Camera) -> Render:
    return next(render_clip(actor, standing[0], BETAS, standing[1], camera, seed=1))


def test_the_camera_is_the_body_modules_camera(camera: Camera) -> None:
    points = np.random.default_rng(0).uniform([-1, 0, -1], [1, 2, 1], (20, 3))
    seen = torch.from_numpy(camera.from_world(points))
    theirs = project(seen, torch.from_numpy(camera.matrix)).numpy()
    np.testing.assert_allclose(camera.project(points), theirs, atol=1e-9)


def test_look_at_puts_the_target_in_the_middle_and_up_on_top() -> None:
    camera = look_at(np.array([2.0, 1.5, 3]), np.array([0.0, 1, 0]), 500, 640, 480)
    np.testing.assert_allclose(camera.project(np.array([0.0, 1, 0])), [320, 240])
    assert camera.project(np.array([0.0, 1.5, 0]))[1] < 240
    np.testing.assert_allclose(camera.rotation @ camera.rotation.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(camera.position, [2, 1.5, 3])
    assert np.linalg.det(camera.rotation) == pytest.approx(1)


def test_in_a_camera_rolled_clockwise_the_world_turns_the_other_way() -> None:
    at = (np.array([0.0, 1, 3]), np.array([0.0, 1, 0]), 500.0, 640, 480)
    above = look_at(*at, roll=np.radians(30)).project(np.array([0.0, 1.2, 0])) - [320, 240]
    assert np.degrees(np.arctan2(above[0], -above[1])) == pytest.approx(-30)


def test_the_person_is_drawn_where_the_vertices_project(shot: Render) -> None:
    flat = shot.vertices / shot.vertices[:, 2:] @ shot.camera.matrix.T
    rows, columns = np.nonzero(shot.mask > 0.5)
    low, high = flat[:, :2].min(axis=0), flat[:, :2].max(axis=0)
    for found, expected in ((columns, 0), (rows, 1)):
        assert found.min() == pytest.approx(low[expected], abs=1.5)
        assert found.max() + 1 == pytest.approx(high[expected], abs=1.5)


def test_left_is_left(shot: Render, camera: Camera) -> None:
    """Seen from the front, the subject's left hand is on the right of the image."""
    left, right = shot.joints[INDEX["left_wrist"]], shot.joints[INDEX["right_wrist"]]
    assert left[0] > right[0] + 0.3


def test_a_seed_fixes_everything(
    actor: Actor, standing: tuple[Array, Array], camera: Camera, shot: Render
) -> None:
    again = next(render_clip(actor, standing[0], BETAS, standing[1], camera, seed=1))
    np.testing.assert_array_equal(again.image, shot.image)
    (other,) = render_images(actor, standing[0], BETAS, standing[1], [camera], seed=2)
    assert other.image.shape == shot.image.shape == (120, 160, 3)
    assert np.abs(other.image.astype(int) - shot.image).mean() > 3
    np.testing.assert_array_equal(other.joints, shot.joints)


def test_poses_in_the_cameras_axes_are_the_same_bodies(actor: Actor, camera: Camera) -> None:
    rng = np.random.default_rng(3)
    pose, transl = rng.normal(0, 0.4, (3, 24, 3)), rng.normal(0, 0.5, (3, 3))
    moved = to_camera_frame(camera, pose, transl, actor.rest_body(BETAS).joints[0])
    expected = camera.from_world(actor.joints(pose, BETAS, transl))
    np.testing.assert_allclose(actor.joints(moved[0], BETAS, moved[1]), expected, atol=1e-5)


def test_the_rays_of_floor_pixels_meet_the_floor(camera: Camera) -> None:
    picture, on_floor = Background(5).render(camera)
    known = np.isfinite(on_floor[..., 0])
    assert known[-1].all()
    assert not known[0].any()
    x, z = on_floor[100, 40]
    np.testing.assert_allclose(camera.project(np.array([x, 0, z])), [40.5, 100.5], atol=1e-6)
    assert 0 < picture.min() < picture.max() < 1.2


def test_the_shadow_is_under_the_body_and_nowhere_else(
    actor: Actor, standing: tuple[Array, Array], camera: Camera
) -> None:
    _, on_floor = Background(5).render(camera)
    vertices = actor.vertices(*(standing[0], BETAS, standing[1]))[0]
    light = shadow(vertices, on_floor, np.array([0.0, 1, 0]))
    dark = on_floor[light < 0.8]
    assert len(dark)
    assert np.linalg.norm(dark, axis=1).max() < 0.8
    assert (light[np.isnan(on_floor[..., 0])] == 1).all()


@pytest.mark.parametrize("seed", range(4))
def test_clothes_leave_hands_and_face_bare(actor: Actor, seed: int) -> None:
    rest, joints = actor.rest_vertices_and_joints(BETAS)
    outfit = dress(rest, joints, actor.skinning_weights, seed)
    assert outfit.colors.min() >= 0
    assert outfit.colors.max() <= 1
    hand = rest[:, 0] > joints[INDEX["left_wrist"], 0] + 0.06
    assert (outfit.offsets[hand] == 0).all()
    chest = np.linalg.norm(rest - joints[INDEX["spine3"]] - [0, 0, 0.1], axis=1) < 0.08
    assert (outfit.offsets[chest] > 0.003).all()
    mirrored = np.linalg.norm(rest[:, None, :2][hand] * [-1, 1] - rest[None, :, :2][:, ~hand], axis=2).argmin(
        axis=1
    )
    assert (outfit.offsets[~hand][mirrored] == 0).all()
