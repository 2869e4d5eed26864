"""NeurIK: what holds for any weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from biopose_cli.body.markers import MARKER_NAMES, MARKERS
from biopose_cli.geometry.euler import euler_zxy_to_matrix
from biopose_cli.ik.network import (
    BODIES,
    JOINT_COORDINATES,
    PELVIS_COORDINATES,
    NeurIK,
    NeurIKConfig,
    scale_groups,
    smooth_over_time,
)
from biopose_cli.skeleton.build import build_model, coordinate_rows, joint_rows, landmark_rows
from biopose_cli.skeleton.extract import extract_model
from biopose_cli.skeleton.kinematics import Kinematics
from biopose_cli.skeleton.scaling import Points, scale_factors
from biopose_cli.typing import Array
from tests.helpers.synthetic_markers import parts, template, typical

WINDOW = 8
SIZE = NeurIKConfig(
    window=WINDOW, channels=4, convolutions=1, kernel=3, width=16, layers=1, heads=2, feedforward=32
)
PELVIS = [i for i, marker in enumerate(MARKERS) if marker.segment == "pelvis"]
GARBAGE = 300.0


def network(strength: float = 1.0) -> NeurIK:
    """Weights of a network that was trained a little: the heads do not give zero."""
    torch.manual_seed(0)
    made = NeurIK(SIZE, *parts()).eval()
    with torch.no_grad():
        for head in (made.pose_head, made.scale_head):
            for parameter in list(head.parameters())[-2:]:  # of the last layer
                parameter.normal_(0, 0.3 * strength)
    return made


@pytest.fixture
def window() -> tuple[Tensor, Tensor]:
    """Two windows (2, W, M, 3) of a body in disorder that turns and walks, and a few gaps."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(3)
    markers = template() + 0.03 * torch.randn(2, 1, len(MARKERS), 3, generator=generator)
    turning = torch.linspace(0, 1, WINDOW)[:, None] * torch.tensor([0.3, -0.2, 1.0])
    markers = markers @ euler_zxy_to_matrix(turning).transpose(1, 2)
    markers = markers + 0.05 * torch.randn(2, WINDOW, len(MARKERS), 3, generator=generator)
    markers = markers + torch.linspace(0, 1, WINDOW)[:, None, None] * torch.tensor([1.0, 0.1, 0.0])
    seen = torch.rand(2, WINDOW, len(MARKERS), generator=generator) > 0.1
    seen[:, :, PELVIS[:3]] = True
    return markers, seen


def test_the_output_has_the_shapes_that_it_says(window: tuple[Tensor, Tensor]) -> None:
    found = network()(*window)
    assert found.angles.shape == (2, WINDOW, len(JOINT_COORDINATES))
    assert found.pelvis_orientation.shape == (2, WINDOW, 3, 3)
    assert found.pelvis_position.shape == (2, WINDOW, 3)
    assert found.log_scale.shape == (2, scale_groups().shape[-1])
    assert found.scale.shape == (2, len(BODIES), 3)


def test_angles_stay_inside_their_ranges(window: tuple[Tensor, Tensor]) -> None:
    lower, upper = (torch.tensor([row[i] for row in JOINT_COORDINATES]) for i in (1, 2))
    found = network()(*window)
    assert ((found.angles > lower) & (found.angles < upper)).all()
    assert (found.scale > 0).all()


def test_angles_do_not_leave_their_ranges_however_large_weights_and_input_are(
    window: tuple[Tensor, Tensor],
) -> None:
    markers, seen = window
    lower, upper = (torch.tensor([row[i] for row in JOINT_COORDINATES]) for i in (1, 2))
    angles = network(strength=1e4)(100 * markers, seen).angles
    ends = ((angles - lower).abs() < 1e-6) | ((angles - upper).abs() < 1e-6)
    assert ends.float().mean() > 0.9
    assert ((angles >= lower - 1e-6) & (angles <= upper + 1e-6)).all()  # single precision's rounding


