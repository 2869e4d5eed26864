"""The paper's image encoder: a vision transformer, up to ViT-H/16, that can start from published weights.

Layer names, shapes and what is computed are those of ViTPose's backbone (Xu et al. 2022), which HMR2.0 (Goel et al.
2023) took over: patches of 16 px cut with a border of 2 px, position embeddings for 256 x 192 px with the class token's
added to each, layer norms with an epsilon of 1e-6, and a last one after the blocks.

N pictures.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention

from biopose_cli.errors import AssetError
from biopose_cli.hmr.image_encoder import MultiScaleNeck

PATCH = 16  # px
GRID = (16, 12)  # rows and columns of patches
CROP_MARGIN = 32  # px on each side of a square crop that HMR2.0 does not look at
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, RGB
_MAX_LISTED = 4  # as many names as an error lists
_EXPECTED = "Give the weights of a ViTPose or HMR2.0 backbone (.pth, .ckpt or .safetensors)"


@dataclass(frozen=True)
class ViTConfig:
    """The sizes of a vision transformer."""

    embed_dim: int
    depth: int
    num_heads: int  # cannot be seen from weights


VIT_CONFIGS = {
    "tiny": ViTConfig(192, 12, 3),
    "small": ViTConfig(384, 12, 12),  # 12 heads as ViTPose-S has, not the usual 6
    "base": ViTConfig(768, 12, 12),
    "large": ViTConfig(1024, 24, 16),
    "huge": ViTConfig(1280, 32, 16),
}


class ViT(nn.Module):
    """The backbone of one of `VIT_CONFIGS`."""

    def __init__(self, variant: str) -> None:
        super().__init__()
        self.config = VIT_CONFIGS[variant]
        embed_dim = self.config.embed_dim
        self.patch_embed = nn.Sequential(OrderedDict(proj=nn.Conv2d(3, embed_dim, PATCH, PATCH, padding=2)))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + GRID[0] * GRID[1], embed_dim))
        self.blocks = nn.ModuleList(Block(embed_dim, self.config.num_heads) for _ in range(self.config.depth))
        self.last_norm = nn.LayerNorm(embed_dim, eps=1e-6)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, 256, 192) RGB 0..1 -> (N, width, 16, 12)."""
        mean, std = (images.new_tensor(rgb)[:, None, None] for rgb in (_MEAN, _STD))
        patches = self.patch_embed((images - mean) / std).flatten(2).transpose(1, 2)
        tokens = patches + self.pos_embed[:, 1:] + self.pos_embed[:, :1]
        for block in self.blocks:
            tokens = block(tokens)
        result: Tensor = self.last_norm(tokens).transpose(1, 2).unflatten(2, GRID)
        return result


