"""The static trial: the body stands straight, on flat feet, left like right."""

from __future__ import annotations

import numpy as np
import pytest

from biopose_cli.body.markers import MARKER_NAMES
from biopose_cli.body.model import Body
from biopose_cli.skeleton.static_trial import StaticTrial, pose_static, sole_points

DOWN = {
    f"{joint}_{side}": np.array([0.0, -1.0, 0.0])
    for joint in ("hip", "knee", "shoulder", "elbow")
    for side in "rl"
}


@pytest.fixture(scope="module")
def plumb(body: Body) -> StaticTrial:
    return pose_static(body, np.zeros(10), DOWN)


def test_limbs_point_where_they_are_told(body: Body) -> None:
    leaning = np.array([0.1, -0.99, 0.02]) / np.linalg.norm([0.1, -0.99, 0.02])
    centres = pose_static(body, np.zeros(10), DOWN | {"knee_r": leaning, "elbow_l": leaning}).joint_centers
    for start, end, wanted in (
        ("hip_r", "knee_r", DOWN["hip_r"]),
        ("knee_r", "ankle_r", leaning),
        ("shoulder_l", "elbow_l", DOWN["shoulder_l"]),
        ("elbow_l", "wrist_l", leaning),
    ):
        limb = centres[end] - centres[start]
        assert np.degrees(np.arccos(limb @ wanted / np.linalg.norm(limb))) < 0.1


def test_axes_are_opensims(plumb: StaticTrial) -> None:
    assert plumb.marker("RASI")[2] > 0.05 > -0.05 > plumb.marker("LASI")[2]
    assert plumb.marker("HTOP")[1] > 0.7
    assert plumb.marker("RTOE")[0] > plumb.marker("RCAL")[0] + 0.15


def test_left_mirrors_right(plumb: StaticTrial) -> None:
    for name in MARKER_NAMES:
        if name.startswith("R") and "L" + name[1:] in MARKER_NAMES:
            other = plumb.marker("L" + name[1:]) * [1, 1, -1]
            np.testing.assert_allclose(plumb.marker(name), other, atol=2e-3, err_msg=name)


def test_feet_are_flat_and_soles_on_the_floor(plumb: StaticTrial, body: Body) -> None:
    used = np.unique(body.faces)
    floor = plumb.vertices[used, 1].min()
    points = sole_points(plumb)
    assert set(points) == {"heel_r", "ball_r", "heel_l", "ball_l"}
    for point in points.values():
        assert 0.0 <= point[1] - floor < 0.01
    assert 0.10 < points["ball_r"][0] - points["heel_r"][0] < 0.25
    assert points["heel_r"][2] > 0 > points["heel_l"][2]


def test_palms_face_the_thighs(plumb: StaticTrial) -> None:
    """The radial side of the wrist is in front."""
    for side in "RL":
        across = plumb.marker(f"{side}RAD") - plumb.marker(f"{side}ULN")
        assert across[0] > 3 * np.abs(across[2])
