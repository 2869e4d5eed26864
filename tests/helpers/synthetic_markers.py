"""People and motion for the tests of NeurIK's training that need no motion capture."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from biopose_cli.body.model import load_body
from biopose_cli.ik.analytic_init import joint_axes
from biopose_cli.ik.network import BODIES, scale_groups
from biopose_cli.skeleton.extract import ModelSpec, extract_model
from biopose_cli.skeleton.kinematics import Kinematics
from biopose_cli.skeleton.scaling import unscaled_model
from biopose_cli.synthesis.joint_motion import INDEX, sample
from biopose_cli.synthesis.subjects import ScaledSubject
from biopose_cli.training.marker_dataset import FPS, FRAMES, MarkerDataset
from biopose_cli.typing import Array


@cache
def typical() -> tuple[ModelSpec, Array]:
    """The unscaled skeleton with the default body's markers, and their places (M, 3) on it, m."""
    torch.set_num_threads(1)
    places = ScaledSubject(load_body(), np.zeros(10)).marker_locations
    return extract_model(unscaled_model(places).model), places


@cache
def template() -> Tensor:
    """(M, 3): that body's markers in the skeleton's zero pose, the pelvis at the origin."""
    table, _ = typical()
    return Kinematics(table).markers(torch.zeros(1, len(table.coordinates), dtype=torch.float64))[0].float()


@cache
def parts() -> tuple[Tensor, Tensor, Tensor]:
    """What a network is made for: the template, the joints' axes and the toes' joints."""
    return template(), *joint_axes(Kinematics(typical()[0]))


@cache
def made_up_pairs(people: int = 3, clips: int = 4) -> MarkerDataset:
    """`people` of random scales with `clips` clips each, their markers exactly on the bones."""
    table, typical_places = typical()
    rng = np.random.default_rng(7)
    logs = rng.normal(0, 0.08, (people, scale_groups().shape[-1]))
    factors = np.exp(logs @ scale_groups().numpy().reshape(-1, logs.shape[1]).T).reshape(people, -1, 3)
    factors = factors[:, [BODIES.index(body) for body in table.bodies]].astype(np.float32)
    places = (typical_places + rng.normal(0, 0.005, (people, *typical_places.shape))).astype(np.float32)
    columns = [INDEX[name] for name in table.coordinates]
    q = sample(people * clips, FRAMES, FPS, rng)[..., columns]
    person = np.repeat(np.arange(people), clips)
    each = np.repeat(person, FRAMES)
    markers = Kinematics(table, torch.float32).markers(
        *(torch.as_tensor(a) for a in (q.reshape(len(each), -1), factors[each], places[each]))
    )
    return MarkerDataset(
        factors, places, markers.numpy().reshape(*q.shape[:2], -1, 3), q, person, np.full(len(q), "made up")
    )
