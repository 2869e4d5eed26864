"""Frames of a video, one after the other: upright, square pixels, 8-bit RGB, each with its true time."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from biopose_cli.errors import VideoError
from biopose_cli.io.video.container import open_container, packets, video_stream
from biopose_cli.io.video.orientation import Orientation
from biopose_cli.io.video.probe import VideoInfo
from biopose_cli.typing import Array

_SEEK_MARGIN = 2.0  # s before the requested start for seeking: frames between two key frames need the first of them
_ROTATE_CODES = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_PQ = 16  # SMPTE ST 2084 in ITU-T H.273, "transfer characteristics"


@dataclass(frozen=True)
class Frame:
    """One image: its number in the file (from 0), its time (s, from the file's first frame), (H, W, 3) uint8 RGB."""

    index: int
    time: float
    image: Array


class FrameReader(Iterator[Frame]):
    """Frames of a video in order. After the last one, `warnings` lists what could not be decoded."""

    def __init__(self, info: VideoInfo, first: int, last: int) -> None:
        self._info = info
        self._num_requested = last - first + 1
        self._num_read = 0
        self._frames = self._read(first, last)

    def __next__(self) -> Frame:
        return next(self._frames)

    def close(self) -> None:
        """Release the file before the last frame."""
        self._frames.close()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Complete once the last frame has been read."""
        missing = self._num_requested - self._num_read
        if missing <= 0:
            return ()
        return (f"{missing} of {self._num_requested} frames of the video could not be decoded and were skipped",)

    def _read(self, first: int, last: int) -> Generator[Frame]:
        converter = _FrameConverter(self._info)
        for index, raw in self._numbered(first):
            if index > last and last < len(self._info.clock.times) - 1:
                break  # otherwise read to the end, even if the file has more images than stamps
            if index >= first:
                self._num_read += 1
                yield Frame(index, self._info.clock.time(index), converter.convert(raw))
        if not self._num_read:
            raise VideoError(
                f"{self._info.path} holds no image that can be decoded in the requested part",
                "Choose another part with --start and --end",
            )

    def _numbered(self, first: int) -> Iterator[tuple[int, Any]]:
        """Frames with their numbers, starting from a frame at or before `first`."""
        clock = self._info.clock
        if not clock.counted and clock.time(first) > _SEEK_MARGIN:
            start = int(clock.stamps[np.searchsorted(clock.times, clock.time(first) - _SEEK_MARGIN)])
            frames = self._decode(start)
            index, raw = next(frames, (first + 1, None))
            if index <= first:
                yield index, raw
                yield from frames
                return
            frames.close()  # the file's index points past the requested frame: start from the beginning
        yield from self._decode(None)

    def _decode(self, start: int | None) -> Generator[tuple[int, Any]]:
        """Decode from the beginning, or from the key frame before the stamp `start`."""
        with open_container(self._info.path) as container:
            stream = video_stream(container, self._info.path)
            stream.thread_type = "AUTO"
            if start is not None:
                with contextlib.suppress(av.FFmpegError):  # not every format can seek: then from the beginning
                    container.seek(start, stream=stream)
            frames = self._undamaged(container, stream)
            if self._info.interlaced:
                frames = _deinterlace(frames, stream)
            index = -1
            for raw in frames:
                stamp = None if raw.pts is None else round(raw.pts * raw.time_base / stream.time_base)
                index = self._info.clock.index(index, stamp)
                yield index, raw

    def _undamaged(self, container: Any, stream: Any) -> Iterator[Any]:
        """Decoded frames without damaged ones, which would give wrong measurements."""
        damaged = set()  # stamps; their frames are decoded too, as later ones depend on them
        for packet in packets(container, stream):
            if packet.is_corrupt and packet.pts is not None:
                damaged.add(packet.pts)
            with contextlib.suppress(av.FFmpegError):
                yield from (f for f in packet.decode() if not f.is_corrupt and f.pts not in damaged)


def read_frames(info: VideoInfo, start: float | None = None, end: float | None = None) -> FrameReader:
    """Stream the frames with start <= time <= end (s of the video's own clock; None: from the first, to the last).

    Memory does not grow with the length of the video. A late start is reached through key frames; numbers and times are
    the same as when reading from the beginning.

    Raises
    ------
    SettingError
        Immediately, if the requested part is outside the video.
    VideoError
        While reading, if nothing can be decoded or the image changes its shape.
    """
    return FrameReader(info, *info.clock.window(start, end))


def expected_frames(info: VideoInfo, start: float | None = None, end: float | None = None) -> int | None:
    """Approximate number of frames that `read_frames` returns; None if the file does not state it."""
    if info.frame_count is None or not info.duration:
        return info.frame_count
    last = info.duration if end is None else min(end + 1 / info.frame_rate, info.duration)
    return max(1, round(info.frame_count * (last - (start or 0.0)) / info.duration))


def _deinterlace(source: Iterable[Any], stream: Any) -> Iterator[Any]:
    """One deinterlaced image per interlaced frame (FFmpeg's bwdif); progressive frames are unchanged."""
    graph = av.filter.Graph()
    graph.link_nodes(
        graph.add_buffer(template=stream, time_base=stream.time_base),
        graph.add("bwdif", "mode=send_frame:deint=interlaced"),
        graph.add("buffersink"),
    ).configure()
    for frame in source:
        graph.push(frame)
        yield from _drain(graph)
    graph.push(None)
    yield from _drain(graph)


def _drain(graph: Any) -> Iterator[Any]:
    while True:
        try:
            yield graph.pull()
        except (av.BlockingIOError, av.EOFError):  # nothing more for now, or at all
            return


class _FrameConverter:
    """Converts FFmpeg's frames to upright RGB of one size."""

    def __init__(self, info: VideoInfo) -> None:
        self._path = info.path
        self._orientation = Orientation(info.rotation, info.mirrored)
        self._size = (info.height, info.width) if self._orientation.sideways else (info.width, info.height)
        self._reformatter = VideoReformatter()
        self._aspect: float | None = None

    def convert(self, raw: Any) -> Array:
        """(H, W, 3) uint8 RGB. Alpha is dropped; a change of resolution within the file is scaled to the first size."""
        aspect = raw.width / raw.height
        self._aspect = self._aspect or aspect
        if abs(aspect / self._aspect - 1.0) > 0.01:
            raise VideoError(
                f"{self._path}: the image changes its shape after {raw.time:.2f} s",
                "Cut the video there, and run each part",
            )
        rgb = self._reformatter.reformat(raw, *self._size, "rgb24").to_ndarray()
        if raw.color_trc == _PQ:
            rgb = _sdr_from_pq()[rgb]
        return _upright(rgb, self._orientation)


def _upright(image: Array, orientation: Orientation) -> Array:
    """A contiguous copy that the caller may draw on: FFmpeg may need its own to decode the next frame."""
    oriented = cv2.flip(image, 1) if orientation.mirrored else image.copy()
    return cv2.rotate(oriented, _ROTATE_CODES[orientation.rotation]) if orientation.rotation else oriented


@cache
def _sdr_from_pq() -> Array:
    """Table from the 256 values of HDR in PQ (SMPTE ST 2084) to sRGB, white at 203 cd/m2 (ITU-R BT.2408).

    Without it a PQ image is grey and dark. HLG, the phones' usual HDR, is designed to look right as it is.
    """
    code = np.linspace(0.0, 1.0, 256) ** (32.0 / 2523.0)
    light = 10000.0 * (np.maximum(code - 0.8359375, 0.0) / (18.8515625 - 18.6875 * code)) ** (16384.0 / 2610.0)
    linear = np.clip(light / 203.0, 0.0, 1.0)
    screen = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1.0 / 2.4) - 0.055)
    return np.asarray(np.round(255.0 * screen), np.uint8)
