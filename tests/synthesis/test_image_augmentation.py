"""Spoiled pictures: still of the same person, and never twice the same."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from biopose_cli.synthesis import image_augmentation
from biopose_cli.synthesis.image_augmentation import augment
from biopose_cli.typing import Array


@pytest.fixture
def picture() -> Array:
    rng = np.random.default_rng(0)
    return cv2.GaussianBlur(rng.integers(0, 255, (96, 64, 3), np.uint8), (0, 0), 3)


@pytest.fixture
def mask() -> Array:
    mask = np.zeros((96, 64), np.float32)
    mask[20:80, 20:44] = 1
    return mask


def test_colours_change_and_the_picture_stays(
    picture: Array, mask: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_augmentation, "_OCCLUSION_PROB", 0.0)
    pictures = [augment(picture, mask, np.random.default_rng(k)) for k in range(6)]
    assert all(one.shape == picture.shape and one.dtype == np.uint8 for one in pictures)
    gains = [one.reshape(-1, 3).mean(0) / picture.reshape(-1, 3).mean(0) for one in pictures]
    assert np.std(gains, axis=0).min() > 0.03
    for one in pictures:
        assert np.corrcoef(one[..., 1].ravel(), picture[..., 1].ravel())[0, 1] > 0.7


def test_things_stand_before_the_person(picture: Array, mask: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_augmentation, "_COLOR_GAIN_STD", 0.0)
    monkeypatch.setattr(image_augmentation, "_BLUR_PROB", 0.0)
    monkeypatch.setattr(image_augmentation, "_JPEG_QUALITY", (99, 100))
    for k in range(6):
        monkeypatch.setattr(image_augmentation, "_OCCLUSION_PROB", 1.0)
        changed = np.abs(augment(picture, mask, np.random.default_rng(k)).astype(int) - picture).max(-1) > 40
        assert 0.005 < changed.mean() < 0.3
        assert changed[mask > 0].any()


def test_nobody_in_the_picture_is_no_reason_to_stop(picture: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_augmentation, "_OCCLUSION_PROB", 1.0)
    assert augment(picture, np.zeros((96, 64)), np.random.default_rng(0)).shape == picture.shape
