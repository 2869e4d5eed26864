"""Opening of a user's file with FFmpeg (through PyAV), and its video stream; every error is one clear line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
from av.stream import Disposition

from biopose_cli.errors import VideoError


@contextlib.contextmanager
def open_container(path: Path) -> Iterator[Any]:
    """Open an FFmpeg input container on `path`; it is closed afterwards.

    Raises
    ------
    VideoError
        The file is missing, a folder, empty, unreadable, or in a format unknown to FFmpeg.
    """
    try:
        size = path.stat().st_size
    except (FileNotFoundError, NotADirectoryError) as error:
        raise VideoError(f"{path} does not exist", "Check the name and the folder") from error
    except OSError as error:
        raise VideoError(f"{path} cannot be read ({error.strerror})") from error
    if path.is_dir():
        raise VideoError(f"{path} is a folder, not a video", "Give the video inside it")
    if size == 0:
        raise VideoError(f"{path} is empty (0 bytes)", "Copy it from the camera again")
    try:
        # "file:" prevents reading a name such as "12:30.mp4" as a protocol; the whitelist keeps a playlist from
        # reaching out to the network.
        container = av.open(f"file:{path}", options={"protocol_whitelist": "file"}, metadata_errors="replace")
    except av.FFmpegError as error:
        if isinstance(error, OSError):
            raise VideoError(f"{path} cannot be read ({error.strerror})") from error
        raise VideoError(
            f"{path} is not a video, or was cut off while it was saved",
            "Check that it plays in a video player",
        ) from error
    with container:
        yield container


def video_stream(container: Any, path: Path) -> Any:
    """The video stream: the one marked as default, otherwise the largest. Cover art does not count.

    Raises
    ------
    VideoError
        A still image, text, only sound, nothing at all, or a codec that this FFmpeg cannot decode.
    """
    kind = container.format.name
    if kind in {"image2", "tty"} or kind.endswith("_pipe"):  # FFmpeg plays stills and even text files
        raise VideoError(f"{path} is a single image or a text, not a video", "Give a video file")
    streams = video_streams(container)
    if not streams:
        if container.streams.audio:
            raise VideoError(f"{path} holds sound but no images", "Give a video file")
        raise VideoError(
            f"{path} holds no images: it is not a video, or was cut off while it was saved",
            "Copy it from the camera again, or try to repair it",
        )
    readable = [s for s in streams if s.codec_context is not None]
    if not readable:
        raise VideoError(f"{path} uses a codec that this FFmpeg cannot decode", "Convert it to H.264 in an .mp4 file")
    return max(readable, key=lambda s: (bool(s.disposition & Disposition.default), s.width * s.height))


def video_streams(container: Any) -> list[Any]:
    """The video streams without cover art and other stills."""
    stills = Disposition.attached_pic | Disposition.still_image | Disposition.timed_thumbnails
    return [s for s in container.streams.video if not s.disposition & stills]


def packets(container: Any, stream: Any) -> Iterator[Any]:
    """The stream's packets as stored, up to the end of a truncated file; an empty last one flushes the decoder."""
    source = container.demux(stream)
    while True:
        try:
            packet = next(source, None)
        except av.FFmpegError:
            return
        if packet is None:
            return
        yield packet
