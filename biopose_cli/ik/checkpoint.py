"""The network's file: weights as safetensors, with what is needed to use them as metadata."""

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
from biopose_cli.ik.network import INNER, NeurIK, Size
from biopose_cli.io.atomic import replacing
from biopose_cli.typing import Array

SHIPPED = Path(__file__).parents[1] / "weights" / "neurik.safetensors"
_PLACES = "marker_places"


def save_network(path: Path, network: NeurIK, places: Array, notes: dict[str, Any]) -> None:
    """Write the network, the typical `places` (M, 3) of the markers on the unscaled bones, and `notes` on how it was
    made."""
    tensors = {name: value.contiguous() for name, value in network.state_dict().items()}
    tensors[_PLACES] = torch.as_tensor(places, dtype=torch.float32).contiguous()
    about = {
        "size": asdict(network.size),
        "markers": MARKER_NAMES,
        "coordinates": _coordinates(),
        "notes": notes,
    }
    with replacing(path) as temporary:
        save_file(tensors, temporary, {"neurik": json.dumps(about)})


def load_network(path: Path = SHIPPED) -> tuple[NeurIK, Array]:
    """The network, ready for use, and the markers' typical places (M, 3) on the unscaled bones.

    Raises
    ------
    AssetError
        No such file, not one of these, or made for other markers or coordinates.
    """
    try:
        with safe_open(path, framework="pt") as stored:
            about = json.loads(stored.metadata()["neurik"])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        if tuple(about["markers"]) != MARKER_NAMES or about["coordinates"] != _coordinates():
            raise AssetError(
                f"the weights {path} were trained for other markers or coordinates", "Train them anew"
            )
        places = tensors.pop(_PLACES).double().numpy()
        network = NeurIK(Size(**about["size"]), tensors["template"], tensors["axes"], tensors["toe_joints"])
        network.load_state_dict(tensors)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise AssetError(f"the network's weights {path} cannot be read", "Install biopose again") from error
    return network.eval(), np.asarray(places)


def _coordinates() -> list[list[Any]]:
    return [list(row) for row in INNER]
