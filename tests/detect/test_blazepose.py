from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from biopose_cli.body.blazepose import MIRROR_LANDMARK
from biopose_cli.detect.blazepose import (
    LIMBS,
    Detector,
    Landmarker,
    LandmarkOutput,
    LiteRTModel,
    PersonPose,
    fuse_flip,
    refine_from_heatmap,
)
from biopose_cli.geometry import roi as geometry
from biopose_cli.typing import Array

ROI = np.array([100.0, 120.0, 256.0, 0.0])


def look(seed: int = 0) -> LandmarkOutput:
    generator = np.random.default_rng(seed)
    return LandmarkOutput(
        score=0.9,
        points=generator.uniform(20, 236, (33, 2)),
        alignment_points=np.array([[128.0, 128.0], [128.0, 60.0]]),
        confidence=np.full(33, 0.8),
        heatmap_peak=np.full(33, 0.9),
        landmarks_3d=generator.normal(size=(33, 3)),
    )


def test_sides_are_pairs() -> None:
    np.testing.assert_array_equal(MIRROR_LANDMARK[MIRROR_LANDMARK], np.arange(33))
    assert MIRROR_LANDMARK[0] == 0
    for left, right in LIMBS:
        np.testing.assert_array_equal(MIRROR_LANDMARK[left], right)


def test_a_landmark_moves_to_its_heat() -> None:
    rows, columns = np.mgrid[:64, :64]
    heat = 0.9 * np.exp(-((rows - 21) ** 2 + (columns - 30) ** 2))[..., None].repeat(3, axis=2)
    heat[..., 1] *= 0.3  # too cold
    moved, peak = refine_from_heatmap(np.array([[123.0, 80.0], [123.0, 80.0], [-300.0, 900.0]]), heat)
    np.testing.assert_allclose(moved[0], [120, 84], atol=0.3)
    np.testing.assert_allclose(moved[1:], [[123, 80], [-300, 900]])
    np.testing.assert_allclose(peak, [0.9, 0.27, 0])


def test_mirrored_twice_is_the_same() -> None:
    twice = look().flip().flip()
    np.testing.assert_allclose(twice.points, look().points)
    np.testing.assert_allclose(twice.landmarks_3d, look().landmarks_3d)


def test_two_equal_looks_are_one_pose() -> None:
    pose = fuse_flip(look(), look(), ROI)
    np.testing.assert_allclose(pose.keypoints, geometry.to_image(look().points, ROI))
    np.testing.assert_allclose(pose.confidence, 0.8 * 0.9)
    assert not pose.side_ambiguous.any()
    np.testing.assert_allclose(pose.next_roi, [100, 120, 2.5 * 68, 0])


@pytest.mark.parametrize("group", [0, 1, 2])
def test_a_look_with_sides_exchanged_is_turned_and_noted(group: int) -> None:
    pose = fuse_flip(look(), look().swap_sides(LIMBS[group].ravel()), ROI)
    np.testing.assert_allclose(pose.keypoints, geometry.to_image(look().points, ROI))
    assert pose.side_ambiguous.tolist() == [group == k for k in range(3)]


def test_looks_far_apart_are_not_averaged_and_not_trusted() -> None:
    points, peak = look().points.copy(), np.full(33, 0.9)
    points[0] += 60
    peak[0] = 0.5
    pose = fuse_flip(look(), replace(look(), points=points, heatmap_peak=peak), ROI)
    np.testing.assert_allclose(pose.keypoints, geometry.to_image(look().points, ROI))
    assert pose.confidence[0] < 0.05


@pytest.fixture(scope="module")
def found(weights: dict[str, Path], walk: list[Array]) -> tuple[Landmarker, Array, PersonPose]:
    rois, scores = Detector(weights["detector"])(walk[0])
    assert len(rois) == 1
    assert scores[0] > 0.5
    landmarker = Landmarker(weights["heavy"])
    return landmarker, walk[0], landmarker(walk[0], landmarker(walk[0], rois[0]).next_roi)


