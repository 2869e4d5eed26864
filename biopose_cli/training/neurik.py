"""`biopose train neurik`: pairs from motion capture, then the network, resumable and deterministic by its seed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from biopose_cli.body.model import load_body
from biopose_cli.ik.analytic_init import joint_axes
from biopose_cli.ik.checkpoint import save_network
from biopose_cli.ik.network import NeurIK, NeurIKConfig
from biopose_cli.progress import Progress
from biopose_cli.skeleton.extract import ModelSpec, extract_model
from biopose_cli.skeleton.kinematics import Kinematics
from biopose_cli.skeleton.scaling import unscaled_model
from biopose_cli.training.log import RunLog
from biopose_cli.training.marker_dataset import FRAMES, MarkerDataset, build_dataset, captured_motions
from biopose_cli.training.marker_loader import MarkerLoader, NeurIKBatch
from biopose_cli.training.neurik_losses import LossWeights, NeurIKLosses
from biopose_cli.training.trainer import Trainer, check_rules, lock_config, read_toml

DEFAULT_CONFIG = Path(__file__).parent / "configs" / "neurik.toml"  # the run that made the shipped weights
_RENAMED = {  # keys of earlier versions
    "clips": "clips_per_person",
    "batch": "batch_size",
    "warm_up": "warmup_steps",
    "average": "ema_decay",
    "captured": "mocap_fraction",
    "clean": "clean_fraction",
    "noise": "max_noise",
    "mixed": "mixed_precision",
    "check_every": "val_every",
}


@dataclass(frozen=True)
class TrainConfig:
    """A training run: everything that its result depends on. Defaults are for a test of minutes."""

    seed: int = 0
    people: int = 40
    clips_per_person: int = 10  # of motion capture per person
    held_out_people: int = 10
    steps: int = 200
    batch_size: int = 32  # windows
    learning_rate: float = 1e-3
    warmup_steps: int = 100  # steps
    weight_decay: float = 0.01
    ema_decay: float = 0.999  # of the weights over the steps: what is kept is this mean
    mocap_fraction: float = 0.5  # share of motion capture in a batch
    clean_fraction: float = 0.35  # share without noise
    max_noise: float = 1.1  # strongest noise, in parts of the level "high"
    mixed_precision: bool = True  # the transformer in bfloat16 while training
    window: int = 32
    channels: int = 24
    convolutions: int = 2
    kernel: int = 5
    width: int = 256
    layers: int = 4
    heads: int = 8
    feedforward: int = 768
    joints_weight: float = 10.0
    markers_weight: float = 10.0
    scales_weight: float = 10.0
    angles_weight: float = 5.0
    val_every: int = 500  # steps between looks at the held-out subjects, and checkpoints

    @property
    def network_config(self) -> NeurIKConfig:
        """The part of the configuration that defines the network."""
        return NeurIKConfig(**{field.name: getattr(self, field.name) for field in fields(NeurIKConfig)})

    @property
    def loss_weights(self) -> LossWeights:
        """The weights of the terms of the loss."""
        return LossWeights(self.joints_weight, self.markers_weight, self.scales_weight, self.angles_weight)


def read_config(path: Path | None) -> TrainConfig:
    """The configuration in a TOML file with the keys of `TrainConfig`.

    Raises
    ------
    SettingError
    """
    config = read_toml(path, TrainConfig, _RENAMED)
    check_rules(
        path,
        {
            f"window must be 2 to {FRAMES} frames": 2 <= config.window <= FRAMES,
            "kernel must be odd": config.kernel % 2 == 1,
            "width must be a multiple of heads": config.width % config.heads == 0,
            "mocap_fraction and clean_fraction must be 0 to 1": 0 <= config.mocap_fraction <= 1
            and 0 <= config.clean_fraction <= 1,
        },
    )
    return config


def train(config: TrainConfig, motion: Path, folder: Path, progress: Progress, processes: int = 2) -> Path:
    """Make the pairs (once), train, and write `neurik.safetensors` into `folder`; returns its path.

    A run that was cut goes on from its last checkpoint when called again with the same configuration.

    motion: the folder with the motion-capture archives. processes: that make the pairs.

    Raises
    ------
    SettingError
        `folder` holds a run of another configuration, or `motion` lacks the archives.
    """
    lock_config(folder, config)
    train_dataset, held_out_dataset = prepare_datasets(config, motion, folder, progress, processes)
    marker_locations = train_dataset.marker_locations.mean(axis=0)
    spec = extract_model(unscaled_model(marker_locations).model)
    torch.manual_seed(config.seed)
    network = new_network(config.network_config, spec)
    network.mixed_precision = config.mixed_precision
    trainer = Trainer(network, config, folder)
    loader = MarkerLoader(
        train_dataset,
        spec,
        config.batch_size,
        config.window,
        config.seed,
        config.mocap_fraction,
        config.clean_fraction,
        config.max_noise,
    )
    losses = NeurIKLosses(spec, marker_locations, config.loss_weights)
    val_batches = _make_val_batches(held_out_dataset, spec, config)
    progress.start("training", config.steps, "steps")
    progress.advance(trainer.step)
    with RunLog(folder, trainer.step if trainer.step else None) as log, ThreadPoolExecutor(1) as executor:
        next_batch = executor.submit(loader.batch, trainer.step)
        while trainer.step < config.steps:
            batch = next_batch.result()
            if trainer.step + 1 < config.steps:  # the next is made while the network learns from this one
                next_batch = executor.submit(loader.batch, trainer.step + 1)
            loss, errors = losses(network(*_inputs(batch)), batch)
            trainer.update(loss)
            if trainer.step % 50 == 0:
                log.scalars(trainer.step, {"loss": loss.item()} | {f"train/{k}": v for k, v in errors.items()})
            if trainer.step % config.val_every == 0 or trainer.step == config.steps:
                log.scalars(trainer.step, _validate(trainer.ema_model(), losses, val_batches))
                trainer.save()  # after the row: a run that goes on from here keeps it
            progress.advance()
    path = folder / "neurik.safetensors"
    save_network(path, trainer.ema_model(), marker_locations, {"config": asdict(config)})
    return path


def new_network(config: NeurIKConfig, spec: ModelSpec) -> NeurIK:
    """An untrained network for the skeleton of `spec`, which carries a typical person's markers."""
    kinematics = Kinematics(spec)
    zero = torch.zeros(1, len(spec.coordinates), dtype=torch.float64)
    return NeurIK(config, kinematics.markers(zero)[0], *joint_axes(kinematics))


