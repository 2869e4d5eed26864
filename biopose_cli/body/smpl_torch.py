"""The fitted chain (`kinematics.py`) in torch, one shape per figure: what networks are trained and judged with.

N figures; the pelvis joint at the origin, in whatever frame the first rotation is given; m.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from biopose_cli.body.kinematics import JOINTS, Chain


class Figure(nn.Module):
    """Joints and landmarks of posed bodies, with gradients. `chain`: of the body."""

    rest: Tensor
    rest_shapes: Tensor
    local: Tensor
    local_shapes: Tensor
    carrier: Tensor

    def __init__(self, chain: Chain) -> None:
        super().__init__()
        self.parents = chain.parents
        self.register_buffer("rest", torch.as_tensor(chain.rest).float())
        self.register_buffer("rest_shapes", torch.as_tensor(chain.rest_shapes).float())
        self.register_buffer("local", torch.as_tensor(chain.local).float())
        self.register_buffer("local_shapes", torch.as_tensor(chain.local_shapes).float())
        self.register_buffer("carrier", torch.as_tensor(chain.carrier))

    def forward(self, rotations: Tensor, shape: Tensor) -> tuple[Tensor, Tensor]:
        """Joints (N, 24, 3) and landmarks (N, 33, 3).

        rotations: (N, 24, 3, 3), each relative to the parent's. shape: (N, S), betas and then the landmarks'
        deviations, or betas alone (N, 10).
        """
        count = shape.shape[1]
        turned = self.turned(rotations)
        rest = self.rest + (self.rest_shapes[..., :count].flatten(0, 1) @ shape.T).T.unflatten(1, (JOINTS, 3))
        places = [torch.zeros_like(rest[:, 0])]
        for joint in range(1, JOINTS):
            parent = self.parents[joint]
            bone = (rest[:, joint] - rest[:, parent])[..., None]
            places.append(places[parent] + (turned[:, parent] @ bone)[..., 0])
        joints = torch.stack(places, 1)
        local = self.local + (self.local_shapes[..., :count].flatten(0, 1) @ shape.T).T.unflatten(
            1, self.local.shape
        )
        carried = turned[:, self.carrier] @ local[..., None]
        return joints, joints[:, self.carrier] + carried[..., 0]

    def turned(self, rotations: Tensor) -> Tensor:
        """How the segments are turned (N, 24, 3, 3), in the frame of the first of the `rotations`."""
        turned = [rotations[:, 0]]
        for joint in range(1, JOINTS):
            turned.append(turned[self.parents[joint]] @ rotations[:, joint])
        return torch.stack(turned, 1)
