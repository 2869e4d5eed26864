"""Properties of a video file, read before decoding: size, orientation, clock, focal length.

Light to import: FFmpeg is loaded by the first `probe`, not by `content_hash`.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from biopose_cli.errors import VideoError
from biopose_cli.io.video.clock import Clock, build_clock
from biopose_cli.io.video.focal import focal_from_tags, track_tags
from biopose_cli.io.video.orientation import Orientation, from_display_matrix


@dataclass(frozen=True)
class VideoInfo:
    """Properties of a video file. Sizes are of the upright image with square pixels."""

    path: Path
    width: int  # px
    height: int  # px
    rotation: int  # degrees clockwise, applied to the stored images: 0, 90, 180 or 270
    frame_count: int | None  # number of time stamps in the file, including images of damaged packets
    duration: float | None  # s, from the first frame to the end of the last
    frame_rate: float  # frames/s, average
    variable_rate: bool
    codec: str
    pixel_format: str
    focal_px: float | None  # px, from the file's metadata
    focal_tag: str | None  # "name = value" of the tag it came from
    has_audio: bool
    mirrored: bool = False  # the file asks for a left-right flip (before the rotation)
    interlaced: bool = False  # two fields per image: the reader deinterlaces
    warnings: tuple[str, ...] = ()
    clock: Clock = field(default_factory=Clock, repr=False, compare=False)


def probe(path: Path) -> VideoInfo:
    """Read all properties (one image is decoded). All time stamps are read: about as fast as the disk reads.

    Raises
    ------
    VideoError
        The file is missing, not a video, without images, not decodable, or rotated by an odd angle.
    """
    from biopose_cli.io.video.container import open_container, video_stream  # FFmpeg: 0.1 to 0.3 s

    with open_container(path) as container:
        stream = video_stream(container, path)
        packets, frame = _scan(container, stream)
        if frame is None:
            raise VideoError(
                f"{path} holds no image that can be decoded",
                "Copy it from the camera again, or convert it to H.264 in .mp4",
            )
        clock, repairs = build_clock(
            [stamps for stamps, discarded in packets if not discarded],
            stream.time_base,
            stream.average_rate,
            bool(stream.codec_context.has_b_frames),
            frame.pts,
        )
        orientation = _orientation(frame, path)
        width, height = square_pixels(frame.width, frame.height, stream.sample_aspect_ratio)
        if orientation.sideways:
            width, height = height, width
        tags = {**container.metadata, **stream.metadata}
        if "mov" in container.format.name:
            tags |= track_tags(path, stream.id)
        focal = focal_from_tags(tags, width, height)
        return VideoInfo(
            path=path,
            width=width,
            height=height,
            rotation=orientation.rotation,
            frame_count=len(clock.times),
            duration=clock.duration,
            frame_rate=clock.frame_rate,
            variable_rate=clock.varies(float(stream.time_base)),
            codec=stream.codec_context.name,
            pixel_format=frame.format.name,
            focal_px=focal[0] if focal else None,
            focal_tag=focal[1] if focal else None,
            has_audio=bool(container.streams.audio),
            mirrored=orientation.mirrored,
            interlaced=frame.interlaced_frame,
            warnings=repairs + _warnings(container, stream, orientation, len(packets), clock),
            clock=clock,
        )


def content_hash(path: Path) -> str:
    """SHA-256 of the file's bytes, in hexadecimal.

    Raises
    ------
    VideoError
        The file is missing or cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise VideoError(f"{path} does not exist", "Check the name and the folder") from error
    except OSError as error:
        raise VideoError(f"{path} cannot be read ({error.strerror})") from error


def square_pixels(width: int, height: int, pixel_shape: Fraction | None) -> tuple[int, int]:
    """Size after stretching width or height to square pixels from this shape (width : height); no line is lost."""
    shape = float(pixel_shape or 1)
    return (round(width * shape), height) if shape >= 1.0 else (width, round(height / shape))


_SLOW_MOTION_RATIO = 1.5  # at least this ratio of captured to stored frames/s
Packet = tuple[tuple[int | None, int | None], bool]  # presentation and decoding stamp; whether not to be shown


def _scan(container: Any, stream: Any) -> tuple[list[Packet], Any]:
    """All packets of the stream, and its first decodable frame (or None)."""
    import av

    from biopose_cli.io.video.container import packets

    scanned: list[Packet] = []
    first = None
    for packet in packets(container, stream):
        if packet.size:
            scanned.append(((packet.pts, packet.dts), packet.is_discard))
        if first is None:
            with contextlib.suppress(av.FFmpegError):  # a damaged packet; the reader counts them
                first = next((frame for frame in packet.decode() if not frame.is_corrupt), None)
    return scanned, first


def _orientation(frame: Any, path: Path) -> Orientation:
    matrix = next(
        (np.frombuffer(data, np.int32) for data in frame.side_data if data.type.name == "DISPLAYMATRIX"), None
    )
    if matrix is None:
        return Orientation()
    orientation = from_display_matrix(matrix)
    if orientation is None:
        raise VideoError(
            f"{path} is to be shown rotated by {-frame.rotation} degrees",
            "Rotate it upright in a video editor and export it again",
        )
    return orientation


def _number(text: str | None) -> float:
    """The number in a tag, or 0."""
    try:
        return float(text or 0)
    except ValueError:
        return 0.0


def _warnings(container: Any, stream: Any, orientation: Orientation, packets: int, clock: Clock) -> tuple[str, ...]:
    """Warnings about this file."""
    from biopose_cli.io.video.container import video_streams

    warnings = []
    if orientation.mirrored:
        warnings.append(
            "the file asks for a mirrored image, as players show it; "
            "if text in it reads backwards, left and right are exchanged"
        )
    if (videos := len(video_streams(container))) > 1:
        warnings.append(f"the file holds {videos} videos; the one of {stream.width} x {stream.height} px is used")
    capture_rate = _number(container.metadata.get("com.android.capture.fps"))
    if clock.frame_rate and capture_rate > _SLOW_MOTION_RATIO * clock.frame_rate:
        warnings.append(
            f"slow motion: filmed at {capture_rate:.0f} frames/s, stored at {clock.frame_rate:.0f}: times are those of "
            f"the motion with --capture-rate {capture_rate:.0f}, and without "
            f"{capture_rate / clock.frame_rate:.1f} times as long"
        )
    header_duration = float((container.duration or 0) / 1_000_000)
    if packets < len(stream.index_entries) or clock.duration < header_duration - max(0.5, 0.05 * header_duration):
        warnings.append(
            f"the images end after {clock.duration:.2f} s, before the file's own length: it may have been cut off"
        )
    return tuple(warnings)
