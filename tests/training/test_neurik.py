"""A whole training run, very small: it learns, it goes on after a cut as if nothing had been, it refuses nonsense."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import asdict, fields, replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from biopose_cli.errors import ArtifactError, OutputError, SettingError
from biopose_cli.ik.checkpoint import load_network
from biopose_cli.ik.network import NeurIKConfig
from biopose_cli.progress import NullProgress
from biopose_cli.training import marker_loader, neurik
from biopose_cli.training.marker_dataset import MarkerDataset
from biopose_cli.training.neurik import TrainConfig, read_config, train
from biopose_cli.training.neurik_losses import LossWeights
from tests.helpers.mocap_archives import small_archives

TINY = TrainConfig(
    people=2, clips_per_person=2, held_out_people=1, steps=60, batch_size=8, warmup_steps=5, learning_rate=3e-3,
    ema_decay=0.8, window=8, channels=4, convolutions=1, kernel=3, width=32, layers=1, heads=2, feedforward=32, val_every=20,
)  # fmt: skip


class Cut(NullProgress):
    """Stops the run after so many steps of training, as Ctrl+C does."""

    def __init__(self, steps: int) -> None:
        self.left, self.training = steps, False

    def start(self, label: str, total: int | None = None, unit: str = "frames") -> None:
        self.training = label == "training"

    def advance(self, units: int = 1) -> None:
        if self.training:
            self.left -= units
            if self.left <= 0:
                raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def small_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marker_loader, "POOL_SIZE", 16)
    monkeypatch.setattr(marker_loader, "POOL_REFRESH_STEPS", 30)


@pytest.fixture(scope="module")
def motion(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return small_archives(shared, tmp_path_factory.mktemp("motion"))


@pytest.fixture(scope="module")
def finished(motion: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of `TINY` without a cut."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(marker_loader, "POOL_SIZE", 16)
        patch.setattr(marker_loader, "POOL_REFRESH_STEPS", 30)
        path = train(TINY, motion, folder, NullProgress(), processes=1)
    assert path == folder / "neurik.safetensors"
    return folder


@pytest.fixture
def prepared(finished: Path, tmp_path: Path) -> Path:
    """A new run's folder that has the pairs already."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("pairs_train.npz", "pairs_held_out.npz"):
        shutil.copy(finished / name, folder)
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(encoding="utf-8", newline="") as stored:
        return list(csv.DictReader(stored))


def test_training_makes_a_network_that_can_be_used(finished: Path) -> None:
    network, places = load_network(finished / "neurik.safetensors")
    assert network.config == TINY.network_config
    pairs = MarkerDataset.load(finished / "pairs_train.npz")
    assert pairs.factors.shape[0] == 2
    np.testing.assert_allclose(places, pairs.marker_locations.mean(axis=0), atol=1e-6)
    held = MarkerDataset.load(finished / "pairs_held_out.npz")
    assert not set(held.subject) & set(pairs.subject)


def test_the_loss_falls_and_the_log_tells(finished: Path) -> None:
    found = rows(finished)
    assert [row["step"] for row in found] == ["20", "40", "50", "60"]
    checks = [row for row in found if row["clean/mpblpe_rooted_mm"]]
    assert [row["step"] for row in checks] == ["20", "40", "60"]
    for level in ("clean", "noisy"):
        for name in ("angles_deg", "markers_mm"):
            first, *_, last = (float(row[f"{level}/{name}"]) for row in checks)
            assert last < first, f"{level}/{name}"
    assert float(found[2]["loss"]) > 0
    assert float(checks[-1]["noisy/markers_mm"]) > float(checks[-1]["clean/markers_mm"])


def test_a_run_that_was_cut_gives_bitwise_the_same_weights(
    finished: Path, prepared: Path, motion: Path
) -> None:
    for steps in (10, 33):  # before the first checkpoint, and between two
        with pytest.raises(KeyboardInterrupt):
            train(TINY, motion, prepared, Cut(steps), processes=1)
        assert not (prepared / "neurik.safetensors").exists()
    assert (prepared / "checkpoint.pt").exists()
    train(TINY, motion, prepared, NullProgress(), processes=1)
    whole, resumed = (load_file(folder / "neurik.safetensors") for folder in (finished, prepared))
    assert whole.keys() == resumed.keys()
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name
    assert rows(prepared) == rows(finished)


