"""NeurIK's weights file: safetensors, with the network's configuration as metadata."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from biopose_cli.body.markers import MARKER_NAMES
from biopose_cli.errors import AssetError
from biopose_cli.ik.network import JOINT_COORDINATES, NeurIK, NeurIKConfig
from biopose_cli.io.atomic import atomic_write
from biopose_cli.typing import Array

PRETRAINED = Path(__file__).parents[1] / "weights" / "neurik.safetensors"
_LOCATIONS_KEY = "marker_locations"


def save_network(path: Path, network: NeurIK, marker_locations: Array, notes: dict[str, Any]) -> None:
    """Write the network, the typical `marker_locations` (M, 3) on the unscaled bones, and `notes` on its training."""
    tensors = {name: value.contiguous() for name, value in network.state_dict().items()}
    tensors[_LOCATIONS_KEY] = torch.as_tensor(marker_locations, dtype=torch.float32).contiguous()
    metadata = {
        "config": asdict(network.config),
        "markers": MARKER_NAMES,
        "coordinates": _coordinates(),
        "notes": notes,
    }
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, {"neurik": json.dumps(metadata)})


def load_network(path: Path = PRETRAINED) -> tuple[NeurIK, Array]:
    """Load the network, ready for use, and the markers' typical positions (M, 3) on the unscaled bones.

    Raises
    ------
    AssetError
        The file is missing, of another kind, or made for other markers or coordinates.
    """
    try:
        with safe_open(path, framework="pt") as stored:
            metadata = json.loads(stored.metadata()["neurik"])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        if tuple(metadata["markers"]) != MARKER_NAMES or metadata["coordinates"] != _coordinates():
            raise AssetError(f"the weights {path} were trained for other markers or coordinates", "Train them again")
        marker_locations = tensors.pop(_LOCATIONS_KEY).double().numpy()
        network = NeurIK(
            NeurIKConfig(**metadata["config"]), tensors["template"], tensors["axes"], tensors["toe_joints"]
        )
        network.load_state_dict(tensors)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise AssetError(f"the network's weights {path} cannot be read", "Install biopose again") from error
    return network.eval(), np.asarray(marker_locations)


def _coordinates() -> list[list[Any]]:
    return [list(row) for row in JOINT_COORDINATES]