class Block(nn.Module):
    """Attention among the patches, then a layer on each by itself."""

    def __init__(self, embed_dim: int, num_heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(embed_dim, eps=1e-6)
        self.attn = SelfAttention(embed_dim, num_heads)
        self.norm2 = nn.LayerNorm(embed_dim, eps=1e-6)
        self.mlp = nn.Sequential(
            OrderedDict(
                fc1=nn.Linear(embed_dim, 4 * embed_dim),
                act=nn.GELU(),
                fc2=nn.Linear(4 * embed_dim, embed_dim),
            )
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, P, width) to the same."""
        tokens = tokens + self.attn(self.norm1(tokens))
        result: Tensor = tokens + self.mlp(self.norm2(tokens))
        return result


class SelfAttention(nn.Module):
    """Multi-head attention of tokens to each other."""

    def __init__(self, embed_dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim)
        self.proj = nn.Linear(embed_dim, embed_dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, P, width) to the same."""
        queries, keys, values = self.qkv(tokens).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(queries, keys, values)
        result: Tensor = self.proj(attended.transpose(1, 2).flatten(2))
        return result


class ViTEncoder(nn.Module):
    """An `ImageEncoder`. Its backbone sees the middle 192 columns of a crop, as HMR2.0's does: what published weights
    were trained on. At the sides its map is filled with zeros, so that the encoder's maps cover the crop."""

    def __init__(self, backbone: ViT, out_channels: int, scales: tuple[int, ...] = (1, 4, 8, 16)) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = MultiScaleNeck(backbone.config.embed_dim, out_channels, scales)
        self.scales, self.out_channels = self.neck.scales, out_channels

    def forward(self, crops: Tensor) -> list[Tensor]:
        """(N, 3, 256, 256) RGB 0..1 -> (N, channels, H_s, W_s), coarse to fine."""
        features = self.backbone(crops[..., CROP_MARGIN:-CROP_MARGIN])
        feature_maps: list[Tensor] = self.neck(pad(features, (CROP_MARGIN // PATCH, CROP_MARGIN // PATCH)))
        return feature_maps


def load_backbone(path: Path) -> ViT:
    """The backbone in a file of weights, of the size that the weights have.

    The file is a `torch.save` of ViTPose or of HMR2.0 (names with "backbone." under "state_dict"; other parts of the
    network are left out), the backbone's weights alone, or any of these as safetensors. No code in the file is run.

    Raises
    ------
    AssetError
        Unreadable, or not the weights of one of `VIT_CONFIGS`; which are missing, too many or of another shape.
    """
    weights = _backbone_of(_load_tensors(path))
    embed_dim = weights.get("last_norm.weight", torch.empty(0)).numel()
    variant = next((name for name, size in VIT_CONFIGS.items() if size.embed_dim == embed_dim), None)
    if variant is None:
        raise AssetError(f"{path} holds no vision transformer's weights that are known here", _EXPECTED)
    with torch.device("meta"):
        network = ViT(variant)
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    shapes = {name: tuple(value.shape) for name, value in weights.items()}
    mismatches = {
        "missing": sorted(expected.keys() - shapes.keys()),
        "unexpected": sorted(shapes.keys() - expected.keys()),
        "of another shape": [
            f"{name} {shapes[name]} instead of {shape}"
            for name, shape in expected.items()
            if shapes.get(name, shape) != shape
        ],
    }
    if any(mismatches.values()):
        listed = "; ".join(f"{kind}: {_abbreviate(names)}" for kind, names in mismatches.items() if names)
        raise AssetError(f"{path} does not fit ViT-{variant}/{PATCH}: {listed}", _EXPECTED)
    network.load_state_dict({name: value.float() for name, value in weights.items()}, assign=True)
    return network.eval()


def _load_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file, by name."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:  # Lightning's files hold a configuration beside the weights
            with torch.serialization.safe_globals(_stub_pickled_classes(path)):
                content = torch.load(path, map_location="cpu", weights_only=True)
    except (
        OSError,
        SafetensorError,
        pickle.UnpicklingError,
        RuntimeError,
        ValueError,
        KeyError,
        EOFError,
        TypeError,
    ) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise AssetError(f"the weights {path} cannot be read ({reason})", _EXPECTED) from error
    if isinstance(content, dict):
        content = content.get("state_dict", content)
    named = content.items() if isinstance(content, dict) else ()
    return {str(name): value for name, value in named if isinstance(value, Tensor)}


def _stub_pickled_classes(path: Path) -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """For every class or function that a file of PyTorch's refers to and that is not of the weights themselves: a class
    of that name that makes something empty, so that what is around the weights is skipped and none of it runs."""
    names = (full.rpartition(".") for full in torch.serialization.get_unsafe_globals_in_checkpoint(path))
    return [type(name, (), {"__module__": module} | _stub_namespace(module)) for module, _, name in names]


def _stub_namespace(module: str) -> dict[str, Callable[..., Any]]:
    """What a stand-in makes: a dictionary, which PyTorch lets a file fill; for NumPy what ignores its state."""
    if module.startswith("numpy"):
        return {"__new__": lambda cls, *_: object.__new__(cls), "__setstate__": lambda *_: None}
    return {"__new__": lambda *_: OrderedDict()}


def _backbone_of(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The backbone's part, without its prefix; all of it when nothing has that prefix."""
    prefix = "backbone."
    part = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    return part or weights


def _abbreviate(names: list[str]) -> str:
    rest = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return ", ".join(names[:_MAX_LISTED]) + rest