def test_the_walker_is_seen(found: tuple[Landmarker, Array, PersonPose]) -> None:
    _, _, pose = found
    assert pose.score > 0.9
    ankles, hips, nose = pose.keypoints[27:29, 1], pose.keypoints[23:25, 1], pose.keypoints[0, 1]
    assert nose < hips.min() < hips.max() < ankles.min()
    world = pose.landmarks_3d
    assert 1.2 < world[27:29, 1].mean() - world[0, 1] < 1.8  # m, y down
    np.testing.assert_allclose(world[23:25].mean(axis=0), 0, atol=0.02)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_picture_gives_turned_landmarks(
    found: tuple[Landmarker, Array, PersonPose], turns: int
) -> None:
    landmarker, image, upright = found
    height, width = image.shape[:2]
    angle = -turns * np.pi / 2  # np.rot90 turns counter-clockwise
    spin = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = np.ascontiguousarray(np.rot90(image, turns))
    centre, new_centre = np.array([width, height]) / 2, np.array(turned.shape[1::-1]) / 2
    roi = np.array(
        [*(spin @ (upright.roi[:2] - centre) + new_centre), upright.roi[2], upright.roi[3] + angle]
    )
    pose = landmarker(turned, roi)
    np.testing.assert_allclose(pose.keypoints, (upright.keypoints - centre) @ spin.T + new_centre, atol=0.5)
    np.testing.assert_allclose(pose.landmarks_3d[:, :2], upright.landmarks_3d[:, :2] @ spin.T, atol=0.01)
    np.testing.assert_allclose(pose.landmarks_3d[:, 2], upright.landmarks_3d[:, 2], atol=0.01)


def test_a_mirrored_picture_gives_mirrored_landmarks(found: tuple[Landmarker, Array, PersonPose]) -> None:
    landmarker, image, pose = found
    width = image.shape[1]
    roi = pose.roi * (-1, 1, 1, -1) + (width, 0, 0, 0)
    mirrored = landmarker(np.ascontiguousarray(image[:, ::-1]), roi)
    np.testing.assert_allclose(
        mirrored.keypoints, pose.keypoints[MIRROR_LANDMARK] * (-1, 1) + (width, 0), atol=0.5
    )
    np.testing.assert_allclose(
        mirrored.landmarks_3d, pose.landmarks_3d[MIRROR_LANDMARK] * (-1, 1, 1), atol=0.01
    )


def test_an_empty_crop_holds_nobody(found: tuple[Landmarker, Array, PersonPose]) -> None:
    landmarker, image, _ = found
    assert landmarker(image, np.array([1200.0, 60.0, 150.0, 0.0])).score < 0.5


def test_hidden_pixels_do_not_count(found: tuple[Landmarker, Array, PersonPose]) -> None:
    landmarker, image, pose = found
    everything_but_a_corner = np.ones((256, 256), bool)
    everything_but_a_corner[:20, :20] = False
    assert landmarker(image, pose.roi, everything_but_a_corner).score < 0.5


def test_the_networks_have_the_outputs_in_the_order_relied_on(weights: dict[str, Path]) -> None:
    detector = LiteRTModel(weights["detector"])(np.zeros((224, 224, 3), np.float32))
    assert [output.shape for output in detector] == [(2254, 12), (2254, 1)]
    landmarks = LiteRTModel(weights["heavy"])(np.zeros((256, 256, 3), np.float32))
    assert [output.shape for output in landmarks] == [(195,), (1,), (256, 256, 1), (64, 64, 39), (117,)]


def test_loading_a_network_is_silent(weights: dict[str, Path], capfd: pytest.CaptureFixture[str]) -> None:
    LiteRTModel(weights["detector"])
    os.write(2, b"heard again")
    assert capfd.readouterr().err == "heard again"
