"""The segments' frames from their markers: exact on rigid ones, and something sensible where they are not seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from biopose_cli.body.markers import MARKER_NAMES, MARKERS
from biopose_cli.ik.segments import (
    PARENT,
    SEGMENTS,
    joint_center_offsets,
    reference_segments,
    segment_frames,
    segment_membership,
    virtual_point_weights,
)
from biopose_cli.skeleton.kinematics import Kinematics
from tests.helpers.synthetic_markers import template, typical

FRAMES = 6
PELVIS, FEMUR, TIBIA, CALCN = (SEGMENTS.index(name) for name in ("pelvis", "femur_r", "tibia_r", "calcn_r"))
HIP = joint_center_offsets("HIP")[0].double()
LEG = ("femur", "tibia", "calcn", "toes")
Clip = tuple[Tensor, Tensor, Tensor, Tensor]


def frames_of(markers: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return segment_frames(
        markers, seen, template().double(), segment_membership().double(), virtual_point_weights().double()
    )


def own(segment: int) -> list[int]:
    """The columns of the markers that show a segment by themselves."""
    return torch.nonzero(segment_membership()[segment, : len(MARKERS)])[:, 0].tolist()


@pytest.fixture
def clip() -> Clip:
    """A clip (1, T, M, 3) of a body that is rigid but for the right hip, and all seen; the rotation (T, 3, 3) and place
    (T, 3) of the body. The leg is turned by as much again, about the hip."""
    rotation = torch.as_tensor(Rotation.random(FRAMES, random_state=0).as_matrix())
    place = torch.randn(FRAMES, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    markers = torch.einsum("tij,mj->tmi", rotation, template().double())
    leg = [i for i, m in enumerate(MARKERS) if m.name[0] == "R" and m.segment.split("_")[0] in LEG]
    again = torch.einsum("tij,mj->tmi", rotation, template().double()[leg] - HIP) + HIP
    markers[:, leg] = torch.einsum("tij,tmj->tmi", rotation, again)
    markers = (markers + place[:, None])[None]
    return markers, torch.ones(markers.shape[:3], dtype=torch.bool), rotation, place


def leg_frame(rotation: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """Rotation (T, 3, 3) and place (T, 3) of the right leg of `clip`."""
    turned = rotation @ rotation
    return turned, place + rotation @ HIP - turned @ HIP


def test_segments_hang_on_those_before_them_and_have_markers_enough() -> None:
    assert SEGMENTS[0] == "pelvis"
    assert PARENT[0] == 0
    assert all(before < segment for segment, before in enumerate(PARENT) if segment)
    assert (segment_membership().sum(1) >= 3).all()
    assert [MARKER_NAMES[i] for i in own(PELVIS)] == ["RASI", "LASI", "RPSI", "LPSI", "SACR"]
    sides = {SEGMENTS[PARENT[SEGMENTS.index(f"tibia_{side}")]] for side in "rl"}
    assert sides == {"femur_r", "femur_l"}


def test_markers_are_looked_at_from_the_segment_before_their_own() -> None:
    seen_from = dict(zip(MARKER_NAMES, (SEGMENTS[i] for i in reference_segments()), strict=True))
    expected = {"RASI": "pelvis", "C7": "pelvis", "HTOP": "torso", "RLFC": "pelvis", "LLMAL": "femur_l",
                "RCAL": "tibia_r", "LLEL": "torso", "RRAD": "humerus_r", "RFIN": "forearm_r"}  # fmt: skip
    assert {name: seen_from[name] for name in expected} == expected
    assert len(seen_from) == len(MARKERS)


@pytest.mark.parametrize("lost", [(), (0,), (2, 4), (1, 3)])
def test_rigid_markers_give_their_frame_exactly_from_any_three(lost: tuple[int, ...], clip: Clip) -> None:
    markers, seen, rotation, place = clip
    for number in lost:
        seen[:, :, own(PELVIS)[number]] = False
        markers[:, :, own(PELVIS)[number]] = 1000.0
    found, origin, shown = frames_of(markers, seen)
    assert shown.all()
    for segment in range(len(SEGMENTS)):
        turned, there = leg_frame(rotation, place) if segment in (FEMUR, TIBIA, CALCN) else (rotation, place)
        torch.testing.assert_close(found[0, :, segment], turned, atol=1e-8, rtol=0)
        torch.testing.assert_close(origin[0, :, segment], there, atol=1e-8, rtol=0)


def test_the_carried_centres_are_the_skeletons_own_at_zero() -> None:
    table, _ = typical()
    zero = torch.zeros(1, len(table.coordinates), dtype=torch.float64)
    centres = Kinematics(table).joint_centers(zero)[0]
    for name, body in (("HIP", "femur"), ("SHOULDER", "humerus")):
        own = [table.bodies.index(f"{body}_{side}") for side in "rl"]
        torch.testing.assert_close(joint_center_offsets(name).double(), centres[own], atol=1e-6, rtol=0)


def test_in_the_zero_pose_all_frames_are_the_pelvis() -> None:
    markers = template().double()[None, None]
    found, place, _ = frames_of(markers, torch.ones(markers.shape[:3], dtype=torch.bool))
    unit = torch.eye(3, dtype=torch.float64).expand_as(found)
    torch.testing.assert_close(found, unit, atol=1e-8, rtol=0)
    torch.testing.assert_close(place, torch.zeros_like(place), atol=1e-8, rtol=0)


def test_a_joints_turn_is_between_its_segments_frames() -> None:
    """Of the skeleton's own kinematics: the neck turned by 40 degrees turns the head against the trunk by that."""
    table, _ = typical()
    q = torch.zeros(1, len(table.coordinates), dtype=torch.float64)
    q[0, table.coordinates.index("pelvis_rotation")] = 2.0
    q[0, table.coordinates.index("neck_rotation")] = np.radians(40)
    markers = Kinematics(table).markers(q)[None]
    found, _, _ = frames_of(markers, torch.ones(markers.shape[:3], dtype=torch.bool))
    torso, head = (found[0, 0, SEGMENTS.index(name)] for name in ("torso", "head"))
    between = Rotation.from_matrix((torso.T @ head).numpy()).as_rotvec(degrees=True)
    np.testing.assert_allclose(between, [0, 40, 0], atol=1e-5)


