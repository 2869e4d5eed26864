"""The scripts as modules."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType

import pytest

from tests.conftest import ROOT


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Import a script of `scripts/` by its name, with the arguments of its command line set by `run`."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module


@pytest.fixture
def run(script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModuleType]:
    """Run a script's `main` with these arguments."""

    def call(name: str, *arguments: object) -> ModuleType:
        module = script(name)
        monkeypatch.setattr("sys.argv", [f"{name}.py", *map(str, arguments)])
        module.main()
        return module

    return call
