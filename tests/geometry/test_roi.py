from __future__ import annotations

import numpy as np
import pytest

from biopose_cli.geometry import roi as geometry

ROI = np.array([300.0, 200.0, 120.0, 0.7])


def test_to_image_and_back() -> None:
    points = np.random.default_rng(0).uniform(-50, 300, (7, 33, 2))
    np.testing.assert_allclose(geometry.to_crop(geometry.to_image(points, ROI), ROI), points, atol=1e-9)


def test_the_crops_centre_is_the_rois_and_its_side_too() -> None:
    np.testing.assert_allclose(geometry.to_image(np.array([128.0, 128.0]), ROI), ROI[:2])
    corners = geometry.to_image(np.array([[0.0, 0.0], [256.0, 0.0]]), ROI)
    assert np.hypot(*(corners[1] - corners[0])) == pytest.approx(120)


@pytest.mark.parametrize("angle", [0.0, 0.5, np.pi / 2, -2.0, np.pi])
def test_the_body_points_up_in_its_crop(angle: float) -> None:
    hip = np.array([50.0, 80.0])
    head = hip + 40 * np.array([np.sin(angle), -np.cos(angle)])
    roi = geometry.roi_from_circle(hip, head)
    np.testing.assert_allclose(geometry.to_crop(hip, roi), [128, 128], atol=1e-9)
    np.testing.assert_allclose(geometry.to_crop(head, roi), [128, 128 - 256 / 2.5], atol=1e-9)


@pytest.mark.parametrize("side", [60.0, 200.0, 256.0, 600.0, 900.0])
@pytest.mark.parametrize("angle", [0.0, 0.4, -1.3])
def test_pixels_are_cut_where_the_geometry_says(side: float, angle: float) -> None:
    """A picture whose value is its own coordinate: the crop must show the coordinates of `to_image`."""
    rows, columns = np.mgrid[:1000, :1000] + 0.5
    image = np.stack([columns, rows, 0 * rows], -1).astype(np.float32)
    roi = np.array([500.3, 490.8, side, angle])
    crop = geometry.warp_crop(image, roi)
    y, x = np.mgrid[:256, :256]
    places = geometry.to_image(np.stack([x, y], -1) + 0.5, roi)
    inside = ((places > 8) & (places < 992)).all(axis=-1)
    # OpenCV interpolates at 32nds of a pixel of the image, which may be shrunk three times before
    assert np.abs(crop[..., :2] - places)[inside].max() < 0.1


@pytest.mark.parametrize("side", [100.0, 2000.0])
def test_outside_the_image_is_black(side: float) -> None:
    crop = geometry.warp_crop(np.full((60, 80, 3), 255, np.uint8), np.array([-5000.0, 20.0, side, 0.3]))
    assert crop.shape == (256, 256, 3)
    assert crop.max() == 0


def test_three_dimensional_points_turn_like_the_image() -> None:
    flat = np.array([[3.0, 4.0], [-1.0, 2.0]])
    turned = geometry.to_camera(np.column_stack([flat, [5.0, 6.0]]), ROI)
    moved = geometry.to_image(flat + 128, ROI) - ROI[:2]
    np.testing.assert_allclose(turned[:, :2], moved * 256 / ROI[2])
    np.testing.assert_allclose(turned[:, 2], [5, 6])
