"""A clip through the network: windows laid over each other must not show."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from biopose_cli.body.markers import MARKERS
from biopose_cli.geometry.euler import euler_zxy_to_matrix, matrix_to_euler_zxy
from biopose_cli.ik.network import (
    BODIES,
    JOINT_COORDINATES,
    PELVIS_COORDINATES,
    NeurIK,
    NeurIKConfig,
    NeurIKOutput,
    scale_groups,
)
from biopose_cli.ik.predict import predict
from biopose_cli.skeleton.build import coordinate_rows
from biopose_cli.typing import Array
from tests.helpers.synthetic_markers import parts, template

WINDOW = 8
SIZE = NeurIKConfig(
    window=WINDOW, channels=4, convolutions=1, kernel=3, width=16, layers=1, heads=2, feedforward=32
)
COORDINATES = [row["coordinate"] for row in coordinate_rows()]


class Fixed(NeurIK):
    """Says the same pose for every frame, but a pelvis that follows the first marker and a scale of its own choice."""

    turn = (0.3, -0.2, 0.5)

    def forward(self, markers: Tensor, visible: Tensor) -> NeurIKOutput:
        clips, frames = markers.shape[:2]
        log_scale = torch.full((clips, scale_groups().shape[-1]), 0.1)
        return NeurIKOutput(
            angles=torch.linspace(0.1, 0.9, len(JOINT_COORDINATES)).expand(clips, frames, -1),
            pelvis_orientation=euler_zxy_to_matrix(torch.tensor(self.turn)).expand(clips, frames, 3, 3),
            pelvis_position=markers[:, :, 0],
            log_scale=log_scale,
            scale=self.scale_factors(log_scale),
        )


class Spinning(Fixed):
    """Faces where the first marker's x says, in rad."""

    def forward(self, markers: Tensor, visible: Tensor) -> NeurIKOutput:
        found = super().forward(markers, visible)
        heading = torch.zeros_like(markers[:, :, 0])
        heading[..., 2] = markers[:, :, 0, 0]
        return NeurIKOutput(
            found.angles, euler_zxy_to_matrix(heading), found.pelvis_position, found.log_scale, found.scale
        )


def walk(frames: int) -> Array:
    rng = np.random.default_rng(0)
    markers = template().numpy() + rng.normal(0, 0.02, (frames, len(MARKERS), 3))
    return np.asarray(markers + np.arange(frames)[:, None, None] * [0.02, 0.0, 0.01])


@pytest.fixture
def network() -> NeurIK:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    made = NeurIK(SIZE, *parts()).eval()
    with torch.no_grad():
        for head in (made.pose_head, made.scale_head):
            list(head.parameters())[-2].normal_(0, 0.3)  # the last layer's weights
    return made


@pytest.mark.parametrize("frames", [1, 5, WINDOW, WINDOW + 1, 2 * WINDOW, 200])
def test_a_network_that_says_the_same_everywhere_gives_just_that(frames: int) -> None:
    markers = walk(frames)
    found = predict(
        Fixed(SIZE, *parts()), markers, [*PELVIS_COORDINATES, *(name for name, _, _ in JOINT_COORDINATES)]
    )
    np.testing.assert_allclose(found.q[:, :3], np.tile(Fixed.turn, (frames, 1)), atol=1e-6)
    np.testing.assert_allclose(found.q[:, 3:6], markers[:, 0], atol=1e-6)
    np.testing.assert_allclose(
        found.q[:, 6:], np.tile(np.linspace(0.1, 0.9, len(JOINT_COORDINATES)), (frames, 1)), atol=1e-6
    )
    for factors in found.scale.values():
        np.testing.assert_allclose(factors, np.exp(0.1), rtol=1e-6)


def test_one_window_is_what_the_network_says_of_it(network: NeurIK) -> None:
    markers = walk(WINDOW)
    found = predict(network, markers, COORDINATES)
    points = torch.as_tensor(markers, dtype=torch.float32)[None]
    with torch.inference_mode():
        said = network(points, torch.ones(points.shape[:3], dtype=torch.bool))
    for column, (name, _, _) in enumerate(JOINT_COORDINATES):
        np.testing.assert_allclose(found.q[:, COORDINATES.index(name)], said.angles[0, :, column], atol=1e-5)
    root = torch.cat([matrix_to_euler_zxy(said.pelvis_orientation), said.pelvis_position], dim=-1)[0]
    np.testing.assert_allclose(
        found.q[:, [COORDINATES.index(name) for name in PELVIS_COORDINATES]], root, atol=1e-5
    )
    assert tuple(found.scale) == BODIES
    np.testing.assert_allclose(np.stack(list(found.scale.values())), said.scale[0], atol=1e-6)


@pytest.mark.parametrize("frames", [1, 5, WINDOW + 1, 200])
def test_any_length_gives_finite_angles_in_their_ranges_and_one_scale(frames: int, network: NeurIK) -> None:
    found = predict(network, walk(frames), COORDINATES)
    assert found.q.shape == (frames, len(COORDINATES))
    assert np.isfinite(found.q).all()
    for name, low, high in JOINT_COORDINATES:
        angle = found.q[:, COORDINATES.index(name)]
        assert ((angle > low - 1e-6) & (angle < high + 1e-6)).all()
    for row in coordinate_rows():
        if row["follows"]:
            assert (found.q[:, COORDINATES.index(row["coordinate"])] == 0).all()
    assert {factors.shape for factors in found.scale.values()} == {(3,)}


