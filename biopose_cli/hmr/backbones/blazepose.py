"""The detector's landmark network as an image encoder: its inner activations as feature maps.

BlazePose's network was trained on people, and runs on every frame anyway, so its activations cost nothing more. An
inner tensor becomes readable when its index is added to the outputs in the network's file, which is done in memory. The
indices are valid for exactly one file, so they are stored with its SHA-256.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from torch import Tensor, nn

from biopose_cli.errors import AssetError, SettingError
from biopose_cli.io.assets import ASSETS
from biopose_cli.io.stderr import silence_stderr
from biopose_cli.typing import Array


@dataclass(frozen=True)
class FeatureLayer:
    """An activation: the index of its tensor, its side in cells and its channels."""

    tensor_index: int
    side: int
    channels: int


RAW_CROP = "crop"  # no layer: the crop itself, RGB uint8, for separate image encoders
DEFAULT_LAYERS = ("encoder8", "encoder16", "encoder32")  # these shift least between rendered and real images
FEATURE_LAYERS = {
    ASSETS["heavy"].sha256: {
        "encoder128": FeatureLayer(412, 128, 24),
        "encoder64": FeatureLayer(430, 64, 32),
        "encoder32": FeatureLayer(448, 32, 56),
        "encoder16": FeatureLayer(499, 16, 160),
        "encoder8": FeatureLayer(535, 8, 272),
        "decoder16": FeatureLayer(541, 16, 48),
        "decoder32": FeatureLayer(543, 32, 48),
        "decoder64": FeatureLayer(545, 64, 48),
        "regression32": FeatureLayer(586, 32, 96),
        "regression16": FeatureLayer(613, 16, 192),
        "regression8": FeatureLayer(640, 8, 288),
        "regression4": FeatureLayer(669, 4, 288),
        "regression2": FeatureLayer(694, 2, 288),
    },
    ASSETS["full"].sha256: {
        "encoder128": FeatureLayer(206, 128, 16),
        "encoder64": FeatureLayer(216, 64, 24),
        "encoder32": FeatureLayer(226, 32, 32),
        "encoder16": FeatureLayer(247, 16, 88),
        "encoder8": FeatureLayer(269, 8, 144),
        "decoder16": FeatureLayer(275, 16, 48),
        "decoder32": FeatureLayer(277, 32, 48),
        "decoder64": FeatureLayer(279, 64, 48),
        "regression8": FeatureLayer(300, 8, 288),
        "regression4": FeatureLayer(316, 4, 288),
        "regression2": FeatureLayer(335, 2, 288),
    },
}
_OUTPUTS_FIELD = 8  # of a subgraph's table: the outputs, third field of LiteRT's schema


def layer_channels(names: Sequence[str]) -> list[int]:
    """Channels of these layers of the `heavy` network. Raises SettingError for an unknown layer."""
    return [layer.channels for layer in _select_layers(FEATURE_LAYERS[ASSETS["heavy"].sha256], names)]


def _select_layers(available: dict[str, FeatureLayer], names: Sequence[str]) -> list[FeatureLayer]:
    if unknown := [name for name in names if name not in available]:
        raise SettingError(f"the landmark network has no layer {unknown[0]}", f"Choose from: {', '.join(available)}")
    return [available[name] for name in names]


class BlazePoseBackbone:
    """The landmark network with inner activations: one pass for both the detector and the mesh network.

    It runs on one thread and must not be shared between threads.

    Parameters
    ----------
    path : file of the asset `heavy` or `full`
    names : of `FEATURE_LAYERS`, or `RAW_CROP`, in the order of the maps

    Raises
    ------
    AssetError
        Unreadable, or a file whose layers are unknown.
    SettingError
        The network has no such layer.
    """

    def __init__(self, path: Path, names: Sequence[str] = DEFAULT_LAYERS) -> None:
        content = _read_model(path)
        available = FEATURE_LAYERS.get(hashlib.sha256(content).hexdigest())
        if available is None:
            raise AssetError(
                f"{path} is not a landmark network with known inner tensors",
                "Use --weights heavy or full",
            )
        self.names = tuple(names)
        self.layers = tuple(_select_layers(available, [name for name in names if name != RAW_CROP]))
        model, self._outputs = _with_extra_outputs(content, [layer.tensor_index for layer in self.layers])
        with silence_stderr():
            self._interpreter = Interpreter(model_content=model, num_threads=1)
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]

    def __call__(self, crop: Array) -> tuple[list[Array], list[Array]]:
        """Run the network on a crop (256, 256, 3) float32, RGB 0..1.

        Returns the network's usual outputs, as `detect.blazepose.LiteRTModel` does, and a map (side, side, channels)
        float16 for each layer; for `RAW_CROP` the crop itself, uint8.
        """
        self._interpreter.set_tensor(self._input, crop[None])
        self._interpreter.invoke()
        outputs = [self._read(index) for index in self._outputs]
        feature_maps = iter([self._read(layer.tensor_index).astype(np.float16) for layer in self.layers])
        pixels = np.rint(255 * crop).astype(np.uint8)
        return outputs, [pixels if name == RAW_CROP else next(feature_maps) for name in self.names]

    def _read(self, index: int) -> Array:
        return np.asarray(self._interpreter.get_tensor(index)[0])


class FeatureNeck(nn.Module):
    """Projects maps of several layers to a common width.

    The magnitude of activations differs between channels. They are normalised by a mean and a standard deviation that
    are stored with the weights and set by `fit_statistics`.

    Parameters
    ----------
    channels : of each input map
    out_channels : of the result
    """

    def __init__(self, channels: Sequence[int], out_channels: int) -> None:
        super().__init__()
        self.projections = nn.ModuleList(_NormProject(count, out_channels) for count in channels)

    def forward(self, feature_maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps (N, H, W, C) of the layers to (N, out_channels, H, W)."""
        return [layer(feature_map) for layer, feature_map in zip(self.projections, feature_maps, strict=True)]

    def fit_statistics(self, feature_maps: Sequence[Tensor]) -> None:
        """Set mean and standard deviation to those of these maps (N, H, W, C)."""
        for layer, feature_map in zip(self.projections, feature_maps, strict=True):
            assert isinstance(layer, _NormProject)
            layer.fit_statistics(feature_map)


