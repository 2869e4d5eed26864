"""`biopose doctor`: is this installation able to do the whole job?"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from biopose_cli.errors import BioPoseError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Check:
    """One thing looked at: what was found, and what to do when it is not `ok`."""

    name: str
    ok: bool
    found: str
    remedy: str

    def as_json(self) -> dict[str, Any]:
        """Return the fields as a dictionary for JSON."""
        return asdict(self)


def run_checks() -> list[Check]:
    """Run every check; none of them stops the others."""
    reinstall = "Reinstall biopose in a new environment"
    return [
        _check("Python", lambda: sys.version.split()[0], "Install Python 3.11 or newer"),
        _check("OpenSim", _opensim, "pip install --force-reinstall opensim"),
        _check("PyTorch", _torch, reinstall),
        _check("body", _body, reinstall),
        _check("MQ-HMR network", _mqhmr, reinstall),
        _check("NeurIK network", _neurik, reinstall),
        _check("keypoint network runtime", _litert, "pip install --force-reinstall ai-edge-litert"),
        _check("FFmpeg", _ffmpeg, "pip install --force-reinstall av"),
        *_weights(),
        _check("cache folder", _cache, "Set BIOPOSE_CACHE to a folder that you can write"),
    ]


def _check(name: str, probe: Callable[[], str], remedy: str) -> Check:
    try:
        return Check(name, True, probe(), remedy)
    except BioPoseError as error:
        return Check(name, False, error.message, error.hint or remedy)
    except Exception as error:  # whatever a broken package raises is the finding
        return Check(name, False, f"{type(error).__name__}: {' '.join(str(error).split())}", remedy)


def _opensim() -> str:
    from biopose_cli.skeleton.osim import opensim

    return str(opensim.GetVersion())


def _torch() -> str:
    import torch

    devices = ["cpu"] + ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available()
    return f"{torch.__version__}, devices: {', '.join(devices)}"


def _body() -> str:
    from biopose_cli.body.model import load_body

    return f"free default body, {len(load_body(None).faces)} triangles"


def _mqhmr() -> str:
    from biopose_cli.hmr.checkpoint import PRETRAINED, load_network

    return _parameter_count(load_network(PRETRAINED))


def _neurik() -> str:
    from biopose_cli.ik.checkpoint import load_network

    return _parameter_count(load_network()[0])


def _parameter_count(network: nn.Module) -> str:
    return f"{sum(p.numel() for p in network.parameters()) / 1e6:.1f} million parameters"


def _litert() -> str:
    from importlib.metadata import version

    from ai_edge_litert.interpreter import Interpreter

    return f"{Interpreter.__name__} of ai-edge-litert {version('ai-edge-litert')}"


def _ffmpeg() -> str:
    import av

    for codec, mode in (("h264", "r"), ("hevc", "r"), ("libx264", "w")):
        av.codec.Codec(codec, mode)
    return f"PyAV {av.__version__} reads H.264 and HEVC, writes H.264"


def _weights() -> list[Check]:
    from biopose_cli.io import assets

    try:
        states = assets.verify()
    except BioPoseError as error:
        return [Check("weights", False, error.message, error.hint)]
    return [Check(f"weights: {s.name}", s.ok, s.detail, "Run `biopose assets`") for s in states]


def _cache() -> str:
    from biopose_cli.io import assets

    folder = assets.cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / ".writable"
    probe.write_bytes(b"")
    probe.unlink()
    return str(folder)
