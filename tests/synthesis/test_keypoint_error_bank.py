"""The detector's errors: taken against the right landmarks, in the crop's axes, and drawn by posture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from biopose_cli.body.blazepose import MIRROR_LANDMARK
from biopose_cli.body.kinematics import Pose, build_kinematic_chain, forward_kinematics, read_csv
from biopose_cli.body.model import Body, load_body
from biopose_cli.geometry import so3
from biopose_cli.synthesis import keypoint_error_bank
from biopose_cli.synthesis.keypoint_error_bank import NUM_NEIGHBORS, KeypointErrorBank
from biopose_cli.synthesis.mocap import INDEX
from biopose_cli.synthesis.rendered_detections import RenderedDetections
from biopose_cli.typing import Array

ROOT = Path(__file__).parents[2]
SIZE = np.array([640, 480])
FOCAL = 700.0
OPPOSITE = np.diag([1.0, -1, -1])  # the camera of a person who faces it
SHIFTED = [k for k, row in enumerate(read_csv("landmarks.csv")) if row["group"] in ("hip", "knee")]


@pytest.fixture(scope="module")
def body() -> Body:
    torch.set_num_threads(1)
    return load_body()


def make_detection_of_standing(
    body: Body, camera_rotation: Array, roi: Array, offsets: Array | None = None
) -> RenderedDetections:
    """A person 4 m away, arms down, whose keypoints are the table's landmarks, but `moved` (33, 2) px of the image.
    turn: (3, 3), of the camera."""
    pose = np.zeros((1, 24, 3))
    pose[0, INDEX["left_shoulder"], 2], pose[0, INDEX["right_elbow"], 1] = -1.1, 0.9
    chain = build_kinematic_chain(body)
    shape_params = np.zeros(chain.num_shape_params)
    shape_params[:2] = 1.0, -0.5
    camera, translation = camera_rotation @ OPPOSITE, camera_rotation @ np.array([0.0, 0, 4])
    landmarks = forward_kinematics(
        chain, Pose(so3.axis_angle_to_matrix(pose), np.zeros((1, 3)), shape_params)
    ).landmarks[0]
    camera_points = landmarks @ camera.T + translation
    keypoints = camera_points[:, :2] / camera_points[:, 2:] * FOCAL + SIZE / 2
    return RenderedDetections(
        pose=pose,
        perturbed=np.zeros(len(pose), bool),
        betas=shape_params[None, :10].astype(np.float32),
        transl=np.zeros((1, 3)),
        rotation=camera[None],
        translation=translation[None],
        focal=np.array([FOCAL]),
        size=SIZE,
        roi=roi[None],
        keypoints=(keypoints if offsets is None else keypoints + offsets)[None],
        confidence=np.full((1, 33), 0.9),
        landmarks_3d=np.zeros((1, 33, 3)),
        subject=np.array(["01"]),
    )


def test_the_landmarks_are_those_of_renders(body: Body) -> None:
    """On real people hips and knees are lower: keypoints there are below the renders' landmarks, by so much."""
    bank = KeypointErrorBank.from_detections(
        make_detection_of_standing(body, np.eye(3), np.array([320.0, 240, 512, 0])), body
    )
    unshifted = np.setdiff1d(np.arange(33), SHIFTED)
    np.testing.assert_allclose(bank.residual[0, unshifted], 0, atol=1e-3)
    assert bank.residual[0, 23, 1] == pytest.approx(0.015 * FOCAL / 4 / 2, rel=0.1)
    assert bank.residual[0, 25, 1] == pytest.approx(0.006 * FOCAL / 4 / 2, rel=0.1)


def test_errors_are_in_the_crops_pixels_and_axes(body: Body) -> None:
    moved = np.zeros((33, 2))
    moved[0] = 3.0, 0  # to the right in the image: up in a crop that is turned by a quarter clockwise
    bank = KeypointErrorBank.from_detections(
        make_detection_of_standing(body, np.eye(3), np.array([320.0, 240, 768, np.pi / 2]), moved), body
    )
    np.testing.assert_allclose(bank.residual[0, 0], [0, -1], atol=1e-3)