class _NormProject(nn.Module):
    mean: Tensor
    std: Tensor

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))
        self.proj = nn.Linear(channels, out_channels)  # per cell: a 1x1 convolution

    def forward(self, feature_map: Tensor) -> Tensor:
        projected: Tensor = self.proj((feature_map.to(self.mean) - self.mean) / self.std)
        return projected.movedim(-1, 1).contiguous()

    def fit_statistics(self, feature_map: Tensor) -> None:
        std, mean = torch.std_mean(feature_map.to(self.mean).flatten(0, 2), dim=0, correction=0)
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 0, std, 1.0))  # a constant channel carries no information


def _read_model(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise AssetError(f"cannot read the weights {path} ({error.strerror})", "Run `biopose assets`") from error


def _with_extra_outputs(content: bytes, indices: list[int]) -> tuple[bytes, list[int]]:
    """Add tensors to the outputs in a network's file; returns it, and its original outputs in the order of their names.

    In the file (a flatbuffer), a reference to a list is an offset. The longer list of outputs is appended, and one
    offset changed: unpacking and repacking the file would take ten seconds.
    """
    graph: Any = schema.Model.GetRootAs(content, 0).Subgraphs(0)
    outputs = [int(index) for index in graph.OutputsAsNumpy()]
    original_outputs = sorted(outputs, key=lambda index: str(graph.Tensors(index).Name()))
    longer = np.array([len(outputs) + len(indices), *outputs, *indices], "<u4").tobytes()
    padding = bytes(-len(content) % 4)
    reference = graph._tab.Pos + graph._tab.Offset(_OUTPUTS_FIELD)
    distance = len(content) + len(padding) - reference
    return (
        content[:reference] + distance.to_bytes(4, "little") + content[reference + 4 :] + padding + longer
    ), original_outputs
