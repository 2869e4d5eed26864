"""Eq. 2: nothing at the truth, and each part answers to its own cause."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from biopose_cli.geometry.euler import euler_zxy_to_matrix
from biopose_cli.ik.network import BODIES, JOINT_COORDINATES, NeurIKOutput
from biopose_cli.skeleton.kinematics import Kinematics
from biopose_cli.training.marker_loader import NeurIKBatch
from biopose_cli.training.neurik_losses import LossWeights, NeurIKLosses
from tests.helpers.synthetic_markers import made_up_pairs, typical

NAMES = [name for name, _, _ in JOINT_COORDINATES]


@pytest.fixture
def losses() -> NeurIKLosses:
    return NeurIKLosses(*typical(), LossWeights())


@pytest.fixture
def batch() -> NeurIKBatch:
    """Five frames of four people."""
    pairs = made_up_pairs()
    clips = [0, 4, 8, 11]
    markers, q = (torch.as_tensor(a[clips, 10:15]) for a in (pairs.markers, pairs.q))
    scale = torch.as_tensor(pairs.factors[pairs.person[clips]])
    return NeurIKBatch(markers, torch.ones(markers.shape[:3], dtype=torch.bool), q, scale)


def truth(batch: NeurIKBatch) -> NeurIKOutput:
    """The network that is right."""
    table, _ = typical()
    columns = [table.coordinates.index(name) for name in NAMES]
    root = batch.q[..., [table.coordinates.index(f"pelvis_{n}") for n in ("tilt", "list", "rotation")]]
    place = batch.q[..., [table.coordinates.index(f"pelvis_t{axis}") for axis in "xyz"]]
    scale = batch.scale[:, [table.bodies.index(body) for body in BODIES]]
    return NeurIKOutput(
        batch.q[..., columns].clone(), euler_zxy_to_matrix(root), place.clone(), torch.zeros(4, 11), scale
    )


def test_the_truth_costs_nothing(losses: NeurIKLosses, batch: NeurIKBatch) -> None:
    loss, parts = losses(truth(batch), batch)
    assert loss.item() == pytest.approx(0, abs=1e-4)
    assert parts == pytest.approx(dict.fromkeys(parts, 0.0), abs=1e-3)
    assert set(parts) == {
        "pelvis_mm", "joints_mm", "mpblpe_rooted_mm", "markers_mm", "angles_deg", "scale_percent"
    }  # fmt: skip


def test_points_are_those_of_the_models_kinematics(losses: NeurIKLosses, batch: NeurIKBatch) -> None:
    """With the pelvis turned and moved as the network says it: joints and markers as of the whole `q`."""
    table, places = typical()
    kinematics = Kinematics(table, torch.float32)
    found = truth(batch)
    each = batch.scale.repeat_interleave(5, 0)
    joints, _, markers = losses.points(found.angles.flatten(0, 1), found.scale.repeat_interleave(5, 0))
    turn, place = found.pelvis_orientation.flatten(0, 1), found.pelvis_position.flatten(0, 1)[:, None]
    q = batch.q.flatten(0, 1)
    expected = kinematics.markers(q, each, torch.as_tensor(places).float())
    torch.testing.assert_close(markers @ turn.transpose(1, 2) + place, expected, atol=1e-5, rtol=0)
    centres = kinematics.joint_centers(q, each)
    torch.testing.assert_close(joints @ turn.transpose(1, 2) + place, centres, atol=1e-5, rtol=0)


def test_a_pelvis_10_mm_aside_is_an_error_of_its_place_alone(
    losses: NeurIKLosses, batch: NeurIKBatch
) -> None:
    right = truth(batch)
    loss, parts = losses(
        replace(right, pelvis_position=right.pelvis_position + torch.tensor([0.0, 0.006, 0.008])), batch
    )
    assert parts == pytest.approx(dict.fromkeys(parts, 0.0) | {"pelvis_mm": 10.0}, abs=1e-3)
    assert loss.item() == pytest.approx(10 * 0.01, abs=1e-4)


def test_a_pelvis_turned_about_the_vertical_moves_points_by_their_distance_from_the_axis(
    losses: NeurIKLosses, batch: NeurIKBatch
) -> None:
    right, angle = truth(batch), 0.1
    heading = euler_zxy_to_matrix(torch.tensor([0.0, 0.0, angle]))
    _, parts = losses(replace(right, pelvis_orientation=heading @ right.pelvis_orientation), batch)
    kinematics = Kinematics(typical()[0], torch.float32)
    markers = kinematics.markers(batch.q.flatten(0, 1), batch.scale.repeat_interleave(5, 0))
    radius = torch.linalg.vector_norm(
        (markers - right.pelvis_position.flatten(0, 1)[:, None])[..., [0, 2]], dim=-1
    )
    assert parts["markers_mm"] == pytest.approx(2000 * np.sin(angle / 2) * radius.mean().item(), rel=1e-3)
    assert parts["angles_deg"] == pytest.approx(0, abs=1e-4)
    assert parts["scale_percent"] == 0


def test_an_angle_of_the_neck_moves_the_head_and_no_joint(losses: NeurIKLosses, batch: NeurIKBatch) -> None:
    right = truth(batch)
    angles = right.angles.clone()
    angles[..., NAMES.index("neck_bending")] += np.radians(6)
    loss, parts = losses(replace(right, angles=angles), batch)
    assert parts["angles_deg"] == pytest.approx(6 / len(NAMES), rel=1e-4)
    assert parts["joints_mm"] == pytest.approx(0, abs=1e-3)
    assert parts["markers_mm"] > 0.1
    assert parts["mpblpe_rooted_mm"] > 0.1
    assert parts["scale_percent"] == 0
    metres = sum(parts[name] for name in ("joints_mm", "mpblpe_rooted_mm", "markers_mm")) / 1000
    assert loss.item() == pytest.approx(10 * metres + 5 * np.radians(parts["angles_deg"]), rel=1e-4)


def test_the_scale_of_the_head_moves_its_markers_by_hand(losses: NeurIKLosses, batch: NeurIKBatch) -> None:
    right, (table, places) = truth(batch), typical()
    scale = right.scale.clone()
    scale[:, BODIES.index("head")] += 0.1
    loss, parts = losses(replace(right, scale=scale), batch)
    on_head = places[table.marker_bodies == table.bodies.index("head")]
    moved = 0.1 * np.linalg.norm(on_head, axis=1).sum() / len(places)
    assert parts["scale_percent"] == pytest.approx(10 / len(BODIES), rel=1e-4)
    assert parts["markers_mm"] == pytest.approx(1000 * moved, rel=1e-3)
    assert parts["joints_mm"] == pytest.approx(0, abs=1e-3)
    assert parts["angles_deg"] == 0
    points = 10 * (parts["mpblpe_rooted_mm"] + parts["markers_mm"]) / 1000
    assert loss.item() == pytest.approx(points + 10 * parts["scale_percent"] / 100, rel=1e-4)


@pytest.mark.parametrize("only", ["joints", "markers", "scales", "angles"])
def test_each_weight_weighs_its_part(only: str, batch: NeurIKBatch) -> None:
    none = dict.fromkeys(("joints", "markers", "scales", "angles"), 0.0)
    losses = NeurIKLosses(*typical(), LossWeights(**(none | {only: 2.0})))
    right = truth(batch)
    wrong = replace(
        right,
        angles=right.angles + 0.05,
        pelvis_position=right.pelvis_position + 0.02,
        scale=right.scale * torch.tensor(1.03),
    )
    loss, parts = losses(wrong, batch)
    amounts = {
        "joints": (parts["joints_mm"] + parts["mpblpe_rooted_mm"] + parts["pelvis_mm"]) / 1000,
        "markers": parts["markers_mm"] / 1000,
        "scales": parts["scale_percent"] / 100,
        "angles": np.radians(parts["angles_deg"]),
    }
    assert loss.item() == pytest.approx(2 * amounts[only], rel=1e-4)


def test_gradients_reach_all_that_the_network_says(losses: NeurIKLosses, batch: NeurIKBatch) -> None:
    right = truth(batch)
    said: dict[str, Tensor] = {
        "angles": right.angles + 0.05,
        "pelvis_orientation": euler_zxy_to_matrix(torch.tensor([0.1, 0.0, 0.2])) @ right.pelvis_orientation,
        "pelvis_position": right.pelvis_position + 0.01,
        "scale": 1.02 * right.scale,
    }
    said = {name: value.detach().requires_grad_() for name, value in said.items()}
    loss, _ = losses(replace(right, **said), batch)
    loss.backward()
    for name, value in said.items():
        assert value.grad is not None, name
        assert torch.isfinite(value.grad).all(), name
        assert value.grad.abs().amax() > 0, name
    angles = said["angles"].grad
    assert angles is not None
    assert (angles.abs().amax((0, 1)) > 0).all()  # every coordinate


def test_the_gradient_leads_to_the_truth(losses: NeurIKLosses, batch: NeurIKBatch) -> None:
    right = truth(batch)
    offset = torch.full_like(right.pelvis_position, 0.05).requires_grad_()
    optimiser = torch.optim.Adam([offset], lr=0.005)
    for _ in range(30):
        optimiser.zero_grad()
        loss, _ = losses(replace(right, pelvis_position=right.pelvis_position + offset), batch)
        loss.backward()
        optimiser.step()
    assert offset.abs().max() < 0.01