def test_the_posture_is_relative_to_the_crop(body: Body) -> None:
    """A camera that pans away or rolls sees the same person in its crop."""
    ahead = KeypointErrorBank.from_detections(
        make_detection_of_standing(body, np.eye(3), np.array([320.0, 240, 512, 0])), body
    )
    joints = ahead.posture[0]
    np.testing.assert_allclose(joints[0], 0, atol=1e-6)
    assert joints[INDEX["head"], 1] < -0.4
    assert joints[INDEX["left_wrist"], 0] > 0.2
    pan, roll = so3.axis_angle_to_matrix(np.array([[0, 0.3, 0], [0, 0, 0.4]]))
    aside = np.array([320 + FOCAL * np.tan(0.3), 240, 512, 0])
    for turn, roi in ((pan, aside), (roll, np.array([320.0, 240, 512, 0.4]))):
        np.testing.assert_allclose(
            KeypointErrorBank.from_detections(make_detection_of_standing(body, turn, roi), body).posture[0],
            joints,
            atol=1e-5,
        )


def synthetic_bank(groups: int = 5, group_size: int = NUM_NEIGHBORS) -> tuple[KeypointErrorBank, Array]:
    """Groups of entries in nearly the same postures (G, 24, 3); an entry's number is in its residuals."""
    rng = np.random.default_rng(2)
    large = np.linspace(0.2, 0.8, groups)[:, None, None]  # the nearest is not the largest
    postures = (large * rng.normal(size=(groups, 24, 3))).astype(np.float32)
    number = np.arange(groups * group_size, dtype=np.float32)
    residual = np.zeros((groups * group_size, 33, 2), np.float32)
    residual[:, 11] = np.stack([1 + number, number + 0.5], 1)  # the left shoulder only
    confidence = np.zeros((groups * group_size, 33), np.float32)
    confidence[:, 11] = 0.7
    near = np.repeat(postures, group_size, axis=0) + rng.normal(0, 0.01, (groups * group_size, 24, 3)).astype(
        np.float32
    )
    return KeypointErrorBank(residual, confidence, near), postures