def test_a_mirrored_person_still_has_proper_rotations(clip: Clip) -> None:
    markers, seen, _, _ = clip
    found, _, _ = frames_of(markers * torch.tensor([1.0, 1.0, -1.0]), seen)
    torch.testing.assert_close(torch.linalg.det(found), torch.ones_like(found[..., 0, 0]))


def test_single_precision_far_from_the_origin_is_enough(clip: Clip) -> None:
    markers, seen, rotation, _ = clip
    found, _, _ = segment_frames(
        (markers + 20.0).float(), seen, template(), segment_membership(), virtual_point_weights()
    )
    off = Rotation.from_matrix((found[0, :, PELVIS].double().transpose(1, 2) @ rotation).numpy())
    assert np.degrees(off.magnitude()).max() < 0.01


def test_a_segment_that_is_not_shown_moves_with_the_one_before_it(clip: Clip) -> None:
    markers, seen, rotation, place = clip
    whole, _, _ = frames_of(markers, seen)
    hidden = sorted({*own(TIBIA), *own(CALCN)})
    seen[:, 2:4, hidden] = False
    seen[:, 2:4, hidden[0]] = True  # one of the shank's and the knee show too little
    found, origin, shown = frames_of(torch.where(seen[..., None], markers, 50.0), seen)
    assert not shown[0, 2:4, [TIBIA, CALCN]].any()
    assert shown[0, [0, 1, 4, 5]].all()
    turned, there = leg_frame(rotation, place)
    for segment in (TIBIA, CALCN):  # the one that is not shown either hands on what it has
        torch.testing.assert_close(found[0, 2:4, segment], turned[2:4], atol=1e-8, rtol=0)
        torch.testing.assert_close(origin[0, 2:4, segment], there[2:4], atol=1e-8, rtol=0)
        others = [0, 1, 4, 5]
        torch.testing.assert_close(found[0, others, segment], whole[0, others, segment], atol=1e-9, rtol=0)


