"""Log of a training run: `log.csv`, and event files for TensorBoard."""

from __future__ import annotations

import csv
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from tensorboardX import SummaryWriter

from biopose_cli.io.atomic import atomic_write, translate_os_errors

STEP = "step"


class RunLog:
    """Named numbers by step, written to a folder. Every row is on disk when `scalars` returns.

    A resumed run drops the rows after the step it resumes from, because they are written again. A new run starts an
    empty log. TensorBoard hides the dropped points too.

    Parameters
    ----------
    folder : created if absent
    resume_step : last step to keep; None for a new run

    Raises
    ------
    DiskFullError, OutputError
        The folder cannot be written.
    """

    def __init__(self, folder: Path, resume_step: int | None = None) -> None:
        self._path = folder / "log.csv"
        self._names = [STEP]
        kept: list[dict[str, str]] = []
        if resume_step is not None and self._path.is_file():
            self._names, rows = _read(self._path)
            kept = [row for row in rows if int(row[STEP]) <= resume_step]
        self._rewrite(kept)
        purge = 0 if resume_step is None else resume_step + 1
        self._events = SummaryWriter(str(folder), purge_step=purge)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Add a row. A new name becomes a new column; a column without a value stays empty."""
        new = [name for name in values if name not in self._names]
        if new:
            _, rows = _read(self._path)
            self._names += new
            self._rewrite(rows)
        row = {STEP: str(step)} | {name: f"{value:.6g}" for name, value in values.items()}
        with translate_os_errors(self._path), self._path.open("a", encoding="utf-8", newline="") as stream:
            _writer(stream, self._names).writerow(row)
        for name, value in values.items():
            self._events.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush TensorBoard's writer and close it."""
        self._events.close()

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        with (
            atomic_write(self._path) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as stream,
        ):
            writer = _writer(stream, self._names)
            writer.writeheader()
            writer.writerows(rows)


def _writer(stream: TextIO, names: list[str]) -> csv.DictWriter[str]:
    return csv.DictWriter(stream, names, restval="", lineterminator="\n")


def _read(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Column names and rows, without a last line that an interrupted run left incomplete."""
    complete_lines = path.read_text(encoding="utf-8").rpartition("\n")[0]
    reader = csv.DictReader(complete_lines.splitlines())
    return list(reader.fieldnames or [STEP]), list(reader)
