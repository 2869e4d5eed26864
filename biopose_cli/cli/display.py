"""A run's progress on the terminal."""

from __future__ import annotations

import signal
import sys
import threading
import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

PLAIN_INTERVAL = 10.0  # s between two lines of progress where there is no terminal
MIN_BAR_COLUMNS = 76  # columns of a terminal that has room for a bar


class _Rate(ProgressColumn):
    """Frames per second over the last seconds."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f} {task.fields['unit']}/s", style="cyan")


class _Count(ProgressColumn):
    """Units done, of how many where that is known."""

    def render(self, task: Task) -> Text:
        return Text("" if task.total is None else f"{task.completed:g}/{task.total:g}")


def _ignore_unraisable(_: object) -> None:
    """What goes wrong while things are thrown away after Ctrl-C is nobody's concern."""


class Display:
    """Draws a run's progress on stderr: a live bar on a terminal, plain lines elsewhere, nothing when `quiet`.

    Ctrl-C while it is open stops the program at the next progress at the latest, also if it came while a compiled
    library was loading: some of these drop the KeyboardInterrupt that is raised inside of them.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.console = Console(stderr=True, highlight=False, quiet=quiet)
        self._live: Progress | None = None
        if self.console.is_terminal and not quiet:
            columns: list[ProgressColumn] = [TextColumn("  {task.description:<22}"), _Count()]
            if self.console.width >= MIN_BAR_COLUMNS:
                columns[1:] = [BarColumn(bar_width=None), _Count(), _Rate(), TimeRemainingColumn()]
            self._live = Progress(*columns, console=self.console, transient=True, expand=True)
        self._task: Any = None
        self._label, self._unit, self._count, self._began, self._last_printed = "", "", 0, 0.0, 0.0
        self._total: int | None = None
        self._interrupted = False
        self._previous_handler: Any = None  # what Ctrl-C did before

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # no other may say what signals do
            self._previous_handler = signal.signal(signal.SIGINT, self._interrupt)
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close_task()
        if self._live:
            self._live.stop()
        if self._previous_handler is not None:
            signal.signal(signal.SIGINT, self._previous_handler)

    def _interrupt(self, *_: object) -> None:
        self._interrupted = True
        sys.unraisablehook = _ignore_unraisable  # objects that were only half made complain when they go
        raise KeyboardInterrupt

    def _stop_if_interrupted(self) -> None:
        if self._interrupted:
            raise KeyboardInterrupt

    def start(self, label: str, total: int | None = None, unit: str = "frames") -> None:
        """Show a new piece of work of `total` units (None: length unknown)."""
        self._stop_if_interrupted()
        self._close_task()
        self._label, self._unit, self._total, self._count = label, unit, total, 0
        self._began = self._last_printed = time.perf_counter()
        if self._live:
            self._task = self._live.add_task(label, total=total, unit=unit)

    def advance(self, units: int = 1) -> None:
        """Move the bar on by `units`."""
        self._stop_if_interrupted()
        self._count += units
        if self._live and self._task is not None:
            self._live.advance(self._task, units)
        elif time.perf_counter() - self._last_printed > PLAIN_INTERVAL:
            self._last_printed = time.perf_counter()
            rate = self._count / (self._last_printed - self._began)
            left = f", {(self._total - self._count) / rate:.0f} s left" if self._total and rate else ""
            self._line(f"  {self._label}: {self._count}/{self._total or '?'} {self._unit}, {rate:.1f}/s{left}")

    def note(self, message: str) -> None:
        """Print a fact worth a line."""
        self._stop_if_interrupted()
        self._close_task()
        self._line(message)

    def _close_task(self) -> None:
        """Turn the running bar into one line that stays."""
        if not self._label:
            return
        seconds = time.perf_counter() - self._began
        rate = f", {self._count / seconds:.1f} {self._unit}/s" if seconds > 0 else ""
        done = f"{self._count} {self._unit} in {seconds:.1f} s{rate}" if self._count else f"{seconds:.1f} s"
        self._line(f"  {self._label}: {done}")
        if self._live and self._task is not None:
            self._live.remove_task(self._task)
        self._label, self._task = "", None

    def _line(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)
