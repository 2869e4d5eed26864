"""How a stage tells the outside what it is doing, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives a stage's progress. The command line draws it; tests and scripts use `NullProgress`."""

    def start(self, label: str, total: int | None = None, unit: str = "frames") -> None:
        """A new piece of work of `total` units begins (None: length unknown)."""

    def advance(self, units: int = 1) -> None:
        """`units` more are done."""

    def note(self, message: str) -> None:
        """A fact worth a line (not a warning)."""


class NullProgress:
    """A listener that ignores everything."""

    def start(self, label: str, total: int | None = None, unit: str = "frames") -> None:
        """Ignore the start of a piece of work."""
        return

    def advance(self, units: int = 1) -> None:
        """Ignore that units are done."""
        return

    def note(self, message: str) -> None:
        """Ignore the message."""
        return
