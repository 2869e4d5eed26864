from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from biopose_cli.detect.blazepose import Detector, LiteRTModel
from biopose_cli.errors import AssetError, SettingError
from biopose_cli.geometry import roi as geometry
from biopose_cli.hmr.backbones.blazepose import DEFAULT_LAYERS, FEATURE_LAYERS, BlazePoseBackbone, FeatureNeck
from biopose_cli.io import assets
from biopose_cli.io.video.probe import probe
from biopose_cli.io.video.reader import read_frames
from biopose_cli.progress import NullProgress
from biopose_cli.typing import Array

STEP = 32  # px of the crop


@pytest.fixture(scope="module")
def weights() -> dict[str, Path]:
    """The networks, as the product itself fetches them."""
    return assets.ensure(assets.required_assets("heavy"), NullProgress())


@pytest.fixture(scope="module")
def noise() -> Array:
    return np.random.default_rng(0).random((256, 256, 3), np.float32)


@pytest.mark.parametrize("name", ["heavy", "full"])
def test_the_usual_outputs_stay_and_maps_are_as_listed(weights: dict[str, Path], noise: Array, name: str) -> None:
    path = assets.cache_folder() / assets.ASSETS[name].file
    if not path.is_file():
        pytest.skip(f"the {name} network has not been fetched")
    names = list(FEATURE_LAYERS[assets.ASSETS[name].sha256])
    network = BlazePoseBackbone(path, names)
    usual, maps = network(noise)
    plain = LiteRTModel(path)(noise)
    assert len(usual) == len(plain)
    for tapped, output in zip(usual, plain, strict=True):
        np.testing.assert_array_equal(tapped, output)
    for which, tap, one in zip(names, network.layers, maps, strict=True):
        assert one.shape == (tap.side, tap.side, tap.channels)
        assert one.dtype == np.float16
        assert np.isfinite(one).all()
        assert one.std(dtype=np.float64) > 0.01
        assert which.endswith(str(tap.side))


def test_maps_come_in_the_order_asked_for(weights: dict[str, Path], noise: Array) -> None:
    _, maps = BlazePoseBackbone(weights["heavy"])(noise)
    _, turned = BlazePoseBackbone(weights["heavy"], DEFAULT_LAYERS[::-1])(noise)
    assert [one.shape[0] for one in maps] == [8, 16, 32]
    for one, other in zip(maps, turned[::-1], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("across", "down"), [(1, 0), (-1, 0), (0, 1)])
def test_maps_move_with_the_person(weights: dict[str, Path], sample_clip: Path, across: int, down: int) -> None:
    image = next(iter(read_frames(probe(sample_clip), 1.0, 1.04))).image
    roi = Detector(weights["detector"])(image)[0][0]
    roi[3] = 0  # upright
    step = STEP * roi[2] / geometry.CROP_SIZE
    network = BlazePoseBackbone(weights["heavy"], ["encoder32"])

    def seen(where: Array) -> Array:
        crop = geometry.warp_crop(image, where).astype(np.float32) / 255
        return np.asarray(network(crop)[1][0], np.float32)

    still, moved = (
        seen(roi),
        seen(roi - (step * across, step * down, 0, 0)),
    )  # the picture moves the other way
    cells = STEP * 32 // geometry.CROP_SIZE

    def apart(x: int, y: int) -> float:
        """Difference in the middle of the map, when the first is moved by so many cells."""
        shifted = np.roll(still, (y, x), axis=(0, 1))
        return float(np.abs(moved - shifted)[8:-8, 8:-8].mean())

    right = apart(cells * across, cells * down)
    wrong = [apart(cells * x, cells * y) for x in (-1, 0, 1) for y in (-1, 0, 1) if (x, y) != (across, down)]
    assert right < 0.7 * min(wrong)


def test_other_files_and_layers_are_refused(weights: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="not a landmark network with known inner tensors"):
        BlazePoseBackbone(weights["detector"])
    with pytest.raises(AssetError, match="cannot read the weights"):
        BlazePoseBackbone(tmp_path / "absent.tflite")
    with pytest.raises(SettingError, match=r"no layer encoder7.*encoder128, encoder64"):
        BlazePoseBackbone(weights["heavy"], ["encoder8", "encoder7"])


def test_the_neck_normalises_and_mixes() -> None:
    torch.manual_seed(0)
    maps = [(40 * torch.randn(5, side, side, channels) + 300).half() for side, channels in ((8, 12), (16, 6))]
    maps[0][..., 3] = 7  # a dead channel
    neck = FeatureNeck([12, 6], 4)
    neck.fit_statistics(maps)
    out = neck(maps)
    assert [tuple(one.shape) for one in out] == [(5, 4, 8, 8), (5, 4, 16, 16)]
    for layer, one, result in zip(neck.projections, maps, out, strict=True):
        inputs = one.double()
        spread = inputs.std(dim=(0, 1, 2), correction=0)
        spread[spread == 0] = 1
        normal = (inputs - inputs.mean(dim=(0, 1, 2))) / spread
        expected = torch.einsum("nhwc,oc->nohw", normal, layer.proj.weight.double()) + layer.proj.bias.double().view(
            -1, 1, 1
        )
        torch.testing.assert_close(result.double(), expected, atol=1e-3, rtol=1e-3)


def test_the_statistics_are_part_of_the_weights() -> None:
    neck, other = FeatureNeck([3], 2), FeatureNeck([3], 2)
    neck.fit_statistics([5 * torch.randn(2, 4, 4, 3) + 1])
    other.load_state_dict(neck.state_dict())
    maps = [torch.randn(1, 4, 4, 3)]
    torch.testing.assert_close(other(maps), neck(maps), atol=0, rtol=0)
