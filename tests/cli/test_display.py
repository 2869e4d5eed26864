"""Ctrl-C while progress is shown."""

from __future__ import annotations

import signal
import sys

import pytest

from biopose_cli.cli.display import Display


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


def test_half_constructed_objects_are_deleted_silently(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)  # Python's own, in pytest's place
    _HalfMade()
    assert "Traceback" in capsys.readouterr().err
    with Display(quiet=True), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    _HalfMade()
    assert capsys.readouterr().err == ""


def test_errors_in_destructors_are_reported_without_an_interrupt() -> None:
    with Display(quiet=True) as display:
        display.start("work", 3)
        display.advance()
        display.note("fine")
