"""`biopose train mqhmr`: the network from synthetic views without end, or from rendered pictures (`sources.py`).

Resumable, and on a CPU deterministic by its seed.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from biopose_cli.body.kinematics import JOINTS, MOVING, load_chain
from biopose_cli.body.model import load_body
from biopose_cli.body.smpl_torch import Figure
from biopose_cli.device import choose_device
from biopose_cli.errors import SettingError
from biopose_cli.geometry import so3_torch
from biopose_cli.hmr.backbones.vit import SIZES, load_backbone
from biopose_cli.hmr.checkpoint import load_network, save_network
from biopose_cli.hmr.model import MQHMR, Size
from biopose_cli.mesh_fit.priors import mean_pose
from biopose_cli.progress import Progress
from biopose_cli.synthesis.pose_sampler import Postures
from biopose_cli.training.datasets import pictured, synthetic
from biopose_cli.training.log import RunLog
from biopose_cli.training.marker_dataset import captured_motions
from biopose_cli.training.mqhmr_config import Config
from biopose_cli.training.mqhmr_losses import MeshLosses
from biopose_cli.training.synthetic_dataset import Batch
from biopose_cli.training.trainer import Run, claim
from biopose_cli.training.uncertainty_head import learn_doubt, read


def train(
    config: Config,
    motion: Path,
    folder: Path,
    progress: Progress,
    begin: Path | None = None,
    backbone: Path | None = None,
    device: str = "cpu",
) -> Path:
    """Measure the detector's errors (once), train, and write `mqhmr.safetensors` into `folder`; returns its path.

    A run that was cut goes on from its last checkpoint when called again with the same configuration.

    motion: the folder with the motion-capture archives. begin: weights of a smaller network, to go on from; what it
    lacks starts as nothing. backbone: weights of a ViTPose or HMR2.0 backbone, from which the encoder starts. device:
    as `choose_device`.

    Raises
    ------
    SettingError
        `folder` holds a run of another configuration, `motion` lacks the archives, `begin` does not fit or is
        missing, `backbone` is of another size than the encoder, or there is no such device.
    AssetError
        `begin` is not the weights of a network, or `backbone` not those of a vision transformer.
    """
    if config.frozen and begin is None:
        raise SettingError("frozen = true needs weights to begin with", "Name them with --begin")
    where = choose_device(device)
    claim(folder, config, begin)
    body = load_body()
    progress.start("motion capture", None)
    motions, held = captured_motions(motion, body)
    postures = Postures(motions, config.captured, config.held, config.changed, config.crossed, config.wide)
    source, tests = (pictured if config.pictures else synthetic)(
        config, folder, body, postures, held, progress
    )
    torch.manual_seed(config.seed)
    network = new_network(config.size)
    if network.neck is not None:
        network.neck.measure(_maps(source.batch(0)))
    if begin is not None:
        _take(network, begin, frozen=config.frozen)
    if backbone is not None:
        _start_from(network, backbone)
    run = Run(network.to(where), config, folder)
    losses = MeshLosses(Figure(load_chain(body)).to(where), config.weights)
    progress.start("training", config.steps, "steps")
    progress.advance(run.step)
    with RunLog(folder, run.step if run.step else None) as log, ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(source.batch, run.step)
        while run.step < config.steps:
            batch = coming.result().to(where)
            if run.step + 1 < config.steps:  # the next is made while the network learns from this one
                coming = ahead.submit(source.batch, run.step + 1)
            with torch.autocast(where.type, torch.bfloat16, enabled=config.mixed):
                found = read(network, batch)
            loss = losses(found, batch)
            run.descend(loss)
            if run.step % 50 == 0:
                parts = losses.errors(found, batch)
                log.scalars(run.step, {"loss": loss.item()} | {f"train/{k}": v for k, v in parts.items()})
            if run.step % config.check_every == 0 or run.step == config.steps:
                log.scalars(run.step, _checked(run.averaged(), losses, tests))
                run.save()  # after the row: a run that goes on from here keeps it
            progress.advance()
    path = folder / "mqhmr.safetensors"
    network = run.averaged()
    learn_doubt(network, source, config.steps, config.doubt_steps, progress)
    save_network(path, network, {"config": asdict(config)})
    return path


def new_network(size: Size) -> MQHMR:
    """An untrained network that counts from standing with the arms down."""
    vectors = np.zeros((len(MOVING), 3))
    vectors[0, 0] = np.pi  # upright in a picture, whose y axis points down, facing the camera
    vectors[1:] = mean_pose()
    mean = so3_torch.of_vectors(torch.as_tensor(vectors).float())
    hands = torch.eye(3).expand(JOINTS - len(MOVING), 3, 3)
    mean = Figure(load_chain(load_body())).turned(torch.cat([mean, hands])[None])[0, list(MOVING)]
    return MQHMR(size, torch.cat([mean[..., 0], mean[..., 1]], -1))


def _take(network: MQHMR, begin: Path, *, frozen: bool) -> None:
    """The weights in `begin`, for all parts that both have; frozen: never to be changed."""
    known = load_network(begin).state_dict()
    own = network.state_dict()
    if any(name not in own or own[name].shape != value.shape for name, value in known.items()):
        raise SettingError(
            f"--begin {begin} is another network than the one to be trained", "Give both the same sizes"
        )
    network.load_state_dict(own | known)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not (frozen and name in known))


def _start_from(network: MQHMR, backbone: Path) -> None:
    """The encoder's backbone as published."""
    weights = load_backbone(backbone)
    if network.encoder is None or network.encoder.backbone.size != weights.size:
        named = next(name for name, size in SIZES.items() if size == weights.size)
        raise SettingError(f"--backbone {backbone} is a ViT of another size", f'Set encoder = "{named}"')
    network.encoder.backbone.load_state_dict(weights.state_dict())


def _maps(batch: Batch) -> list[torch.Tensor]:
    assert batch.maps is not None
    return batch.maps


def _checked(network: MQHMR, losses: MeshLosses, tests: list[Batch]) -> dict[str, float]:
    """The network's errors on held-out subjects."""
    device = network.mean.device
    with torch.no_grad():
        parts = [losses.errors(read(network, test), test) for test in (test.to(device) for test in tests)]
    return {f"held_out/{key}": float(np.mean([part[key] for part in parts])) for key in parts[0]}
