"""The display matrix of a video file as a quarter turn and a mirroring, and their application to a picture."""

from __future__ import annotations

from dataclasses import dataclass

from biopose_cli.typing import Array

_TOLERANCE = 0.01  # of a matrix entry: half a degree


@dataclass(frozen=True)
class Orientation:
    """First mirrored left to right (if `mirrored`), then turned clockwise by `rotation` degrees (0, 90, 180 or 270)."""

    rotation: int = 0
    mirrored: bool = False

    @property
    def sideways(self) -> bool:
        """True when width and height change places."""
        return self.rotation in {90, 270}


def from_display_matrix(matrix: Array) -> Orientation | None:
    """The orientation in the nine numbers of a display matrix (ISO/IEC 14496-12, 8.3.2: rows a b u, c d v, x y w).

    The file asks for x' = a x + c y, y' = b x + d y in the image's axes (y down), so b > 0 turns clockwise. FFmpeg
    reports a scale within the matrix as the pixels' shape, so it does not matter here. None: an oblique or sheared
    picture.
    """
    a, b, c, d = (float(matrix[i]) for i in (0, 1, 3, 4))
    if a * d - b * c == 0.0:
        return Orientation()  # no picture could be shown: players ignore such a matrix
    mirrored = a * d - b * c < 0.0
    if mirrored:
        a, b = -a, -b  # what is left to do after flipping x
    straight, sideways = min(abs(a), abs(d)), min(abs(b), abs(c))
    if max(abs(b), abs(c)) <= _TOLERANCE * straight:
        return Orientation(0 if a > 0.0 else 180, mirrored)
    if max(abs(a), abs(d)) <= _TOLERANCE * sideways:
        return Orientation(90 if b > 0.0 else 270, mirrored)
    return None
