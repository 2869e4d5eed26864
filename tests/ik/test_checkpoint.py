"""The network's file: what was saved comes back, and anything else is one clear line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from biopose_cli.body.markers import MARKERS
from biopose_cli.errors import AssetError
from biopose_cli.ik.checkpoint import load_network, save_network
from biopose_cli.ik.network import NeurIK, NeurIKConfig
from tests.helpers.synthetic_markers import parts

SIZE = NeurIKConfig(
    window=8, channels=4, convolutions=1, kernel=3, width=16, layers=1, heads=2, feedforward=32
)


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Path, NeurIK]:
    torch.manual_seed(1)
    network = NeurIK(SIZE, *parts())
    path = tmp_path / "neurik.safetensors"
    places = np.arange(3.0 * len(MARKERS)).reshape(-1, 3) / 100
    save_network(path, network, places, {"steps": 3})
    return path, network


def rewritten(path: Path, tensors: dict[str, torch.Tensor] | None = None, **about: Any) -> None:
    """The same file with other tensors or other facts (None: left out)."""
    with safe_open(path, framework="pt") as file:
        known = json.loads(file.metadata()["neurik"]) | about
    kept = {key: value for key, value in known.items() if value is not None}
    save_file(load_file(path) if tensors is None else tensors, path, {"neurik": json.dumps(kept)})


def refused(path: Path) -> str:
    with pytest.raises(AssetError) as caught:
        load_network(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_was_saved_comes_back_ready_for_use(stored: tuple[Path, NeurIK]) -> None:
    path, network = stored
    loaded, places = load_network(path)
    assert loaded.config == SIZE
    assert not loaded.training
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    np.testing.assert_allclose(places, np.arange(3.0 * len(MARKERS)).reshape(-1, 3) / 100, rtol=1e-6)
    markers, seen = torch.randn(1, 8, len(MARKERS), 3), torch.ones(1, 8, len(MARKERS), dtype=torch.bool)
    assert torch.equal(loaded(markers, seen).angles, network.eval()(markers, seen).angles)


def test_the_file_says_how_it_was_made(stored: tuple[Path, NeurIK]) -> None:
    with safe_open(stored[0], framework="pt") as file:
        assert json.loads(file.metadata()["neurik"])["notes"] == {"steps": 3}


def test_other_markers_or_coordinates_are_refused(stored: tuple[Path, NeurIK]) -> None:
    path, _ = stored
    rewritten(path, markers=["C7"])
    assert "other markers" in refused(path)


def test_a_range_that_has_changed_since_is_refused(stored: tuple[Path, NeurIK]) -> None:
    path, _ = stored
    with safe_open(path, framework="pt") as file:
        rows = json.loads(file.metadata()["neurik"])["coordinates"]
    rows[4][2] += 0.1
    rewritten(path, coordinates=rows)
    assert "coordinates" in refused(path)


@pytest.mark.parametrize("about", [{"config": {"depth": 3}}, {"markers": None}, {"config": {"width": 32}}])
def test_a_file_of_another_version_is_refused(about: dict[str, Any], stored: tuple[Path, NeurIK]) -> None:
    rewritten(stored[0], **about)
    assert "cannot be read" in refused(stored[0])


def test_a_file_that_lacks_tensors_is_refused(stored: tuple[Path, NeurIK]) -> None:
    path, _ = stored
    whole = load_file(path)
    for name in ("marker_locations", "template", "embed.weight"):
        rewritten(path, {key: value for key, value in whole.items() if key != name})
        assert "cannot be read" in refused(path)


def test_a_truncated_foreign_or_missing_file_is_refused(stored: tuple[Path, NeurIK]) -> None:
    path, _ = stored
    content = path.read_bytes()
    for broken in (content[: len(content) // 2], b"", b"not weights at all"):
        path.write_bytes(broken)
        refused(path)
    save_file({"x": torch.zeros(1)}, path)
    refused(path)
    path.unlink()
    refused(path)
    refused(path.parent)
