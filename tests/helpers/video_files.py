"""Small videos made by the tests. Each frame carries its number as ten bars; its corners have four colours."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from biopose_cli.typing import Array

RED, GREEN, BLUE, WHITE = (220, 30, 30), (30, 200, 30), (30, 30, 220), (230, 230, 230)
BITS = 10


def numbered_image(number: int, width: int = 320, height: int = 240) -> Array:
    """Upper left red, upper right green, lower left blue, lower right white; in the middle the number's bits."""
    image = np.empty((height, width, 3), np.uint8)
    image[: height // 2, : width // 2], image[: height // 2, width // 2 :] = RED, GREEN
    image[height // 2 :, : width // 2], image[height // 2 :, width // 2 :] = BLUE, WHITE
    for bit in range(BITS):
        image[height // 3 : 2 * height // 3, bit * width // BITS : (bit + 1) * width // BITS] = 255 * (
            number >> bit & 1
        )
    return image


def decode_number(image: Array) -> int:
    """The number in an upright picture."""
    height, width = image.shape[:2]
    bars = [image[height // 2, round((bit + 0.5) * width / BITS)].mean() > 127 for bit in range(BITS)]
    return sum(int(bar) << bit for bit, bar in enumerate(bars))


def corner_colors(image: Array) -> list[str]:
    """Names of the colours in the upper left, upper right, lower left and lower right corner."""
    colors = {"red": RED, "green": GREEN, "blue": BLUE, "white": WHITE}
    height, width = image.shape[:2]
    y, x = height // 10, width // 10
    names = []
    for pixel in (image[y, x], image[y, -x], image[-y, x], image[-y, -x]):
        distance = {name: np.abs(pixel.astype(int) - colour).max() for name, colour in colors.items()}
        name = min(distance, key=lambda n: distance[n])
        names.append(name if distance[name] < 40 else str(pixel))
    return names


def make(
    path: Path,
    *,
    frames: int = 12,
    width: int = 320,
    height: int = 240,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    layout: str | None = None,
    options: dict[str, str] | None = None,
    muxing: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
    ticks: Sequence[int] | None = None,
    tick: Fraction = Fraction(1, 30),
    prepare: Callable[[Any], None] = lambda stream: None,
    alpha: bool = False,
) -> Path:
    """Encode numbered pictures to `path`; `ticks` are their times in units of `tick` (default: 30 Hz)."""
    quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    with av.open(str(path), "w", format=layout, options=muxing or {}) as container:
        container.metadata.update(metadata or {})
        stream = container.add_stream(codec, rate=30, options=quiet | (options or {}))
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        if ticks is not None:
            stream.codec_context.time_base = tick
        prepare(stream)
        for index in range(frames):
            image = numbered_image(index, width, height)
            if alpha:
                image = np.dstack([image, np.full((height, width), 255, np.uint8)])
            frame = av.VideoFrame.from_ndarray(image, "rgba" if alpha else "rgb24")
            if ticks is not None:
                frame.pts, frame.time_base = ticks[index], tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def make_sound(path: Path, cover: bool = False) -> Path:
    """One second of silence, with a cover picture if asked for."""
    with av.open(str(path), "w") as container:
        audio = container.add_stream("libmp3lame" if path.suffix == ".mp3" else "aac", rate=44100)
        if cover:
            art = container.add_stream("png", rate=30)
            art.width, art.height, art.pix_fmt = 64, 48, "rgb24"
            art.disposition = av.stream.Disposition.attached_pic
            container.mux(art.encode(av.VideoFrame.from_ndarray(numbered_image(0, 64, 48))))
            container.mux(art.encode())
        size = audio.codec_context.frame_size or 1152
        for index in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, size), np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts = 44100, index * size
            container.mux(audio.encode(frame))
        container.mux(audio.encode())
    return path


APPLE = "com.apple.quicktime.camera.focal_length.35mm_equivalent"


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind) + content


def add_track_metadata(path: Path, name: str, value: bytes, kind: int = 1, full: bool = False) -> None:
    """Put a `meta` box with one item into the first track of a .mov whose moov box comes last, as iPhones do."""
    key = box(b"mdta", name.encode())
    keys = box(b"keys", struct.pack(">II", 0, 1) + key)
    item = box(struct.pack(">I", 1), box(b"data", struct.pack(">II", kind, 0) + value))
    handler = box(b"hdlr", struct.pack(">II4s", 0, 0, b"mdta") + bytes(14))
    meta = box(b"meta", (bytes(4) if full else b"") + handler + keys + box(b"ilst", item))
    data = path.read_bytes()
    movie = data.rindex(b"moov") - 4
    track = data.index(b"trak", movie) - 4
    end = track + int.from_bytes(data[track : track + 4], "big")
    grown = bytearray(data[:end] + meta + data[end:])
    for start in (movie, track):
        size = int.from_bytes(grown[start : start + 4], "big") + len(meta)
        grown[start : start + 4] = struct.pack(">I", size)
    path.write_bytes(grown)
