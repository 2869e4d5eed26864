"""Presentation time of each frame of a file: true time stamps, repaired so that time strictly increases.

The rule: frames are numbered in the order of their time stamps. Number 0 is the first that can be decoded, and time
counts from it.
  * Frames that share a stamp are spread evenly up to the next stamp.
  * Where some packets carry no presentation stamp, the decoding stamps are used, in order.
  * Without these too, or if stamps jump back (recordings joined carelessly), frame k is at k / the header's rate.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from biopose_cli.errors import SettingError
from biopose_cli.typing import Array

_MAX_REORDERING = 32  # frames; H.264 and HEVC reorder over 16 at most
_END_TOLERANCE = 0.1  # s that --end may exceed the last frame, to allow a rounded duration


def _empty(dtype: type) -> Array:
    return np.zeros(0, dtype)


@dataclass(frozen=True)
class Clock:
    """Frame numbers and times of a whole file; N frames."""

    stamps: Array = field(default_factory=lambda: _empty(np.int64))  # (N,) in ticks of the stream, in order
    times: Array = field(default_factory=lambda: _empty(np.float64))  # (N,) s, strictly increasing from 0
    period: float = 0.0  # s, the typical interval of frames
    counted: bool = False  # frames are numbered by counting, as their stamps are unreliable

    @property
    def duration(self) -> float:
        """Time from the first frame to the end of the last, s."""
        return float(self.times[-1]) + self.period

    @property
    def frame_rate(self) -> float:
        """Frames/s, average."""
        return len(self.times) / self.duration

    def varies(self, tick: float) -> bool:
        """Whether intervals differ by more than a tenth and more than rounding to a `tick` (s) explains."""
        steps = np.diff(self.times)
        return bool(np.any(np.abs(steps - self.period) > max(0.1 * self.period, 1.5 * tick)))

    def index(self, previous: int, stamp: int | None) -> int:
        """Number of the frame with this stamp, which comes after frame `previous`."""
        if self.counted or stamp is None:
            return previous + 1
        return max(previous + 1, int(np.searchsorted(self.stamps, stamp)))

    def time(self, index: int) -> float:
        """Time of a frame, s; beyond the last known frame, extrapolated with the typical interval."""
        beyond = max(0, index - (len(self.times) - 1))
        return float(self.times[index - beyond]) + beyond * self.period

    def window(self, start: float | None, end: float | None) -> tuple[int, int]:
        """First and last frame number with start <= time <= end (s).

        Raises
        ------
        SettingError
            The times are outside the video, in the wrong order, or no frame lies between them.
        """
        length = f"the video lasts {self.duration:.2f} s"
        for name, value in (("--start", start), ("--end", end)):
            if value is not None and not 0.0 <= value <= self.duration + _END_TOLERANCE:
                raise SettingError(f"{name} {value:g} s is outside the video", f"{length[0].upper()}{length[1:]}")
        if start is not None and end is not None and start >= end:
            raise SettingError(f"--start {start:g} s is not before --end {end:g} s")
        first = int(np.searchsorted(self.times, (start or 0.0) - 1e-6))
        last = len(self.times) if end is None else int(np.searchsorted(self.times, end + 1e-6))
        if first >= last:
            raise SettingError(f"there is no frame between --start and --end ({length})", "Choose a longer part")
        return first, last - 1


def build_clock(
    packets: list[tuple[int | None, int | None]],
    tick: Fraction,
    rate: Fraction | None,
    reorders: bool,
    first: int | None,
) -> tuple[Clock, tuple[str, ...]]:
    """Clock of a file, and the repairs made.

    Parameters
    ----------
    packets : presentation and decoding stamp (ticks) of each packet, in the file's order; not empty
    tick : s per tick
    rate : frames/s according to the header
    reorders : whether the codec may present frames in another order than they are stored
    first : stamp of the first frame that could be decoded
    """
    nominal = rate if rate else Fraction(25)
    presentation_stamps = [pts for pts, _ in packets if pts is not None]
    decode_stamps = [dts for _, dts in packets if dts is not None]
    counted = len(presentation_stamps) < len(packets)
    stamps = np.array(decode_stamps if counted else presentation_stamps, np.int64)
    displaced = np.abs(np.argsort(stamps, kind="stable") - np.arange(len(stamps)))
    if len(stamps) < len(packets) or displaced.max() > _MAX_REORDERING:
        times = np.arange(len(packets)) / float(nominal)
        clock = Clock(np.arange(len(packets)), times, 1.0 / float(nominal), counted=True)
        return clock, (f"the file's frame times are missing or decrease; {float(nominal):g} frames/s were assumed",)
    # An .avi stores no presentation stamps: what FFmpeg reports is the stored order, also for frames shown in another.
    counted = counted or (reorders and not displaced.any())
    stamps = np.sort(stamps)
    if first is not None and not counted:
        stamps = stamps[np.searchsorted(stamps, first) :]
    times, period = _space_evenly((stamps - stamps[0]) * float(tick), 1.0 / float(nominal))
    repeated = len(stamps) - len(np.unique(stamps))
    note = f"{repeated} frames had the same time stamp as another; they were spaced evenly up to the next one"
    return Clock(stamps, times, period, counted), (note,) if repeated else ()


def _space_evenly(times: Array, nominal: float) -> tuple[Array, float]:
    """Strictly increasing times (s) from sorted ones, and their median interval."""
    distinct, group, sizes = np.unique(times, return_inverse=True, return_counts=True)
    period = float(np.median(np.diff(distinct))) if len(distinct) > 1 else nominal
    following = np.append(distinct[1:], distinct[-1] + period)
    rank = np.arange(len(times)) - np.searchsorted(times, times)
    return distinct[group] + rank / sizes[group] * (following - distinct)[group], period
