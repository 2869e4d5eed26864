"""Multi-scale deformable attention: a query attends to a few image positions that it predicts itself (paper, DAM).

    DAM(Q, r_k, {F^s}) = sum_s sum_m alpha_ksm W F^s(r_k + dr_ksm)

with several heads and an output layer as in Zhu et al. 2021, "Deformable DETR". Sampling is bilinear, in plain PyTorch.

N images, K queries, S scales, M sampling points per head and scale.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample


class MultiScaleDeformableAttention(nn.Module):
    """The attention layer.

    embed_dim: of queries and maps, a multiple of `num_heads`. num_levels: number of maps. num_points: M.

    Initially, each head samples on a ray, M points 1, 2, ... cells from the reference, with equal weights.
    """

    def __init__(self, embed_dim: int, num_heads: int, num_levels: int, num_points: int) -> None:
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(f"a width of {embed_dim} cannot be divided among {num_heads} heads")
        self.num_heads, self.num_levels, self.num_points = num_heads, num_levels, num_points
        self.value_proj = nn.Conv2d(embed_dim, embed_dim, 1)
        self.sampling_offsets = nn.Linear(embed_dim, num_heads * num_levels * num_points * 2)
        self.attention_weights = nn.Linear(embed_dim, num_heads * num_levels * num_points)
        self.output_proj = nn.Linear(embed_dim, embed_dim)
        for layer in (self.sampling_offsets, self.attention_weights):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.attention_weights.bias)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(_init_offset_bias(num_heads, num_levels, num_points).flatten())

    def project_values(self, feature_maps: list[Tensor]) -> list[Tensor]:
        """W F^s for maps (N, width, H_s, W_s). It does not depend on the queries, so it is computed once."""
        if len(feature_maps) != self.num_levels:
            raise ValueError(f"the layer was made for {self.num_levels} maps and got {len(feature_maps)}")
        return [self.value_proj(feature_map) for feature_map in feature_maps]

    def forward(self, queries: Tensor, reference_points: Tensor, values: list[Tensor]) -> Tensor:
        """Attention output (N, K, width) of queries of the same shape.

        reference_points: (N, K, 2) or (K, 2), 0..1 of the image (x right, y down). values: of `project_values`.
        The maps are padded with zeros.
        """
        split = (self.num_heads, self.num_levels, self.num_points)
        offsets = self.sampling_offsets(queries).unflatten(-1, (*split, 2))
        attention_weights = (
            self.attention_weights(queries).unflatten(-1, (self.num_heads, -1)).softmax(-1).unflatten(-1, split[1:])
        )
        # in cells of each map, so that coarse maps are sampled in a larger region
        offset_normalizer = queries.new_tensor([value.shape[:-3:-1] for value in values])[:, None]
        sampling_locations = 2 * (reference_points[..., None, None, None, :] + offsets / offset_normalizer) - 1
        sampling_locations, attention_weights = (
            sampling_locations.transpose(1, 2).flatten(0, 1),
            attention_weights.transpose(1, 2).flatten(0, 1),
        )  # (N heads, K, ...)
        output = sum(
            (
                grid_sample(self._by_head(value), sampling_locations[:, :, level], align_corners=False)
                * attention_weights[:, None, :, level]
            ).sum(-1)
            for level, value in enumerate(values)
        )
        assert isinstance(output, Tensor)
        result: Tensor = self.output_proj(output.unflatten(0, (-1, self.num_heads)).flatten(1, 2).transpose(1, 2))
        return result

    def _by_head(self, values: Tensor) -> Tensor:
        """(N, width, H, W) -> (N heads, width / heads, H, W)."""
        split: Tensor = values.unflatten(1, (self.num_heads, -1)).flatten(0, 1)
        return split


def _init_offset_bias(num_heads: int, num_levels: int, num_points: int) -> Tensor:
    """Initial offsets (heads, scales, points, 2), cells: one direction per head.

    The directions lie on a square ring instead of a circle, so that a step reaches a neighbouring cell.
    """
    angles = torch.arange(num_heads) * (2 * math.pi / num_heads)
    directions = torch.stack([angles.cos(), angles.sin()], -1)
    directions = directions / directions.abs().amax(-1, keepdim=True)
    steps = torch.arange(1, num_points + 1)
    bias: Tensor = (directions[:, None, None] * steps[:, None]).expand(num_heads, num_levels, num_points, 2)
    return bias
