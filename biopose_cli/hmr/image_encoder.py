"""Interface of image encoders, and the neck that makes several resolutions of a transformer's one map (paper, 3.2).

N images.
"""

from __future__ import annotations

import math
from typing import Protocol

from torch import Tensor, nn
from torch.nn.functional import interpolate

from biopose_cli.errors import SettingError

AREA_SCALES = (1, 4, 8, 16, 32)  # those of the paper's Table 5


class ImageEncoder(Protocol):
    """Module from images to feature maps.

    scales: numbers of cells of the maps, as ascending multiples of the coarsest's. out_channels: of every map.
    """

    scales: tuple[int, ...]
    out_channels: int

    def __call__(self, crops: Tensor) -> list[Tensor]:
        """Crops (N, 3, 256, 256), RGB 0..1 -> maps (N, channels, H_s, W_s), coarse to fine.

        Each covers the whole crop.
        """
        ...


class MultiScaleNeck(nn.Module):
    """One map to several: bilinear upsampling, then a learned 3x3 convolution per scale.

    The paper names scales of 1x to 32x, but not what they multiply. Sides 32 times as long would be 512 cells, two per
    pixel of the crop, so we take it as the number of cells. Sides grow by its square root: 16, 32, 45, 64, 91 cells
    from 16.

    in_channels: of the map. out_channels: of the result. scales: any of `AREA_SCALES`.

    Raises
    ------
    SettingError
        `scales` is empty or contains others.
    """

    def __init__(self, in_channels: int, out_channels: int, scales: tuple[int, ...] = (1, 4, 8, 16)) -> None:
        super().__init__()
        if not scales or not set(scales) <= set(AREA_SCALES):
            raise SettingError(f"image scales {scales} are not among {AREA_SCALES}", "Choose at least one of them")
        self.scales = tuple(sorted(set(scales)))
        self.out_channels = out_channels
        self.lateral = nn.Conv2d(in_channels, out_channels, 1)  # before upsampling: equivalent, and cheaper
        self.level_convs = nn.ModuleList(
            nn.Sequential(nn.Conv2d(out_channels, out_channels, 3, padding=1), nn.GroupNorm(1, out_channels))
            for _ in self.scales
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, in_channels, H, W) -> (N, out_channels, H_s, W_s) for every scale, coarse to fine."""
        reduced = self.lateral(x)
        sides = [[round(side * math.sqrt(scale)) for side in x.shape[-2:]] for scale in self.scales]
        return [
            layer(interpolate(reduced, size, mode="bilinear", align_corners=False))
            for layer, size in zip(self.level_convs, sides, strict=True)
        ]