def prepare_datasets(
    config: TrainConfig, motion: Path, folder: Path, progress: Progress, processes: int
) -> tuple[MarkerDataset, MarkerDataset]:
    """The training and the held-out pairs, from `folder` if they are there."""
    paths = [folder / "pairs_train.npz", folder / "pairs_held_out.npz"]
    if not all(path.exists() for path in paths):
        groups = captured_motions(motion, load_body())
        people = (config.people, config.held_out_people)
        for number, (path, motions, count) in enumerate(zip(paths, groups, people, strict=True)):
            if not path.exists():
                seed = config.seed + 1000 * number
                build_dataset(motions, count, config.clips_per_person, seed, processes, progress).save(path)
    return MarkerDataset.load(paths[0]), MarkerDataset.load(paths[1])


def _validate(network: NeurIK, losses: NeurIKLosses, val_batches: dict[str, list[NeurIKBatch]]) -> dict[str, float]:
    """The network's errors on held-out subjects, per noise level."""
    metrics: dict[str, float] = {}
    with torch.no_grad():
        for name, batches in val_batches.items():
            errors = [losses(network(*_inputs(batch)), batch)[1] for batch in batches]
            metrics |= {f"{name}/{key}": float(np.mean([p[key] for p in errors])) for key in errors[0]}
    return metrics


def _inputs(batch: NeurIKBatch) -> tuple[Tensor, Tensor]:
    return batch.markers, batch.visible


def _make_val_batches(dataset: MarkerDataset, spec: ModelSpec, config: TrainConfig) -> dict[str, list[NeurIKBatch]]:
    """Fixed batches of the held-out subjects' motion capture, clean and at the level "high"."""
    loaders = {
        name: MarkerLoader(dataset, spec, 64, config.window, config.seed, 1.0, clean_fraction, 1.0)
        for name, clean_fraction in (("clean", 1.0), ("noisy", 0.0))
    }
    return {name: [loader.batch(number) for number in range(4)] for name, loader in loaders.items()}
