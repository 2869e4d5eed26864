from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from biopose_cli.errors import AssetError
from biopose_cli.hmr.backbones.vit import VIT_CONFIGS, ViT, ViTEncoder, load_backbone

WIDTH, DEPTH, HEADS = 192, 12, 3
Weights = dict[str, Tensor]


class CfgNode(dict[str, Any]):
    """Stands for the configuration that Lightning stores beside the weights."""


class Trap:
    """An object whose unpickling would call a function."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise AssertionError('code of the file was run')",)


@pytest.fixture(scope="module")
def weights() -> Weights:
    """Made-up weights with the names and shapes of a published backbone, of the tiny size."""
    torch.manual_seed(0)
    shapes: dict[str, tuple[int, ...]] = {
        "pos_embed": (1, 193, WIDTH),
        "patch_embed.proj.weight": (WIDTH, 3, 16, 16),
        "patch_embed.proj.bias": (WIDTH,),
        "last_norm.weight": (WIDTH,),
        "last_norm.bias": (WIDTH,),
    }
    for n in range(DEPTH):
        for part in ("norm1", "norm2"):
            shapes |= {f"blocks.{n}.{part}.{kind}": (WIDTH,) for kind in ("weight", "bias")}
        for part, rows, columns in (
            ("attn.qkv", 3 * WIDTH, WIDTH),
            ("attn.proj", WIDTH, WIDTH),
            ("mlp.fc1", 4 * WIDTH, WIDTH),
            ("mlp.fc2", WIDTH, 4 * WIDTH),
        ):
            shapes |= {f"blocks.{n}.{part}.weight": (rows, columns), f"blocks.{n}.{part}.bias": (rows,)}
    return {name: 0.05 * torch.randn(shape) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def images() -> Tensor:
    torch.manual_seed(1)
    return torch.rand(2, 3, 256, 192)


def reference(w: Weights, images: Tensor) -> Tensor:
    """The same network, written out: sums over named axes, one head and one patch at a time."""

    def dense(name: str, x: Tensor) -> Tensor:
        return torch.einsum("pi,oi->po", x, w[f"{name}.weight"]) + w[f"{name}.bias"]

    def norm(name: str, x: Tensor) -> Tensor:
        centred = x - x.sum(1, keepdim=True) / WIDTH
        variance = (centred**2).sum(1, keepdim=True) / WIDTH
        return centred / (variance + 1e-6).sqrt() * w[f"{name}.weight"] + w[f"{name}.bias"]

    result = []
    for picture in images:
        framed = torch.zeros(3, 256 + 4, 192 + 4)
        for c, (mean, std) in enumerate(((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))):
            framed[c, 2:-2, 2:-2] = (picture[c] - mean) / std
        rows = []
        for i in range(16):
            for j in range(12):
                patch = framed[:, 16 * i : 16 * i + 16, 16 * j : 16 * j + 16]
                token = torch.einsum("cyx,ocyx->o", patch, w["patch_embed.proj.weight"])
                place = w["pos_embed"][0, 1 + 12 * i + j] + w["pos_embed"][0, 0]
                rows.append(token + w["patch_embed.proj.bias"] + place)
        x = torch.stack(rows)
        for n in range(DEPTH):
            query, key, value = dense(f"blocks.{n}.attn.qkv", norm(f"blocks.{n}.norm1", x)).split(WIDTH, dim=1)
            heads = []
            for h in range(HEADS):
                part = slice(h * WIDTH // HEADS, (h + 1) * WIDTH // HEADS)
                scores = torch.einsum("pi,qi->pq", query[:, part], key[:, part]) / math.sqrt(WIDTH / HEADS)
                share = scores.exp() / scores.exp().sum(1, keepdim=True)
                heads.append(torch.einsum("pq,qi->pi", share, value[:, part]))
            x = x + dense(f"blocks.{n}.attn.proj", torch.cat(heads, 1))
            hidden = dense(f"blocks.{n}.mlp.fc1", norm(f"blocks.{n}.norm2", x))
            hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
            x = x + dense(f"blocks.{n}.mlp.fc2", hidden)
        result.append(norm("last_norm", x).T.reshape(WIDTH, 16, 12))
    return torch.stack(result)


def test_output_matches_the_published_network(weights: Weights, images: Tensor, tmp_path: Path) -> None:
    torch.save({"state_dict": {f"backbone.{name}": value for name, value in weights.items()}}, tmp_path / "a.pth")
    with torch.no_grad():
        seen = load_backbone(tmp_path / "a.pth")(images)
    expected = reference(weights, images)
    assert expected.std() > 0.01
    torch.testing.assert_close(seen, expected, atol=1e-5, rtol=1e-4)


def test_names_and_shapes_of_the_huge_one() -> None:
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in ViT("huge").state_dict().items()}
    assert shapes["patch_embed.proj.weight"] == (1280, 3, 16, 16)
    assert shapes["pos_embed"] == (1, 193, 1280)
    assert shapes["blocks.31.norm1.weight"] == (1280,)
    assert shapes["blocks.31.attn.qkv.weight"] == (3840, 1280)
    assert shapes["blocks.31.attn.proj.weight"] == (1280, 1280)
    assert shapes["blocks.31.norm2.bias"] == (1280,)
    assert shapes["blocks.31.mlp.fc1.weight"] == (5120, 1280)
    assert shapes["blocks.31.mlp.fc2.weight"] == (1280, 5120)
    assert shapes["last_norm.bias"] == (1280,)
    assert len(shapes) == 5 + 32 * 12
    assert sum(math.prod(shape) for shape in shapes.values()) == 630_912_000


@pytest.mark.parametrize("size", VIT_CONFIGS)
def test_every_size_gives_a_map_of_its_width(size: str) -> None:
    with torch.device("meta"):
        assert ViT(size)(torch.empty(1, 3, 256, 192)).shape == (1, VIT_CONFIGS[size].embed_dim, 16, 12)


def kinds(weights: Weights) -> dict[str, Any]:
    named = {f"backbone.{name}": value for name, value in weights.items()}
    head = {"smpl_head.decpose.weight": torch.zeros(3, 3), "keypoint_head.final_layer.bias": torch.zeros(17)}
    return {
        "vitpose.pth": {
            "meta": {"epoch": 210, "best": np.float64(0.7), "scores": np.zeros(3)},
            "state_dict": named | head,
        },
        "hmr2.ckpt": {
            "state_dict": named | head,
            "hyper_parameters": {"cfg": CfgNode(MODEL=CfgNode(SIZE=256))},
            "epoch": 35,
        },
        "stripped.pth": {"state_dict": weights},
        "bare.pth": weights,
        "trapped.ckpt": {"state_dict": named, "hyper_parameters": Trap()},
    }


@pytest.mark.parametrize("name", ["vitpose.pth", "hmr2.ckpt", "stripped.pth", "bare.pth", "trapped.ckpt"])
def test_files_of_all_kinds_are_read(weights: Weights, tmp_path: Path, name: str) -> None:
    torch.save(kinds(weights)[name], tmp_path / name)
    loaded = load_backbone(tmp_path / name)
    assert not loaded.training
    torch.testing.assert_close(loaded.state_dict(), weights, check_device=True, atol=0, rtol=0)


def test_safetensors_are_read(weights: Weights, tmp_path: Path) -> None:
    save_file({f"backbone.{name}": value.half() for name, value in weights.items()}, tmp_path / "a.safetensors")
    loaded = load_backbone(tmp_path / "a.safetensors")
    assert loaded.pos_embed.dtype == torch.float32
    torch.testing.assert_close(loaded.pos_embed.data, weights["pos_embed"], atol=1e-4, rtol=1e-3)


def test_weights_that_do_not_fit_are_named(weights: Weights, tmp_path: Path) -> None:
    changed = weights | {"cls_token": torch.zeros(1), "blocks.3.mlp.fc2.weight": torch.zeros(144, 768)}
    del changed["blocks.2.attn.qkv.bias"]
    torch.save(changed, tmp_path / "a.pth")
    with pytest.raises(AssetError) as raised:
        load_backbone(tmp_path / "a.pth")
    message = str(raised.value)
    assert "\n" not in message
    assert "does not fit ViT-tiny/16: missing: blocks.2.attn.qkv.bias; unexpected: cls_token; " in message
    assert "of another shape: blocks.3.mlp.fc2.weight (144, 768) instead of (192, 768)" in message


def test_many_names_are_not_all_listed(weights: Weights, tmp_path: Path) -> None:
    torch.save({k: v for k, v in weights.items() if not k.startswith("blocks.7")}, tmp_path / "a.pth")
    with pytest.raises(AssetError, match=r"missing: blocks\.7\.attn\.proj\.bias, .* and 8 more\. Give"):
        load_backbone(tmp_path / "a.pth")


def test_files_that_are_not_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("not weights")
    (tmp_path / "text.safetensors").write_text("not weights")
    torch.save({"state_dict": {"conv1.weight": torch.zeros(3)}}, tmp_path / "resnet.pth")
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    torch.save({"last_norm.weight": torch.tensor(1.0)}, tmp_path / "scalar.pth")
    for name, reason in (
        ("text.pth", "cannot be read"),
        ("text.safetensors", "cannot be read"),
        ("absent.pth", "No such file"),
        ("absent.safetensors", "cannot be read"),
        ("resnet.pth", "no weights of a known vision transformer"),
        ("list.pth", "no weights of a known vision transformer"),
        ("scalar.pth", "no weights of a known vision transformer"),
    ):
        with pytest.raises(AssetError, match=reason) as raised:
            load_backbone(tmp_path / name)
        assert "\n" not in str(raised.value)


def test_the_encoder_crops_the_center_and_its_maps_cover_the_crop() -> None:
    torch.manual_seed(0)
    encoder = ViTEncoder(ViT("tiny"), 8, (1, 4)).eval()
    crops = torch.rand(1, 3, 256, 256)
    sides = crops.clone()
    sides[..., :32], sides[..., -32:] = 0, 1
    kept: list[Tensor] = []
    encoder.neck.lateral.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
    with torch.no_grad():
        maps, same = encoder(crops), encoder(sides)
        middle = encoder.backbone(crops[..., 32:-32])
    assert [tuple(one.shape) for one in maps] == [(1, 8, 16, 16), (1, 8, 32, 32)]
    torch.testing.assert_close(maps, same, atol=0, rtol=0)
    torch.testing.assert_close(kept[0][..., 2:-2], middle)
    assert not kept[0][..., :2].any()
    assert not kept[0][..., -2:].any()
