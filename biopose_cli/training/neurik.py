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
from biopose_cli.ik.network import NeurIK, Size
from biopose_cli.progress import Progress
from biopose_cli.skeleton.extract import Table, read_table
from biopose_cli.skeleton.kinematics import Kinematics
from biopose_cli.skeleton.scaling import unscaled
from biopose_cli.training.log import RunLog
from biopose_cli.training.marker_dataset import FRAMES, Pairs, build, captured_motions
from biopose_cli.training.marker_loader import Batch, Stream
from biopose_cli.training.neurik_losses import Losses, Weights
from biopose_cli.training.trainer import Run, check_rules, claim, read_toml

SHIPPED = Path(__file__).parent / "configs" / "neurik.toml"  # the run that made the shipped weights


@dataclass(frozen=True)
class Config:
    """A training run: everything that its result depends on. Defaults are for a test of minutes."""

    seed: int = 0
    people: int = 40
    clips: int = 10  # of motion capture per person
    held_out_people: int = 10
    steps: int = 200
    batch: int = 32  # windows
    learning_rate: float = 1e-3
    warm_up: int = 100  # steps
    weight_decay: float = 0.01
    average: float = 0.999  # of the weights over the steps: what is kept is this mean
    captured: float = 0.5  # share of motion capture in a batch
    clean: float = 0.35  # share without noise
    noise: float = 1.1  # strongest noise, in parts of the level "high"
    mixed: bool = True  # the transformer in bfloat16 while training
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
    check_every: int = 500  # steps between looks at the held-out subjects, and checkpoints

    @property
    def size(self) -> Size:
        return Size(**{field.name: getattr(self, field.name) for field in fields(Size)})

    @property
    def weights(self) -> Weights:
        return Weights(self.joints_weight, self.markers_weight, self.scales_weight, self.angles_weight)


def read_config(path: Path | None) -> Config:
    """The configuration in a TOML file with the keys of `Config`.

    Raises
    ------
    SettingError
    """
    config = read_toml(path, Config)
    check_rules(
        path,
        {
            f"window must be 2 to {FRAMES} frames": 2 <= config.window <= FRAMES,
            "kernel must be odd": config.kernel % 2 == 1,
            "width must be a multiple of heads": config.width % config.heads == 0,
            "captured and clean are shares, 0 to 1": 0 <= config.captured <= 1 and 0 <= config.clean <= 1,
        },
    )
    return config


def train(config: Config, motion: Path, folder: Path, progress: Progress, processes: int = 2) -> Path:
    """Make the pairs (once), train, and write `neurik.safetensors` into `folder`; returns its path.

    A run that was cut goes on from its last checkpoint when called again with the same configuration.

    motion: the folder with the motion-capture archives. processes: that make the pairs.

    Raises
    ------
    SettingError
        `folder` holds a run of another configuration, or `motion` lacks the archives.
    """
    claim(folder, config)
    train_pairs, held_pairs = prepare(config, motion, folder, progress, processes)
    places = train_pairs.places.mean(axis=0)
    table = read_table(unscaled(places).model)
    torch.manual_seed(config.seed)
    network = new_network(config.size, table)
    network.mixed = config.mixed
    run = Run(network, config, folder)
    stream = Stream(
        train_pairs,
        table,
        config.batch,
        config.window,
        config.seed,
        config.captured,
        config.clean,
        config.noise,
    )
    losses = Losses(table, places, config.weights)
    checks = _held_out(held_pairs, table, config)
    progress.start("training", config.steps, "steps")
    progress.advance(run.step)
    with RunLog(folder, run.step if run.step else None) as log, ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(stream.batch, run.step)
        while run.step < config.steps:
            batch = coming.result()
            if run.step + 1 < config.steps:  # the next is made while the network learns from this one
                coming = ahead.submit(stream.batch, run.step + 1)
            loss, parts = losses(network(*_input(batch)), batch)
            run.descend(loss)
            if run.step % 50 == 0:
                log.scalars(run.step, {"loss": loss.item()} | {f"train/{k}": v for k, v in parts.items()})
            if run.step % config.check_every == 0 or run.step == config.steps:
                log.scalars(run.step, _checked(run.averaged(), losses, checks))
                run.save()  # after the row: a run that goes on from here keeps it
            progress.advance()
    path = folder / "neurik.safetensors"
    save_network(path, run.averaged(), places, {"config": asdict(config)})
    return path


def new_network(size: Size, table: Table) -> NeurIK:
    """An untrained network for the skeleton of `table`, which carries a typical person's markers."""
    kinematics = Kinematics(table)
    zero = torch.zeros(1, len(table.coordinates), dtype=torch.float64)
    return NeurIK(size, kinematics.markers(zero)[0], *joint_axes(kinematics))


def prepare(
    config: Config, motion: Path, folder: Path, progress: Progress, processes: int
) -> tuple[Pairs, Pairs]:
    """The training and the held-out pairs, from `folder` if they are there."""
    paths = [folder / "pairs_train.npz", folder / "pairs_held_out.npz"]
    if not all(path.exists() for path in paths):
        groups = captured_motions(motion, load_body())
        people = (config.people, config.held_out_people)
        for number, (path, motions, count) in enumerate(zip(paths, groups, people, strict=True)):
            if not path.exists():
                seed = config.seed + 1000 * number
                build(motions, count, config.clips, seed, processes, progress).save(path)
    return Pairs.load(paths[0]), Pairs.load(paths[1])


def _checked(network: NeurIK, losses: Losses, checks: dict[str, list[Batch]]) -> dict[str, float]:
    """The network's errors on held-out subjects, per noise level."""
    found: dict[str, float] = {}
    with torch.no_grad():
        for name, batches in checks.items():
            parts = [losses(network(*_input(batch)), batch)[1] for batch in batches]
            found |= {f"{name}/{key}": float(np.mean([p[key] for p in parts])) for key in parts[0]}
    return found


def _input(batch: Batch) -> tuple[Tensor, Tensor]:
    return batch.markers, batch.seen


def _held_out(pairs: Pairs, table: Table, config: Config) -> dict[str, list[Batch]]:
    """Fixed batches of the held-out subjects' motion capture, clean and at the level "high"."""
    streams = {
        name: Stream(pairs, table, 64, config.window, config.seed, 1.0, clean, 1.0)
        for name, clean in (("clean", 1.0), ("noisy", 0.0))
    }
    return {name: [stream.batch(number) for number in range(4)] for name, stream in streams.items()}
