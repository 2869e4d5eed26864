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
from biopose_cli.hmr.backbones.blazepose import DEFAULT_LAYERS, RAW_CROP
from biopose_cli.io import assets
from biopose_cli.progress import NullProgress
from biopose_cli.synthesis import rendered_images
from biopose_cli.synthesis.keypoint_error_bank import posed_landmarks, project
from biopose_cli.synthesis.mocap import INDEX
from biopose_cli.synthesis.rendered_detections import RenderedDetections
from biopose_cli.synthesis.rendered_images import RenderedImages
from biopose_cli.synthesis.rendering import load_actor
from biopose_cli.training.rendered_dataset import RenderedDataset
from biopose_cli.typing import Array

COUNT = 8
TAPS = ("encoder8", "encoder16")


@pytest.fixture(scope="module", autouse=True)
def small() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rendered_images, "SHARD_SIZE", 4)
        patch.setattr(rendered_images, "GROUP_SIZE", 2)
        yield


@pytest.fixture(scope="module")
def weights() -> Path:
    torch.set_num_threads(1)
    return assets.ensure(assets.required_assets("heavy"), NullProgress())["heavy"]


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
    rendered_images.render_dataset(
        folder, load_actor(), weights, poses, np.array(["a", "b"]), COUNT, 1, DEFAULT_LAYERS, NullProgress()
    )
    return folder


@pytest.fixture(scope="module")
def made(folder: Path) -> RenderedImages:
    return rendered_images.load(folder, 2, DEFAULT_LAYERS)


def test_people_are_seen_where_they_are(made: RenderedImages) -> None:
    assert len(made) >= COUNT - 2
    looks = made.detections
    hips = looks.keypoints[:, 23:25].mean(1)
    actor, one = load_actor(), range(len(looks))
    bodies = [actor.joints(looks.pose[k : k + 1], looks.betas[k], looks.transl[k : k + 1])[0] for k in one]
    joints = np.array([body[[INDEX["left_hip"], INDEX["right_hip"]]].mean(0) for body in bodies])
    camera = np.einsum("nij,nj->ni", looks.rotation, joints) + looks.translation
    image = camera[:, :2] / camera[:, 2:] * looks.focal[:, None] + looks.size / 2
    assert np.median(np.linalg.norm(image - hips, axis=1) / looks.roi[:, 2]) < 0.03


def test_a_group_shares_its_camera(made: RenderedImages) -> None:
    assert len(np.unique(made.detections.focal)) <= COUNT // 2


def test_maps_are_the_networks_own_of_crop_and_mirror(
    weights: Path, poses: Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the crop itself as the only map: where its person is, is known."""
    monkeypatch.setattr(
        rendered_images, "augment", lambda image, mask, rng: image * (mask > 0.5)[..., None].astype(np.uint8)
    )
    made = rendered_images.render_dataset(
        tmp_path, load_actor(), weights, poses, np.array(["a", "b"]), COUNT, 2, (RAW_CROP,), NullProgress()
    )
    everybody = np.arange(len(made))
    straight, mirror = (
        made.gather_maps(everybody, np.full(len(made), way), [RAW_CROP])[0] for way in (False, True)
    )
    np.testing.assert_array_equal(mirror, straight[:, :, ::-1])
    for k, roi in enumerate(made.detections.roi):
        hips = to_crop(made.detections.keypoints[k, 23:25].mean(0), roi)
        person = np.argwhere(straight[k].max(-1) > 0)
        assert np.linalg.norm(person - hips[::-1], axis=1).min() < 12
    sights = RenderedDataset(load_body(), made, 5, 0, ())
    assert sights.select(everybody, np.random.default_rng(0)).keypoint_locations is not None


def test_what_was_made_is_not_made_again(
    folder: Path, made: RenderedImages, weights: Path, poses: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = (load_actor(), weights, poses, np.array(["a", "b"]), COUNT, 1, DEFAULT_LAYERS, NullProgress())
    (folder / "0001.npz").unlink()
    again = rendered_images.render_dataset(folder, *args)
    for field in fields(RenderedDetections):
        np.testing.assert_array_equal(
            getattr(again.detections, field.name), getattr(made.detections, field.name)
        )
    monkeypatch.setattr(rendered_images._Worker, "render_shard", None)
    assert len(rendered_images.render_dataset(folder, *args)) == len(made)
    with pytest.raises(SettingError, match="other poses"):
        rendered_images.render_dataset(folder, *args[:2], poses + 0.1, *args[3:])


def test_truth_and_view_agree_straight_and_mirrored(made: RenderedImages) -> None:
    """With the keypoints that the body has, the truth is exactly where they are, on either side."""
    body = load_body()
    drawn = np.array(
        [
            project(made.detections, k, points)
            for k, (_, _, points) in enumerate(posed_landmarks(made.detections, body))
        ]
    )
    exact = replace(made, detections=replace(made.detections, keypoints=drawn))
    sights = RenderedDataset(body, exact, 5, 0, TAPS)
    assert len(sights) == 2 * len(made)
    for start in (0, len(made)):
        batch = sights.select(np.arange(start, start + len(made)), np.random.default_rng(0))
        points = batch.landmarks + batch.pelvis[:, None]
        rays = points[..., :2] / points[..., 2:] / batch.view.half_fov_tan[:, None, None]
        torch.testing.assert_close(rays[:, 11:], batch.view.normalized_keypoints[:, 11:], atol=1e-3, rtol=0)
        assert batch.feature_maps is not None
        assert [tuple(one.shape[1:]) for one in batch.feature_maps] == [(8, 8, 272), (16, 16, 160)]
    straight, mirror = (sights.select(np.array([k]), np.random.default_rng(0)) for k in (0, len(made)))
    torch.testing.assert_close(mirror.keypoint_locations[:, 11, 0], 1 - straight.keypoint_locations[:, 12, 0])
    torch.testing.assert_close(mirror.pelvis, straight.pelvis * torch.tensor([-1.0, 1, 1]))


def test_without_keypoints_the_view_is_that_of_the_square(made: RenderedImages) -> None:
    own, square = (
        RenderedDataset(load_body(), made, 5, 0, TAPS, keypoints=k).select(
            np.arange(len(made)), np.random.default_rng(0)
        )
        for k in (True, False)
    )
    assert not square.view.normalized_keypoints.any()
    assert not square.view.confidence.any()
    ratio = (square.view.half_fov_tan / own.view.half_fov_tan).log()
    assert ratio.abs().median() < 0.3
    place = square.pelvis[:, :2] / square.pelvis[:, 2:] / square.view.half_fov_tan[:, None]
    assert place.abs().median() < 0.3  # the pelvis is near the middle of both
    unit = torch.eye(3).expand(len(made), 3, 3)
    torch.testing.assert_close(square.view.rotation @ square.view.rotation.mT, unit, atol=1e-5, rtol=0)
    torch.testing.assert_close(square.stature, own.stature, equal_nan=True)
    assert square.keypoint_locations is None


def test_a_batch_depends_on_seed_and_number_only(made: RenderedImages) -> None:
    first, again, other = (RenderedDataset(load_body(), made, 5, seed, TAPS).batch(3) for seed in (0, 0, 1))
    torch.testing.assert_close(first.rotations, again.rotations)
    torch.testing.assert_close(first.stature, again.stature, equal_nan=True)
    assert not torch.equal(first.rotations, other.rotations)
    assert RenderedDataset(load_body(), made, 5, 0, ()).batch(0).feature_maps is None
