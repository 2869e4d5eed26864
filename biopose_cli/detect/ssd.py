"""Pre- and post-processing of BlazePose's person detector: anchors, box decoding, weighted non-maximum suppression.

The constants (input size, strides, two anchors per cell and layer, box encoding) are those of MediaPipe's published
`pose_detection` graph. The network: Bazarevsky et al. 2020, "BlazePose: On-device Real-time Body Pose Tracking".
"""

from __future__ import annotations

from functools import cache

import numpy as np

from biopose_cli.typing import Array

INPUT_SIZE = 224  # px, side of the detector's square input
STRIDES = (8, 16, 32, 32, 32)  # px, one per layer; each has two anchors per cell


@cache
def anchors() -> Array:
    """Centres of the detector's 2254 anchors, (2254, 2), as fractions of the input's side. All have size 1."""
    layers = []
    for stride in sorted(set(STRIDES)):
        cells = INPUT_SIZE // stride
        centers = (np.arange(cells) + 0.5) / cells
        y, x = np.meshgrid(centers, centers, indexing="ij")
        layers.append(np.repeat(np.stack([x, y], -1).reshape(-1, 2), 2 * STRIDES.count(stride), axis=0))
    return np.concatenate(layers).astype(np.float32)


def decode_boxes(boxes: Array, logits: Array, threshold: float) -> tuple[Array, Array]:
    """Decode the network's raw boxes to rows x0, y0, x1, y1, then four points x, y, as fractions of the input's side.

    Parameters
    ----------
    boxes : (2254, 12), px of the input, relative to the anchors: centre x, y, width, height, four points
        (mid-hip, a point on the circle around the whole body, mid-shoulder, the same for the upper body).
    logits : (2254,)
    threshold : lowest score (0..1) kept.

    Returns
    -------
    detections (N, 12) and their scores (N,), 0..1, in no particular order.
    """
    scores = 1 / (1 + np.exp(-np.clip(logits, -60, 60)))
    keep = scores >= threshold
    raw = boxes[keep].reshape(-1, 6, 2) / INPUT_SIZE
    centers = raw[:, 0] + anchors()[keep]
    half = raw[:, 1] / 2
    points = raw[:, 2:] + anchors()[keep][:, None]
    rows = np.concatenate([centers - half, centers + half, points.reshape(-1, 8)], axis=1)
    return rows, scores[keep]


def iou(box: Array, others: Array) -> Array:
    """Intersection over union of one box (4,) with others (N, 4), rows x0, y0, x1, y1: (N,)."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:4], others[:, 2:4])
    intersection = np.prod(np.maximum(high - low, 0), axis=1)
    union = np.prod(box[2:4] - box[:2]) + np.prod(others[:, 2:4] - others[:, :2], axis=1) - intersection
    return np.asarray(intersection / np.maximum(union, 1e-9))


def weighted_nms(detections: Array, scores: Array, iou_threshold: float = 0.3) -> tuple[Array, Array]:
    """Weighted non-maximum suppression: overlapping detections become their weighted mean.

    Detections overlap if their intersection over union exceeds `iou_threshold`.

    The weights are the scores. Returns the means, (M, 12), and the highest score of each group, (M,), best first.
    """
    order = np.argsort(-scores, kind="stable")
    detections, scores = detections[order], scores[order]
    means, best = [], []
    while len(scores):
        group = iou(detections[0], detections) > iou_threshold
        group[0] = True
        means.append(np.average(detections[group], axis=0, weights=scores[group]))
        best.append(scores[0])
        detections, scores = detections[~group], scores[~group]
    return np.array(means, np.float32).reshape(-1, 12), np.array(best, np.float32)
