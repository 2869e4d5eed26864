"""What training runs share: a configuration in TOML, its folder, the loop, and the state that lets a cut run go on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
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
from biopose_cli.progress import Progress
from biopose_cli.training.log import RunLog

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

C = TypeVar("C", bound="DataclassInstance")
N = TypeVar("N", bound=nn.Module)
B = TypeVar("B")
Metrics = dict[str, float]
_LOG_EVERY = 50  # steps between rows of the training batches' errors
_MAY_BE_ZERO = ("seed", "warmup_steps", "layers", "num_images")  # counts that may be nothing


class OptimConfig(Protocol):
    """Fields of a configuration that `Trainer` uses."""

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
        """Decay of the weights' running mean, a step."""

    @property
    def val_every(self) -> int:
        """Steps between validations."""


def read_toml(path: Path | None, config_class: type[C], renamed: Mapping[str, str]) -> C:
    """Read a configuration from a TOML file.

    Parameters
    ----------
    path : the file; None: the defaults
    config_class : dataclass whose fields are the keys; counts must be 1 or more
    renamed : keys of earlier versions with their present names; the old ones are refused

    Raises
    ------
    SettingError
        An unknown or renamed key, a wrong type, or a value outside its range.
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
            raise SettingError(f"{path}: {key} = {value!r} is not of type {expected.__name__}")
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
    """Raise SettingError for the first rule that is violated."""
    for rule, holds in rules.items():
        if not holds:
            raise SettingError(f"{path}: {rule}")


def lock_config(folder: Path, config: DataclassInstance, init_from: Path | None = None) -> None:
    """Write the configuration and the hash of the initial weights into the run's folder.

    Raises
    ------
    SettingError
        The folder holds a run with another configuration or other initial weights, or `init_from` cannot be read.
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
        raise SettingError(f"{folder} holds a run with another configuration or other weights", "Choose another --out")
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


class Trainer(Generic[N]):
    """Network, optimiser, running mean of the weights and step, their checkpoint on disk, and the training loop."""

    def __init__(self, network: N, config: OptimConfig, folder: Path) -> None:
        self.network, self.config, self.folder, self.path = network, config, folder, folder / "checkpoint.pt"
        self.optimizer = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=config.weight_decay)
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._lr_factor)
        self.ema = {name: value.clone() for name, value in network.state_dict().items()}
        self.step = 0
        if self.path.exists():
            self._resume()

    def fit(
        self,
        make_batch: Callable[[int], B],
        evaluate: Callable[[B], tuple[Tensor, Callable[[], Metrics]]],
        validate: Callable[[N], Metrics],
        progress: Progress,
    ) -> N:
        """Train to the last step, with a log and checkpoints in the folder; returns the network with the mean weights.

        Parameters
        ----------
        make_batch
            The batch of a step. Runs in a thread of its own, one step ahead.
        evaluate
            The loss of a batch, and a function that returns the errors to log. It is called for few batches only.
        validate
            The errors to log of the network with the mean weights, on data that no batch holds.

        Raises
        ------
        DiskFullError, OutputError
            The folder cannot be written.
        """
        steps = self.config.steps
        progress.start("training", steps, "steps")
        progress.advance(self.step)
        with RunLog(self.folder, self.step or None) as log, ThreadPoolExecutor(1) as executor:
            next_batch = executor.submit(make_batch, self.step)
            while self.step < steps:
                batch = next_batch.result()
                if self.step + 1 < steps:  # the next is made while the network learns from this one
                    next_batch = executor.submit(make_batch, self.step + 1)
                loss, errors = evaluate(batch)
                self.update(loss)
                if self.step % _LOG_EVERY == 0:
                    log.scalars(self.step, {"loss": loss.item()} | {f"train/{k}": v for k, v in errors().items()})
                if self.step % self.config.val_every == 0 or self.step == steps:
                    log.scalars(self.step, validate(self.ema_model()))
                    self.save()  # after the row: a run that goes on from here keeps it
                progress.advance()
        return self.ema_model()

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
        """A copy of the network with the averaged weights."""
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
            raise ArtifactError(f"the checkpoint {self.path} cannot be read", "Remove it to start again") from error
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.ema, self.step = state["ema"], int(state["step"])

    def _lr_factor(self, step: int) -> float:
        """Linear warm-up, then half a cosine down to 0."""
        warmup = min(1.0, (step + 1) / max(self.config.warmup_steps, 1))
        return warmup * 0.5 * (1 + float(np.cos(np.pi * min(1.0, step / max(self.config.steps, 1)))))
