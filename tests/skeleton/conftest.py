"""The default body and the default skeleton fitted to it, shared by the tests of this folder."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from biopose_cli.body.model import Body, load_body
from biopose_cli.skeleton.scaling import ScaledModel, scale_model
from biopose_cli.skeleton.static_trial import StaticTrial

SHAPE = np.array([0.5, -0.8, 0.3, 0.0, 0.4, 0.0, 0.0, 0.0, 0.0, 0.0], np.float32)


@pytest.fixture(scope="session")
def body() -> Body:
    torch.set_num_threads(1)
    return load_body(None)


@pytest.fixture(scope="session")
def fitted(body: Body) -> tuple[ScaledModel, StaticTrial]:
    return scale_model(body, SHAPE)


@pytest.fixture(scope="session")
def calibrated(fitted: tuple[ScaledModel, StaticTrial]) -> ScaledModel:
    return fitted[0]


@pytest.fixture(scope="session")
def standing(fitted: tuple[ScaledModel, StaticTrial]) -> StaticTrial:
    return fitted[1]
