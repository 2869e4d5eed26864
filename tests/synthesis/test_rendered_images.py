"""Pictures and the batches made of them: maps, keypoints and truth belong together, straight and in the mirror."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from biopose_cli.body.model import load_body
from biopose_cli.errors import SettingError
from biopose_cli.geometry.roi import to_crop
from biopose_cli.hmr.backbones.blazepose import CROP, DEFAULT
from biopose_cli.io import assets
from biopose_cli.progress import Silent
from biopose_cli.synthesis import rendered_images
from biopose_cli.synthesis.keypoint_error_bank import image, people
from biopose_cli.synthesis.mocap import INDEX
from biopose_cli.synthesis.rendered_detections import Looks
from biopose_cli.synthesis.rendered_images import Pictures
from biopose_cli.synthesis.rendering import load_actor
from biopose_cli.training.rendered_dataset import Sights
from biopose_cli.typing import Array

COUNT = 8
TAPS = ("encoder8", "encoder16")


@pytest.fixture(scope="module", autouse=True)
def small() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rendered_images, "PART", 4)
        patch.setattr(rendered_images, "GROUP", 2)
        yield


@pytest.fixture(scope="module")
def weights() -> Path:
    torch.set_num_threads(1)
    return assets.ensure(assets.needed("heavy"), Silent())["heavy"]


@pytest.fixture(scope="module")
def poses() -> Array:
    """Standing, and stepping forward with the left leg; arms down."""
    pose = np.zeros((2, 24, 3), np.float32)
    pose[:, INDEX["left_shoulder"], 2], pose[:, INDEX["right_shoulder"], 2] = -1.1, 1.1
    pose[1, INDEX["left_hip"], 0] = -0.6
    return pose


@pytest.fixture(scope="module")
def folder(weights: Path, poses: Array, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    rendered_images.make(
        folder, load_actor(), weights, poses, np.array(["a", "b"]), COUNT, 1, DEFAULT, Silent()
    )
    return folder


@pytest.fixture(scope="module")
def made(folder: Path) -> Pictures:
    return rendered_images.load(folder, 2, DEFAULT)


def test_people_are_seen_where_they_are(made: Pictures) -> None:
    assert len(made) >= COUNT - 2
    looks = made.looks
    hips = looks.keypoints[:, 23:25].mean(1)
    actor, one = load_actor(), range(len(looks))
    bodies = [actor.joints(looks.pose[k : k + 1], looks.betas[k], looks.transl[k : k + 1])[0] for k in one]
    joints = np.array([body[[INDEX["left_hip"], INDEX["right_hip"]]].mean(0) for body in bodies])
    camera = np.einsum("nij,nj->ni", looks.rotation, joints) + looks.translation
    image = camera[:, :2] / camera[:, 2:] * looks.focal[:, None] + looks.size / 2
    assert np.median(np.linalg.norm(image - hips, axis=1) / looks.roi[:, 2]) < 0.03


def test_a_group_shares_its_camera(made: Pictures) -> None:
    assert len(np.unique(made.looks.focal)) <= COUNT // 2


def test_maps_are_the_networks_own_of_crop_and_mirror(
    weights: Path, poses: Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the crop itself as the only map: where its person is, is known."""
    monkeypatch.setattr(
        rendered_images, "spoiled", lambda image, mask, rng: image * (mask > 0.5)[..., None].astype(np.uint8)
    )
    made = rendered_images.make(
        tmp_path, load_actor(), weights, poses, np.array(["a", "b"]), COUNT, 2, (CROP,), Silent()
    )
    everybody = np.arange(len(made))
    straight, mirror = (made.of(everybody, np.full(len(made), way), [CROP])[0] for way in (False, True))
    np.testing.assert_array_equal(mirror, straight[:, :, ::-1])
    for k, roi in enumerate(made.looks.roi):
        hips = to_crop(made.looks.keypoints[k, 23:25].mean(0), roi)
        person = np.argwhere(straight[k].max(-1) > 0)
        assert np.linalg.norm(person - hips[::-1], axis=1).min() < 12
    sights = Sights(load_body(), made, 5, 0, ())
    assert sights.part(everybody, np.random.default_rng(0)).places is not None


def test_what_was_made_is_not_made_again(
    folder: Path, made: Pictures, weights: Path, poses: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = (load_actor(), weights, poses, np.array(["a", "b"]), COUNT, 1, DEFAULT, Silent())
    (folder / "0001.npz").unlink()
    again = rendered_images.make(folder, *args)
    for field in fields(Looks):
        np.testing.assert_array_equal(getattr(again.looks, field.name), getattr(made.looks, field.name))
    monkeypatch.setattr(rendered_images._Studio, "make", None)
    assert len(rendered_images.make(folder, *args)) == len(made)
    with pytest.raises(SettingError, match="other poses"):
        rendered_images.make(folder, *args[:2], poses + 0.1, *args[3:])


def test_truth_and_view_agree_straight_and_mirrored(made: Pictures) -> None:
    """With the keypoints that the body has, the truth is exactly where they are, on either side."""
    body = load_body()
    drawn = np.array(
        [image(made.looks, k, points) for k, (_, _, points) in enumerate(people(made.looks, body))]
    )
    exact = replace(made, looks=replace(made.looks, keypoints=drawn))
    sights = Sights(body, exact, 5, 0, TAPS)
    assert len(sights) == 2 * len(made)
    for start in (0, len(made)):
        batch = sights.part(np.arange(start, start + len(made)), np.random.default_rng(0))
        points = batch.landmarks + batch.pelvis[:, None]
        rays = points[..., :2] / points[..., 2:] / batch.view.half[:, None, None]
        torch.testing.assert_close(rays[:, 11:], batch.view.rays[:, 11:], atol=1e-3, rtol=0)
        assert batch.maps is not None
        assert [tuple(one.shape[1:]) for one in batch.maps] == [(8, 8, 272), (16, 16, 160)]
    straight, mirror = (sights.part(np.array([k]), np.random.default_rng(0)) for k in (0, len(made)))
    torch.testing.assert_close(mirror.places[:, 11, 0], 1 - straight.places[:, 12, 0])
    torch.testing.assert_close(mirror.pelvis, straight.pelvis * torch.tensor([-1.0, 1, 1]))


def test_without_keypoints_the_view_is_that_of_the_square(made: Pictures) -> None:
    own, square = (
        Sights(load_body(), made, 5, 0, TAPS, keypoints=k).part(
            np.arange(len(made)), np.random.default_rng(0)
        )
        for k in (True, False)
    )
    assert not square.view.rays.any()
    assert not square.view.confidence.any()
    ratio = (square.view.half / own.view.half).log()
    assert ratio.abs().median() < 0.3
    place = square.pelvis[:, :2] / square.pelvis[:, 2:] / square.view.half[:, None]
    assert place.abs().median() < 0.3  # the pelvis is near the middle of both
    unit = torch.eye(3).expand(len(made), 3, 3)
    torch.testing.assert_close(square.view.rotation @ square.view.rotation.mT, unit, atol=1e-5, rtol=0)
    torch.testing.assert_close(square.stature, own.stature, equal_nan=True)
    assert square.places is None


def test_a_batch_depends_on_seed_and_number_only(made: Pictures) -> None:
    first, again, other = (Sights(load_body(), made, 5, seed, TAPS).batch(3) for seed in (0, 0, 1))
    torch.testing.assert_close(first.rotations, again.rotations)
    torch.testing.assert_close(first.stature, again.stature, equal_nan=True)
    assert not torch.equal(first.rotations, other.rotations)
    assert Sights(load_body(), made, 5, 0, ()).batch(0).maps is None
