"""`biopose train mqhmr`: train on endless synthetic views, or on rendered images (`datasets.py`).

Resumable; on a CPU, the result depends only on the seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from biopose_cli.body.kinematics import ACTIVE_JOINTS, NUM_JOINTS, build_kinematic_chain
from biopose_cli.body.model import load_body
from biopose_cli.body.smpl_torch import SMPLKinematics
from biopose_cli.device import choose_device
from biopose_cli.errors import SettingError
from biopose_cli.geometry import so3_torch
from biopose_cli.hmr.backbones.vit import VIT_CONFIGS, load_backbone
from biopose_cli.hmr.checkpoint import load_network, save_network
from biopose_cli.hmr.model import MQHMR, MQHMRConfig
from biopose_cli.mesh_fit.priors import mean_pose
from biopose_cli.progress import Progress
from biopose_cli.synthesis.pose_sampler import PoseSampler
from biopose_cli.training.datasets import image_datasets, keypoint_datasets
from biopose_cli.training.marker_dataset import captured_motions
from biopose_cli.training.mqhmr_config import TrainConfig
from biopose_cli.training.mqhmr_losses import MQHMRLosses
from biopose_cli.training.synthetic_dataset import MQHMRBatch
from biopose_cli.training.trainer import Metrics, Trainer, lock_config
from biopose_cli.training.uncertainty_head import fit_std_head, forward


def train(
    config: TrainConfig,
    motion: Path,
    folder: Path,
    progress: Progress,
    init_from: Path | None = None,
    backbone: Path | None = None,
    device: str = "cpu",
) -> Path:
    """Measure the detector's errors (once), train, and write `mqhmr.safetensors` into `folder`.

    Called again with the same configuration, an interrupted run resumes from its last checkpoint.

    Parameters
    ----------
    config : the run
    motion : folder of the motion-capture archives
    folder : output folder
    progress : receives the current step
    init_from : weights of a smaller network to start from; layers it lacks are initialised with zeros
    backbone : weights of a ViTPose or HMR2.0 backbone for the image encoder
    device : as in `choose_device`

    Returns
    -------
    Path
        The weights.

    Raises
    ------
    SettingError
        `folder` holds a run with another configuration, `motion` lacks the archives, `init_from` is missing or does
        not fit, `backbone` is not of the encoder's size, or the device does not exist.
    AssetError
        `init_from` or `backbone` is not a weights file of the right kind.
    """
    if config.freeze_init and init_from is None:
        raise SettingError("freeze_init = true needs initial weights", "Give them with --init-from")
    target_device = choose_device(device)
    lock_config(folder, config, init_from)
    body = load_body()
    progress.start("motion capture", None)
    motions, held_out = captured_motions(motion, body)
    pose_sampler = PoseSampler(
        motions,
        config.mocap_fraction,
        config.static_fraction,
        config.perturbed_fraction,
        config.recombined_fraction,
        config.random_fraction,
    )
    dataset, val_batches = (image_datasets if config.num_images else keypoint_datasets)(
        config, folder, body, pose_sampler, held_out, progress
    )
    torch.manual_seed(config.seed)
    network = new_network(config.network_config)
    if network.neck is not None:
        network.neck.fit_statistics(_feature_maps(dataset.batch(0)))
    if init_from is not None:
        _load_weights(network, init_from, freeze=config.freeze_init)
    if backbone is not None:
        _init_encoder(network, backbone)
    trainer = Trainer(network.to(target_device), config, folder)
    losses = MQHMRLosses(SMPLKinematics(build_kinematic_chain(body)).to(target_device), config.loss_weights)

    def evaluate(batch: MQHMRBatch) -> tuple[torch.Tensor, Callable[[], Metrics]]:
        batch = batch.to(target_device)
        with torch.autocast(target_device.type, torch.bfloat16, enabled=config.mixed_precision):
            pred = forward(network, batch)
        return losses(pred, batch), lambda: losses.errors(pred, batch)

    path = folder / "mqhmr.safetensors"
    ema_network = trainer.fit(dataset.batch, evaluate, lambda ema: _validate(ema, losses, val_batches), progress)
    fit_std_head(ema_network, dataset, config.steps, config.std_steps, progress)
    save_network(path, ema_network, {"config": asdict(config)})
    return path


def new_network(config: MQHMRConfig) -> MQHMR:
    """An untrained network whose mean pose is standing with the arms down."""
    axis_angles = np.zeros((len(ACTIVE_JOINTS), 3))
    axis_angles[0, 0] = np.pi  # upright and facing the camera: the image's y axis points down
    axis_angles[1:] = mean_pose()
    mean_pose_6d = so3_torch.axis_angle_to_matrix(torch.as_tensor(axis_angles).float())
    hands = torch.eye(3).expand(NUM_JOINTS - len(ACTIVE_JOINTS), 3, 3)
    mean_pose_6d = SMPLKinematics(build_kinematic_chain(load_body())).global_rotations(
        torch.cat([mean_pose_6d, hands])[None]
    )[0, list(ACTIVE_JOINTS)]
    return MQHMR(config, torch.cat([mean_pose_6d[..., 0], mean_pose_6d[..., 1]], -1))


def _load_weights(network: MQHMR, init_from: Path, *, freeze: bool) -> None:
    """Load the weights that both networks have from `init_from`; with `freeze`, exclude them from training."""
    loaded = load_network(init_from).state_dict()
    state = network.state_dict()
    if any(name not in state or state[name].shape != value.shape for name, value in loaded.items()):
        raise SettingError(
            f"--init-from {init_from} does not fit the network to be trained",
            "Use the same sizes for both",
        )
    network.load_state_dict(state | loaded)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not (freeze and name in loaded))


def _init_encoder(network: MQHMR, backbone: Path) -> None:
    """Load published weights into the encoder's backbone."""
    vit = load_backbone(backbone)
    if network.encoder is None or network.encoder.backbone.config != vit.config:
        variant = next(name for name, size in VIT_CONFIGS.items() if size == vit.config)
        raise SettingError(f"--backbone {backbone} has another size than the encoder", f'Set encoder = "{variant}"')
    network.encoder.backbone.load_state_dict(vit.state_dict())


def _feature_maps(batch: MQHMRBatch) -> list[torch.Tensor]:
    assert batch.feature_maps is not None
    return batch.feature_maps


def _validate(network: MQHMR, losses: MQHMRLosses, val_batches: list[MQHMRBatch]) -> Metrics:
    """The network's errors on held-out subjects."""
    device = network.mean_pose_6d.device
    with torch.no_grad():
        errors = [
            losses.errors(forward(network, batch), batch) for batch in (batch.to(device) for batch in val_batches)
        ]
    return {f"held_out/{key}": float(np.mean([part[key] for part in errors])) for key in errors[0]}
