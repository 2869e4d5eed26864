"""`.trc`: what OpenSim reads of ours, gaps, units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from biopose_cli.errors import MotionFileError
from biopose_cli.io.trc import read_trc, write_trc
from biopose_cli.skeleton.opensim_ik import run_tool
from biopose_cli.skeleton.osim import opensim

RNG = np.random.default_rng(3)
TIME = np.cumsum(RNG.uniform(0.01, 0.05, 20))  # a variable frame rate
NAMES = ("RASI", "LASI", "RKNE")


def positions_with_gaps() -> np.ndarray:
    positions = RNG.normal(size=(20, 3, 3))
    positions[0] = np.nan  # all markers, in the first, a middle and the last row
    positions[7] = np.nan
    positions[-1] = np.nan
    positions[3, 0] = np.nan
    positions[4, 2] = np.nan  # the last cell of a line
    positions[5, 1, 2] = np.nan  # one axis: the marker as a whole is missing
    return positions


ROWS = np.delete(np.arange(20), [0, 7, 19])  # the frames with any marker


def as_written(positions: np.ndarray) -> np.ndarray:
    whole = np.where(np.isfinite(positions).all(axis=2, keepdims=True), positions, np.nan)
    return np.asarray(whole[ROWS])


def test_round_trip_with_gaps(tmp_path: Path) -> None:
    positions = positions_with_gaps()
    write_trc(tmp_path / "a.trc", TIME, NAMES, positions)
    markers = read_trc(tmp_path / "a.trc")
    assert markers.names == NAMES
    np.testing.assert_allclose(markers.time, TIME[ROWS], atol=1e-8)
    np.testing.assert_allclose(markers.positions, as_written(positions), atol=1e-7)
    numbers = [int(line.split()[0]) for line in (tmp_path / "a.trc").read_text().splitlines()[6:]]
    np.testing.assert_array_equal(numbers, ROWS + 1)


def test_opensim_reads_every_row_and_gap(tmp_path: Path) -> None:
    positions = positions_with_gaps()
    path = tmp_path / "a.trc"
    write_trc(path, TIME, NAMES, positions)
    data = opensim.MarkerData(str(path))
    assert (data.getNumFrames(), data.getNumMarkers(), data.getUnits().getLabel()) == (17, 3, "meters")
    assert data.getDataRate() == pytest.approx(1 / np.median(np.diff(TIME)), rel=1e-5)
    frames = [data.getFrame(i) for i in range(17)]
    by_tool = [[[f.getMarker(j).get(k) for k in range(3)] for j in range(3)] for f in frames]
    np.testing.assert_allclose(by_tool, as_written(positions), atol=1e-7)
    np.testing.assert_allclose([f.getFrameTime() for f in frames], TIME[ROWS], atol=1e-7)
    table = opensim.TimeSeriesTableVec3(str(path))
    assert table.getColumnLabels() == NAMES
    rows = [table.getRowAtIndex(i) for i in range(table.getNumRows())]
    np.testing.assert_allclose(
        [[[row[j][k] for k in range(3)] for j in range(3)] for row in rows], as_written(positions), atol=1e-7
    )


def test_opensims_inverse_kinematics_runs_across_a_gap(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "dev" / "opencap_squat"
    markers = read_trc(folder / "neutral.trc")
    positions = markers.positions[:8].copy()
    positions[3:5] = np.nan
    positions[6, 20] = np.nan
    write_trc(tmp_path / "a.trc", markers.time[:8], markers.names, positions)
    model = folder / "LaiArnoldModified2017_poly_withArms_weldHand_scaled.osim"
    time, names, q = run_tool(tmp_path / "a.trc", model)
    np.testing.assert_allclose(time, np.delete(markers.time[:8], [3, 4]), atol=1e-6)
    assert np.isfinite(q).all()
    assert np.abs(q[:, names.index("knee_angle_r")]).max() < 0.2  # rad: he stands


@pytest.mark.parametrize(("unit", "factor"), [("mm", 1e-3), ("cm", 1e-2), ("m", 1.0)])
def test_units_become_metres(tmp_path: Path, unit: str, factor: float) -> None:
    write_trc(tmp_path / "a.trc", TIME, NAMES, np.full((20, 3, 3), 1200.0))
    path = tmp_path / "b.trc"
    path.write_text((tmp_path / "a.trc").read_text().replace("\tm\t", f"\t{unit}\t").replace("\n", "\r\n"))
    np.testing.assert_allclose(read_trc(path).positions, 1200 * factor)


def test_one_frame(tmp_path: Path) -> None:
    write_trc(tmp_path / "a.trc", [0.5], ["A"], np.ones((1, 1, 3)))
    assert read_trc(tmp_path / "a.trc").positions.shape == (1, 1, 3)


@pytest.mark.parametrize(
    ("time", "names", "shape"),
    [
        ([0, 1], ["A"], (3, 1, 3)),
        ([1, 0], ["A"], (2, 1, 3)),
        ([], ["A"], (0, 1, 3)),
        ([0], ["A B"], (1, 1, 3)),
    ],
)
def test_invalid_data_is_not_written_as_trc(
    tmp_path: Path, time: list[float], names: list[str], shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"a\.trc"):
        write_trc(tmp_path / "a.trc", time, names, np.zeros(shape))
    assert list(tmp_path.iterdir()) == []


def test_bad_files_get_one_clear_line(tmp_path: Path) -> None:
    good = tmp_path / "a.trc"
    write_trc(good, TIME, NAMES, np.ones((20, 3, 3)))
    text = good.read_text()
    for content, message in [
        ("", "not a .trc file"),
        (text.replace("\tm\t", "\tinch\t"), "inch units"),
        (text.replace("1.0000000", "one", 1), "line 7"),
        (text[: text.index("\n\n")] + "\n", "holds no markers"),
        (text.replace(f"{TIME[4]:.8f}", "0.0"), "is not after"),
    ]:
        bad = tmp_path / "bad.trc"
        bad.write_text(content)
        with pytest.raises(MotionFileError, match=message):
            read_trc(bad)
    with pytest.raises(MotionFileError, match="cannot read"):
        read_trc(tmp_path / "none.trc")
