"""Where a network computes: `--device auto|cpu|cuda|mps`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from biopose_cli.errors import SettingError

if TYPE_CHECKING:
    import torch


def choose_device(name: str) -> torch.device:
    """The device called `name`; "auto" takes a CUDA device if there is one, else the CPU.

    Apple's "mps" is taken on request only: nothing here was tried on one.

    Raises
    ------
    SettingError
        This machine, or its PyTorch, has no such device.
    """
    import torch

    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = "cuda" if available["cuda"] else "cpu"
    if not available[name]:
        raise SettingError(
            f"--device {name}: this machine has none that PyTorch can use", "Take --device cpu"
        )
    return torch.device(name)
