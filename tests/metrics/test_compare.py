"""`biopose compare`: figures by hand, clocks, gaps, wraps, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from biopose_cli.errors import MotionFileError
from biopose_cli.io.storage import Motion, read_motion
from biopose_cli.metrics.alignment import common_times, find_shift
from biopose_cli.metrics.compare import GROUPS, compare, plot


def motion(time: np.ndarray, **columns: np.ndarray | list[float]) -> Motion:
    return Motion(np.asarray(time, float), tuple(columns), np.array(list(columns.values()), float).T)


def walking(time: np.ndarray, noise: float = 0.0) -> Motion:
    """About one stride a second, no two of them equal."""
    stride = 2 * np.pi * (time + 0.15 * np.sin(0.9 * time))
    legs = {
        "hip_flexion_r": 25 * np.sin(stride) + 4 * np.sin(0.7 * time),
        "knee_angle_r": 30 + 30 * np.sin(2 * stride + 1),
        "hip_flexion_l": -25 * np.sin(stride) + 3 * np.cos(0.5 * time),
        "knee_angle_l": 30 - 28 * np.sin(2 * stride + 0.6),
    }
    rng = np.random.default_rng(0)
    return motion(time, **{name: curve + noise * rng.normal(size=len(time)) for name, curve in legs.items()})


def test_figures_by_hand() -> None:
    est = motion([0, 1, 2, 3], knee_angle_r=[13, 24, 33, 42])
    ref = motion([0, 1, 2, 3], knee_angle_r=[10, 20, 30, 40])
    figures = compare(est, ref, shift=0).coordinates["knee_angle_r"]
    assert figures["mae"] == pytest.approx(3.0)
    assert figures["rmse"] == pytest.approx(np.sqrt((9 + 16 + 9 + 4) / 4))
    assert figures["offset"] == pytest.approx(3.0)
    assert figures["mae_offset_removed"] == pytest.approx(0.5)
    assert figures["r"] == pytest.approx(np.corrcoef([13, 24, 33, 42], [10, 20, 30, 40])[0, 1])
    assert (figures["rom_estimate"], figures["rom_reference"], figures["rom_error"]) == pytest.approx((29, 30, -1))
    assert figures["n"] == 4


def test_errors_against_standard_deviations_by_hand() -> None:
    est = motion([0, 1, 2, 3], knee_angle_r=[13, 24, 33, 42], hip_flexion_r=[0, 0, 0, 0])
    ref = motion([1, 2, 3, 4], knee_angle_r=[10, 20, 30, 40], hip_flexion_r=[0, 0, 0, 0])
    doubt = motion([0, 1, 2, 3], knee_angle_r=[1.5, 1, 2, 2])  # errors: 3, 4, 3, 2
    comparison = compare(est, ref, shift=1.0, estimate_std=doubt)
    knee, hip = (comparison.coordinates[name] for name in ("knee_angle_r", "hip_flexion_r"))
    assert (knee["sd"], knee["within_two_sd"]) == pytest.approx((1.625, 0.75))
    assert (hip["sd"], hip["within_two_sd"]) == (None, None)
    assert comparison.groups["legs"]["within_two_sd"] == pytest.approx(0.75)
    assert np.isnan(comparison.estimate_std[:, list(comparison.coordinates).index("hip_flexion_r")]).all()


def test_negative_or_out_of_range_standard_deviations_are_nan() -> None:
    est = motion([0, 1, 2, 3], knee_angle_r=[13, 24, 33, 42])
    for doubt in (
        motion([0, 1, 2], knee_angle_r=[1, 1, 1]),
        motion([0, 1, 2, 3], knee_angle_r=[1, -1, 1, 1]),
    ):
        figures = compare(est, est, shift=0, estimate_std=doubt).coordinates["knee_angle_r"]
        assert (figures["sd"], figures["within_two_sd"]) == (None, None)


def test_tilt_and_list_std_are_rotated_to_the_heading() -> None:
    time, ones = np.arange(4), np.ones(4)
    sideways = motion(time, pelvis_tilt=8 * ones, pelvis_list=0 * ones, pelvis_rotation=90 * ones)
    doubt = motion(time, pelvis_tilt=1 * ones, pelvis_list=10 * ones, pelvis_rotation=5 * ones)
    figures = compare(sideways, sideways, shift=0, estimate_std=doubt).coordinates
    told = [figures[name]["sd"] for name in ("pelvis_tilt", "pelvis_list", "pelvis_rotation")]
    assert told == pytest.approx([10, 1, 5])


def test_a_group_is_the_mean_of_its_angles() -> None:
    time = [0, 1, 2]
    est = motion(time, hip_flexion_r=[2, 2, 2], ankle_angle_l=[4, 5, 6], lumbar_bending=[1, 0, 0])
    ref = motion(time, hip_flexion_r=[0, 0, 0], ankle_angle_l=[0, 1, 2], lumbar_bending=[0, 0, 0])
    groups = compare(est, ref, shift=0).groups
    assert set(groups) == {"legs", "trunk"}
    assert groups["legs"]["mae"] == pytest.approx(3.0)  # of 2 and 4
    assert groups["legs"]["mae_offset_removed"] == pytest.approx(0.0, abs=1e-12)
    assert groups["legs"]["r"] == pytest.approx(1.0)  # the constant hip has none
    assert groups["legs"]["n"] == 2
    assert groups["trunk"]["r"] is None


def test_legs_are_ten_angles_of_both_sides() -> None:
    assert len(GROUPS["legs"]) == 10
    assert {name[-2:] for name in GROUPS["legs"]} == {"_r", "_l"}


def test_json_holds_no_nan_and_the_promised_keys() -> None:
    est = motion([0, 1, 2], hip_flexion_r=[1, 1, 1])
    report = compare(est, est, shift=0).as_json()
    text = json.dumps(report, allow_nan=False)
    assert json.loads(text)["groups"]["legs"] == {
        "mae": 0.0, "rmse": 0.0, "mae_offset_removed": 0.0, "r": None, "rom_error": 0.0,
        "sd": None, "within_two_sd": None, "n": 1,
    }  # fmt: skip
    assert report["shift_s"] == 0.0
    assert "hip_flexion_r" in report["coordinates"]


@pytest.mark.parametrize("true", [0.0, -0.4, 3.217, 100.0])
def test_the_clocks_shift_is_found(true: float) -> None:
    ref = walking(np.arange(0, 8, 1 / 100))
    est = walking(np.arange(1, 7, 1 / 30), noise=3)
    comparison = compare(Motion(est.time - true, est.names, est.values), ref)
    assert comparison.shift_s == pytest.approx(true, abs=0.01)
    assert comparison.shift_source == "found"
    assert comparison.groups["legs"]["mae"] < 4
    assert any("shift" in note for note in comparison.notes)


def test_among_equal_strides_the_smallest_shift_is_taken() -> None:
    time = np.arange(0, 10, 1 / 50)
    curve = 20 * np.sin(2 * np.pi * time)[:, None]
    assert find_shift(time + 0.1, curve, time, curve) == pytest.approx(-0.1, abs=0.005)


def test_a_given_shift_is_kept_and_added_to_est() -> None:
    ref = walking(np.arange(0, 5, 1 / 50))
    est = Motion(ref.time - 0.5, ref.names, ref.values)
    assert compare(est, ref, shift=0.5).groups["legs"]["mae"] == pytest.approx(0, abs=1e-9)
    assert compare(est, ref, shift=0).groups["legs"]["mae"] > 5
    assert compare(est, ref, shift=0).shift_s == 0.0


def test_motionless_curves_give_no_shift() -> None:
    still = motion(np.arange(0, 3, 0.02), hip_flexion_r=np.full(150, 4.0))
    comparison = compare(still, still)
    assert (comparison.shift_s, comparison.shift_source) == (0.0, "none found")


def test_the_coarser_motion_gives_the_times() -> None:
    fast, slow = (walking(np.arange(0, 4, step)) for step in (1 / 200, 1 / 25))
    for est, ref in ((fast, slow), (slow, fast)):
        np.testing.assert_allclose(compare(est, ref, shift=0).time, slow.time)


def test_a_range_is_of_refs_clock() -> None:
    ref = walking(np.arange(0, 5, 1 / 50))
    comparison = compare(Motion(ref.time - 10, ref.names, ref.values), ref, 10.0, (1.0, 2.0))
    assert (comparison.time[0], comparison.time[-1]) == pytest.approx((1.0, 2.0))


def test_a_gap_is_not_interpolated() -> None:
    ref = walking(np.arange(0, 5, 1 / 50))
    seen = (ref.time < 2) | (ref.time > 3)
    comparison = compare(Motion(ref.time[seen], ref.names, ref.values[seen]), ref, shift=0)
    assert comparison.groups["legs"]["mae"] == pytest.approx(0, abs=1e-9)
    assert not ((comparison.time > 2.01) & (comparison.time < 2.99)).any()


def test_no_time_in_common_names_both_ranges() -> None:
    ref = walking(np.arange(0, 2, 1 / 50))
    for shift, time_range in ((10.0, None), (0.0, (5.0, 6.0))):
        with pytest.raises(MotionFileError, match=r"no time in common.*REF from 0\.000 to 1\.980 s"):
            compare(ref, ref, shift, time_range)
    with pytest.raises(MotionFileError):
        common_times(np.array([0.0]), np.array([0.0, 1.0]), None)


def test_no_angle_in_common_is_refused() -> None:
    time = np.arange(3)
    with pytest.raises(MotionFileError, match="no joint angle in common: pelvis_tx"):
        compare(motion(time, pelvis_tx=[0, 1, 2]), motion(time, pelvis_tx=[0, 1, 2]))


def test_full_turns_do_not_count() -> None:
    time = np.arange(0, 4, 0.1)
    turning = 150 + 20 * time  # passes 180
    wrapped = (turning + 180) % 360 - 180
    ref = motion(time, pelvis_rotation=turning + 720, hip_flexion_r=time)
    est = motion(time, pelvis_rotation=wrapped + 3, hip_flexion_r=time)
    figures = compare(est, ref, shift=0).coordinates["pelvis_rotation"]
    assert figures["mae"] == pytest.approx(3)
    assert figures["rom_estimate"] == pytest.approx(78)


def test_gait2392_against_rajagopal() -> None:
    time = np.arange(0, 3, 0.1)
    knee = 30 + 30 * np.sin(time)
    comparison = compare(motion(time, knee_angle_r=knee), motion(time, knee_angle_r=-knee), shift=0)
    assert comparison.coordinates["knee_angle_r"]["mae"] == pytest.approx(0)
    assert any(note.startswith("REF: knee") for note in comparison.notes)


def test_heading_is_an_offset_of_the_rotation_only() -> None:
    from scipy.spatial.transform import Rotation

    time = np.arange(0, 4, 0.1)
    angles = np.stack([8 + 3 * np.sin(time), 4 * np.cos(2 * time), 6 * np.sin(2 * time)], axis=1)
    rotation = Rotation.from_euler("y", 90, degrees=True) * Rotation.from_euler("ZXY", angles, degrees=True)
    names = ("pelvis_tilt", "pelvis_list", "pelvis_rotation")
    est, ref = Motion(time, names, angles), Motion(time, names, rotation.as_euler("ZXY", degrees=True))
    found = compare(est, ref, shift=0).coordinates
    assert found["pelvis_tilt"]["mae"] == pytest.approx(0, abs=1e-9)
    assert found["pelvis_list"]["mae"] == pytest.approx(0, abs=1e-9)
    assert found["pelvis_rotation"]["offset"] == pytest.approx(-90)
    assert found["pelvis_rotation"]["mae_offset_removed"] == pytest.approx(0, abs=1e-9)


def test_no_heading_of_one_leaves_the_other_as_it_is() -> None:
    time = np.arange(0, 3.6, 0.1)
    names = ("pelvis_tilt", "pelvis_list", "pelvis_rotation")
    towards_z = Motion(time, names, np.tile([10.0, 5.0, -90.0], (36, 1)))
    circling = Motion(time, names, np.stack([0 * time, 0 * time, 100 * time], axis=1))
    for est, ref in ((towards_z, circling), (circling, towards_z)):
        found = compare(est, ref, shift=0)
        assert found.coordinates["pelvis_tilt"]["mae"] == pytest.approx(10)
        assert found.coordinates["pelvis_list"]["mae"] == pytest.approx(5)
        assert any(note.startswith("no heading") for note in found.notes)


ARM = ("arm_flex_r", "arm_add_r", "arm_rot_r")


def arm(time: np.ndarray, flipped_frames: np.ndarray) -> Motion:
    """An arm that sways around one posture; in frames `other` under its other name, cut to -180 to 180 degrees."""
    sway = np.sin(np.outer(time, [1.0, 1.7, 2.3]))
    angles = np.array([100.0, -100, 70]) + 8 * sway
    flipped = (angles * [1, -1, 1] + 180 + 180) % 360 - 180
    return Motion(time, ARM, np.where(flipped_frames[:, None], flipped, angles))


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_two_names_of_one_posture_are_no_error(share: float) -> None:
    time = np.arange(0, 6, 0.05)
    never, partly = np.zeros(120, bool), (np.arange(120) % 40) / 40 >= 1 - share
    np.testing.assert_allclose(arm(np.zeros(1), np.ones(1, bool)).values, [[-80, -80, -110]])
    for est, ref in ((partly, never), (never, partly)):
        found = compare(arm(time, est), arm(time, ref), shift=0)
        for name in ARM:
            assert found.coordinates[name]["mae"] == pytest.approx(0, abs=1e-9)
            assert found.coordinates[name]["rom_error"] == pytest.approx(0, abs=1e-9)
        (note,) = found.notes
        assert note.startswith(f"arm_flex_r, arm_add_r, arm_rot_r: in {partly.sum()} of 120 frames")


def test_names_that_agree_are_left_alone() -> None:
    """Also where the error is large, whole turns are between the files, or only part of the joint is there."""
    time = np.arange(0, 6, 0.05)
    ref = arm(time, np.zeros(120, bool))
    for error in ([5, -3, 4], [40, 30, -80], [3, 360, -720], [170, 2, 3]):
        est = Motion(time, ARM, ref.values + error)
        found = compare(est, ref, shift=0)
        expected = np.abs((np.array(error) + 180) % 360 - 180)
        np.testing.assert_allclose([found.coordinates[name]["mae"] for name in ARM], expected, atol=1e-9)
        assert found.notes == ()
    half = Motion(time, ARM[:2], arm(time, np.ones(120, bool)).values[:, :2])
    assert compare(half, ref, shift=0).coordinates["arm_flex_r"]["mae"] == pytest.approx(180)


def test_the_plot_is_an_image_file(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    ref = walking(np.arange(0, 3, 1 / 50))
    doubt = motion(ref.time, knee_angle_r=np.full(len(ref.time), 5.0))
    plot(compare(ref, ref, estimate_std=doubt), tmp_path / "curves.png")
    assert cv2.imread(str(tmp_path / "curves.png")).shape[1] > 1000
    assert [p.name for p in tmp_path.iterdir()] == ["curves.png"]


def test_real_files_against_themselves(shared: Path) -> None:
    """Pose2Sim's and OpenCap's motions: every leg angle is recognised, in all groups."""
    for file, arms in (("multiview_balance/balance_reference.mot", 10), ("opencap_squat/Squats_0.mot", 10)):
        original = read_motion(shared / "data" / "dev" / file)
        comparison = compare(Motion(original.time - 0.25, original.names, original.values), original)
        assert comparison.shift_s == pytest.approx(0.25, abs=0.005)
        assert comparison.groups["legs"]["n"] == 10
        assert comparison.groups["arms"]["n"] == arms
        assert comparison.groups["legs"]["mae"] < 0.2
        assert {"pelvis", "trunk", "feet"} <= set(comparison.groups)
        assert comparison.groups.get("neck", {"n": 3})["n"] == 3
