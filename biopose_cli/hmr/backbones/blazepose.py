"""The detector's landmark network as an image encoder: its activations between input and output, as maps.

BlazePose's network has looked at people only, and runs for every frame anyway: what it computes on the way costs
nothing more. A tensor inside a network becomes readable when its number is added to the outputs in the network's file,
which is done in memory. The numbers hold for exactly one file, so they are kept by its SHA-256.
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
from biopose_cli.io.stderr import quiet
from biopose_cli.typing import Array


@dataclass(frozen=True)
class Tap:
    """An activation: the number of its tensor, its side in cells and its channels."""

    index: int
    side: int
    channels: int


CROP = "crop"  # no tap: the crop itself, RGB uint8, for image encoders of their own
DEFAULT = ("encoder8", "encoder16", "encoder32")  # they shift least between rendered and real pictures
TAPS = {
    ASSETS["heavy"].sha256: {
        "encoder128": Tap(412, 128, 24),
        "encoder64": Tap(430, 64, 32),
        "encoder32": Tap(448, 32, 56),
        "encoder16": Tap(499, 16, 160),
        "encoder8": Tap(535, 8, 272),
        "decoder16": Tap(541, 16, 48),
        "decoder32": Tap(543, 32, 48),
        "decoder64": Tap(545, 64, 48),
        "regression32": Tap(586, 32, 96),
        "regression16": Tap(613, 16, 192),
        "regression8": Tap(640, 8, 288),
        "regression4": Tap(669, 4, 288),
        "regression2": Tap(694, 2, 288),
    },
    ASSETS["full"].sha256: {
        "encoder128": Tap(206, 128, 16),
        "encoder64": Tap(216, 64, 24),
        "encoder32": Tap(226, 32, 32),
        "encoder16": Tap(247, 16, 88),
        "encoder8": Tap(269, 8, 144),
        "decoder16": Tap(275, 16, 48),
        "decoder32": Tap(277, 32, 48),
        "decoder64": Tap(279, 64, 48),
        "regression8": Tap(300, 8, 288),
        "regression4": Tap(316, 4, 288),
        "regression2": Tap(335, 2, 288),
    },
}
_OUTPUTS = (
    8  # where a subgraph's table says which tensors are its outputs: the third field of LiteRT's schema
)


def channels(taps: Sequence[str]) -> list[int]:
    """Of these taps of the `heavy` network. Raises SettingError for a tap that it does not have."""
    return [tap.channels for tap in _chosen(TAPS[ASSETS["heavy"].sha256], taps)]


def _chosen(known: dict[str, Tap], taps: Sequence[str]) -> list[Tap]:
    if unknown := [name for name in taps if name not in known]:
        raise SettingError(f"the landmark network has no tap {unknown[0]}", f"Take of {', '.join(known)}")
    return [known[name] for name in taps]


class BlazePoseTaps:
    """The landmark network with taps: one pass serves the detector and the mesh network. One thread, for one thread.

    path: the file of the asset `heavy` or `full`. taps: names of `TAPS`, or `CROP`, in the order in which
    maps are wanted.

    Raises
    ------
    AssetError
        Unreadable, or another file than those whose taps are known.
    SettingError
        The network has no such tap.
    """

    def __init__(self, path: Path, taps: Sequence[str] = DEFAULT) -> None:
        content = _content(path)
        known = TAPS.get(hashlib.sha256(content).hexdigest())
        if known is None:
            raise AssetError(
                f"{path} is not a landmark network whose inner tensors are known",
                "Take --weights heavy or full",
            )
        self.names = tuple(taps)
        self.taps = tuple(_chosen(known, [name for name in taps if name != CROP]))
        tapped, self._outputs = _tapped(content, [tap.index for tap in self.taps])
        with quiet():
            self._interpreter = Interpreter(model_content=tapped, num_threads=1)
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]

    def __call__(self, crop: Array) -> tuple[list[Array], list[Array]]:
        """The network's usual outputs, as `detect.network.Network` gives them, and a map (side, side, channels) float16
        for each tap, of a crop (256, 256, 3) float32, RGB 0..1; for `CROP` that itself, uint8."""
        self._interpreter.set_tensor(self._input, crop[None])
        self._interpreter.invoke()
        usual = [self._read(index) for index in self._outputs]
        maps = iter([self._read(tap.index).astype(np.float16) for tap in self.taps])
        pixels = np.rint(255 * crop).astype(np.uint8)
        return usual, [pixels if name == CROP else next(maps) for name in self.names]

    def _read(self, index: int) -> Array:
        return np.asarray(self._interpreter.get_tensor(index)[0])


class TapNeck(nn.Module):
    """Maps of taps brought to one scale and one width. Activations of different channels are of very different size:
    they are normalised by a mean and a deviation that belong to the weights and are set by `measure`.

    channels: of each map. width: of the result.
    """

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.each = nn.ModuleList(_OneTap(count, width) for count in channels)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps (N, H, W, C), as the taps give them, to (N, width, H, W)."""
        return [layer(one) for layer, one in zip(self.each, maps, strict=True)]

    def measure(self, maps: Sequence[Tensor]) -> None:
        """Set mean and deviation to those of these maps (N, H, W, C)."""
        for layer, one in zip(self.each, maps, strict=True):
            assert isinstance(layer, _OneTap)
            layer.measure(one)


class _OneTap(nn.Module):
    mean: Tensor
    std: Tensor

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))
        self.mix = nn.Linear(channels, width)  # on every cell: a 1x1 convolution

    def forward(self, one: Tensor) -> Tensor:
        mixed: Tensor = self.mix((one.to(self.mean) - self.mean) / self.std)
        return mixed.movedim(-1, 1).contiguous()

    def measure(self, one: Tensor) -> None:
        std, mean = torch.std_mean(one.to(self.mean).flatten(0, 2), dim=0, correction=0)
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 0, std, 1.0))  # a channel that is always the same says nothing


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise AssetError(
            f"cannot read the weights {path} ({error.strerror})", "Run `biopose assets`"
        ) from error


def _tapped(content: bytes, indices: list[int]) -> tuple[bytes, list[int]]:
    """A network's file with these tensors among its outputs, and its own outputs in the order of their names.

    A file (a flatbuffer) refers to a list by the distance to it. The longer list of outputs is put behind the rest, and
    the one distance changed: unpacking and packing the file anew would take ten seconds.
    """
    graph: Any = schema.Model.GetRootAs(content, 0).Subgraphs(0)
    outputs = [int(index) for index in graph.OutputsAsNumpy()]
    usual = sorted(outputs, key=lambda index: str(graph.Tensors(index).Name()))
    longer = np.array([len(outputs) + len(indices), *outputs, *indices], "<u4").tobytes()
    padding = bytes(-len(content) % 4)
    reference = graph._tab.Pos + graph._tab.Offset(_OUTPUTS)
    distance = len(content) + len(padding) - reference
    return (
        content[:reference] + distance.to_bytes(4, "little") + content[reference + 4 :] + padding + longer
    ), usual
