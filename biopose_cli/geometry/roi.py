"""The rotated square around a person that the keypoint network looks at, and the way between it and the image.

A ROI is an array (4,): centre x, y (px of the image), side (px), rotation (rad, clockwise in the image; 0: the body's
axis is upright). Coordinates are continuous: the centre of the first pixel is at 0.5, in the image and in the crop.
"""

from __future__ import annotations

import cv2
import numpy as np

from biopose_cli.typing import Array

CROP = 256  # px, side of the keypoint network's input
MARGIN = 1.25  # side of the square over the diameter of the circle around the body (MediaPipe's figure)


def around(centre: Array, rim: Array) -> Array:
    """The ROI (4,) of a body whose mid-hip is at `centre` and whose circle's top is at `rim`, both (2,) px."""
    axis = rim - centre
    rotation = np.arctan2(axis[0], -axis[1])
    return np.array([*centre, 2 * np.hypot(*axis) * MARGIN, rotation])


def to_image(points: Array, roi: Array) -> Array:
    """Points (..., 2) in px of the crop, as px of the image."""
    return np.asarray((points / CROP - 0.5) * roi[2] @ _rotation(roi).T + roi[:2])


def to_crop(points: Array, roi: Array) -> Array:
    """Points (..., 2) in px of the image, as px of the crop: the inverse of `to_image`."""
    return np.asarray(((points - roi[:2]) @ _rotation(roi) / roi[2] + 0.5) * CROP)


def to_camera(points: Array, roi: Array) -> Array:
    """Points (..., 3) in the crop's axes (x right, y down, z away), turned into the camera's."""
    turned = points.copy()
    turned[..., :2] = points[..., :2] @ _rotation(roi).T
    return turned


def cut(image: Array, roi: Array) -> Array:
    """The ROI's pixels, (256, 256, 3) uint8; black outside the image.

    A person larger than the crop is shrunk by averaging first, so that bilinear sampling does not alias.
    """
    shrink = max(1, int(roi[2] / CROP))
    corner = np.zeros(2)
    if shrink > 1:
        reach = roi[2] * np.sqrt(0.5) + shrink
        low = np.clip(np.floor(roi[:2] - reach).astype(int), 0, None)
        high = np.maximum(np.ceil(roi[:2] + reach).astype(int), low)
        image = image[low[1] : high[1], low[0] : high[0]]
        height, width = (n // shrink * shrink for n in image.shape[:2])
        if not height or not width:
            return np.zeros((CROP, CROP, 3), np.uint8)
        image = cv2.resize(
            image[:height, :width], (width // shrink, height // shrink), interpolation=cv2.INTER_AREA
        )
        corner = low.astype(float)
    linear = _rotation(roi) * (roi[2] / CROP / shrink)
    # OpenCV counts from the centre of the first pixel: half a pixel is added in the crop and taken off in the image
    offset = (roi[:2] - corner) / shrink + linear @ np.full(2, 0.5 - CROP / 2) - 0.5
    warp = np.column_stack([linear, offset])
    return np.asarray(
        cv2.warpAffine(image, warp, (CROP, CROP), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    )


def _rotation(roi: Array) -> Array:
    """(2, 2): turns the crop's axes into the image's."""
    c, s = np.cos(roi[3]), np.sin(roi[3])
    return np.array([[c, -s], [s, c]])
