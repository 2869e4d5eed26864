"""Training of MQ-HMR's standard deviations: a head trained last, on further batches of the same data."""

from __future__ import annotations

import torch

from biopose_cli.hmr.model import MQHMR, SMPLPrediction
from biopose_cli.progress import Progress
from biopose_cli.training.mqhmr_losses import MQHMRLosses
from biopose_cli.training.rendered_dataset import RenderedDataset
from biopose_cli.training.synthetic_dataset import MQHMRBatch, SyntheticDataset

_LEARNING_RATE = 1e-3


def fit_std_head(
    network: MQHMR,
    dataset: SyntheticDataset | RenderedDataset,
    first_step: int,
    steps: int,
    progress: Progress,
) -> None:
    """Train only `network.log_std_head`, on the batches `first_step`, `first_step` + 1, ... of `dataset`."""
    network.requires_grad_(False)
    network.log_std_head.requires_grad_(True)
    optimizer = torch.optim.AdamW(network.log_std_head.parameters(), _LEARNING_RATE)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    progress.start("uncertainty head", steps, "steps")
    for step in range(first_step, first_step + steps):
        batch = dataset.batch(step).to(network.mean_pose_6d.device)
        loss = MQHMRLosses.rotation_nll(forward(network, batch), batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        scheduler.step()
        progress.advance()


def forward(network: MQHMR, batch: MQHMRBatch) -> SMPLPrediction:
    """Prediction of the network for a batch."""
    pred: SMPLPrediction = network(batch.view, batch.stature, batch.feature_maps, batch.keypoint_locations)
    return pred
