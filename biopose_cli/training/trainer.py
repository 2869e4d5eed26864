"""What training runs share: a configuration in TOML, its folder, and the state that lets a cut run go on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, fields
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from biopose_cli.errors import ArtifactError, SettingError
from biopose_cli.io.atomic import atomic_write
from biopose_cli.pipeline.config import load_config

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

C = TypeVar("C", bound="DataclassInstance")
N = TypeVar("N", bound=nn.Module)
_MAY_BE_ZERO = ("seed", "warmup_steps", "layers", "num_images")  # counts that may be nothing


class OptimConfig(Protocol):
    """What a run needs of its configuration."""

    @property
    def steps(self) -> int:
        """Number of optimiser steps of the whole run."""

    @property
    def learning_rate(self) -> float:
        """Highest learning rate of the schedule."""

    @property
    def warmup_steps(self) -> int:
        """Number of steps over which the learning rate rises."""

    @property
    def weight_decay(self) -> float:
        """Weight decay of the optimiser."""

    @property
    def ema_decay(self) -> float:
        """Decay per step of the exponential moving average of the weights."""


def read_toml(path: Path | None, config_class: type[C], renamed: Mapping[str, str]) -> C:
    """Read the configuration of class `config_class` from a TOML file with its keys; None: its defaults.

    Counts must be 1 or more. `renamed`: keys of earlier versions, which are refused, with their names of today.

    Raises
    ------
    SettingError
    """
    if path is None:
        return config_class()
    defaults = {field.name: field.default for field in fields(config_class)}
    values = load_config(
        path,
        list(defaults),
        {name for name, default in defaults.items() if type(default) is bool},
        renamed,
    )
    for key, value in values.items():
        expected = type(defaults[key])
        if expected is float and isinstance(value, int):
            values[key] = float(value)
        elif not isinstance(value, expected):
            raise SettingError(f"{path}: {key} = {value!r} is not of the kind {expected.__name__}")
    config = config_class(**values)
    counts = [name for name, default in defaults.items() if type(default) is int and name not in _MAY_BE_ZERO]
    check_rules(
        path,
        {
            "counts must be 1 or more": all(getattr(config, name) >= 1 for name in counts),
            f"{', '.join(_MAY_BE_ZERO)} must not be negative": all(
                getattr(config, name, 0) >= 0 for name in _MAY_BE_ZERO
            ),
        },
    )
    return config


def check_rules(path: Path | None, rules: dict[str, bool]) -> None:
    """Raises SettingError with the first rule that is not kept."""
    for rule, holds in rules.items():
        if not holds:
            raise SettingError(f"{path}: {rule}")


def lock_config(folder: Path, config: DataclassInstance, init_from: Path | None = None) -> None:
    """Note the configuration in the run's folder, and the content of the weights that it began with.

    Raises
    ------
    SettingError
        The folder holds a run with another configuration or beginning, or `init_from` cannot be read.
    """
    path = folder / "config.json"
    config_dict = asdict(config)
    if init_from is not None:
        try:
            config_dict["init_from"] = hashlib.sha256(init_from.read_bytes()).hexdigest()
        except OSError as error:
            raise SettingError(f"--init-from {init_from} cannot be read ({error.strerror})") from error
    text = json.dumps(config_dict, indent=2)
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise SettingError(f"{folder} holds a run with another configuration or beginning", "Choose another --out")
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


class Trainer(Generic[N]):
    """Network, optimiser, running mean of the weights and step, and their checkpoint on disk."""

    def __init__(self, network: N, config: OptimConfig, folder: Path) -> None:
        self.network, self.config, self.path = network, config, folder / "checkpoint.pt"
        self.optimizer = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=config.weight_decay)
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._lr_factor)
        self.ema = {name: value.clone() for name, value in network.state_dict().items()}
        self.step = 0
        if self.path.exists():
            self._resume()

    def update(self, loss: Tensor) -> None:
        """Take one optimiser step down the gradient of `loss` and update the mean weights."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.scheduler.step()
        self.step += 1
        decay = min(self.config.ema_decay, self.step / (self.step + 10))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                self.ema[name].lerp_(value, 1 - decay)

    def ema_model(self) -> N:
        """A copy of the network with the mean weights, for use."""
        network = deepcopy(self.network)
        network.load_state_dict(self.ema)
        return network.eval()

    def save(self) -> None:
        """Write the whole state of the run, so that it can be resumed."""
        state = {
            "network": self.network.state_dict(),
            "ema": self.ema,
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "step": self.step,
        }
        with atomic_write(self.path) as temporary:
            torch.save(state, temporary)

    def _resume(self) -> None:
        try:
            state: dict[str, Any] = torch.load(self.path, next(self.network.parameters()).device, weights_only=True)
        except (OSError, EOFError, RuntimeError, ValueError, UnpicklingError) as error:
            raise ArtifactError(f"the checkpoint {self.path} cannot be read", "Remove it to start anew") from error
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.ema, self.step = state["ema"], int(state["step"])

    def _lr_factor(self, step: int) -> float:
        """Linear up, then half a cosine down to nothing."""
        warmup = min(1.0, (step + 1) / max(self.config.warmup_steps, 1))
        return warmup * 0.5 * (1 + float(np.cos(np.pi * min(1.0, step / max(self.config.steps, 1)))))
