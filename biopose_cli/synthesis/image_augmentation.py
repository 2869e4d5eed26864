"""What happens to a picture between a scene and a file: things in front of people, blur, colour casts, compression."""

from __future__ import annotations

import cv2
import numpy as np

from biopose_cli.typing import Array

_CAST = 0.08  # spread of each colour's gain
_BLURRED, _BLUR = 0.4, (0.5, 2.0)  # share; px
_HIDDEN, _OF_PERSON = 0.2, (0.15, 0.5)  # share; side of the thing in front, of the person's height and width
_QUALITY = (25, 95)  # of JPEG


def spoiled(image: Array, mask: Array, rng: np.random.Generator) -> Array:
    """An RGB picture (H, W, 3) uint8 of a person where `mask` (H, W) is not 0, as a cheap camera would see it."""
    result = image.astype(np.float32) * np.exp(_CAST * rng.normal(size=3)) * np.exp(2 * _CAST * rng.normal())
    if rng.random() < _HIDDEN:
        _hide(result, mask, rng)
    if rng.random() < _BLURRED:
        result = cv2.GaussianBlur(result, (0, 0), rng.uniform(*_BLUR))
    levels = cv2.cvtColor(np.clip(np.rint(result), 0, 255).astype(np.uint8), cv2.COLOR_RGB2BGR)
    _, packed = cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(*_QUALITY))])
    return np.asarray(cv2.cvtColor(cv2.imdecode(packed, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))


def _hide(image: Array, mask: Array, rng: np.random.Generator) -> None:
    """Put a plain thing, a box or a ball, before some part of the person."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return
    size = rng.uniform(*_OF_PERSON, 2) * (np.ptp(columns) + 1, np.ptp(rows) + 1)
    centre = np.array([rng.choice(columns), rng.choice(rows)])
    colour = rng.uniform(20, 230, 3)
    if rng.random() < 0.5:
        corners = [tuple(int(x) for x in centre + way * size / 2) for way in (-1, 1)]
        cv2.rectangle(image, corners[0], corners[1], colour.tolist(), -1)
    else:
        cv2.ellipse(
            image, (tuple(centre.tolist()), tuple(size.tolist()), rng.uniform(0, 180)), colour.tolist(), -1
        )
