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
def model_and_trial(body: Body) -> tuple[ScaledModel, StaticTrial]:
    return scale_model(body, SHAPE)


@pytest.fixture(scope="session")
def scaled_model(model_and_trial: tuple[ScaledModel, StaticTrial]) -> ScaledModel:
    return model_and_trial[0]


@pytest.fixture(scope="session")
def static_trial(model_and_trial: tuple[ScaledModel, StaticTrial]) -> StaticTrial:
    return model_and_trial[1]