def test_a_finished_run_is_not_trained_again(finished: Path, motion: Path) -> None:
    before = (finished / "neurik.safetensors").read_bytes()
    train(TINY, motion, finished, Cut(TINY.steps + 1), processes=1)
    assert (finished / "neurik.safetensors").read_bytes() == before


def test_a_folder_with_another_configuration_is_refused_and_stays_as_it_is(
    finished: Path, motion: Path
) -> None:
    before = (finished / "config.json").read_bytes()
    with pytest.raises(SettingError, match=r"another configuration.*--out"):
        train(replace(TINY, seed=1), motion, finished, NullProgress(), processes=1)
    assert (finished / "config.json").read_bytes() == before
    assert json.loads(before) == asdict(TINY)


def test_a_checkpoint_that_is_broken_is_one_clear_line(finished: Path, prepared: Path, motion: Path) -> None:
    content = (finished / "checkpoint.pt").read_bytes()
    for broken in (content[: len(content) // 2], b"not a checkpoint", b""):
        (prepared / "checkpoint.pt").write_bytes(broken)
        with pytest.raises(ArtifactError, match=r"checkpoint\.pt cannot be read") as caught:
            train(TINY, motion, prepared, NullProgress(), processes=1)
        assert "\n" not in str(caught.value)


def test_motion_or_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="--motion"):
        train(TINY, tmp_path / "nowhere", tmp_path / "run", NullProgress(), processes=1)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        train(TINY, tmp_path, tmp_path / "file" / "run", NullProgress(), processes=1)


def test_without_a_file_the_configuration_is_the_small_one() -> None:
    assert read_config(None) == TrainConfig()
    assert TrainConfig().network_config == NeurIKConfig()
    assert TrainConfig().loss_weights == LossWeights()


def test_the_configuration_of_the_shipped_weights_can_be_read_and_is_complete() -> None:
    with resources.as_file(resources.files("biopose_cli.training") / "configs" / "neurik.toml") as path:
        config = read_config(path)
        text = path.read_text(encoding="utf-8")
    assert config.people > TrainConfig().people
    assert config.steps > TrainConfig().steps
    missing = [field.name for field in fields(TrainConfig) if f"\n{field.name} = " not in text]
    assert missing == []  # so a change of a default does not change what the file means


def test_a_configuration_takes_whole_numbers_for_others(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("learning-rate = 1\nsteps = 7\nmixed_precision = false\n")
    config = read_config(path)
    assert config == replace(TrainConfig(), learning_rate=1.0, steps=7, mixed_precision=False)
    assert isinstance(config.learning_rate, float)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("step = 3", "steps"),
        ("steps = 3.5", "steps = 3.5"),
        ("steps = 'many'", "steps = 'many'"),
        ("mixed_precision = 1", "true or false"),
        ("clean_fraction = true", "not true or false"),
        ("steps = ", "not valid TOML"),
        ("people = 0", "1 or more"),
        ("batch_size = -3", "1 or more"),
        ("window = 65", "2 to 64 frames"),
        ("window = 1", "2 to 64 frames"),
        ("kernel = 4", "odd"),
        ("heads = 7", "multiple of heads"),
        ("clean_fraction = 1.5", "clean_fraction must be"),
        ("warm-up = 3", "'warmup_steps' now"),
        *((f"{old} = 1", f"'{old}'.*'{new}' now") for old, new in neurik._RENAMED.items()),
    ],
)
def test_a_mistake_in_the_configuration_is_one_clear_line(line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(line + "\n")
    with pytest.raises(SettingError, match=message) as caught:
        read_config(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_configuration_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="cannot read"):
        read_config(tmp_path / "none.toml")
