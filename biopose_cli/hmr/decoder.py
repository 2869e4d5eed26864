"""The multi-query decoder of MQ-HMR: pose queries that look at keypoint tokens and at maps of the image (paper, 3.2).

N people, K queries.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from biopose_cli.hmr.deformable_attention import DeformableAttention

_NEAR = 0.15  # of the picture's side: as far as a query's reference point goes from its keypoint


class Decoder(nn.Module):
    """`layers` of them on K queries; each of the `outputs` tokens is a learned mixture of the queries after the last.

    scales: maps of an image encoder, 0 for none; points: that a head samples on each.
    """

    def __init__(
        self, queries: int, width: int, layers: int, heads: int, scales: int, points: int, outputs: int
    ) -> None:
        super().__init__()
        self.place = nn.Parameter(
            0.5 * torch.randn(queries, width)
        )  # tells the queries, all zero at first, apart
        self.reference = nn.Parameter(0.5 * torch.randn(queries, 2))
        self.layers = nn.ModuleList(Layer(width, heads, scales, points) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.read = nn.Parameter(torch.randn(outputs, queries) / queries**0.5)

    def forward(
        self, count: int, memory: Tensor | None, maps: list[Tensor] | None, places: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Queries (N, K, width) and outputs (N, outputs, width).

        memory: tokens (N, P, width) of keypoints. maps: of the image, each (N, width, H, W), coarse to fine. places:
        (N, P, 2) where the keypoints are on the maps, 0..1. Any may be None: what is missing is not looked at, and
        without places the queries' reference points are learned, as in the paper.
        """
        tokens = self.place.new_zeros(count, *self.place.shape)
        reference = self._reference(count, places)
        for layer in self.layers:
            tokens = layer(tokens, self.place, memory, maps, reference)
        tokens = self.norm(tokens)
        return tokens, self.read @ tokens

    def _reference(self, count: int, places: Tensor | None) -> Tensor:
        """(N, K, 2), 0..1: near a keypoint each, in turn; else anywhere."""
        if places is None:
            return self.reference.sigmoid().expand(count, -1, -1)
        turns = torch.arange(len(self.reference), device=places.device) % places.shape[1]
        return places[:, turns] + _NEAR * self.reference.tanh()


class Layer(nn.Module):
    """Queries look at each other, at the keypoints' tokens, at the image, and are worked over one by one."""

    def __init__(self, width: int, heads: int, scales: int, points: int) -> None:
        super().__init__()
        self.among = Attention(width, heads)
        self.across = Attention(width, heads)
        self.image = DeformableAttention(width, heads, scales, points) if scales else None
        self.gate = (
            nn.Parameter(torch.zeros(width)) if scales else None
        )  # closed until images have proved useful
        self.own = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))

    def forward(
        self,
        tokens: Tensor,
        place: Tensor,
        memory: Tensor | None,
        maps: list[Tensor] | None,
        reference: Tensor,
    ) -> Tensor:
        """tokens: (N, K, width), place: (K, width), the others as in `Decoder`. Returns the new tokens."""
        x = self.norms[0](tokens)
        tokens = tokens + self.among(x + place, x + place, x)
        if memory is not None:
            tokens = tokens + self.across(self.norms[1](tokens) + place, memory, memory)
        if maps is not None and self.image is not None and self.gate is not None:
            seen = self.image(self.norms[2](tokens) + place, reference, self.image.values(maps))
            tokens = tokens + self.gate * seen
        result: Tensor = tokens + self.own(self.norms[3](tokens))
        return result


class Attention(nn.Module):
    """Multi-head attention of queries (N, K, width) to keys and values (N, P, width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        split = [
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, x in ((self.query, queries), (self.key, keys), (self.value, values))
        ]
        mixed: Tensor = self.out(scaled_dot_product_attention(*split).transpose(1, 2).flatten(2))
        return mixed
