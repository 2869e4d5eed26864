"""A run's log: rows at once on the disk, no row twice after a resume, and curves that TensorBoard can read."""

from __future__ import annotations

import csv
import struct
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event

from biopose_cli.errors import OutputError
from biopose_cli.training.log import RunLog


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def events(folder: Path) -> list[Event]:
    """All records of the event files, oldest first: length (8 bytes), checksum (4), data, checksum (4)."""
    found = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            found.append(Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    return sorted(found, key=lambda event: event.wall_time)


def test_rows_are_on_the_disk_before_the_run_ends(tmp_path: Path) -> None:
    with RunLog(tmp_path / "run") as log:
        log.scalars(10, {"loss": 0.5, "rate": 1e-4})
        assert (tmp_path / "run" / "log.csv").read_text() == "step,loss,rate\n10,0.5,0.0001\n"


def test_a_new_name_becomes_a_column(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        log.scalars(1, {"loss": 2.0})
        log.scalars(2, {"loss": 1.0, "held_out/angle": 3.25})
        log.scalars(3, {"loss": 0.5})
    expected = "step,loss,held_out/angle\n1,2,\n2,1,3.25\n3,0.5,\n"
    assert (tmp_path / "log.csv").read_text() == expected


def test_a_resumed_run_writes_no_step_twice(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        for step in (1, 2, 3, 4):
            log.scalars(step, {"loss": float(step)})
    with RunLog(tmp_path, resume_step=2) as log:
        log.scalars(3, {"loss": 30.0, "extra": 1.0})
    assert [(row["step"], row["loss"], row["extra"]) for row in rows(tmp_path)] == [
        ("1", "1", ""),
        ("2", "2", ""),
        ("3", "30", "1"),
    ]


def test_a_line_that_a_killed_run_left_unfinished_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("step,loss\n1,0.5\n2,0.")
    with RunLog(tmp_path, resume_step=2) as log:
        log.scalars(2, {"loss": 0.25})
    assert (tmp_path / "log.csv").read_text() == "step,loss\n1,0.5\n2,0.25\n"


def test_a_new_run_begins_an_empty_log_and_one_without_a_log_can_be_resumed(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        log.scalars(1, {"loss": 1.0})
    with RunLog(tmp_path) as log:
        log.scalars(7, {"other": 1.0})
    assert rows(tmp_path) == [{"step": "7", "other": "1"}]
    with RunLog(tmp_path / "new", resume_step=5) as log:
        log.scalars(6, {"loss": 1.0})
    assert rows(tmp_path / "new") == [{"step": "6", "loss": "1"}]


def test_tensorboard_reads_the_points_and_hides_the_dropped_ones(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        log.scalars(1, {"loss": 0.5, "rate": 0.25})
    points = [(e.step, v.tag, v.simple_value) for e in events(tmp_path) for v in e.summary.value]
    assert points == [(1, "loss", 0.5), (1, "rate", 0.25)]
    with RunLog(tmp_path / "resumed", resume_step=40):
        pass
    started = [e.step for e in events(tmp_path / "resumed") if e.session_log.status == e.session_log.START]
    assert started == [41]  # TensorBoard drops what older files hold from this step on


def test_a_folder_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        RunLog(tmp_path / "file" / "run")
