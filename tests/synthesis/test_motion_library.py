"""Reading the archives: golden numbers, agreement between the three formats, copies, splits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from biopose_cli.synthesis import bvh, cmu
from biopose_cli.synthesis.mocap import INDEX, Take, euler
from biopose_cli.synthesis.motion_library import (
    drop_duplicates,
    read_amc_archive,
    read_bvh_archive,
    read_expmap_archive,
    retarget_all,
)
from biopose_cli.synthesis.retarget import RestBody
from biopose_cli.typing import Array

BVH = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation
  JOINT Leg
  {
    OFFSET 0 -10 0
    CHANNELS 3 Zrotation Yrotation Xrotation
    End Site
    {
      OFFSET 0 -5 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.0166667
1 2 3 0 0 0 0 0 0
1 2 3 90 0 0 0 0 90
"""


@pytest.fixture(scope="session")
def folder(shared: Path) -> Path:
    return shared / "data" / "motion"


@pytest.fixture(scope="session")
def walks(folder: Path) -> dict[str, Take]:
    """The AMC takes of subject 07, by name."""
    return {take.name: take for take in read_amc_archive(folder, "/07/")}


def angle(first: Array, second: Array) -> Array:
    """Degrees between rotations (..., 3, 3)."""
    trace = np.einsum("...ij,...ij->...", first, second)
    return np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))


def test_extrinsic_euler_angles_are_intrinsic_in_reverse() -> None:
    np.testing.assert_allclose(euler("zyx", [90, 0, 90]) @ [0, 1, 0], [0, 0, 1], atol=1e-12)


def test_asf_without_bones_is_refused() -> None:
    with pytest.raises(ValueError, match=r"not an \.asf"):
        cmu.read_asf(":version 1.10\n")


def test_bvh_chain_by_hand() -> None:
    tree = bvh.read_tree(BVH)
    assert tree.fps == 60.0
    rotations, positions = bvh.forward_kinematics(tree)
    np.testing.assert_allclose(positions[0], [[1, 2, 3], [1, -8, 3], [1, -13, 3]])
    np.testing.assert_allclose(positions[1, 1], [11, 2, 3], atol=1e-12)  # the leg points to +x
    np.testing.assert_allclose(positions[1, 2], [11, 2, -2], atol=1e-12)  # its end, bent about its own x
    np.testing.assert_allclose(rotations[1, 0] @ rotations[1, 0].T, np.eye(3), atol=1e-12)


def test_bvh_with_wrong_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="columns"):
        bvh.read_tree(BVH.replace("Zrotation Yrotation Xrotation\n    End", "Zrotation Yrotation\n    End"))
    with pytest.raises(ValueError, match="no motion"):
        bvh.read_tree(BVH.partition("MOTION")[0])


def test_a_walk_of_the_database(walks: dict[str, Take]) -> None:
    take = walks["07_01"]
    assert len(take.hips) == 316
    assert take.fps == 120
    assert take.leg_length == pytest.approx(0.8076, abs=1e-4)
    speed = np.linalg.norm(take.hips[-1] - take.hips[0]) / (315 / 120)
    assert speed == pytest.approx(1.37, abs=0.02)  # m/s
    walk = take.hips[-1] - take.hips[0]
    facing = take.rotations[:, INDEX["pelvis"], :, 2].mean(axis=0)
    assert facing @ walk / np.linalg.norm(walk) > 0.95  # it walks forwards: z is forward


def test_expmap_and_amc_are_the_same_take(folder: Path, walks: dict[str, Take]) -> None:
    (copy,) = read_expmap_archive(folder, "train/walking/walking_4")
    assert angle(copy.rotations, walks["07_01"].rotations).max() < 1
    assert np.ptp(copy.hips - walks["07_01"].hips, axis=0).max() < 0.05
    found = drop_duplicates([*walks.values(), copy])
    assert [take.name for take in found] == list(walks)


def test_bvh_agrees_with_amc(folder: Path, walks: dict[str, Take], rest_body: RestBody) -> None:
    takes = read_bvh_archive(folder, "007_0")
    assert "07_01" not in {take.name for take in takes}  # its vertical motion was lost
    (theirs,) = (take for take in takes if take.name == "07_06")
    ours = walks["07_06"].subsample(2)
    a, b = (take.rotations[:200] for take in (ours, theirs))
    a = a[1:]  # the BVH starts one frame later
    b = b[: len(a)]
    for joint in ("pelvis", "spine3", "left_shoulder", "right_shoulder", "head"):
        assert angle(a[:, INDEX[joint]], b[:, INDEX[joint]]).mean() < 2, joint
    poses = [retarget_all([take], rest_body, 60)[0].pose for take in (ours, theirs)]
    knees = [pose[:199, INDEX["left_knee"], 0] for pose in (poses[0][1:], poses[1])]
    assert np.degrees(np.abs(knees[0] - knees[1])).mean() < 4


def test_a_real_walk_on_the_body(walks: dict[str, Take], rest_body: RestBody) -> None:
    """Knees are hinges that never bend backwards; the feet stand on the floor in turn."""
    (motion,) = (motion for motion in retarget_all(list(walks.values()), rest_body, 30) if motion.name == "07_03")
    assert motion.fps == 30
    knees = np.degrees(motion.pose[:, [INDEX["left_knee"], INDEX["right_knee"]]])
    assert np.abs(knees[..., 1:]).max() < 0.1
    flexion = knees[..., 0] + 8.2  # of which the made-up body's knee is bent at rest
    assert -0.2 < flexion.min() < 10
    assert 60 < flexion.max() < 80
    hip_left, hip_right = (motion.pose[:, INDEX[f"{side}_hip"], 0] for side in ("left", "right"))
    assert np.corrcoef(hip_left, hip_right)[0, 1] < -0.7


def test_frame_rates_that_do_not_divide_are_refused(make_take: Callable[..., Take], rest_body: RestBody) -> None:
    with pytest.raises(ValueError, match="cannot be subsampled"):
        retarget_all([make_take()], rest_body, 50)


def test_copies_of_unknown_subjects_are_named_after_the_original(make_take: Callable[..., Take]) -> None:
    sway = euler("xyz", np.stack([np.linspace(0, 60, 80), np.zeros(80), np.linspace(0, 30, 80)], axis=1))
    original = make_take(80, name="05_01", pelvis=sway, spine3=sway)
    hidden = replace(original, subject="unknown_walking", name="train/walking/walking_1")
    other = replace(
        make_take(80, pelvis=sway[::-1], spine3=sway),
        subject="unknown_walking",
        name="train/walking/walking_2",
    )
    assert [take.name for take in drop_duplicates([original, hidden, other])] == [
        "05_01",
        "train/walking/walking_2",
    ]
    assert [take.subject for take in drop_duplicates([hidden, original])] == ["05"]
