"""`.mot` and `.sto`: what OpenSim reads of ours, what we read of everybody's, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from biopose_cli.errors import MotionFileError
from biopose_cli.io.storage import is_rotation, read_motion, write_mot
from biopose_cli.skeleton.osim import opensim

NAMES = ("pelvis_tilt", "pelvis_tx", "knee_angle_r", "knee_angle_r_beta")
TIME = np.cumsum([0.1, 0.03, 0.04, 0.01])
VALUES = np.array([[1.5, 0.25, 60.0, 1.047], [-2, 0.5, 61, 1.06], [3, 0.75, 62, 1.08], [4, 1.0, -1e-9, 0]])


def motion_file(folder: Path, text: str) -> Path:
    path = folder / "a.mot"
    path.write_bytes(text.encode())
    return path


def text(rows: str, header: str = "inDegrees=yes", labels: str = "time\thip_flexion_r\tpelvis_tx") -> str:
    return f"Coordinates\nversion=1\n{header}\nendheader\n{labels}\n{rows}"


def test_round_trip_keeps_every_number(tmp_path: Path) -> None:
    write_mot(tmp_path / "a.mot", TIME, NAMES, VALUES)
    motion = read_motion(tmp_path / "a.mot")
    assert motion.names == NAMES
    assert motion.warnings == ()
    np.testing.assert_allclose(motion.time, TIME, atol=1e-8)
    np.testing.assert_allclose(motion.values, VALUES, atol=1e-8)
    np.testing.assert_array_equal(motion["knee_angle_r"], motion.values[:, 2])


def test_opensim_reads_to_the_last_row(tmp_path: Path) -> None:
    path = tmp_path / "a.mot"
    write_mot(path, TIME, NAMES, VALUES)
    storage = opensim.Storage(str(path))
    assert (storage.getSize(), storage.isInDegrees()) == (4, True)
    assert storage.getLastTime() == pytest.approx(TIME[-1])
    table = opensim.TimeSeriesTable(str(path))
    assert table.getColumnLabels() == NAMES
    np.testing.assert_allclose(table.getMatrix().to_numpy(), VALUES, atol=1e-8)


@pytest.mark.parametrize(
    ("time", "values"),
    [
        (TIME, np.where(VALUES == 61, np.nan, VALUES)),
        (TIME, np.where(VALUES == 61, np.inf, VALUES)),
        (TIME[::-1], VALUES),
        (TIME[[0, 1, 1, 2]], VALUES),
        (TIME[:3], VALUES),
        (TIME[:0], VALUES[:0]),
    ],
)
def test_values_unreadable_to_opensim_are_not_written(tmp_path: Path, time: object, values: object) -> None:
    with pytest.raises(ValueError, match=r"a\.mot"):
        write_mot(tmp_path / "a.mot", time, NAMES, values)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_radians_become_degrees_but_translations_and_coupled_coordinates_stay(tmp_path: Path) -> None:
    labels = "time\thip_flexion_r\tpelvis_tx\tsh_ty_r\tAbs_t1\tknee_angle_r_beta\tAbs_r1"
    row = "0\t1\t1\t1\t1\t1\t1\n"
    motion = read_motion(motion_file(tmp_path, text(row, "inDegrees=no", labels)))
    np.testing.assert_allclose(motion.values[0], [180 / np.pi, 1, 1, 1, 1, 180 / np.pi])
    assert motion.warnings == ()


def test_without_indegrees_radians_are_assumed_with_a_warning(tmp_path: Path) -> None:
    motion = read_motion(motion_file(tmp_path, text("0\t0.5\t1\n", header="nRows=1")))
    assert motion["hip_flexion_r"][0] == pytest.approx(np.rad2deg(0.5))
    assert "radians" in motion.warnings[0]


@pytest.mark.parametrize("header", ["inDegrees=no", "nRows=1"])
def test_degrees_called_radians_are_refused(tmp_path: Path, header: str) -> None:
    with pytest.raises(MotionFileError, match="hip_flexion_r reaches 60"):
        read_motion(motion_file(tmp_path, text("0\t60\t1\n", header)))


def test_translations_are_recognized_by_name() -> None:
    assert [name for name in ("pelvis_tx", "sh_tz_l", "Abs_t2", "knee_angle_l_beta") if is_rotation(name)] == []
    assert all(is_rotation(name) for name in ("pelvis_tilt", "L1_T12_Flex_Ext", "Abs_r3", "neck_rotation"))


def test_state_files_of_opensim_4(tmp_path: Path) -> None:
    labels = (
        "time\t/jointset/hip_r/hip_flexion_r/value\t/jointset/hip_r/hip_flexion_r/speed"
        "\t/forceset/soleus_r/activation\t/jointset/ground_pelvis/pelvis_tx/value"
    )
    motion = read_motion(motion_file(tmp_path, text("0\t0.1\t9\t0.5\t2\n", "DataType=double\ninDegrees=no", labels)))
    assert motion.names == ("hip_flexion_r", "pelvis_tx")
    np.testing.assert_allclose(motion.values, [[np.rad2deg(0.1), 2]])


def test_windows_line_ends_spaces_and_a_byte_order_mark(tmp_path: Path) -> None:
    plain = text("  0.0   1.0  2.0\n  0.1   1.5  2.5\n", labels="time  hip_flexion_r  pelvis_tx")
    motion = read_motion(motion_file(tmp_path, "\ufeff" + plain.replace("\n", "\r\n")))
    np.testing.assert_array_equal(motion.values, [[1, 2], [1.5, 2.5]])


def test_a_wrong_row_count_is_tolerated_with_a_warning(tmp_path: Path) -> None:
    motion = read_motion(motion_file(tmp_path, text("0\t1\t2\n1\t1\t2\n", "nRows=7\nnColumns=3\ninDegrees=yes")))
    assert len(motion.time) == 2
    assert len(motion.warnings) == 1
    assert "nrows=7" in motion.warnings[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\0\1\2binary", "not a text file"),
        ("a,b\n1,2\n", "no 'endheader' line"),
        (text("0\t1\t2\n1\t1\n"), "line 7: 2 values for 3 columns"),
        (text("0\t1\t2\n1\t\t2\n"), "line 7: 2 values for 3 columns"),
        (text("0\t1\tnan\n"), "line 6: pelvis_tx is not a finite number"),
        (
            text("0\t1,5\t2\n"),
            "'1,5' in column hip_flexion_r is not a number. Write numbers with a decimal point",
        ),
        (text("0\t1\t2\n0\t1\t2\n"), "line 7: time 0 s is not after 0 s"),
        (text("1\t1\t2\n0\t1\t2\n"), "line 7: time 0 s is not after 1 s"),
        (text(""), "no rows of data"),
        (text("0\t1\t2\n", labels="time\ta\ta"), "more than one column for a"),
        (text("0\t1\t2\n", labels="frame\ta\tb"), "the first column is 'frame'"),
        (text("0\t1\t2\n", "DataType=Vec3"), "holds vec3 values"),
        ("Coordinates\nendheader\n", "has a header but no columns"),
    ],
)
def test_bad_files_get_one_clear_line(tmp_path: Path, content: str, message: str) -> None:
    path = motion_file(tmp_path, content)
    with pytest.raises(MotionFileError) as caught:
        read_motion(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.mot", tmp_path):
        with pytest.raises(MotionFileError, match="cannot read"):
            read_motion(path)
