"""Ctrl-C while progress is shown."""

from __future__ import annotations

import signal

import pytest

from biopose_cli.console import Display


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


def test_nothing_stops_without_an_interrupt() -> None:
    with Display(quiet=True) as display:
        display.start("work", 3)
        display.advance()
        display.note("fine")