@pytest.fixture
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors as they are in the bank."""
    for name in ("_ROTATION_STD", "_LOG_SCALE_STD", "_JITTER_STD", "_LOGIT_STD"):
        monkeypatch.setattr(keypoint_error_bank, name, 0.0)


@pytest.mark.usefixtures("no_jitter")
def test_one_of_the_nearest_is_drawn_and_all_of_them_come() -> None:
    bank, postures = synthetic_bank()
    asked = torch.as_tensor(postures[3]).expand(400, 24, 3)
    residual, confidence = bank.draw(asked, torch.Generator().manual_seed(0))
    straight = (residual[:, 11] != 0).any(1) & (residual[:, 11, 0] >= 1 + 3 * NUM_NEIGHBORS)
    known = set((residual[straight, 11, 1] - 0.5).int().tolist())
    assert set(range(3 * NUM_NEIGHBORS, 4 * NUM_NEIGHBORS)) <= known
    # half of the draws are from the mirrored bank, which has nothing near this posture
    assert 130 < int((residual[:, 11, 0] > 0).sum()) < 270
    torch.testing.assert_close(
        confidence[residual[:, 11, 0] > 0][:, 11], torch.full((int((residual[:, 11, 0] > 0).sum()),), 0.7)
    )


@pytest.mark.usefixtures("no_jitter")
def test_a_mirrored_posture_errs_on_the_other_side() -> None:
    bank, postures = synthetic_bank()
    other = [INDEX[n.replace("left", "#").replace("right", "left").replace("#", "right")] for n in INDEX]
    mirrored = torch.as_tensor(postures[2][other] * np.array([-1, 1, 1], np.float32)).expand(200, 24, 3)
    residual, confidence = bank.draw(mirrored, torch.Generator().manual_seed(1))
    right = residual[:, 12, 0] < 0  # drawn from the mirrored bank
    assert 60 < int(right.sum()) < 140
    numbers = residual[right, 12, 1] - 0.5
    assert ((numbers >= 2 * NUM_NEIGHBORS) & (numbers < 3 * NUM_NEIGHBORS)).all()
    torch.testing.assert_close(-residual[right, 12, 0] - 1, numbers)
    torch.testing.assert_close(confidence[right][:, 12], torch.full((int(right.sum()),), 0.7))
    assert MIRROR_LANDMARK[12] == 11


def test_no_error_comes_twice_and_they_stay_as_large_as_they_are() -> None:
    """A network could know an entry of the bank by what is always the same about it."""
    rng = np.random.default_rng(0)
    residual = rng.normal(0, 4, (NUM_NEIGHBORS, 33, 2)).astype(np.float32)
    posture = rng.normal(0, 0.01, (NUM_NEIGHBORS, 24, 3)).astype(np.float32)
    bank = KeypointErrorBank(residual, np.full((NUM_NEIGHBORS, 33), 0.8, np.float32), posture)
    drawn, confidence = bank.draw(torch.zeros(3000, 24, 3), torch.Generator().manual_seed(0))
    assert drawn.std().item() == pytest.approx(4.2, abs=0.4)
    for values in (drawn[:, 25, 0], confidence[:, 25]):
        assert len(values.unique()) > 2900
    assert confidence.median().item() == pytest.approx(0.8, abs=0.02)
    assert 0.05 < confidence.std().item() < 0.12


@pytest.mark.usefixtures("no_jitter")
def test_legs_arms_and_the_rest_err_as_in_different_entries_each_as_a_whole() -> None:
    residual = np.broadcast_to(np.arange(1.0, 1 + NUM_NEIGHBORS)[:, None, None], (NUM_NEIGHBORS, 33, 2)).astype(
        np.float32
    )
    posture = np.zeros((NUM_NEIGHBORS, 24, 3), np.float32)
    bank = KeypointErrorBank(residual, np.full((NUM_NEIGHBORS, 33), 0.5, np.float32), posture)
    drawn = bank.draw(torch.zeros(500, 24, 3), torch.Generator().manual_seed(0))[0][..., 1]
    head, arms, legs = (drawn[:, some] for some in ([0, 11, 12], [13, 16, 22], [25, 28, 32]))
    for some in (head, arms, legs):
        assert (some == some[:, :1]).all()
    assert (arms[:, 0] == legs[:, 0]).float().mean().item() == pytest.approx(1 / NUM_NEIGHBORS, abs=0.06)


def test_a_bank_is_split_into_training_and_held_out() -> None:
    bank, _ = synthetic_bank()
    learned, kept = bank.split(10)
    assert len(kept.residual) == len(bank.residual) // 10
    both = np.concatenate([learned.residual[:, 11], kept.residual[:, 11]])
    assert sorted(both[:, 0].tolist()) == sorted(bank.residual[:, 11, 0].tolist())


def test_a_seed_fixes_the_draw_and_small_banks_do() -> None:
    bank, postures = synthetic_bank(groups=1, group_size=3)
    asked = torch.as_tensor(postures).expand(20, 24, 3)
    first, again = (bank.draw(asked, torch.Generator().manual_seed(4))[0] for _ in range(2))
    torch.testing.assert_close(first, again)
    assert len(first.unique(dim=0)) > 2


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    bank, _ = synthetic_bank()
    bank.save(tmp_path / "bank.npz")
    loaded = KeypointErrorBank.load(tmp_path / "bank.npz")
    for name in ("residual", "confidence", "posture"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(bank, name))
