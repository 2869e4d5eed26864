"""Synthetic subjects: a body of one shape with its scaled skeleton."""

from __future__ import annotations

import numpy as np
import torch

from biopose_cli.body.model import Body
from biopose_cli.ik.solver import Solver
from biopose_cli.skeleton.extract import ModelSpec, extract_model
from biopose_cli.skeleton.kinematics import Kinematics
from biopose_cli.skeleton.scaling import ScaledModel, scale_model
from biopose_cli.skeleton.static_trial import OPENSIM_FROM_SMPL
from biopose_cli.typing import Array

_SHAPE_LIMIT = 2.5  # standard deviations, per shape component


class ScaledSubject:
    """A body of one shape with its scaled skeleton; converts poses to markers, and markers to angles."""

    def __init__(self, body: Body, betas: Array) -> None:
        self.body, self.betas = body, torch.as_tensor(betas, dtype=torch.float32)
        self.scaled_model: ScaledModel
        self.scaled_model, _ = scale_model(body, betas)
        self.spec: ModelSpec = extract_model(self.scaled_model.model)
        self.solver = Solver(Kinematics(self.spec))

    @property
    def factors(self) -> Array:
        """Scale factors (B, 3), bodies in the table's order."""
        return np.stack([self.scaled_model.factors[name] for name in self.spec.bodies])

    @property
    def marker_locations(self) -> Array:
        """Positions (M, 3), m, of the markers on the unscaled bones."""
        return np.asarray(self.spec.marker_locations / self.factors[self.spec.marker_bodies])

    def markers(self, pose: Array, transl: Array) -> Array:
        """Markers (T, M, 3), m, of SMPL poses (T, 24, 3), in OpenSim's axes."""
        axis_angles = torch.as_tensor(pose, dtype=torch.float32)
        with torch.no_grad():
            posed = self.body.pose(
                axis_angles[:, 1:],
                axis_angles[:, 0],
                self.betas,
                torch.as_tensor(transl, dtype=torch.float32),
            )
        return np.asarray(posed.markers.double().numpy() @ OPENSIM_FROM_SMPL.T)


def random_betas(rng: np.random.Generator) -> Array:
    """Shape (10) of a random adult, clipped to plausible values."""
    return np.clip(rng.normal(size=10), -_SHAPE_LIMIT, _SHAPE_LIMIT)