@pytest.mark.parametrize("degrees", [0.0, 70.0, 180.0])
def test_where_a_person_stands_and_faces_moves_the_pelvis_and_nothing_else(
    degrees: float, window: tuple[Tensor, Tensor]
) -> None:
    markers, seen = window
    heading = euler_zxy_to_matrix(torch.tensor([0.0, 0.0, np.radians(degrees)]).float())
    way = torch.tensor([1.0, -0.3, 2.0])
    before = network()(markers, seen)
    after = network()(markers @ heading.T + way, seen)
    torch.testing.assert_close(after.angles, before.angles, atol=2e-4, rtol=0)
    torch.testing.assert_close(after.scale, before.scale, atol=1e-4, rtol=0)
    torch.testing.assert_close(
        after.pelvis_orientation, heading @ before.pelvis_orientation, atol=2e-4, rtol=0
    )
    torch.testing.assert_close(
        after.pelvis_position, before.pelvis_position @ heading.T + way, atol=1e-4, rtol=0
    )


def test_leaning_is_seen(window: tuple[Tensor, Tensor]) -> None:
    """Gravity is not forgotten: turning about a horizontal axis may change the angles."""
    markers, seen = window
    lean = euler_zxy_to_matrix(torch.tensor([1.0, 0.0, 0.0]))
    assert (network()(markers @ lean.T, seen).angles - network()(markers, seen).angles).abs().max() > 1e-3


