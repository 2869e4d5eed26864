"""Multi-scale deformable attention: a query looks at a few places of the image that it chooses itself (paper, DAM).

    DAM(Q, r_k, {F^s}) = sum_s sum_m alpha_ksm W F^s(r_k + dr_ksm)

with several heads and an output layer as in Zhu et al. 2021, "Deformable DETR". Sampling is bilinear, in plain PyTorch.

N pictures, K queries, S scales, M points that a head samples on each.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample


class DeformableAttention(nn.Module):
    """The layer. width: of queries and maps, a multiple of `heads`. scales: how many maps there are. points: M.

    Before training a head samples on a ray, M points 1, 2, ... cells from the reference; all count the same.
    """

    def __init__(self, width: int, heads: int, scales: int, points: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"a width of {width} cannot be divided among {heads} heads")
        self.heads, self.scales, self.points = heads, scales, points
        self.value = nn.Conv2d(width, width, 1)
        self.offsets = nn.Linear(width, heads * scales * points * 2)
        self.weights = nn.Linear(width, heads * scales * points)
        self.out = nn.Linear(width, width)
        for layer in (self.offsets, self.weights):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.weights.bias)
        with torch.no_grad():
            self.offsets.bias.copy_(_rays(heads, scales, points).flatten())

    def values(self, maps: list[Tensor]) -> list[Tensor]:
        """W F^s for maps (N, width, H_s, W_s): all that does not depend on the queries, to be computed once."""
        if len(maps) != self.scales:
            raise ValueError(f"the layer was made for {self.scales} maps and got {len(maps)}")
        return [self.value(one) for one in maps]

    def forward(self, queries: Tensor, reference: Tensor, values: list[Tensor]) -> Tensor:
        """What the queries (N, K, width) see, of the same shape.

        reference: (N, K, 2) or (K, 2), 0..1 of the picture (x right, y down). values: of `values`. Outside the picture
        there is nothing (zero).
        """
        split = (self.heads, self.scales, self.points)
        offsets = self.offsets(queries).unflatten(-1, (*split, 2))
        share = self.weights(queries).unflatten(-1, (self.heads, -1)).softmax(-1).unflatten(-1, split[1:])
        # in cells of each map, so that a coarse map is searched further around
        cells = queries.new_tensor([one.shape[:-3:-1] for one in values])[:, None]
        places = 2 * (reference[..., None, None, None, :] + offsets / cells) - 1
        places, share = (
            places.transpose(1, 2).flatten(0, 1),
            share.transpose(1, 2).flatten(0, 1),
        )  # (N heads, K, ...)
        seen = sum(
            (
                grid_sample(self._by_head(one), places[:, :, s], align_corners=False) * share[:, None, :, s]
            ).sum(-1)
            for s, one in enumerate(values)
        )
        assert isinstance(seen, Tensor)
        mixed: Tensor = self.out(seen.unflatten(0, (-1, self.heads)).flatten(1, 2).transpose(1, 2))
        return mixed

    def _by_head(self, value: Tensor) -> Tensor:
        """(N, width, H, W) -> (N heads, width / heads, H, W)."""
        split: Tensor = value.unflatten(1, (self.heads, -1)).flatten(0, 1)
        return split


def _rays(heads: int, scales: int, points: int) -> Tensor:
    """(heads, scales, points, 2), cells: a direction for each head, all around; on a square ring, not a circle, so that
    a step goes to a neighbouring cell."""
    angles = torch.arange(heads) * (2 * math.pi / heads)
    directions = torch.stack([angles.cos(), angles.sin()], -1)
    directions = directions / directions.abs().amax(-1, keepdim=True)
    steps = torch.arange(1, points + 1)
    rays: Tensor = (directions[:, None, None] * steps[:, None]).expand(heads, scales, points, 2)
    return rays
