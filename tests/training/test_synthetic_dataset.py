"""Synthetic views: poses in their ranges, truth and picture that belong together, losses zero for the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from biopose_cli.body.kinematics import read_csv
from biopose_cli.body.model import load_body
from biopose_cli.geometry import so3_torch
from biopose_cli.hmr.model import SMPLPrediction
from biopose_cli.mesh_fit.priors import joint_ranges
from biopose_cli.synthesis.keypoint_error_bank import KeypointErrorBank
from biopose_cli.synthesis.mocap import INDEX
from biopose_cli.synthesis.pose_sampler import JointSpacePoses, PoseSampler, recombine, sample_within_limits
from biopose_cli.synthesis.retarget import Motion
from biopose_cli.training import synthetic_dataset as module
from biopose_cli.training.mqhmr_losses import LossWeights, MQHMRLosses
from biopose_cli.training.synthetic_dataset import MQHMRBatch, SyntheticDataset
from biopose_cli.typing import Array

COUNT = 64
LEGS = [
    0,
    *(INDEX[f"{side}_{joint}"] for side in ("left", "right") for joint in ("hip", "knee", "ankle", "foot")),
]


@pytest.fixture(scope="module")
def postures() -> PoseSampler:
    torch.set_num_threads(1)
    pose = np.zeros((20, 24, 3))
    pose[:, INDEX["left_knee"], 0] = np.linspace(0, 1.2, 20)
    pose[:, INDEX["left_shoulder"], 2] = -1.2
    return PoseSampler([Motion("made up", "00", "clip", 60.0, pose, np.zeros((20, 3)))])


@pytest.fixture(scope="module")
def views(postures: PoseSampler) -> SyntheticDataset:
    """Without errors of the detector."""
    residual, posture = np.zeros((9, 33, 2), np.float32), np.random.default_rng(0).normal(size=(9, 24, 3))
    bank = KeypointErrorBank(residual, np.ones((9, 33), np.float32), posture.astype(np.float32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "POOL_SIZE", 128)
        made = SyntheticDataset(load_body(), postures, bank, COUNT, seed=3)
        made.batch(0)
    return made


@pytest.fixture(scope="module")
def batch(views: SyntheticDataset) -> MQHMRBatch:
    return views.batch(1)


def truth(batch: MQHMRBatch) -> SMPLPrediction:
    spread = torch.ones(COUNT, 22, 3)
    return SMPLPrediction(batch.rotations, batch.betas, batch.pelvis, torch.zeros(COUNT, 0, 1), spread)


def test_crossed_poses_keep_their_legs_and_take_whole_arms(postures: PoseSampler) -> None:
    rng = np.random.default_rng(0)
    poses = rng.normal(size=(500, 24, 3)).astype(np.float32)
    mixed = recombine(poses, rng, 0.4)
    np.testing.assert_array_equal(mixed[:, LEGS], poses[:, LEGS])
    arms = [
        INDEX[f"{side}_{joint}"] for side in ("left", "right") for joint in ("shoulder", "elbow", "wrist")
    ]
    trunk = [INDEX[joint] for joint in ("spine1", "spine3", "head")]
    taken = (mixed[:, arms] != poses[:, arms]).all((1, 2))
    assert taken.mean() == pytest.approx(0.4, abs=0.07)
    assert (mixed[~taken] == poses[~taken]).all()
    assert (mixed[:, trunk] != poses[:, trunk]).all((1, 2)).mean() == pytest.approx(0.2, abs=0.05)
    sources = {tuple(pose.ravel()) for pose in poses[:, arms]}
    assert all(tuple(pose.ravel()) in sources for pose in mixed[:, arms])


def test_wide_poses_stay_in_their_ranges_and_reach_them() -> None:
    still = np.zeros((2000, 24, 3), np.float32)
    poses = sample_within_limits(still, np.random.default_rng(0))
    lower, upper = joint_ranges()
    assert (poses[:, 1:22] >= lower - 1e-6).all()
    assert (poses[:, 1:22] <= upper + 1e-6).all()
    trunk = [0, *(INDEX[joint] for joint in ("spine1", "spine2", "spine3", "neck", "head"))]
    np.testing.assert_array_equal(poses[:, trunk], still[:, trunk])
    ankle = INDEX["left_ankle"]
    assert poses[:, ankle, 0].max() > 0.8 * upper[ankle - 1, 0]
    whole = [(poses[:, INDEX[f"left_{joint}"]] != 0).all(1) for joint in ("hip", "knee", "ankle")]
    assert whole[0].mean() == pytest.approx(0.4, abs=0.05)
    assert (whole[0] == whole[1]).all()
    assert (whole[0] == whole[2]).all()


def test_poses_stay_in_their_ranges_and_both_sides_are_drawn(postures: PoseSampler) -> None:
    poses = PoseSampler(
        [Motion("", "", "", 60.0, postures.mocap_poses.astype(float), np.zeros((20, 3)))], 1.0, 0.0, 1.0
    ).draw(400, np.random.default_rng(0))
    rows = read_csv("limits.csv")
    for row in rows:
        own = np.degrees(poses[:, int(row["joint"])])
        low, high = (np.array([float(row[f"{a}_{end}"]) for a in "xyz"]) for end in ("min", "max"))
        assert (own > low - 0.1).all() and (own < high + 0.1).all(), row["name"]
    bent = [np.degrees(poses[:, INDEX[f"{side}_knee"], 0]).mean() for side in ("left", "right")]
    assert bent[0] == pytest.approx(bent[1], abs=8)
    again = postures.draw(50, np.random.default_rng(5))
    np.testing.assert_array_equal(again, postures.draw(50, np.random.default_rng(5)))


def test_angles_of_the_skeleton_become_turns_of_the_body() -> None:
    """Knee flexion turns SMPL's knee about x by as much; the T-pose's own angles give the T-pose."""
    invented = JointSpacePoses()
    names = list(invented.kinematics.spec.coordinates)
    straight = np.zeros((2, len(names)))
    straight[1, invented.coordinate_order[names.index("knee_angle_r")]] = 1.0
    poses = invented.to_smpl(straight)
    turned = poses[1] - poses[0]
    assert np.degrees(turned[INDEX["right_knee"], 0]) == pytest.approx(57.3, abs=1.5)
    others = [j for name, j in INDEX.items() if name not in ("right_knee",)]
    assert np.abs(np.degrees(turned[others])).max() < 6
    assert np.degrees(poses[0, INDEX["left_shoulder"], 2]) < -55  # arms hang
    assert np.abs(np.degrees(poses[0, 0])).max() < 5  # upright, facing as the T-pose does


def seen_in_view(batch: MQHMRBatch) -> Array:
    points = batch.landmarks + batch.pelvis[:, None]
    flat: Tensor = points[..., :2] / points[..., 2:] / batch.view.half_fov_tan[:, None, None]
    return np.asarray(flat.numpy())


def test_the_truth_is_where_the_picture_shows_it(batch: MQHMRBatch) -> None:
    """But for the landmarks' own deviations, about 12 mm."""
    off = np.linalg.norm(seen_in_view(batch) - batch.view.normalized_keypoints.numpy(), axis=-1)
    size = (batch.view.half_fov_tan * batch.pelvis[:, 2]).numpy()[:, None]  # m, of half the view
    assert np.median(off * size) < 0.03
    assert np.percentile(off * size, 99) < 0.12


