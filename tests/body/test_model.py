"""The default body: its shape space, posing, and the reduced body against the whole mesh."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from biopose_cli.body.markers import MARKERS
from biopose_cli.body.model import DEFAULT_BODY, JOINT_NAMES, Body
from biopose_cli.body.smpl_io import SMPL_PARENTS, read_body

Pose = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def random_pose(frames: int, seed: int = 0) -> Pose:
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    return draw(frames, 23, 3) * 0.4, draw(frames, 3), draw(10), draw(frames, 3)


def joint(rest: torch.Tensor, name: str) -> np.ndarray:
    return rest[JOINT_NAMES.index(name)].numpy()


def test_rest_is_an_upright_t_pose(body: Body) -> None:
    rest = body.rest_joints(torch.zeros(10))
    for start, end, direction in (
        ("left_hip", "left_knee", [0, -1, 0]),
        ("left_knee", "left_ankle", [0, -1, 0]),
        ("left_shoulder", "left_elbow", [1, 0, 0]),
        ("right_elbow", "right_wrist", [-1, 0, 0]),
    ):
        bone = joint(rest, end) - joint(rest, start)
        assert bone / np.linalg.norm(bone) @ direction > 0.9995, (start, end)
    assert joint(rest, "left_foot")[2] > joint(rest, "left_ankle")[2] + 0.1  # faces +z
    assert joint(rest, "left_hip")[0] > 0  # x to the subject's left
    np.testing.assert_allclose(joint(rest, "pelvis"), 0, atol=1e-6)


def test_rest_is_symmetric(body: Body) -> None:
    with np.load(DEFAULT_BODY) as stored:
        mirror, weights = stored["mirror"], stored["weights"]
    torch.manual_seed(3)
    zero = torch.zeros
    vertices = body.vertices(zero(1, 23, 3), zero(1, 3), torch.randn(10), zero(1, 3))[0].numpy()
    np.testing.assert_allclose(vertices[mirror], vertices * [-1, 1, 1], atol=1e-6)
    sides = [JOINT_NAMES.index(_opposite(name)) for name in JOINT_NAMES]
    np.testing.assert_allclose(weights[mirror][:, sides], weights, atol=2e-3)


def _opposite(name: str) -> str:
    swapped = {"left": "right", "right": "left"}
    side, _, rest = name.partition("_")
    return f"{swapped[side]}_{rest}" if side in swapped else name


def test_mirrored_pose_gives_the_mirrored_body(body: Body) -> None:
    body_pose, orient, betas, transl = random_pose(3)
    pose = torch.cat([orient[:, None], body_pose], 1)
    sides = [JOINT_NAMES.index(_opposite(name)) for name in JOINT_NAMES]
    other = pose[:, sides] * torch.tensor([1.0, -1.0, -1.0])
    flip = torch.tensor([-1.0, 1.0, 1.0])
    one = body.pose(body_pose, orient, betas, transl).joints
    two = body.pose(other[:, 1:], other[:, 0], betas, transl * flip).joints
    torch.testing.assert_close(two[:, sides] * flip, one, atol=1e-5, rtol=0)


def test_reduced_body_equals_the_whole_mesh(body: Body) -> None:
    pose = random_pose(4)
    whole, reduced = body.vertices(*pose), body.pose(*pose)
    assert torch.equal(whole[:, body.marker_vertices], reduced.markers)
    torch.testing.assert_close(whole[:, -24:], reduced.joints, atol=1e-5, rtol=0)  # the joints' helper vertices


def test_root_rotates_about_the_pelvis(body: Body) -> None:
    body_pose, orient, betas, transl = random_pose(5)
    joints = body.pose(body_pose, orient, betas, transl).joints
    torch.testing.assert_close(joints[:, 0], body.rest_joints(betas)[0] + transl, atol=1e-6, rtol=0)


def test_bones_keep_their_lengths(body: Body) -> None:
    body_pose, orient, betas, transl = random_pose(5)
    joints, rest = body.pose(body_pose, orient, betas, transl).joints, body.rest_joints(betas)
    parents = list(body.parents[1:])
    lengths = torch.linalg.vector_norm(joints[:, 1:] - joints[:, parents], dim=-1)
    expected = torch.linalg.vector_norm(rest[1:] - rest[parents], dim=-1)
    torch.testing.assert_close(lengths, expected.expand_as(lengths), atol=1e-5, rtol=0)


def test_knee_bends_backwards(body: Body) -> None:
    body_pose = torch.zeros(1, 23, 3)
    body_pose[0, JOINT_NAMES.index("left_knee") - 1, 0] = 1.0
    joints = body.pose(body_pose, torch.zeros(1, 3), torch.zeros(10), torch.zeros(1, 3)).joints[0]
    assert joint(joints, "left_ankle")[2] < joint(joints, "left_knee")[2] - 0.3


def test_one_shape_or_one_per_frame(body: Body) -> None:
    body_pose, orient, betas, transl = random_pose(3)
    one = body.pose(body_pose, orient, betas, transl)
    each = body.pose(body_pose, orient, betas.expand(3, 10), transl)
    assert torch.equal(one.markers, each.markers)
    assert torch.equal(body.stature(betas.expand(3, 10)), body.stature(betas).expand(3))


def test_gradients_are_right(body: Body) -> None:
    """Against central differences, from float32 values: the tolerance is theirs."""
    body_pose, orient, betas, transl = (t.requires_grad_(True) for t in random_pose(1))
    target = torch.randn(1, 69, 3, generator=torch.Generator().manual_seed(1))

    def loss() -> torch.Tensor:
        posed = body.pose(body_pose, orient, betas, transl)
        return (posed.markers * target).sum() + posed.joints.square().sum()

    loss().backward()
    step = 1e-2
    for tensor, index in ((body_pose, (0, 3, 1)), (orient, (0, 2)), (betas, (1,)), (transl, (0, 0))):
        with torch.no_grad():
            values = []
            for sign in (1, -1):
                tensor[index] += sign * step
                values.append(loss().item())
                tensor[index] -= sign * step
        assert tensor.grad is not None
        assert (values[0] - values[1]) / (2 * step) == pytest.approx(tensor.grad[index].item(), rel=1e-2, abs=1e-2)


def test_gradient_is_finite_at_rest(body: Body) -> None:
    body_pose = torch.zeros(1, 23, 3, requires_grad=True)
    body.pose(body_pose, torch.zeros(1, 3), torch.zeros(10), torch.zeros(1, 3)).markers.sum().backward()
    assert body_pose.grad is not None and torch.isfinite(body_pose.grad).all()


def test_first_component_is_size(body: Body) -> None:
    sizes = torch.linspace(-4, 4, 17)
    statures = body.stature(sizes[:, None] * torch.eye(10)[0])
    assert (statures.diff() > 0).all()
    assert body.stature(torch.zeros(10)).item() == pytest.approx(1.72, abs=0.02)
    spread = torch.stack([body.stature(row) - body.stature(torch.zeros(10)) for row in torch.eye(10)])
    assert spread.square().sum().sqrt().item() == pytest.approx(0.12, abs=0.015)  # adults, some resized
    assert spread[0].abs() == spread.abs().max()


@pytest.mark.parametrize("height", [1.30, 1.55, 1.85, 2.10])
def test_wanted_stature(body: Body, height: float) -> None:
    shape = body.betas_for_stature(height)
    assert body.stature(shape).item() == pytest.approx(height, abs=1e-4)
    assert torch.linalg.vector_norm(shape) < 4  # standard deviations
    start = torch.randn(10, generator=torch.Generator().manual_seed(0))
    assert body.stature(body.betas_for_stature(height, start)).item() == pytest.approx(height, abs=1e-4)


def test_proportions_are_human(body: Body) -> None:
    """Segment lengths over stature: between Winter's, de Leva's and Rajagopal's figures (docs/how/body.md)."""
    rest, height = body.rest_joints(torch.zeros(10)), body.stature(torch.zeros(10)).item()
    for start, end, low, high in (
        ("left_hip", "left_knee", 0.232, 0.250),
        ("left_knee", "left_ankle", 0.233, 0.252),
        ("left_shoulder", "left_elbow", 0.155, 0.175),
        ("left_elbow", "left_wrist", 0.142, 0.158),
    ):
        assert low < np.linalg.norm(joint(rest, start) - joint(rest, end)) / height < high, (start, end)
    assert 0.165 < 2 * joint(rest, "left_hip")[0] < 0.190  # m, Harrington's adults


def test_file_is_smpl_format() -> None:
    arrays = read_body(DEFAULT_BODY)
    np.testing.assert_array_equal(arrays.kintree_table[0, 1:], SMPL_PARENTS)
    assert ((arrays.J_regressor == 0) | (arrays.J_regressor == 1)).all()
    assert arrays.f.max() < len(arrays.v_template) - 24  # the helper vertices are in no face
    np.testing.assert_allclose(arrays.weights.sum(1), 1, atol=2e-3)
    assert DEFAULT_BODY.stat().st_size < 2.5e6


def test_a_joint_rotation_moves_its_descendants(body: Body) -> None:
    carried = body.marker_joint_weights
    names = [marker.name for marker in MARKERS]
    np.testing.assert_allclose(carried[:, 0], 1.0, atol=1e-3)  # the pelvis takes all
    toes, head = names.index("RTOE"), names.index("HTOP")
    for joint in ("right_hip", "right_knee", "right_ankle"):
        assert carried[toes, JOINT_NAMES.index(joint)] > 0.95
        assert carried[head, JOINT_NAMES.index(joint)] == 0.0
    assert carried[head, JOINT_NAMES.index("spine1")] == pytest.approx(1.0, abs=1e-3)
