"""Synthetic views: poses in their ranges, truth and picture that belong together, losses zero for the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from biopose_cli.body.kinematics import read_table
from biopose_cli.body.model import load_body
from biopose_cli.geometry import so3_torch
from biopose_cli.hmr.model import Recovered
from biopose_cli.mesh_fit.priors import ranges
from biopose_cli.synthesis.keypoint_error_bank import Bank
from biopose_cli.synthesis.mocap import INDEX
from biopose_cli.synthesis.pose_sampler import Invented, Postures, crossed, wide
from biopose_cli.synthesis.retarget import Motion
from biopose_cli.training import synthetic_dataset as module
from biopose_cli.training.mqhmr_losses import MeshLosses, Weights
from biopose_cli.training.synthetic_dataset import Batch, Views
from biopose_cli.typing import Array

COUNT = 64
LEGS = [
    0,
    *(INDEX[f"{side}_{joint}"] for side in ("left", "right") for joint in ("hip", "knee", "ankle", "foot")),
]


@pytest.fixture(scope="module")
def postures() -> Postures:
    torch.set_num_threads(1)
    pose = np.zeros((20, 24, 3))
    pose[:, INDEX["left_knee"], 0] = np.linspace(0, 1.2, 20)
    pose[:, INDEX["left_shoulder"], 2] = -1.2
    return Postures([Motion("made up", "00", "clip", 60.0, pose, np.zeros((20, 3)))])


@pytest.fixture(scope="module")
def views(postures: Postures) -> Views:
    """Without errors of the detector."""
    residual, posture = np.zeros((9, 33, 2), np.float32), np.random.default_rng(0).normal(size=(9, 24, 3))
    bank = Bank(residual, np.ones((9, 33), np.float32), posture.astype(np.float32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "POOL", 128)
        made = Views(load_body(), postures, bank, COUNT, seed=3)
        made.batch(0)
    return made


@pytest.fixture(scope="module")
def batch(views: Views) -> Batch:
    return views.batch(1)


def truth(batch: Batch) -> Recovered:
    spread = torch.ones(COUNT, 22, 3)
    return Recovered(batch.rotations, batch.betas, batch.pelvis, torch.zeros(COUNT, 0, 1), spread)


def test_crossed_poses_keep_their_legs_and_take_whole_arms(postures: Postures) -> None:
    rng = np.random.default_rng(0)
    poses = rng.normal(size=(500, 24, 3)).astype(np.float32)
    mixed = crossed(poses, rng, 0.4)
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
    poses = wide(still, np.random.default_rng(0))
    lower, upper = ranges()
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


def test_poses_stay_in_their_ranges_and_both_sides_are_drawn(postures: Postures) -> None:
    poses = Postures(
        [Motion("", "", "", 60.0, postures.motions.astype(float), np.zeros((20, 3)))], 1.0, 0.0, 1.0
    ).draw(400, np.random.default_rng(0))
    rows = read_table("limits.csv")
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
    invented = Invented()
    names = list(invented.kinematics.table.coordinates)
    straight = np.zeros((2, len(names)))
    straight[1, invented.order[names.index("knee_angle_r")]] = 1.0
    poses = invented.poses(straight)
    turned = poses[1] - poses[0]
    assert np.degrees(turned[INDEX["right_knee"], 0]) == pytest.approx(57.3, abs=1.5)
    others = [j for name, j in INDEX.items() if name not in ("right_knee",)]
    assert np.abs(np.degrees(turned[others])).max() < 6
    assert np.degrees(poses[0, INDEX["left_shoulder"], 2]) < -55  # arms hang
    assert np.abs(np.degrees(poses[0, 0])).max() < 5  # upright, facing as the T-pose does


def seen_in_view(batch: Batch) -> Array:
    points = batch.landmarks + batch.pelvis[:, None]
    flat: Tensor = points[..., :2] / points[..., 2:] / batch.view.half[:, None, None]
    return np.asarray(flat.numpy())


def test_the_truth_is_where_the_picture_shows_it(batch: Batch) -> None:
    """But for the landmarks' own deviations, about 12 mm."""
    off = np.linalg.norm(seen_in_view(batch) - batch.view.rays.numpy(), axis=-1)
    size = (batch.view.half * batch.pelvis[:, 2]).numpy()[:, None]  # m, of half the view
    assert np.median(off * size) < 0.03
    assert np.percentile(off * size, 99) < 0.12


def test_a_batch_depends_on_its_number_alone(views: Views) -> None:
    one, same, other = views.batch(1), views.batch(1), views.batch(2)
    assert torch.equal(one.view.rays, same.view.rays)
    assert torch.equal(torch.isfinite(one.stature), torch.isfinite(same.stature))
    assert not torch.equal(one.view.rays, other.view.rays)
    known = one.stature[torch.isfinite(one.stature)]
    assert 0.2 < len(known) / COUNT < 0.8
    assert ((known > 1.2) & (known < 2.3)).all()


def test_the_truth_costs_nothing(views: Views, batch: Batch) -> None:
    losses = MeshLosses(views.figure, Weights())
    assert losses(truth(batch), batch).item() == pytest.approx(0, abs=1e-4)
    errors = losses.errors(truth(batch), batch)
    assert errors["mpjpe_mm"] == pytest.approx(0, abs=1e-2)
    assert errors["pa_mpjpe_mm"] == pytest.approx(0, abs=1e-1)


def test_each_part_of_the_loss_counts(views: Views, batch: Batch) -> None:
    right = truth(batch)
    turned = right.rotations.clone()
    turned[:, 4] = turned[:, 4] @ so3_torch.of_vectors(torch.tensor([0.2, 0, 0]))
    wrong = {
        "rotations": replace(right, rotations=turned),
        "betas": replace(right, betas=right.betas + 0.5),
        "points": replace(right, rotations=turned),
        "picture": replace(right, pelvis=right.pelvis + torch.tensor([0.1, 0, 0])),
    }
    none = dict.fromkeys(("rotations", "betas", "points", "picture"), 0.0)
    for name, found in wrong.items():
        losses = MeshLosses(views.figure, Weights(**(none | {name: 2.0})))
        single = MeshLosses(views.figure, Weights(**(none | {name: 1.0})))
        assert losses(found, batch).item() > 1e-3, name
        assert losses(found, batch).item() == pytest.approx(2 * single(found, batch).item(), rel=1e-5)
    assert single(wrong["betas"], batch).item() < 0.2  # a wrong size moves what is seen a little
