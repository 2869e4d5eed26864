"""What the user sees: progress while a stage runs, and the closing table."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from biopose_cli.export.summary import angle_std_deg
from biopose_cli.io.results import LEG_COORDINATES, JointKinematics
from biopose_cli.pipeline.run import Result

if TYPE_CHECKING:
    from biopose_cli.io.assets import Status
    from biopose_cli.metrics.compare import Comparison
    from biopose_cli.pipeline.doctor import Check

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


def print_summary(result: Result) -> None:
    """Files, frames, person, quality and warnings of one video; for a stage run alone, its file."""
    console = Console(highlight=False)
    if "export" not in result.artifacts:
        console.print(f"wrote {result.clip.file(result.steps[-1].step)}", markup=False, soft_wrap=True)
        for warning in result.warnings:
            console.print(f"warning: {warning}", markup=False, soft_wrap=True)
        return
    table = Table(title=str(result.clip.folder), title_justify="left", title_style="bold", show_header=False, box=None)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for label, text in (*_frame_rows(result), *_quality_rows(result)):
        table.add_row(label, Text(text))
    for warning in result.warnings:
        table.add_row(Text("warning", style="yellow"), Text(warning))
    console.print(table)


def _frame_rows(result: Result) -> list[tuple[str, str]]:
    detection, kinematics = result.artifacts["detect"], result.artifacts["neurik"]
    flags = {
        "measured": int(detection.visible.sum()),
        "filled": int(detection.interpolated.sum()),
        "left/right repaired": int(detection.swapped.sum()),
        "not seen": int((~kinematics.valid).sum()),
    }
    counts = ", ".join(f"{count} {name}" for name, count in flags.items() if count or name == "measured")
    return [
        ("files", ", ".join(str(name) for name in result.artifacts["export"].files)),
        (
            "frames",
            f"{len(detection.time)} from {detection.time[0]:.2f} to {detection.time[-1]:.2f} s: {counts}",
        ),
        ("person", f"{detection.person} of {len(detection.people_box)}"),
    ]


def _quality_rows(result: Result) -> list[tuple[str, str]]:
    """The figures by which a user judges a run."""
    detection, refined, kinematics = (result.artifacts[name] for name in ("detect", "refine", "neurik"))
    person_height_px = float(np.nanmedian(detection.box[:, 3] - detection.box[:, 1]))
    pixels = float(np.nanmean(refined.reprojection_px))
    residual = 1000 * float(np.nanmean(kinematics.marker_residual[kinematics.valid]))
    return [
        ("stature", f"{refined.stature_m:.2f} m ({refined.stature_source})"),
        ("mass", f"{kinematics.mass_kg:.1f} kg ({kinematics.mass_source})"),
        ("focal", f"{detection.camera_matrix[0, 0]:.0f} px ({detection.focal_source})"),
        (
            "keypoints",
            (
                f"{pixels:.1f} px from the body's, "
                f"{100 * pixels / person_height_px:.1f} % of the person's height in the image"
            ),
        ),
        ("markers", f"{residual:.1f} mm from the skeleton's"),
        *_std_row(kinematics),
    ]


def _std_row(kinematics: JointKinematics) -> list[tuple[str, str]]:
    """By how much the legs' angles may be wrong."""
    names, std_deg = angle_std_deg(kinematics)
    parts = []
    for angle in LEG_COORDINATES:
        columns = [names.index(name) for name in (f"{angle}_r", f"{angle}_l") if name in names]
        if columns:
            label = angle.removesuffix("_angle").replace("_", " ")
            parts.append(f"{label} {np.nanmean(std_deg[:, columns]):.0f}")
    return [("in doubt by", f"{', '.join(parts)} degrees (one standard deviation, mean)")] if parts else []


def as_json(result: Result) -> dict[str, Any]:
    """One video's results for `--json`."""
    folder = result.clip.folder
    report: dict[str, Any] = {
        "video": str(result.clip.info.path),
        "folder": str(folder),
        "stages": [
            {"step": r.step, "stage": r.stage, "status": r.status, "seconds": round(r.seconds, 3)} for r in result.steps
        ],
        "warnings": list(result.warnings),
    }
    if "detect" in result.artifacts:
        report["frames"] = len(result.artifacts["detect"].time)
    if "export" in result.artifacts:
        report["files"] = [str(folder / str(name)) for name in result.artifacts["export"].files]
        report["summary"] = json.loads((folder / f"{result.clip.name}_summary.json").read_text(encoding="utf-8"))
    return report


def print_comparison(comparison: Comparison, plot_path: Path) -> None:
    """Errors by coordinate and group, in degrees."""
    console = Console(highlight=False)
    columns = {
        "MAE": "mae",
        "RMSE": "rmse",
        "MAE, offset\nremoved": "mae_offset_removed",
        "r": "r",
        "ROM\nerror": "rom_error",
    }
    if np.isfinite(comparison.estimate_std).any():
        columns |= {"SD": "sd", "within\n2 SD": "within_two_sd"}
    report = comparison.as_json()
    table = Table(box=None, title=f"degrees; EST shifted by {report['shift_s']:+.3f} s", title_justify="left")
    table.add_column("coordinate", min_width=max(map(len, report["coordinates"])))
    for column in columns:
        table.add_column(column, justify="right")
    for kind in ("coordinates", "groups"):
        for name, figures in report[kind].items():
            table.add_row(
                name, *("" if figures.get(key) is None else f"{figures[key]:.2f}" for key in columns.values())
            )
        if kind == "coordinates":
            table.add_section()
            table.add_row(Text("mean of each group", style="bold"))
    console.print(table)
    for note in (*comparison.notes, f"curves: {plot_path}"):
        console.print(note, markup=False, soft_wrap=True)


def print_facts(facts: dict[str, Any]) -> None:
    """A two-column table of names and values."""
    table = Table(show_header=False, box=None)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(Text(name), Text("unknown" if value is None else str(value)))
    Console(highlight=False).print(table)


def print_assets(states: Sequence[Status]) -> bool:
    """One line a weights file; returns whether all are intact."""
    for state in states:
        mark = "[green]ok[/]" if state.ok else "[red]FAILED[/]"
        Console(highlight=False).print(f"{mark}  {escape(state.name)}: {escape(state.detail)}", soft_wrap=True)
    return all(state.ok for state in states)


def print_checks(checks: Sequence[Check]) -> None:
    """One line a check: whether it holds, what was found, and what to do where it does not."""
    table = Table(show_header=False, box=None)
    for overflow in ("ellipsis", "ellipsis", "fold"):
        table.add_column(overflow=overflow)
    for check in checks:
        mark = Text("ok", style="green") if check.ok else Text("FAILED", style="red")
        table.add_row(
            mark,
            Text(check.name, style="bold"),
            Text(check.found if check.ok else f"{check.found}. {check.remedy}"),
        )
    Console(highlight=False).print(table)


def print_bench(report: dict[str, Any]) -> None:
    """Frames/s and peak memory per stage."""
    table = Table(box=None, title=f"{report['video']}: {report['frames']} frames", title_justify="left")
    for column in ("stage", "seconds", "frames/s", "peak memory, MB"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for row in report["stages"]:
        rate = "" if row["frames_per_s"] is None else f"{row['frames_per_s']:.1f}"
        table.add_row(row["stage"], f"{row['seconds']:.1f}", rate, f"{row['peak_memory_mb']:.0f}")
    Console(highlight=False).print(table)
