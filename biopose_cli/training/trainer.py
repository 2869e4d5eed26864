"""What training runs share: a configuration in TOML, its folder, and the state that lets a cut run go on."""

from __future__ import annotations

import hashlib
import json
from copy import deepcopy
from dataclasses import asdict, fields
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from biopose_cli.errors import ArtifactError, SettingError
from biopose_cli.io.atomic import replacing
from biopose_cli.pipeline.config import load_config

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

C = TypeVar("C", bound="DataclassInstance")
N = TypeVar("N", bound=nn.Module)
_FROM_ZERO = ("seed", "warm_up", "layers", "pictures")  # counts that may be nothing


class Pace(Protocol):
    """What a run needs of its configuration."""

    @property
    def steps(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def warm_up(self) -> int: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def average(self) -> float: ...


def read_toml(path: Path | None, kind: type[C]) -> C:
    """The configuration of class `kind` in a TOML file with its keys; None: its defaults. Counts must be 1 or more.

    Raises
    ------
    SettingError
    """
    if path is None:
        return kind()
    known = {field.name: field.default for field in fields(kind)}
    values = load_config(
        path, list(known), {name for name, default in known.items() if type(default) is bool}
    )
    for key, value in values.items():
        wanted = type(known[key])
        if wanted is float and isinstance(value, int):
            values[key] = float(value)
        elif not isinstance(value, wanted):
            raise SettingError(f"{path}: {key} = {value!r} is not of the kind {wanted.__name__}")
    config = kind(**values)
    counts = [name for name, default in known.items() if type(default) is int and name not in _FROM_ZERO]
    check_rules(
        path,
        {
            "counts must be 1 or more": all(getattr(config, name) >= 1 for name in counts),
            f"{', '.join(_FROM_ZERO)} must not be negative": all(
                getattr(config, name, 0) >= 0 for name in _FROM_ZERO
            ),
        },
    )
    return config


def check_rules(path: Path | None, rules: dict[str, bool]) -> None:
    """Raises SettingError with the first rule that is not kept."""
    for rule, kept in rules.items():
        if not kept:
            raise SettingError(f"{path}: {rule}")


def claim(folder: Path, config: DataclassInstance, begin: Path | None = None) -> None:
    """Note the configuration in the run's folder, and the content of the weights that it began with.

    Raises
    ------
    SettingError
        The folder holds a run with another configuration or beginning, or `begin` cannot be read.
    """
    path = folder / "config.json"
    about = asdict(config)
    if begin is not None:
        try:
            about["begin"] = hashlib.sha256(begin.read_bytes()).hexdigest()
        except OSError as error:
            raise SettingError(f"--begin {begin} cannot be read ({error.strerror})") from error
    text = json.dumps(about, indent=2)
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise SettingError(
            f"{folder} holds a run with another configuration or beginning", "Choose another --out"
        )
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


class Run(Generic[N]):
    """Network, optimiser, running mean of the weights and step, and their checkpoint on disk."""

    def __init__(self, network: N, config: Pace, folder: Path) -> None:
        self.network, self.config, self.path = network, config, folder / "checkpoint.pt"
        self.optimiser = torch.optim.AdamW(
            network.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimiser, self._rate)
        self.mean = {name: value.clone() for name, value in network.state_dict().items()}
        self.step = 0
        if self.path.exists():
            self._resume()

    def descend(self, loss: Tensor) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.schedule.step()
        self.step += 1
        keep = min(self.config.average, self.step / (self.step + 10))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                self.mean[name].lerp_(value, 1 - keep)

    def averaged(self) -> N:
        """A copy of the network with the mean weights, for use."""
        network = deepcopy(self.network)
        network.load_state_dict(self.mean)
        return network.eval()

    def save(self) -> None:
        state = {
            "network": self.network.state_dict(),
            "mean": self.mean,
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "step": self.step,
        }
        with replacing(self.path) as temporary:
            torch.save(state, temporary)

    def _resume(self) -> None:
        try:
            state: dict[str, Any] = torch.load(
                self.path, next(self.network.parameters()).device, weights_only=True
            )
        except (OSError, EOFError, RuntimeError, ValueError, UnpicklingError) as error:
            raise ArtifactError(
                f"the checkpoint {self.path} cannot be read", "Remove it to start anew"
            ) from error
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.mean, self.step = state["mean"], int(state["step"])

    def _rate(self, step: int) -> float:
        """Linear up, then half a cosine down to nothing."""
        up = min(1.0, (step + 1) / max(self.config.warm_up, 1))
        return up * 0.5 * (1 + float(np.cos(np.pi * min(1.0, step / max(self.config.steps, 1)))))
