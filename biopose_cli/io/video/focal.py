"""The focal length that a phone wrote into its video.

Apple's phones write the 35 mm equivalent (UTF-8, such as "26" or "50.00mm") as
`com.apple.quicktime.camera.focal_length.35mm_equivalent` into the metadata of the *video track* (AVFoundation,
AVMetadataKey.quickTimeMetadataKeyCameraFocalLength35mmEquivalent). FFmpeg does not look there, hence the small reader
of QuickTime boxes here (QuickTime File Format Specification, "Metadata"). Android's own recorder writes none. All other
names of a "focal length" with "35 mm" (EXIF's FocalLengthIn35mmFilm, tags copied into an .mkv) come from FFmpeg's
tags.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

FILM_DIAGONAL = math.hypot(36.0, 24.0)  # mm
_PLAUSIBLE_RANGE = (8.0, 400.0)  # mm, equivalent: from fisheye to super telephoto
_TAG_PATTERN = re.compile(r"focallen(gth)?(in)?35mm")  # in a name's letters and digits
_MAX_HEADER = 1 << 28  # bytes, the largest moov box that is read


def focal_from_tags(tags: Mapping[str, str], width: int, height: int) -> tuple[float, str] | None:
    """Focal length (px of the upright image of this size) and the tag it came from, "name = value"."""
    for name, value in tags.items():
        number = re.match(r"\s*(\d+(?:\.\d+)?)", value)
        if number is None or not _TAG_PATTERN.search(re.sub("[^a-z0-9]", "", name.lower())):
            continue
        millimeters = float(number[1])
        if _PLAUSIBLE_RANGE[0] <= millimeters <= _PLAUSIBLE_RANGE[1]:
            return focal_px(millimeters, width, height), f"{name} = {value.strip()}"
    return None


def focal_px(millimeters: float, width: int, height: int) -> float:
    """Focal length in px from the 35 mm equivalent.

    The equivalent compares diagonals (CIPA DCG-001; film has 43.27 mm): those of the 4:3 sensor that phones have. A
    video is cut from it: 16:9 keeps the width, a square keeps the height. So the diagonal is that of the smallest 4:3
    frame around the image. This gives 0.75 of the width for 26 mm. Electronic stabilisation crops further, by 5 to 15
    percent, and leaves the tag as it is: the true focal length of such a video is longer by as much (9 percent was
    reported for an iPhone 13).
    """
    long_side = max(width, height, 4.0 / 3.0 * min(width, height))
    return millimeters / FILM_DIAGONAL * 1.25 * long_side


def track_tags(path: Path, track: int) -> dict[str, str]:
    """Metadata in the box of the track with this number, of an .mp4 or .mov."""
    with path.open("rb") as file:
        header = _movie_header(file, path.stat().st_size)
    for kind, content in _boxes(header):
        if kind == b"trak":
            inner = dict(_boxes(content))
            if b"meta" in inner and _track_number(inner.get(b"tkhd", b"")) == track:
                return dict(_items(inner[b"meta"]))
    return {}


def _movie_header(file: BinaryIO, length: int) -> bytes:
    """Content of the file's moov box, or nothing. The rest of the file (the images) is skipped."""
    position = 0
    while position + 8 <= length:
        file.seek(position)
        size, kind, start = _box_header(file.read(16))
        if kind == b"moov":
            file.seek(position + start)
            return file.read(min(size - start, _MAX_HEADER))
        if size < start:
            return b""
        position += size
    return b""


def _box_header(head: bytes) -> tuple[int, bytes, int]:
    """Size and kind of the box that starts here, and the length of its header (a size of 1: 64 bits follow)."""
    size, kind = struct.unpack(">I4s", head[:8])
    if size == 1 and len(head) >= 16:
        return struct.unpack(">Q", head[8:16])[0], kind, 16
    return size, kind, 8


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each box, up to the first incomplete one."""
    position = 0
    while len(data) - position >= 8:
        size, kind, start = _box_header(data[position : position + 16])
        if size < start or position + size > len(data):
            return
        yield kind, data[position + start : position + size]
        position += size


def _track_number(header: bytes) -> int:
    """The track_ID of a tkhd box (ISO/IEC 14496-12, 8.3.2)."""
    offset = 20 if header[:1] == b"\x01" else 12
    return int.from_bytes(header[offset : offset + 4], "big")


def _items(meta: bytes) -> Iterator[tuple[str, str]]:
    """Names and values of a metadata box: `keys` lists the names, `ilst` the values by the names' numbers from 1."""
    inner = dict(_boxes(meta if meta[4:8] == b"hdlr" else meta[4:]))  # .mp4 puts version and flags before the boxes
    names = [content.decode("utf-8", "replace") for _, content in _boxes(inner.get(b"keys", b"")[8:])]
    for number, item in _boxes(inner.get(b"ilst", b"")):
        index = int.from_bytes(number, "big") - 1
        value = dict(_boxes(item)).get(b"data", b"")
        if 0 <= index < len(names) and len(value) > 8:
            yield names[index], _text(int.from_bytes(value[1:4], "big"), value[8:])


def _text(kind: int, value: bytes) -> str:
    """A value by QuickTime's well-known types: 1 is UTF-8, 23 and 24 are floats, the other numbers are integers."""
    if kind == 1:
        return value.decode("utf-8", "replace")
    if kind in {23, 24} and len(value) == (4 if kind == 23 else 8):
        return f"{struct.unpack('>f' if kind == 23 else '>d', value)[0]:g}"
    return str(int.from_bytes(value, "big"))
