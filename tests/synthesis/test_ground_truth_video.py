"""Clips with known truth: what is written can be read, and the angles are those of the body."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from biopose_cli.ik.ground import up_vector
from biopose_cli.io.storage import read_motion
from biopose_cli.io.video.probe import probe
from biopose_cli.io.video.reader import read_frames
from biopose_cli.render.scene import look_at
from biopose_cli.synthesis.ground_truth_video import FPS, tilt, write_angles, write_video
from biopose_cli.synthesis.mocap import INDEX
from biopose_cli.synthesis.rendering import load_actor


def test_pictures_come_back_in_order_with_their_focal_length(tmp_path: Path) -> None:
    shades = [40, 120, 200]
    pictures = (np.full((48, 64, 3), shade, np.uint8) for shade in shades)
    write_video(tmp_path / "clip.mp4", pictures, focal_35mm=28)
    info = probe(tmp_path / "clip.mp4")
    assert (info.width, info.height, info.frame_rate) == (64, 48, pytest.approx(FPS))
    assert info.focal_px == pytest.approx(28 * np.hypot(64, 48) / np.hypot(36, 24), rel=0.01)
    assert [frame.image.mean() for frame in read_frames(info)] == pytest.approx(shades, abs=3)


@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (20, 0), (-10, 5), (30, -40)])
def test_a_cameras_tilt_is_what_the_program_wants_to_be_told(pitch: float, roll: float) -> None:
    back = np.array([0.3, 0, 1]) / np.hypot(0.3, 1)
    position = back * np.cos(np.radians(pitch)) + [0, np.sin(np.radians(pitch)), 0]
    camera = look_at(position, np.zeros(3), 500, 64, 64, np.radians(roll))
    found = tilt(camera)
    assert found == pytest.approx((pitch, roll), abs=1e-6)
    up = up_vector(*np.radians(found[::-1]))
    np.testing.assert_allclose(up, camera.rotation @ [0, 1, 0], atol=1e-9)


def test_angles_are_those_of_the_body(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    pose = np.zeros((2, 24, 3))
    pose[:, INDEX["left_shoulder"], 2], pose[:, INDEX["right_shoulder"], 2] = -1.2, 1.2
    pose[1, INDEX["left_knee"], 0] = np.radians(50)
    camera = look_at(np.array([1.0, 2, 3]), np.array([0, 1.0, 0]), 500, 64, 64, 0.2)
    write_angles(tmp_path / "truth.mot", load_actor(), pose, np.zeros(10), np.zeros((2, 3)), camera)
    truth = read_motion(tmp_path / "truth.mot")
    assert truth["knee_angle_l"] == pytest.approx([0, 50], abs=2)
    assert truth["knee_angle_r"] == pytest.approx([0, 0], abs=2)
    assert truth["pelvis_list"] == pytest.approx([0, 0], abs=2)
