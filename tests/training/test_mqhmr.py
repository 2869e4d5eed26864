"""A very small training run of MQ-HMR: it learns, and goes on after a cut as if nothing had been."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from biopose_cli.errors import SettingError
from biopose_cli.mesh.weights import load_network
from biopose_cli.progress import Silent
from biopose_cli.training import mqhmr, views
from biopose_cli.training.keypoint_noise import Bank
from biopose_cli.training.mqhmr import Config, read_config, train
from tests.training.archives import small_archives
from tests.training.test_neurik import Cut

TINY = Config(
    steps=40, batch=32, warm_up=5, learning_rate=3e-3, average=0.8, hidden=32, blocks=1,
    layers=1, queries=4, width=16, heads=2, check_every=20, mixed=False,
)  # fmt: skip


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "POOL", 64)
    monkeypatch.setattr(views, "RENEWED", 15)
    monkeypatch.setattr(mqhmr, "_CHECKED", (2, 16))


@pytest.fixture(scope="module")
def motion(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return small_archives(shared, tmp_path_factory.mktemp("motion"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder that has the detector's errors already."""
    rng = np.random.default_rng(0)
    path = tmp_path / "run"
    path.mkdir()
    residual = rng.normal(size=(12, 33, 2)).astype(np.float32)
    posture = rng.normal(size=(12, 24, 3)).astype(np.float32)
    Bank(residual, np.full((12, 33), 0.8, np.float32), posture).save(path / "bank.npz")
    return path


def checks(folder: Path) -> list[float]:
    with (folder / "log.csv").open(encoding="utf-8") as file:
        return [float(row["held_out/mpjpe_mm"]) for row in csv.DictReader(file) if row["held_out/mpjpe_mm"]]


def test_it_learns_and_a_cut_run_ends_with_the_same_weights(
    motion: Path, folder: Path, tmp_path: Path
) -> None:
    path = train(TINY, motion, folder, Silent())
    errors = checks(folder)
    assert errors[-1] < errors[0]
    other = tmp_path / "cut"
    other.mkdir()
    (other / "bank.npz").write_bytes((folder / "bank.npz").read_bytes())
    with pytest.raises(KeyboardInterrupt):
        train(TINY, motion, other, Cut(30))
    again = load_network(train(TINY, motion, other, Silent())).state_dict()
    for name, value in load_network(path).state_dict().items():
        assert torch.equal(value, again[name]), name
    with pytest.raises(SettingError, match="another configuration"):
        train(replace(TINY, steps=50), motion, folder, Silent())


def test_nonsense_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    for text, message in (
        ("steps = 0", "1 or more"),
        ("captured = 0.9\nheld = 0.3", "shares"),
        ("width = 30\nheads = 4", "multiple"),
        ("layers = 'two'", "kind int"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(SettingError, match=message):
            read_config(path)
    assert read_config(None) == Config()
    assert read_config(mqhmr.SHIPPED).steps * read_config(mqhmr.SHIPPED).batch >= 10_000_000


def test_the_detectors_errors_are_measured_where_they_are_not_known(motion: Path, tmp_path: Path) -> None:
    train(replace(TINY, steps=1, looks=6, check_every=1), motion, tmp_path / "new", Silent())
    bank = Bank.load(tmp_path / "new" / "bank.npz")
    assert 1 <= len(bank.residual) <= 6
    assert (
        np.median(np.abs(bank.residual[bank.confidence > 0.5])) < 15
    )  # px of 256: these are the same people
