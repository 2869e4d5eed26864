"""Where networks compute."""

from __future__ import annotations

import pytest
import torch

from biopose_cli.device import choose_device
from biopose_cli.errors import SettingError
from biopose_cli.settings import DEVICES


def machine(monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(False, False, "cpu"), (True, False, "cuda"), (False, True, "cpu")]
)
def test_auto_takes_cuda_if_there_is_one(cuda: bool, mps: bool, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, cuda, mps)
    assert choose_device("auto") == torch.device(expected)


def test_a_device_is_taken_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, cuda=True, mps=True)
    for name in ("cpu", "cuda", "mps"):
        assert choose_device(name) == torch.device(name)


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused_in_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, cuda=False, mps=False)
    with pytest.raises(SettingError) as caught:
        choose_device(name)
    assert f"--device {name}" in str(caught.value)
    assert "--device cpu" in caught.value.hint
    assert "\n" not in str(caught.value)


def test_every_device_name_of_the_settings_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, cuda=True, mps=True)
    assert {choose_device(name).type for name in DEVICES} == {"cpu", "cuda", "mps"}
