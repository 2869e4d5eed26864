"""Rendered people, looked at by the network of the product."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from biopose_cli.body.kinematics import read_csv
from biopose_cli.io import assets
from biopose_cli.progress import NullProgress
from biopose_cli.synthesis import rendered_detections
from biopose_cli.synthesis.mocap import INDEX
from biopose_cli.synthesis.pose_sampler import perturb
from biopose_cli.synthesis.rendered_detections import (
    IMAGE_SIZE,
    RenderedDetections,
    render_and_detect,
    sample_phone_camera,
)
from biopose_cli.synthesis.rendering import Actor, load_actor
from biopose_cli.typing import Array

WALKER = np.array(["01", "02"])
BOX = np.array([[x, y, z] for x in (-0.25, 0.25) for y in (0, 1.7) for z in (-0.15, 0.15)])


@pytest.fixture(scope="module")
def weights() -> Path:
    return assets.ensure(assets.required_assets("heavy"), NullProgress())["heavy"]


@pytest.fixture(scope="module")
def actor() -> Actor:
    torch.set_num_threads(1)
    return load_actor()


@pytest.fixture(scope="module")
def poses() -> Array:
    """Two ways to stand, arms down."""
    pose = np.zeros((2, 24, 3), np.float32)
    pose[:, INDEX["left_shoulder"], 2], pose[:, INDEX["right_shoulder"], 2] = -1.1, 1.1
    pose[1, INDEX["left_knee"], 0], pose[1, INDEX["left_hip"], 0] = 1.0, -0.8
    return pose


@pytest.fixture(scope="module")
def detections(actor: Actor, weights: Path, poses: Array) -> RenderedDetections:
    return render_and_detect(actor, weights, poses, WALKER, 4, 3, NullProgress(), perturbed_fraction=0.5)


def projected(actor: Actor, person: RenderedDetections, k: int) -> Array:
    """The joints of entry k, px of the image."""
    joints = actor.joints(person.pose[k : k + 1], person.betas[k], person.transl[k : k + 1])[0]
    camera = joints @ person.rotation[k].T + person.translation[k]
    return np.asarray(camera[:, :2] / camera[:, 2:] * person.focal[k] + person.size / 2)


@pytest.mark.slow
def test_keypoints_are_where_the_bodies_are(detections: RenderedDetections, actor: Actor) -> None:
    assert len(detections) >= 3
    pairs = {11: "left_shoulder", 12: "right_shoulder", 27: "left_ankle", 28: "right_ankle"}
    distance = []
    for k in range(len(detections)):
        joints = projected(actor, detections, k)[[INDEX[name] for name in pairs.values()]]
        distance.append(
            np.linalg.norm(detections.keypoints[k, list(pairs)] - joints, axis=1) * 256 / detections.roi[k, 2]
        )
    assert np.median(distance) < 5  # not all: the network, too, confuses legs


def test_the_networks_own_3d_is_in_the_cameras_axes(detections: RenderedDetections) -> None:
    for k in range(len(detections)):
        image = detections.keypoints[k, 11:13].mean(0) - detections.keypoints[k, 23:25].mean(0)
        guess = detections.landmarks_3d[k, 11:13].mean(0) - detections.landmarks_3d[k, 23:25].mean(0)
        cosine = image @ guess[:2] / np.linalg.norm(image) / np.linalg.norm(guess[:2])
        assert cosine > 0.97


@pytest.mark.slow
def test_a_seed_fixes_everything_however_many_processes(
    actor: Actor, weights: Path, poses: Array, detections: RenderedDetections
) -> None:
    again = render_and_detect(actor, weights, poses, WALKER, 4, 3, NullProgress(), processes=2)
    for field in fields(RenderedDetections):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(detections, field.name))
    assert np.abs(detections.betas[1] - detections.betas[0]).max() > 0.1
    other = render_and_detect(actor, weights, poses, WALKER, 1, 4, NullProgress())
    assert np.abs(other.betas[0] - detections.betas[0]).max() > 0.1


def test_poses_stay_as_they_are_when_none_is_changed(actor: Actor, weights: Path, poses: Array) -> None:
    person = render_and_detect(actor, weights, poses, WALKER, 2, 5, NullProgress(), perturbed_fraction=0)
    for pose, subject in zip(person.pose, person.subject, strict=True):
        np.testing.assert_array_equal(pose, poses[list(WALKER).index(subject)])


def test_undetected_people_are_left_out(
    actor: Actor, weights: Path, poses: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendered_detections, "MIN_SCORE", 1.1)
    assert len(render_and_detect(actor, weights, poses, WALKER, 1, 3, NullProgress())) == 0


def test_saved_and_loaded_they_are_the_same(detections: RenderedDetections, tmp_path: Path) -> None:
    detections.save(tmp_path / "looks.npz")
    loaded = RenderedDetections.load(tmp_path / "looks.npz")
    for field in fields(RenderedDetections):
        np.testing.assert_array_equal(getattr(loaded, field.name), getattr(detections, field.name))
    assert [path.name for path in tmp_path.iterdir()] == ["looks.npz"]


def test_joined_are_one_after_the_other(detections: RenderedDetections) -> None:
    renamed = replace(detections, subject=np.array(["somebody else"] * len(detections)))
    both = RenderedDetections.concatenate([detections, renamed])
    assert len(both) == 2 * len(detections)
    assert list(both.subject) == [*detections.subject, *renamed.subject]
    np.testing.assert_array_equal(both.size, [IMAGE_SIZE, IMAGE_SIZE])


def test_people_fill_the_image_and_few_are_truncated() -> None:
    rng = np.random.default_rng(0)
    filled, outside, heights = [], [], []
    for _ in range(300):
        camera = sample_phone_camera(BOX, rng)
        image = camera.project(BOX)
        filled.append(np.ptp(image, axis=0).max() / IMAGE_SIZE)
        outside.append(image.min() < -0.02 * IMAGE_SIZE or image.max() > 1.02 * IMAGE_SIZE)
        heights.append(camera.position[1])
    assert 0.33 < np.min(filled) < 0.42
    assert 0.75 < np.quantile(filled, 0.95) < 0.93
    assert 0.05 < np.mean(outside) < 0.16
    assert np.min(heights) > 0.1


def test_only_truncated_people_leave_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendered_detections, "_TRUNCATION_PROB", 0)
    rng = np.random.default_rng(0)
    for _ in range(300):
        image = sample_phone_camera(BOX, rng).project(BOX)
        # panning stretches a picture at its rim
        assert -0.12 * IMAGE_SIZE < image.min() < image.max() < 1.12 * IMAGE_SIZE


def test_a_changed_pose_stays_in_its_ranges() -> None:
    rng = np.random.default_rng(1)
    pose = np.zeros((24, 3))
    pose[0] = 0.3, 1, 0
    pose[INDEX["left_knee"]] = np.radians([170, 0, 0])  # further than knees go: it may stay there
    pose[INDEX["right_knee"]] = np.radians([-20, 0, 0])
    changes = perturb(np.repeat(pose[None], 200, axis=0), rng, np.full(200, np.radians(15)))
    np.testing.assert_array_equal(changes[:, 0], np.tile(pose[0], (200, 1)))
    for row in read_csv("limits.csv"):
        joint = int(row["joint"])
        for axis, name in enumerate("xyz"):
            degrees = np.degrees(changes[:, joint, axis])
            highest = 170 if (joint, name) == (INDEX["left_knee"], "x") else float(row[f"{name}_max"])
            lowest = -20 if (joint, name) == (INDEX["right_knee"], "x") else float(row[f"{name}_min"])
            assert degrees.min() >= lowest - 1e-9
            assert degrees.max() <= highest + 1e-9
    spread = np.degrees(changes.std(0))
    assert np.degrees(changes[:, INDEX["right_knee"], 0]).min() < -15
    assert spread[INDEX["left_shoulder"]] == pytest.approx(15, abs=2.5)
    assert (spread[INDEX["right_knee"], 2]) < 5  # not about its hinge