def test_a_batch_depends_on_its_number_alone(views: SyntheticDataset) -> None:
    one, same, other = views.batch(1), views.batch(1), views.batch(2)
    assert torch.equal(one.view.normalized_keypoints, same.view.normalized_keypoints)
    assert torch.equal(torch.isfinite(one.stature), torch.isfinite(same.stature))
    assert not torch.equal(one.view.normalized_keypoints, other.view.normalized_keypoints)
    known = one.stature[torch.isfinite(one.stature)]
    assert 0.2 < len(known) / COUNT < 0.8
    assert ((known > 1.2) & (known < 2.3)).all()


def test_the_truth_costs_nothing(views: SyntheticDataset, batch: MQHMRBatch) -> None:
    losses = MQHMRLosses(views.smpl, LossWeights())
    assert losses(truth(batch), batch).item() == pytest.approx(0, abs=1e-4)
    errors = losses.errors(truth(batch), batch)
    assert errors["mpjpe_mm"] == pytest.approx(0, abs=1e-2)
    assert errors["pa_mpjpe_mm"] == pytest.approx(0, abs=1e-1)


def test_each_part_of_the_loss_counts(views: SyntheticDataset, batch: MQHMRBatch) -> None:
    right = truth(batch)
    turned = right.rotations.clone()
    turned[:, 4] = turned[:, 4] @ so3_torch.axis_angle_to_matrix(torch.tensor([0.2, 0, 0]))
    wrong = {
        "rotations": replace(right, rotations=turned),
        "betas": replace(right, betas=right.betas + 0.5),
        "joints": replace(right, rotations=turned),
        "reprojection": replace(right, pelvis=right.pelvis + torch.tensor([0.1, 0, 0])),
    }
    none = dict.fromkeys(("rotations", "betas", "joints", "reprojection"), 0.0)
    for name, found in wrong.items():
        losses = MQHMRLosses(views.smpl, LossWeights(**(none | {name: 2.0})))
        single = MQHMRLosses(views.smpl, LossWeights(**(none | {name: 1.0})))
        assert losses(found, batch).item() > 1e-3, name
        assert losses(found, batch).item() == pytest.approx(2 * single(found, batch).item(), rel=1e-5)
    assert single(wrong["betas"], batch).item() < 0.2  # a wrong size moves what is seen a little
