"""The rotated square around a person that the keypoint network looks at, and the way between it and the image.

A ROI is an array (4,): centre x, y (px of the image), side (px), rotation (rad, clockwise in the image; 0: the body's
axis is upright). Coordinates are continuous: the centre of the first pixel is at 0.5, in the image and in the crop.
"""

from __future__ import annotations

import cv2
import numpy as np

from biopose_cli.typing import Array

CROP_SIZE = 256  # px, side of the keypoint network's input
CROP_MARGIN = 1.25  # side of the square over the diameter of the circle around the body (MediaPipe's figure)


def roi_from_circle(center: Array, circle_top: Array) -> Array:
    """The ROI (4,) of a body whose mid-hip is at `center` and whose circle's top is at `circle_top`, both (2,) px."""
    axis = circle_top - center
    rotation = np.arctan2(axis[0], -axis[1])
    return np.array([*center, 2 * np.hypot(*axis) * CROP_MARGIN, rotation])


def to_image(points: Array, roi: Array) -> Array:
    """Points (..., 2) in px of the crop, as px of the image."""
    return np.asarray((points / CROP_SIZE - 0.5) * roi[2] @ _rotation(roi).T + roi[:2])


def to_crop(points: Array, roi: Array) -> Array:
    """Points (..., 2) in px of the image, as px of the crop: the inverse of `to_image`."""
    return np.asarray(((points - roi[:2]) @ _rotation(roi) / roi[2] + 0.5) * CROP_SIZE)


def to_camera(points: Array, roi: Array) -> Array:
    """Points (..., 3) in the crop's axes (x right, y down, z away), turned into the camera's."""
    rotated = points.copy()
    rotated[..., :2] = points[..., :2] @ _rotation(roi).T
    return rotated


def warp_crop(image: Array, roi: Array) -> Array:
    """The ROI's pixels, (256, 256, 3) uint8; black outside the image.

    A person larger than the crop is shrunk by averaging first, so that bilinear sampling does not alias.
    """
    shrink = max(1, int(roi[2] / CROP_SIZE))
    corner = np.zeros(2)
    if shrink > 1:
        half_extent = roi[2] * np.sqrt(0.5) + shrink
        low = np.clip(np.floor(roi[:2] - half_extent).astype(int), 0, None)
        high = np.maximum(np.ceil(roi[:2] + half_extent).astype(int), low)
        image = image[low[1] : high[1], low[0] : high[0]]
        height, width = (n // shrink * shrink for n in image.shape[:2])
        if not height or not width:
            return np.zeros((CROP_SIZE, CROP_SIZE, 3), np.uint8)
        image = cv2.resize(
            image[:height, :width], (width // shrink, height // shrink), interpolation=cv2.INTER_AREA
        )
        corner = low.astype(float)
    linear = _rotation(roi) * (roi[2] / CROP_SIZE / shrink)
    # OpenCV counts from the centre of the first pixel: half a pixel is added in the crop and taken off in the image
    offset = (roi[:2] - corner) / shrink + linear @ np.full(2, 0.5 - CROP_SIZE / 2) - 0.5
    warp = np.column_stack([linear, offset])
    return np.asarray(
        cv2.warpAffine(image, warp, (CROP_SIZE, CROP_SIZE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    )


def _rotation(roi: Array) -> Array:
    """(2, 2): turns the crop's axes into the image's."""
    c, s = np.cos(roi[3]), np.sin(roi[3])
    return np.array([[c, -s], [s, c]])
