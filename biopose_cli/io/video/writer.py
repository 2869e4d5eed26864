"""Writing of a video for all players: H.264 in .mp4, 8-bit 4:2:0, true frame times, the index at the front."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from biopose_cli.errors import Failure
from biopose_cli.io.atomic import atomic_write
from biopose_cli.typing import Array

_TICKS = 90_000  # per s, as MPEG counts: fine enough for every frame rate
_BT709 = 1  # ITU-T H.273: matrix, primaries and transfer of high definition, which players expect
_LIMITED_RANGE = 1


class VideoWriter:
    """A video of `width` x `height` px, as a context manager; the file appears when the block ends without an error.

    Odd sizes grow by one line, as 4:2:0 needs even ones. Frames are encoded as they come.
    """

    def __init__(self, path: Path, width: int, height: int) -> None:
        self._path = path
        self._shape = (height, width, 3)
        self._origin: float | None = None
        self._session = self._open()

    def __enter__(self) -> Self:
        """Raises OutputError or DiskFullError if the file cannot be created, Failure without an H.264 encoder."""
        self._session.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.__exit__(kind, error, trace)

    @contextlib.contextmanager
    def _open(self) -> Iterator[None]:
        options = {"movflags": "faststart"}
        with (
            atomic_write(self._path) as temporary,
            av.open(f"file:{temporary}", "w", "mp4", options=options) as container,
        ):
            self._container = container
            self._stream = _h264(container, self._shape)
            self._reformatter = VideoReformatter()
            self._tick, self._time = -1, -math.inf
            yield
            if self._origin is None:
                raise ValueError("no frame was written")
            container.mux(self._stream.encode())

    def write(self, image: Array, time: float) -> None:
        """Add an (H, W, 3) uint8 RGB image, shown from `time` (s) on; times increase. The first is at 0 in the file.

        Raises
        ------
        DiskFullError, OutputError
        """
        if image.shape != self._shape or image.dtype != np.uint8:
            raise ValueError(f"image is {image.dtype} {image.shape}, expected uint8 {self._shape}")
        self._origin = time if self._origin is None else self._origin
        if time <= self._time:
            raise ValueError(f"time {time} s does not come after the frame before")
        self._time = time
        # with finer clocks, stamps may be closer than a tick
        tick = self._tick = max(self._tick + 1, round((time - self._origin) * _TICKS))
        padding = [(0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)]
        padded = np.pad(image, padding, mode="edge") if np.any(padding) else image
        frame = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(padded, format="rgb24"),
            format="yuv420p",
            dst_colorspace=_BT709,
            dst_color_range=_LIMITED_RANGE,
        )
        frame.pts, frame.time_base = tick, Fraction(1, _TICKS)
        self._container.mux(self._stream.encode(frame))


def _h264(container: Any, shape: tuple[int, int, int]) -> Any:
    """H.264 stream for images of this shape, made even. Quality 20 is hardly distinguishable from the original."""
    try:
        stream = container.add_stream("libx264", rate=30, options={"preset": "veryfast", "crf": "20"})
    except av.FFmpegError as error:
        raise Failure(
            "this FFmpeg cannot write H.264 video",
            "Install the PyAV wheel, which brings its own: pip install --force-reinstall av",
        ) from error
    stream.height, stream.width = shape[0] + shape[0] % 2, shape[1] + shape[1] % 2
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.time_base = Fraction(1, _TICKS)
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    context.color_range = _LIMITED_RANGE
    return stream
