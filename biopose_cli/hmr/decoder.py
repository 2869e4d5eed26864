"""The multi-query decoder of MQ-HMR: pose queries that look at keypoint tokens and at maps of the image (paper, 3.2).

N people, K queries.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from biopose_cli.hmr.deformable_attention import MultiScaleDeformableAttention

_REFERENCE_RADIUS = 0.15  # of the picture's side: as far as a query's reference point goes from its keypoint


class Decoder(nn.Module):
    """`num_layers` of them on K queries; each of the `num_outputs` tokens is a learned mixture of the queries after the
    last.

    num_levels: maps of an image encoder, 0 for none; num_points: that a head samples on each.
    """

    def __init__(
        self,
        num_queries: int,
        embed_dim: int,
        num_layers: int,
        num_heads: int,
        num_levels: int,
        num_points: int,
        num_outputs: int,
    ) -> None:
        super().__init__()
        self.query_pos = nn.Parameter(
            0.5 * torch.randn(num_queries, embed_dim)
        )  # tells the queries, all zero at first, apart
        self.reference_logits = nn.Parameter(0.5 * torch.randn(num_queries, 2))
        self.layers = nn.ModuleList(
            DecoderLayer(embed_dim, num_heads, num_levels, num_points) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(embed_dim)
        self.readout = nn.Parameter(torch.randn(num_outputs, num_queries) / num_queries**0.5)

    def forward(
        self,
        count: int,
        memory: Tensor | None,
        feature_maps: list[Tensor] | None,
        keypoint_locations: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Queries (N, K, width) and outputs (N, outputs, width).

        memory: tokens (N, P, width) of keypoints. feature_maps: of the image, each (N, width, H, W), coarse to fine.
        keypoint_locations: (N, P, 2) where the keypoints are on the maps, 0..1. Any may be None: what is missing is not
        looked at, and without these the queries' reference points are learned, as in the paper.
        """
        tokens = self.query_pos.new_zeros(count, *self.query_pos.shape)
        reference_points = self._reference_points(count, keypoint_locations)
        for layer in self.layers:
            tokens = layer(tokens, self.query_pos, memory, feature_maps, reference_points)
        tokens = self.norm(tokens)
        return tokens, self.readout @ tokens

    def _reference_points(self, count: int, keypoint_locations: Tensor | None) -> Tensor:
        """(N, K, 2), 0..1: near a keypoint each, in turn; else anywhere."""
        if keypoint_locations is None:
            return self.reference_logits.sigmoid().expand(count, -1, -1)
        keypoint_index = (
            torch.arange(len(self.reference_logits), device=keypoint_locations.device) % keypoint_locations.shape[1]
        )
        return keypoint_locations[:, keypoint_index] + _REFERENCE_RADIUS * self.reference_logits.tanh()


class DecoderLayer(nn.Module):
    """Queries look at each other, at the keypoints' tokens, at the image, and are worked over one by one."""

    def __init__(self, embed_dim: int, num_heads: int, num_levels: int, num_points: int) -> None:
        super().__init__()
        self.self_attn = MultiHeadAttention(embed_dim, num_heads)
        self.keypoint_attn = MultiHeadAttention(embed_dim, num_heads)
        self.image_attn = (
            MultiScaleDeformableAttention(embed_dim, num_heads, num_levels, num_points) if num_levels else None
        )
        self.image_gate = (
            nn.Parameter(torch.zeros(embed_dim)) if num_levels else None
        )  # closed until images have proved useful
        self.mlp = nn.Sequential(nn.Linear(embed_dim, 2 * embed_dim), nn.GELU(), nn.Linear(2 * embed_dim, embed_dim))
        self.norms = nn.ModuleList(nn.LayerNorm(embed_dim) for _ in range(4))

    def forward(
        self,
        tokens: Tensor,
        query_pos: Tensor,
        memory: Tensor | None,
        feature_maps: list[Tensor] | None,
        reference_points: Tensor,
    ) -> Tensor:
        """tokens: (N, K, width), query_pos: (K, width), the others as in `Decoder`. Returns the new tokens."""
        x = self.norms[0](tokens)
        tokens = tokens + self.self_attn(x + query_pos, x + query_pos, x)
        if memory is not None:
            tokens = tokens + self.keypoint_attn(self.norms[1](tokens) + query_pos, memory, memory)
        if feature_maps is not None and self.image_attn is not None and self.image_gate is not None:
            attended = self.image_attn(
                self.norms[2](tokens) + query_pos,
                reference_points,
                self.image_attn.project_values(feature_maps),
            )
            tokens = tokens + self.image_gate * attended
        result: Tensor = tokens + self.mlp(self.norms[3](tokens))
        return result


class MultiHeadAttention(nn.Module):
    """Multi-head attention of queries (N, K, width) to keys and values (N, P, width)."""

    def __init__(self, embed_dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(embed_dim, embed_dim) for _ in range(3))
        self.out_proj = nn.Linear(embed_dim, embed_dim)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attend: returns (N, K, width)."""
        split = [
            layer(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for layer, x in ((self.q_proj, queries), (self.k_proj, keys), (self.v_proj, values))
        ]
        result: Tensor = self.out_proj(scaled_dot_product_attention(*split).transpose(1, 2).flatten(2))
        return result
