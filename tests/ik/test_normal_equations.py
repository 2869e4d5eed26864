"""The normal equations are those of the dense Jacobian, couplers and weights included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from biopose_cli.body.model import load_body
from biopose_cli.ik.normal_equations import MarkerNormalEquations
from biopose_cli.skeleton.extract import extract_model
from biopose_cli.skeleton.kinematics import Kinematics
from biopose_cli.skeleton.osim import load_model
from biopose_cli.skeleton.scaling import scale_model
from tests.helpers.handmade_models import chain, curved, random_poses


def _check(model: Any) -> None:
    kinematics = Kinematics(extract_model(model))
    table = kinematics.spec
    generator = np.random.default_rng(0)
    q = torch.as_tensor(random_poses(table, 3, generator))
    count = len(table.markers)
    targets = torch.as_tensor(generator.normal(size=(3, count, 3)))
    weights = torch.as_tensor(generator.uniform(0, 2, (3, count)) * (generator.random((3, count)) > 0.2))
    found = MarkerNormalEquations(kinematics)(q, targets, weights)

    residual = kinematics.markers(q) - targets
    weighted = weights[..., None] * residual
    torch.testing.assert_close(found.cost, 0.5 * (weighted * residual).sum((1, 2)))
    leading = torch.ones(len(table.coordinates), dtype=torch.bool)
    leading[[coupler.dependent for coupler in table.couplers]] = False
    motion = MarkerNormalEquations(kinematics).jacobian(q)
    for frame, pose in enumerate(q):
        jacobian = torch.autograd.functional.jacobian(lambda x: kinematics.markers(x[None])[0], pose)
        gradient = torch.einsum("mad,ma->d", jacobian, weighted[frame])
        matrix = torch.einsum("mad,m,mae->de", jacobian, weights[frame], jacobian)
        torch.testing.assert_close(motion[frame, leading], jacobian.permute(2, 1, 0)[leading])
        torch.testing.assert_close(found.gradient[frame, leading], gradient[leading])
        torch.testing.assert_close(found.matrix[frame][leading][:, leading], matrix[leading][:, leading])


def test_the_default_skeleton() -> None:
    _check(scale_model(load_body(), np.zeros(10))[0].model)


def test_chained_couplers_that_move_markers() -> None:
    _check(curved())


def test_every_simple_joint() -> None:
    _check(chain("FreeJoint", "BallJoint", "PlanarJoint", "SliderJoint", "UniversalJoint", "WeldJoint"))


@pytest.mark.parametrize(
    "name",
    [
        "multiview_balance/balance_reference_scaled.osim",
        "opencap_squat/LaiArnoldModified2017_poly_withArms_weldHand_scaled.osim",
    ],
)
def test_users_models(shared: Path, name: str) -> None:
    _check(load_model(shared / "data" / "dev" / name))