@pytest.mark.parametrize("gap", ["some", "pelvis", "arm", "all"])
def test_what_stands_in_place_of_a_missing_marker_has_no_influence(
    gap: str, window: tuple[Tensor, Tensor]
) -> None:
    markers, seen = window
    if gap == "pelvis":
        seen[:, 2:5, PELVIS] = False
    elif gap == "arm":
        seen[:, 1:, [i for i, name in enumerate(MARKER_NAMES) if name.startswith("R")]] = False
    elif gap == "all":
        seen[:] = False
    one = network()(torch.where(seen[..., None], markers, 0.0), seen)
    other = network()(torch.where(seen[..., None], markers, GARBAGE), seen)
    for name in ("angles", "pelvis_orientation", "pelvis_position", "scale"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name
        assert torch.isfinite(getattr(one, name)).all()


def test_the_pelvis_starts_as_the_markers_show_it() -> None:
    """A new network corrects nothing yet (its heads give nearly zero), so its pelvis is the markers' own."""
    torch.manual_seed(0)
    turned = euler_zxy_to_matrix(torch.tensor([0.2, 0.1, 1.5]))
    markers = (template() @ turned.T + torch.tensor([3.0, 1.0, 0.0])).expand(1, WINDOW, -1, -1)
    found = NeurIK(SIZE, *parts())(markers, torch.ones(markers.shape[:3], dtype=torch.bool))
    torch.testing.assert_close(found.pelvis_orientation[0, 0], turned, atol=0.02, rtol=0)
    torch.testing.assert_close(found.pelvis_position[0, 0], torch.tensor([3.0, 1.0, 0.0]), atol=0.01, rtol=0)
    torch.testing.assert_close(found.scale, torch.ones_like(found.scale), atol=0.02, rtol=0)


def test_inner_root_and_followers_are_all_coordinates_of_the_model() -> None:
    table = extract_model(build_model())
    followers = [table.coordinates[coupler.dependent] for coupler in table.couplers]
    own = [name for name, _, _ in JOINT_COORDINATES]
    assert sorted([*own, *PELVIS_COORDINATES, *followers]) == sorted(table.coordinates)
    for name, low, high in JOINT_COORDINATES:
        np.testing.assert_allclose(table.ranges[table.coordinates.index(name)], [low, high])
    assert sorted(BODIES) == sorted(table.bodies)
    assert [row["coordinate"] for row in coordinate_rows() if row["follows"]] == followers


def test_scale_groups_rule_every_axis_once_and_have_the_freedom_of_scaling() -> None:
    groups = scale_groups().numpy()
    assert set(np.unique(groups)) == {0.0, 1.0}
    np.testing.assert_array_equal(groups.sum(-1), 1)
    logs = np.stack([np.log(np.stack([_random_factors(n)[body] for body in BODIES])) for n in range(30)])
    logs = logs.reshape(30, -1)
    basis = groups.reshape(-1, groups.shape[-1])
    inside = logs @ basis @ np.diag(1 / basis.sum(0)) @ basis.T
    np.testing.assert_allclose(inside, logs, atol=1e-12)  # every scaling is in the groups' span
    assert np.linalg.matrix_rank(logs) == groups.shape[-1]  # and the groups are no freer


def _random_factors(seed: int) -> dict[str, Array]:
    """The factors of a random body against a random skeleton, both of landmarks scattered as on a person."""
    rng = np.random.default_rng(seed)
    names = {row["landmark"] for row in landmark_rows()} | {"back", "vertex", "c7", "clavicle"}
    joints = ("hip", "shoulder", "knee", "ankle", "elbow", "wrist", "ball", "asis", "psis", "heel")
    names |= {f"{joint}_{side}" for joint in joints for side in "rl"}

    def scattered() -> Points:
        return {name: rng.uniform(0.2, 1.0, 3) for name in sorted(names)}

    return scale_factors(scattered(), scattered())


def test_gradients_reach_every_parameter(window: tuple[Tensor, Tensor]) -> None:
    made = network().train()
    found = made(*window)
    weights = torch.Generator().manual_seed(5)
    loss = torch.zeros(())
    for part in (found.angles, found.pelvis_orientation, found.pelvis_position, found.scale):
        loss = loss + (part * torch.randn(part.shape, generator=weights)).sum()
    loss.backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_half_precision_is_for_training_only_and_changes_little(window: tuple[Tensor, Tensor]) -> None:
    made = network()
    exact = made(*window)
    made.mixed_precision = True
    assert torch.equal(made(*window).angles, exact.angles)
    rough = made.train()(*window)
    assert rough.angles.dtype == torch.float32
    difference = (rough.angles - exact.angles).abs().max()
    assert 0 < difference < 0.1


def test_lengths_are_distances_between_named_sites(window: tuple[Tensor, Tensor]) -> None:
    """The first two lengths: between the ASIS; between the middles of ASIS and PSIS. A missing marker hides one."""
    made = network()
    local, known = window[0], torch.ones(2, WINDOW, len(MARKERS), 1)
    known[0, 0, MARKER_NAMES.index("LASI")] = 0.0
    still = torch.eye(3).expand(2, WINDOW, 3, 3), torch.zeros(2, WINDOW, 3)
    context = made._global_features(local * known, known, *still)[..., 15:]
    count = context.shape[-1] // 2
    at = {name: local[:, :, i] for i, name in enumerate(MARKER_NAMES)}
    pelvis = torch.linalg.vector_norm(at["RASI"] - at["LASI"], dim=-1)
    depth = torch.linalg.vector_norm((at["RASI"] + at["LASI"] - at["RPSI"] - at["LPSI"]) / 2, dim=-1)
    expected = (torch.stack([pelvis, depth], -1) - 0.25) / 0.15
    expected[0, 0] = 0
    torch.testing.assert_close(context[..., :2], expected)
    assert context[0, 0, count : count + 2].tolist() == [0, 0]
    assert (context[1, :, count:] == 1).all()


def test_the_hips_that_lengths_are_measured_from_are_the_skeletons() -> None:
    rows = {row["joint"]: row for row in joint_rows()}
    right, left = (np.array([float(rows[f"hip_{s}"][f"parent_{a}_m"]) for a in "xyz"]) for s in "rl")
    np.testing.assert_allclose(network().hip_offsets, [right, left], atol=1e-7)


def test_smoothing_is_a_triangle_of_nine_frames_and_keeps_what_is_constant() -> None:
    pulse = torch.zeros(1, 21, 1)
    pulse[0, 10] = 25
    expected = torch.tensor([0.0, 1, 2, 3, 4, 5, 4, 3, 2, 1, 0])
    torch.testing.assert_close(smooth_over_time(pulse)[0, 5:16, 0], expected)
    torch.testing.assert_close(smooth_over_time(torch.full((1, 6, 2), 3.0)), torch.full((1, 6, 2), 3.0))


def test_heads_that_say_nothing_leave_the_first_guess_as_it_is() -> None:
    """A typical person who does not move, with two known angles: they come back."""
    table, _ = typical()
    made = network()
    with torch.no_grad():
        for parameter in list(made.pose_head.parameters())[-2:]:
            parameter.zero_()
    q = torch.zeros(1, len(table.coordinates), dtype=torch.float64)
    names = [name for name, _, _ in JOINT_COORDINATES]
    for name, value in (("hip_flexion_r", 0.7), ("neck_rotation", -0.4)):
        q[0, table.coordinates.index(name)] = value
    markers = Kinematics(table).markers(q).float().expand(WINDOW, -1, -1)[None]
    angles = made(markers, torch.ones(1, WINDOW, len(MARKERS), dtype=torch.bool)).angles[0]
    for name, value in (("hip_flexion_r", 0.7), ("neck_rotation", -0.4)):
        found = angles[:, names.index(name)]
        torch.testing.assert_close(found, torch.full((WINDOW,), value), atol=2e-3, rtol=0)