@pytest.mark.parametrize(
    ("frames", "starts"),
    [(1, [0]), (8, [0]), (9, [0, 1]), (12, [0, 4]), (24, [0, 4, 8, 12, 16]), (18, [0, 4, 8, 10])],
)
def test_windows_overlap_by_half_and_end_with_the_clip(frames: int, starts: list[int]) -> None:
    asked: list[int] = []

    class Listening(Fixed):
        def forward(self, markers: Tensor, seen: Tensor) -> NeurIKOutput:
            asked.extend(int(start) for start in markers[:, 0, 0, 0].round())
            return super().forward(markers, seen)

    markers = np.zeros((frames, len(MARKERS), 3))
    markers[:, 0, 0] = np.arange(frames)
    predict(Listening(SIZE, *parts()), markers, COORDINATES)
    assert asked == starts


def test_a_short_clip_is_continued_by_its_last_frame(network: NeurIK) -> None:
    markers = walk(5)
    longer = np.concatenate([markers, np.repeat(markers[-1:], WINDOW - 5, axis=0)])
    short, long = (predict(network, clip, COORDINATES) for clip in (markers, longer))
    np.testing.assert_allclose(short.q, long.q[:5], atol=1e-6)


def test_a_frame_between_two_windows_is_their_mean_weighted_towards_their_middles(network: NeurIK) -> None:
    """Windows of 8 over 12 frames: 0 to 7 and 4 to 11. Weights of frame 4: 3.5 and 0.5."""
    markers = walk(12)
    points = torch.as_tensor(markers, dtype=torch.float32)
    both = torch.stack([points[:8], points[4:]])
    with torch.inference_mode():
        said = network(both, torch.ones(both.shape[:3], dtype=torch.bool))
    name, column = JOINT_COORDINATES[3][0], 3
    found = predict(network, markers, [name]).q[:, 0]
    first, second = said.angles[:, :, column].double().numpy()
    assert abs(first[4] - second[0]) > 1e-3
    assert found[4] == pytest.approx((3.5 * first[4] + 0.5 * second[0]) / 4, abs=1e-6)
    assert found[6] == pytest.approx((1.5 * first[6] + 2.5 * second[2]) / 4, abs=1e-6)
    np.testing.assert_allclose(found[:4], first[:4], atol=1e-6)
    scale = predict(network, markers, [name]).scale["femur_r"]
    expected = said.scale[:, BODIES.index("femur_r")].log().mean(0).exp()
    np.testing.assert_allclose(scale, expected.numpy(), rtol=1e-5)


def test_coordinates_come_in_the_order_that_was_asked_for(network: NeurIK) -> None:
    markers = walk(20)
    straight = predict(network, markers, COORDINATES).q
    backwards = predict(network, markers, COORDINATES[::-1]).q
    np.testing.assert_array_equal(straight, backwards[:, ::-1])
    few = predict(network, markers, ["knee_angle_l", "not_ours", "pelvis_ty"]).q
    columns = [COORDINATES.index("knee_angle_l"), COORDINATES.index("pelvis_ty")]
    np.testing.assert_array_equal(few[:, [0, 2]], straight[:, columns])
    assert (few[:, 1] == 0).all()


def test_missing_markers_are_nan_and_partly_missing_ones_missing(network: NeurIK) -> None:
    markers = walk(30)
    markers[3:9, 20:40] = np.nan
    markers[12] = np.nan
    whole = predict(network, markers, COORDINATES)
    assert np.isfinite(whole.q).all()
    markers[3:9, 20:40, 1:] = 5.0  # the x is still missing
    np.testing.assert_array_equal(predict(network, markers, COORDINATES).q, whole.q)
    assert np.isfinite(predict(network, np.full_like(markers, np.nan), COORDINATES).q).all()


def test_a_person_who_turns_round_twice_has_no_jumps() -> None:
    markers = walk(100)
    heading = np.linspace(-1, 4 * np.pi - 1, 100)
    markers[:, 0, 0] = heading
    found = predict(Spinning(SIZE, *parts()), markers, ["pelvis_rotation", "pelvis_tilt", "pelvis_list"]).q
    np.testing.assert_allclose(found[:, 0] - found[0, 0], heading - heading[0], atol=1e-4)
    np.testing.assert_allclose(found[:, 1:], 0, atol=1e-4)


def test_windows_that_disagree_still_give_a_rotation() -> None:
    """Their mean is not one; the nearest is taken."""

    class Divided(Fixed):
        def forward(self, markers: Tensor, seen: Tensor) -> NeurIKOutput:
            found = super().forward(markers, seen)
            turned = torch.as_tensor(Rotation.random(len(markers), random_state=1).as_matrix()).float()
            rotation = turned[:, None].expand(-1, markers.shape[1], 3, 3)
            return NeurIKOutput(found.angles, rotation, found.pelvis_position, found.log_scale, found.scale)

    found = predict(Divided(SIZE, *parts()), walk(12), ["pelvis_tilt", "pelvis_list", "pelvis_rotation"]).q
    turned = Rotation.random(2, random_state=1)
    mean = Rotation.concatenate([turned[0], turned[1]])
    expected = mean.mean(weights=[3.5, 0.5]).as_matrix()
    np.testing.assert_allclose(euler_zxy_to_matrix(torch.as_tensor(found[4])), expected, atol=1e-5)
