"""MQ-HMR's weights file: safetensors in half precision, with the network's configuration as metadata."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from biopose_cli.device import choose_device
from biopose_cli.errors import AssetError
from biopose_cli.hmr.model import MQHMR, MQHMRConfig
from biopose_cli.io.atomic import atomic_write

# Of the file: since the second, segments are turned in the view; since the third, there may be an encoder
_FORMAT_VERSION = 3
PRETRAINED = Path(__file__).parents[1] / "weights" / "mqhmr.safetensors"


def load_pretrained(device: str) -> MQHMR:
    """Load the shipped network on `--device`. Raises AssetError and SettingError."""
    return load_network(PRETRAINED).to(choose_device(device))


def save_network(path: Path, network: MQHMR, notes: dict[str, Any]) -> None:
    """Write the network, and `notes` on its training."""
    tensors = {name: value.to(torch.float16).contiguous() for name, value in network.state_dict().items()}
    metadata = {"format_version": _FORMAT_VERSION, "config": asdict(network.config), "notes": notes}
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, {"mqhmr": json.dumps(metadata)})


def load_network(path: Path) -> MQHMR:
    """Load a network, ready for use, in single precision.

    Raises
    ------
    AssetError
        The file is missing, of another kind, or of another version.
    """
    try:
        with safe_open(path, framework="pt") as stored:
            metadata = json.loads(stored.metadata()["mqhmr"])
            tensors = {name: stored.get_tensor(name).float() for name in stored.keys()}  # noqa: SIM118
        if metadata.get("format_version") != _FORMAT_VERSION:
            raise AssetError(f"the network's weights {path} are of another version of BioPose", "Train it again")
        network = MQHMR(MQHMRConfig(**metadata["config"]), tensors["mean_pose_6d"])
        network.load_state_dict(tensors)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise AssetError(f"the network's weights {path} cannot be read", "Install biopose again") from error
    return network.eval()
