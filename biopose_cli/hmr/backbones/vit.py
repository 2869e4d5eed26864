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
from biopose_cli.hmr.image_encoder import ScaleNeck

PATCH = 16  # px
GRID = (16, 12)  # rows and columns of patches
ASIDE = 32  # px on each side of a square crop that HMR2.0 does not look at
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, RGB
_NAMED = 4  # as many names as an error lists
_EXPECTED = "Give the weights of a ViTPose or HMR2.0 backbone (.pth, .ckpt or .safetensors)"


@dataclass(frozen=True)
class Size:
    width: int
    depth: int
    heads: int  # cannot be seen from weights


SIZES = {
    "tiny": Size(192, 12, 3),
    "small": Size(384, 12, 12),  # 12 heads as ViTPose-S has, not the usual 6
    "base": Size(768, 12, 12),
    "large": Size(1024, 24, 16),
    "huge": Size(1280, 32, 16),
}


class ViT(nn.Module):
    """The backbone of one of `SIZES`."""

    def __init__(self, size: str) -> None:
        super().__init__()
        self.size = SIZES[size]
        width = self.size.width
        self.patch_embed = nn.Sequential(OrderedDict(proj=nn.Conv2d(3, width, PATCH, PATCH, padding=2)))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + GRID[0] * GRID[1], width))
        self.blocks = nn.ModuleList(Block(width, self.size.heads) for _ in range(self.size.depth))
        self.last_norm = nn.LayerNorm(width, eps=1e-6)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, 256, 192) RGB 0..1 -> (N, width, 16, 12)."""
        mean, std = (pictures.new_tensor(rgb)[:, None, None] for rgb in (_MEAN, _STD))
        patches = self.patch_embed((pictures - mean) / std).flatten(2).transpose(1, 2)
        tokens = patches + self.pos_embed[:, 1:] + self.pos_embed[:, :1]
        for block in self.blocks:
            tokens = block(tokens)
        result: Tensor = self.last_norm(tokens).transpose(1, 2).unflatten(2, GRID)
        return result


class Block(nn.Module):
    """Attention among the patches, then a layer on each by itself."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(
            OrderedDict(fc1=nn.Linear(width, 4 * width), act=nn.GELU(), fc2=nn.Linear(4 * width, width))
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, P, width) to the same."""
        tokens = tokens + self.attn(self.norm1(tokens))
        after: Tensor = tokens + self.mlp(self.norm2(tokens))
        return after


class SelfAttention(nn.Module):
    """Multi-head attention of tokens to each other."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, P, width) to the same."""
        queries, keys, values = self.qkv(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = scaled_dot_product_attention(queries, keys, values)
        mixed: Tensor = self.proj(seen.transpose(1, 2).flatten(2))
        return mixed


class ViTEncoder(nn.Module):
    """An `ImageEncoder`. Its backbone sees the middle 192 columns of a crop, as HMR2.0's does: what published weights
    were trained on. At the sides its map is filled with zeros, so that the encoder's maps cover the crop."""

    def __init__(self, backbone: ViT, channels: int, scales: tuple[int, ...] = (1, 4, 8, 16)) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = ScaleNeck(backbone.size.width, channels, scales)
        self.scales, self.channels = self.neck.scales, channels

    def forward(self, crops: Tensor) -> list[Tensor]:
        """(N, 3, 256, 256) RGB 0..1 -> (N, channels, H_s, W_s), coarse to fine."""
        middle = self.backbone(crops[..., ASIDE:-ASIDE])
        maps: list[Tensor] = self.neck(pad(middle, (ASIDE // PATCH, ASIDE // PATCH)))
        return maps


def load_backbone(path: Path) -> ViT:
    """The backbone in a file of weights, of the size that the weights have.

    The file is a `torch.save` of ViTPose or of HMR2.0 (names with "backbone." under "state_dict"; other parts of the
    network are left out), the backbone's weights alone, or any of these as safetensors. No code in the file is run.

    Raises
    ------
    AssetError
        Unreadable, or not the weights of one of `SIZES`; which are missing, too many or of another shape.
    """
    weights = _backbone_of(_tensors(path))
    width = weights.get("last_norm.weight", torch.empty(0)).numel()
    size = next((name for name, size in SIZES.items() if size.width == width), None)
    if size is None:
        raise AssetError(f"{path} holds no vision transformer's weights that are known here", _EXPECTED)
    with torch.device("meta"):
        network = ViT(size)
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    shapes = {name: tuple(value.shape) for name, value in weights.items()}
    wrong = {
        "missing": sorted(expected.keys() - shapes.keys()),
        "unexpected": sorted(shapes.keys() - expected.keys()),
        "of another shape": [
            f"{name} {shapes[name]} instead of {shape}"
            for name, shape in expected.items()
            if shapes.get(name, shape) != shape
        ],
    }
    if any(wrong.values()):
        listed = "; ".join(f"{kind}: {_some(names)}" for kind, names in wrong.items() if names)
        raise AssetError(f"{path} does not fit ViT-{size}/{PATCH}: {listed}", _EXPECTED)
    network.load_state_dict({name: value.float() for name, value in weights.items()}, assign=True)
    return network.eval()


def _tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file, by name."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:  # Lightning's files hold a configuration beside the weights
            with torch.serialization.safe_globals(_stand_ins(path)):
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


def _stand_ins(path: Path) -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """For every class or function that a file of PyTorch's refers to and that is not of the weights themselves: a class
    of that name that makes something empty, so that what is around the weights is skipped and none of it runs."""
    names = (full.rpartition(".") for full in torch.serialization.get_unsafe_globals_in_checkpoint(path))
    return [type(name, (), {"__module__": module} | _empty(module)) for module, _, name in names]


def _empty(module: str) -> dict[str, Callable[..., Any]]:
    """What a stand-in makes: a dictionary, which PyTorch lets a file fill; for NumPy what ignores its state."""
    if module.startswith("numpy"):
        return {"__new__": lambda cls, *_: object.__new__(cls), "__setstate__": lambda *_: None}
    return {"__new__": lambda *_: OrderedDict()}


def _backbone_of(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The backbone's part, without its prefix; all of it when nothing has that prefix."""
    prefix = "backbone."
    part = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    return part or weights


def _some(names: list[str]) -> str:
    rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + rest