def test_a_pelvis_that_is_not_shown_takes_the_nearest_moments_moved_with_all_markers() -> None:
    local = template().double().clone()
    others = [i for i in range(len(MARKERS)) if i not in own(PELVIS)]
    shift = local[own(PELVIS)].mean(0) - local[others].mean(0)
    local[others] += shift  # the centre is the same with and without the pelvis
    turned = torch.as_tensor(Rotation.random(2, random_state=0).as_matrix())
    rotation = turned.repeat_interleave(3, 0)  # frames 0 1 2 face one way, 3 4 5 another
    way = torch.linspace(0, 2, FRAMES, dtype=torch.float64)[:, None] * torch.tensor([1.0, 0.2, -0.5])
    markers = (torch.einsum("tij,mj->tmi", rotation, local) + way[:, None])[None]
    seen = torch.ones(markers.shape[:3], dtype=torch.bool)
    whole, origin, _ = frames_of(markers, seen)
    for frame in (1, 3, 4):
        seen[:, frame, own(PELVIS)] = False
    found, place, shown = frames_of(torch.where(seen[..., None], markers, 7.0), seen)
    assert shown[0, :, PELVIS].tolist() == [True, False, True, False, False, True]
    nearest = [0, 0, 2, 2, 5, 5]
    torch.testing.assert_close(found[0, :, PELVIS], whole[0, nearest, PELVIS], atol=1e-9, rtol=0)
    centre = markers[0].mean(1)
    expected = origin[0, nearest, PELVIS] + centre - centre[nearest]
    torch.testing.assert_close(place[0, :, PELVIS], expected, atol=1e-8, rtol=0)


def test_a_clip_that_never_shows_the_pelvis_is_upright_at_the_centre_of_what_is_seen(clip: Clip) -> None:
    markers, seen, rotation, _ = clip
    hidden = own(PELVIS)[2:]
    rest = [i for i in range(len(MARKERS)) if i not in hidden]
    both, visible = torch.cat([markers, markers]), torch.cat([seen, seen])
    visible[0, :, hidden] = False
    found, place, shown = frames_of(both, visible)
    assert not shown[0, :, PELVIS].any()
    assert shown[1].all()
    unit = torch.eye(3, dtype=torch.float64).expand(FRAMES, 3, 3)
    torch.testing.assert_close(found[0, :, PELVIS], unit)
    torch.testing.assert_close(place[0, :, PELVIS], markers[0][:, rest].mean(1), atol=1e-9, rtol=0)
    torch.testing.assert_close(found[1, :, PELVIS], rotation, atol=1e-8, rtol=0)  # the other is not touched


def test_a_clip_that_shows_nothing_is_upright_at_the_origin(clip: Clip) -> None:
    markers, seen, _, _ = clip
    found, place, shown = frames_of(markers, torch.zeros_like(seen))
    assert not shown.any()
    torch.testing.assert_close(found, torch.eye(3, dtype=torch.float64).expand_as(found))
    torch.testing.assert_close(place, torch.zeros_like(place))


def test_a_joints_centre_holds_a_limb_when_its_own_markers_err() -> None:
    """The thigh's four markers turned by 10 degrees about their centroid: its frame turns less than theirs would."""
    markers = template().double()[None, None].clone()
    seen = torch.ones(markers.shape[:3], dtype=torch.bool)
    thigh = own(FEMUR)
    wrong = torch.as_tensor(Rotation.from_euler("z", 10, degrees=True).as_matrix())
    centroid = markers[:, :, thigh].mean(2, keepdim=True)
    markers[:, :, thigh] = (markers[:, :, thigh] - centroid) @ wrong.T + centroid
    found, _, _ = frames_of(markers, seen)
    off = Rotation.from_matrix(found[0, 0, FEMUR].numpy()).magnitude()
    assert np.degrees(off) < 7


def test_knuckles_show_the_forearms_twist() -> None:
    """Two markers 5 cm apart err by 5 mm each way: the knuckles, which do not, keep half of the twist away."""
    markers = template().double()[None, None].clone()
    seen = torch.ones(markers.shape[:3], dtype=torch.bool)
    forearm = SEGMENTS.index("forearm_r")
    radius, ulna = MARKER_NAMES.index("RRAD"), MARKER_NAMES.index("RULN")
    markers[0, 0, radius, 0] += 0.005
    markers[0, 0, ulna, 0] -= 0.005
    found, _, _ = frames_of(markers, seen)
    alone = np.degrees(0.01 / float(torch.linalg.vector_norm(markers[0, 0, radius] - markers[0, 0, ulna])))
    assert np.degrees(Rotation.from_matrix(found[0, 0, forearm].numpy()).magnitude()) < 0.7 * alone
