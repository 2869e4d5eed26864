"""The default body, loaded once."""

from __future__ import annotations

import pytest

from biopose_cli.body.model import Body, load_body


@pytest.fixture(scope="session")
def body() -> Body:
    return load_body()
