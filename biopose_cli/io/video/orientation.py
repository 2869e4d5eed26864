"""Orientation of a video: its display matrix as a quarter turn and a mirroring, and their application to an image."""

from __future__ import annotations

from dataclasses import dataclass

from biopose_cli.typing import Array

_TOLERANCE = 0.01  # of a matrix entry: half a degree


@dataclass(frozen=True)
class Orientation:
    """Mirrored left to right (if `mirrored`), then rotated clockwise by `rotation` degrees (0, 90, 180 or 270)."""

    rotation: int = 0
    mirrored: bool = False

    @property
    def sideways(self) -> bool:
        """Whether width and height are exchanged."""
        return self.rotation in {90, 270}


def from_display_matrix(matrix: Array) -> Orientation | None:
    """Orientation of a display matrix with nine numbers (ISO/IEC 14496-12, 8.3.2: rows a b u, c d v, x y w).

    The file asks for x' = a x + c y, y' = b x + d y in the image's axes (y down), so b > 0 rotates clockwise. FFmpeg
    reports a scale within the matrix as the pixel aspect ratio, so it is ignored here. None: an oblique or sheared
    image.
    """
    a, b, c, d = (float(matrix[i]) for i in (0, 1, 3, 4))
    if a * d - b * c == 0.0:
        return Orientation()  # no image could be shown: players ignore such a matrix
    mirrored = a * d - b * c < 0.0
    if mirrored:
        a, b = -a, -b  # the rest after flipping x
    straight, sideways = min(abs(a), abs(d)), min(abs(b), abs(c))
    if max(abs(b), abs(c)) <= _TOLERANCE * straight:
        return Orientation(0 if a > 0.0 else 180, mirrored)
    if max(abs(a), abs(d)) <= _TOLERANCE * sideways:
        return Orientation(90 if b > 0.0 else 270, mirrored)
    return None
