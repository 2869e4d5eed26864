from __future__ import annotations

import numpy as np

from biopose_cli.detect import ssd


def test_there_is_an_anchor_for_each_output_of_the_network() -> None:
    anchors = ssd.anchors()
    assert anchors.shape == (2254, 2)
    assert anchors.min() > 0
    assert anchors.max() < 1
    # two per cell of the finest layer, row by row, at the cells' centres
    np.testing.assert_allclose(anchors[[0, 1, 2]], np.array([[4, 4], [4, 4], [12, 4]]) / 224, atol=1e-6)
    np.testing.assert_allclose(anchors[56], np.array([4, 12]) / 224, atol=1e-6)
    # six per cell of the coarsest
    np.testing.assert_allclose(anchors[-6:], np.full((6, 2), 208 / 224), atol=1e-6)


def test_a_box_is_decoded_relative_to_its_anchor() -> None:
    boxes, logits = np.zeros((2254, 12), np.float32), np.full(2254, -1000.0, np.float32)
    boxes[100] = [10, -20, 40, 80, 0, 0, 0, -50, 1, 2, 3, 4]
    logits[100] = 2.0
    found, scores = ssd.decode_boxes(boxes, logits, 0.5)
    x, y = ssd.anchors()[100] * 224
    expected = [x - 10, y - 60, x + 30, y + 20, x, y, x, y - 50, x + 1, y + 2, x + 3, y + 4]
    np.testing.assert_allclose(found[0] * 224, expected, atol=1e-4)
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-2.0)))


def test_overlap_is_shared_area_over_total_area() -> None:
    others = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6]])
    np.testing.assert_allclose(ssd.iou(np.array([0, 0, 2, 2]), others), [1, 1 / 3, 0])


def test_overlapping_detections_become_their_weighted_mean() -> None:
    first, second, apart = np.tile([0, 0, 2, 2], 3), np.tile([0.2, 0, 2.2, 2], 3), np.tile([8, 8, 9, 9], 3)
    means, scores = ssd.weighted_nms(np.array([second, apart, first], float), np.array([0.6, 0.7, 0.9]))
    np.testing.assert_allclose(means[0], (0.9 * first + 0.6 * second) / 1.5, rtol=1e-6)
    np.testing.assert_allclose(means[1], apart)
    np.testing.assert_allclose(scores, [0.9, 0.7], rtol=1e-6)


def test_nothing_found_stays_nothing() -> None:
    means, scores = ssd.weighted_nms(np.zeros((0, 12)), np.zeros(0))
    assert means.shape == (0, 12)
    assert scores.shape == (0,)
