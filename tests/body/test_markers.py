"""The virtual markers and the joint centres that follow from them."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch

from biopose_cli.body import markers as sites
from biopose_cli.body.markers import MARKER_NAMES, MARKERS, hara_hips, harrington_hips, joint_centers
from biopose_cli.body.model import JOINT_NAMES, Body

SEGMENTS = {"pelvis", "lumbar", "torso", "head"} | {
    f"{bone}_{side}"
    for bone in ("femur", "tibia", "calcn", "toes", "humerus", "ulna", "radius", "hand")
    for side in "rl"
}


def test_table_covers_every_segment() -> None:
    assert {marker.segment for marker in MARKERS} == SEGMENTS
    assert 60 <= len(MARKERS) <= 70
    for field in ("name", "vertex", "smpl_vertex", "site"):
        assert len({getattr(marker, field) for marker in MARKERS}) == len(MARKERS), field


def test_table_gives_a_source_for_every_smpl_vertex() -> None:
    assert {marker.source for marker in MARKERS} == {"MoSh++", "BSM", "smplx"}
    assert all(0 <= marker.smpl_vertex < 6890 for marker in MARKERS)


def test_table_is_sorted_out_by_side() -> None:
    for marker in MARKERS:
        side = {"_r": "right ", "_l": "left "}.get(marker.segment[-2:], "")
        assert marker.site.startswith(side)
        assert not side or marker.name[0] == side[0].upper()
    with sites.MARKERS_CSV.open(encoding="utf-8", newline="") as stream:
        assert [row["name"] for row in csv.DictReader(stream)] == list(MARKER_NAMES)


@pytest.mark.parametrize("sigma", [-2.0, 0.0, 2.0])
def test_markers_mirror(body: Body, sigma: float) -> None:
    at = dict(zip(MARKER_NAMES, body.rest(torch.full((10,), sigma)).markers[0].numpy(), strict=True))
    for name, point in at.items():
        other = {"R": "L" + name[1:], "L": "R" + name[1:]}.get(name[0], name)
        np.testing.assert_allclose(at.get(other, point), point * [-1, 1, 1], atol=1e-6)
        assert other not in at or other == name or (point[0] < 0) == name.startswith("R")


def test_markers_are_at_their_named_sites(body: Body) -> None:
    at = dict(zip(MARKER_NAMES, body.rest(torch.zeros(10)).markers[0].numpy(), strict=True))
    x, y, z = 0, 1, 2
    assert at["LASI"][z] > 0 > at["LPSI"][z]
    assert at["HTOP"][y] > at["LFHD"][y] > at["C7"][y] > at["T8"][y] > at["LUM"][y] > at["SACR"][y]
    assert at["LTOE"][z] > at["LMT1"][z] > at["LCAL"][z]
    assert at["LMT5"][x] > at["LMT1"][x]
    assert at["LLFC"][x] > at["LMFC"][x]
    assert at["LLMAL"][x] > at["LMMAL"][x]
    assert at["LLEL"][y] > at["LMEL"][y]  # in the T-pose the elbow's axis stands upright
    assert at["LRAD"][z] > at["LULN"][z]  # thumbs forward


def pelvis(width: float, depth: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Skin sites over bony ones (x forward, y up, z right) with the middle of the bony PSIS at the origin."""
    front, back = depth + sites.SKIN_ASIS, -sites.SKIN_PSIS
    return (
        torch.tensor([front, 0.0, width / 2]),
        torch.tensor([front, 0.0, -width / 2]),
        torch.tensor([back, 0.0, 0.05]),
        torch.tensor([back, 0.0, -0.05]),
    )


def test_harringtons_hips_by_hand() -> None:
    """For landmarks on bone 240 mm apart, 150 mm deep, leg 880 mm from ASIS to malleolus."""
    below = 0.16 * 0.240 + 0.04 * 0.880 + 0.0071
    right, left = harrington_hips(*pelvis(0.240, 0.150), torch.tensor(0.880 - below))
    expected = [0.150 - 0.24 * 0.150 - 0.0099, -below, 0.28 * 0.150 + 0.16 * 0.240 + 0.0079]
    np.testing.assert_allclose(right, expected, atol=1e-6)
    np.testing.assert_allclose(left, np.array(expected) * [1, 1, -1], atol=1e-6)


def test_haras_hips_by_hand() -> None:
    """Depends on the leg alone."""
    below = 0.009 + 0.078 * 0.880
    expected = np.array([0.150 + 0.011 - 0.063 * 0.880, -below, 0.008 + 0.086 * 0.880])
    for width in (0.22, 0.30):
        right, left = hara_hips(*pelvis(width, 0.150), torch.tensor(0.880 - below))
        np.testing.assert_allclose(right, expected, atol=1e-6)
        np.testing.assert_allclose(left, expected * [1, 1, -1], atol=1e-6)


def test_joint_centers_agree_with_the_body_over_shapes(body: Body) -> None:
    torch.manual_seed(1)
    limits = {"hip": 0.020, "knee": 0.013, "ankle": 0.002, "elbow": 0.010, "wrist": 0.012, "shoulder": 0.020}
    offsets: dict[str, list[torch.Tensor]] = {joint: [] for joint in limits}
    for betas in torch.randn(40, 10):
        rest = body.rest(betas)
        centres = joint_centers(rest.markers[0])
        for joint, limit in limits.items():
            for side, long in (("r", "right"), ("l", "left")):
                own = rest.joints[0, JOINT_NAMES.index(f"{long}_{joint}")]
                offset = centres[f"{joint}_{side}"] - own
                assert torch.linalg.vector_norm(offset) < limit, joint
                offsets[joint].append(offset)
    hips = torch.stack(offsets["hip"][1::2]).mean(0)  # left
    assert torch.linalg.vector_norm(hips) < 0.005  # two independent regressions agree on the mean


def test_joint_centers_follow_the_body_in_any_pose(body: Body) -> None:
    """The bony landmarks move with their bones, so a pose does not spoil the centres."""
    torch.manual_seed(2)
    body_pose = torch.randn(20, 23, 3) * 0.3
    still, rest = torch.zeros(20, 3), body.rest(torch.zeros(10))
    posed = body.pose(body_pose, torch.randn(20, 3), torch.zeros(10), still)
    at_rest, centres = joint_centers(rest.markers[0]), joint_centers(posed.markers)
    for name in ("hip_r", "knee_l", "ankle_r", "elbow_l", "wrist_r"):
        joint = JOINT_NAMES.index({"r": "right_", "l": "left_"}[name[-1]] + name[:-2])
        before = torch.linalg.vector_norm(at_rest[name] - rest.joints[0, joint])
        after = torch.linalg.vector_norm(centres[name] - posed.joints[:, joint], dim=-1)
        assert (after - before).abs().max() < 0.005, name


def test_joint_centers_take_any_batch_shape(body: Body) -> None:
    markers = body.rest(torch.zeros(10)).markers
    batched = joint_centers(markers.expand(2, 3, -1, -1))
    for name, centre in joint_centers(markers[0]).items():
        assert batched[name].shape == (2, 3, 3)
        torch.testing.assert_close(batched[name][1, 2], centre)
