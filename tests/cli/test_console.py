"""Ctrl-C while progress is shown, and what the closing table says."""

from __future__ import annotations

import signal
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from biopose_cli.cli.console import Display, _std_row, print_summary


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)


class _HalfMade:
    def __del__(self) -> None:
        raise AttributeError("never set")


def test_an_interrupt_that_a_library_drops_stops_at_the_next_progress() -> None:
    before = signal.getsignal(signal.SIGINT)
    for report in ("advance", "start", "note"):
        with Display(quiet=True) as display:
            display.start("work", 3)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)  # what a library drops is caught here
            with pytest.raises(KeyboardInterrupt):
                getattr(display, report)(*([] if report == "advance" else ["more"]))
        assert signal.getsignal(signal.SIGINT) == before


def test_what_an_interrupt_left_half_made_goes_silently(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)  # Python's own, in pytest's place
    _HalfMade()
    assert "Traceback" in capsys.readouterr().err
    with Display(quiet=True), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    _HalfMade()
    assert capsys.readouterr().err == ""


def test_a_stage_alone_tells_its_warnings_too(capsys: pytest.CaptureFixture[str]) -> None:
    clip: Any = SimpleNamespace(file=lambda step: f"{step}.npz")
    result: Any = SimpleNamespace(
        clip=clip, artifacts={}, steps=[SimpleNamespace(step="detect")], warnings=["it is odd"]
    )
    print_summary(result)
    assert capsys.readouterr().out == "wrote detect.npz\nwarning: it is odd\n"


def test_nothing_stops_without_an_interrupt() -> None:
    with Display(quiet=True) as display:
        display.start("work", 3)
        display.advance()
        display.note("fine")


def test_the_closing_table_says_how_sure_the_legs_are() -> None:
    names = np.array(["hip_flexion_r", "knee_angle_r", "knee_angle_l", "pelvis_tx"])
    rows = np.radians([[5.0, 4.0, 8.0, 90.0], [7.0, 4.0, 8.0, 90.0], [np.nan] * 4])
    valid = np.array([True, True, False])
    turns = np.array([True, True, True, False])
    joints: Any = SimpleNamespace(coordinates=names, q_std=rows, valid=valid, rotational=turns)
    ((_, told),) = _std_row(joints)
    assert told.startswith("hip flexion 6, knee 6 degrees")
    assert _std_row(SimpleNamespace(q_std=np.zeros((0, 0)))) == []  # type: ignore[arg-type]
