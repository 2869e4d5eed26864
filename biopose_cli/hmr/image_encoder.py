"""What an image encoder is, and how a vision transformer's one map becomes several of other resolutions (paper, 3.2).

N pictures.
"""

from __future__ import annotations

import math
from typing import Protocol

from torch import Tensor, nn
from torch.nn.functional import interpolate

from biopose_cli.errors import SettingError

SCALES = (1, 4, 8, 16, 32)  # those of the paper's Table 5


class ImageEncoder(Protocol):
    """Pictures to maps; an `nn.Module`. scales: how many cells each map has, as multiples of the coarsest's, in rising
    order. channels: that every map has."""

    scales: tuple[int, ...]
    channels: int

    def __call__(self, crops: Tensor) -> list[Tensor]:
        """Maps (N, channels, H_s, W_s), coarse to fine, of crops (N, 3, 256, 256), RGB 0..1. All maps cover the whole
        crop."""
        ...


class ScaleNeck(nn.Module):
    """One map to several: enlarged bilinearly, then a learned 3x3 convolution for each scale.

    The paper names scales of 1x to 32x and not what is multiplied. Sides 32 times as long would be 512 cells, two for
    every pixel of the crop; we read it as the number of cells. Sides grow by the root of that: 16, 32, 45, 64, 91 cells
    from 16.

    inputs: channels of the map. channels: of the result. scales: any of `SCALES`.

    Raises
    ------
    SettingError
        No scales, or others.
    """

    def __init__(self, inputs: int, channels: int, scales: tuple[int, ...] = (1, 4, 8, 16)) -> None:
        super().__init__()
        if not scales or not set(scales) <= set(SCALES):
            raise SettingError(f"image scales {scales} are not among {SCALES}", "Choose at least one of them")
        self.scales = tuple(sorted(set(scales)))
        self.channels = channels
        self.enter = nn.Conv2d(inputs, channels, 1)  # before enlarging: the same as after it, and cheaper
        self.each = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.GroupNorm(1, channels))
            for _ in self.scales
        )

    def forward(self, one: Tensor) -> list[Tensor]:
        """(N, inputs, H, W) -> (N, channels, H_s, W_s) for every scale, coarse to fine."""
        narrow = self.enter(one)
        sides = [[round(side * math.sqrt(scale)) for side in one.shape[-2:]] for scale in self.scales]
        return [
            layer(interpolate(narrow, size, mode="bilinear", align_corners=False))
            for layer, size in zip(self.each, sides, strict=True)
        ]
