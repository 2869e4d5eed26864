"""How wrong MQ-HMR may be in a frame: a head that is learned when all else is, from the same batches' continuation."""

from __future__ import annotations

import torch

from biopose_cli.hmr.model import MQHMR, Recovered
from biopose_cli.progress import Progress
from biopose_cli.training.mqhmr_losses import MeshLosses
from biopose_cli.training.rendered_dataset import Sights
from biopose_cli.training.synthetic_dataset import Batch, Views

_RATE = 1e-3


def learn_doubt(network: MQHMR, source: Views | Sights, first: int, steps: int, progress: Progress) -> None:
    """Teach `network.doubt` on the batches `first`, `first` + 1, ... of `source`; nothing else changes."""
    network.requires_grad_(False)
    network.doubt.requires_grad_(True)
    optimiser = torch.optim.AdamW(network.doubt.parameters(), _RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    progress.start("doubt", steps, "steps")
    for step in range(first, first + steps):
        batch = source.batch(step).to(network.mean.device)
        loss = MeshLosses.doubt(read(network, batch), batch)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        progress.advance()


def read(network: MQHMR, batch: Batch) -> Recovered:
    """What the network says of a batch."""
    found: Recovered = network(batch.view, batch.stature, batch.maps, batch.places)
    return found
