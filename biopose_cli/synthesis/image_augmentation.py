"""Image degradations for training: occluders, blur, colour casts, compression."""

from __future__ import annotations

import cv2
import numpy as np

from biopose_cli.typing import Array

_COLOR_GAIN_STD = 0.08  # standard deviation per colour channel
_BLUR_PROB, _BLUR_SIGMA = 0.4, (0.5, 2.0)  # probability; px
_OCCLUSION_PROB, _OCCLUDER_SIZE = (
    0.2,
    (0.15, 0.5),
)  # probability; side of the occluder over the person's height and width
_JPEG_QUALITY = (25, 95)  # range of JPEG's quality


def augment(image: Array, mask: Array, rng: np.random.Generator) -> Array:
    """Degrade an RGB image (H, W, 3) uint8 like a cheap camera; `mask` (H, W) is nonzero where the person is."""
    result = (
        image.astype(np.float32)
        * np.exp(_COLOR_GAIN_STD * rng.normal(size=3))
        * np.exp(2 * _COLOR_GAIN_STD * rng.normal())
    )
    if rng.random() < _OCCLUSION_PROB:
        _occlude(result, mask, rng)
    if rng.random() < _BLUR_PROB:
        result = cv2.GaussianBlur(result, (0, 0), rng.uniform(*_BLUR_SIGMA))
    levels = cv2.cvtColor(np.clip(np.rint(result), 0, 255).astype(np.uint8), cv2.COLOR_RGB2BGR)
    _, packed = cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(*_JPEG_QUALITY))])
    return np.asarray(cv2.cvtColor(cv2.imdecode(packed, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))


def _occlude(image: Array, mask: Array, rng: np.random.Generator) -> None:
    """Cover a random part of the person with a plain box or ball."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return
    size = rng.uniform(*_OCCLUDER_SIZE, 2) * (np.ptp(columns) + 1, np.ptp(rows) + 1)
    center = np.array([rng.choice(columns), rng.choice(rows)])
    color = rng.uniform(20, 230, 3)
    if rng.random() < 0.5:
        corners = [tuple(int(x) for x in center + sign * size / 2) for sign in (-1, 1)]
        cv2.rectangle(image, corners[0], corners[1], color.tolist(), -1)
    else:
        cv2.ellipse(image, (tuple(center.tolist()), tuple(size.tolist()), rng.uniform(0, 180)), color.tolist(), -1)
