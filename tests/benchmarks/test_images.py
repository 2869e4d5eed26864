"""The comparison of keypoints, images and both: every network is asked with what it knows."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from biopose_cli.benchmarks.images import RUNS, compare, maps_of
from biopose_cli.errors import SettingError
from biopose_cli.geometry import roi as geometry
from biopose_cli.hmr.backbones.blazepose import DEFAULT_LAYERS, BlazePoseBackbone
from biopose_cli.hmr.checkpoint import save_network
from biopose_cli.hmr.model import MQHMRConfig
from biopose_cli.io import assets
from biopose_cli.io.video.probe import probe
from biopose_cli.io.video.reader import read_frames
from biopose_cli.progress import NullProgress
from biopose_cli.synthesis import rendered_images
from biopose_cli.synthesis.rendering import load_actor
from biopose_cli.training.mqhmr import new_network

COUNT = 2


@pytest.fixture(scope="module")
def weights() -> Path:
    torch.set_num_threads(1)
    return assets.ensure(assets.required_assets("heavy"), NullProgress())["heavy"]


@pytest.fixture
def runs(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Untrained networks whose heads say something, and two pictures."""
    monkeypatch.setattr(rendered_images, "SHARD_SIZE", COUNT)
    monkeypatch.setattr(rendered_images, "GROUP_SIZE", COUNT)
    poses = np.zeros((1, 24, 3), np.float32)
    poses[:, 16, 2], poses[:, 17, 2] = -1.1, 1.1
    folder = tmp_path / "both" / "held_out"
    rendered_images.render_dataset(
        folder, load_actor(), weights, poses, np.array(["a"]), COUNT, 1, DEFAULT_LAYERS, NullProgress()
    )
    small: dict[str, Any] = {"hidden": 16, "blocks": 1, "queries": 4, "width": 8, "layers": 1, "heads": 2}
    for name in RUNS:
        torch.manual_seed(0)
        taps = "" if name == "keypoints" else "encoder16 encoder8"
        network = new_network(MQHMRConfig(keypoints=name != "images", feature_layers=taps, **small))
        with torch.no_grad():
            for own, parameter in network.named_parameters():
                if any(part in own for part in ("pose_head", "shape_head", "camera_head", "gate")):
                    parameter.normal_(0, 0.3)
        (tmp_path / name).mkdir(exist_ok=True)
        save_network(tmp_path / name / "mqhmr.safetensors", network, {})
    return tmp_path


def test_all_networks_are_measured_on_the_held_out_pictures(runs: Path) -> None:
    report = compare(runs, [], runs, NullProgress())
    assert list(report) == ["images_rendered"]
    found = report["images_rendered"]
    assert found["frames"] <= COUNT
    errors = [found[name]["mpjpe_mm"] for name in ("shipped", *RUNS)]
    assert len(set(errors)) == len(errors)
    assert errors[0] < 150 < min(errors[1:])  # only the first has been trained


def test_a_run_that_is_not_there_is_named(runs: Path) -> None:
    (runs / "images" / "mqhmr.safetensors").unlink()
    with pytest.raises(SettingError, match=r"images.mqhmr\.safetensors is not there"):
        compare(runs, [], runs, NullProgress())


def test_maps_are_of_the_frames_that_are_asked_for(weights: Path, sample_clip: Path) -> None:
    roi = np.tile([640.0, 480.0, 600.0, 0.1], (4, 1))
    detection = SimpleNamespace(frame=np.arange(4), roi=roi)
    view: Any = SimpleNamespace(name="clip", detection=detection, frames=np.array([1, 3]))
    found = maps_of(sample_clip, view, DEFAULT_LAYERS, NullProgress())
    assert [one.shape[:3] for one in found.values()] == [(2, 2, 8), (2, 2, 16), (2, 2, 32)]
    picture = next(frame.image for frame in read_frames(probe(sample_clip)) if frame.index == 3)
    crop = geometry.warp_crop(picture, roi[3]).astype(np.float32) / 255
    network = BlazePoseBackbone(weights)
    for way, one in enumerate((crop, np.ascontiguousarray(crop[:, ::-1]))):
        for tap, expected in zip(found.values(), network(one)[1], strict=True):
            np.testing.assert_array_equal(tap[1, way], expected)
