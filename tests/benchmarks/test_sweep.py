"""The same training with one setting changed, and `biopose train mqhmr --sweep`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from biopose_cli.benchmarks import sweep
from biopose_cli.errors import SettingError
from biopose_cli.progress import NullProgress
from biopose_cli.training import mqhmr
from biopose_cli.training.mqhmr_config import DEFAULT_CONFIG, TrainConfig, read_config
from tests.conftest import Call, one_line


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "base.toml").write_text("steps = 7\nmixed_precision = false\n")
    path = tmp_path / "sweep.toml"
    path.write_text('config = "base.toml"\nqueries = [4, 24]\n')
    return path


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[TrainConfig]:
    """Train nothing: the errors are the number of queries, and the first run makes the detector's errors."""
    configs: list[TrainConfig] = []

    def train(config: TrainConfig, motion: Path, folder: Path, *_: object, **__: object) -> Path:
        assert (folder / "bank.npz").exists() == bool(configs)
        configs.append(config)
        if not (folder / "bank.npz").exists():
            (folder / "bank.npz").write_bytes(b"errors")
        columns = [f"held_out/{name}" for name in sweep.METRICS]
        rows = ["0,0,0", ",,", ",".join([str(config.queries)] * 3), ",,"]
        (folder / "log.csv").write_text("\n".join([",".join(columns), *rows]) + "\n")
        return folder

    monkeypatch.setattr(mqhmr, "train", train)
    return configs


def test_each_value_is_trained_and_takes_the_first_runs_data(
    file: Path, tmp_path: Path, trained: list[TrainConfig]
) -> None:
    report = sweep.run_sweep(file, tmp_path, tmp_path / "out", NullProgress())
    assert [(config.queries, config.steps, config.mixed_precision) for config in trained] == [
        (4, 7, False),
        (24, 7, False),
    ]
    assert report["setting"] == "queries"
    assert report["runs"]["24"] == dict.fromkeys(sweep.METRICS, 24.0)
    assert "| 24 | 24.0 | 24.0 | 24.0 |" in sweep.format_report(report)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("queries = [4]", "does not name the settings"),
        ('config = "base.toml"', "must have one setting with a list"),
        ('config = "base.toml"\nqueries = 4', "must have one setting with a list"),
        ('config = "base.toml"\nqueries = [4]\nwidth = [8]', "must have one setting with a list"),
        ('config = "base.toml"\nqueriez = [4]', "unknown key 'queriez'"),
        ('config = "nothing.toml"\nqueries = [4]', r"nothing\.toml"),
        ("config = ", "not valid TOML"),
    ],
)
def test_a_bad_file_is_named(file: Path, content: str, message: str) -> None:
    file.write_text(content)
    with pytest.raises(SettingError, match=message):
        sweep.read_sweep(file)


def test_a_value_of_another_kind_is_refused_before_any_training(file: Path, tmp_path: Path) -> None:
    file.write_text('config = "base.toml"\nqueries = [4, "many"]\n')
    with pytest.raises(SettingError, match="queries = 'many'"):
        sweep.run_sweep(file, tmp_path, tmp_path / "out", NullProgress())


@pytest.mark.parametrize("name", ["queries", "scales"])
def test_the_sweeps_in_the_package_are_valid(name: str, tmp_path: Path) -> None:
    read = sweep.read_sweep(DEFAULT_CONFIG.with_name(f"sweep_{name}.toml"))
    assert len(read.values) >= 5
    for value in read.values:
        path = tmp_path / "run.toml"
        path.write_text(
            "".join(f"{key} = {json.dumps(own)}\n" for key, own in (read.common | {read.key: value}).items())
        )
        assert getattr(read_config(path), read.key) == value


def test_the_command(biopose: Call, file: Path, tmp_path: Path, trained: list[TrainConfig]) -> None:
    arguments = ("train", "mqhmr", "--motion", tmp_path, "--out", tmp_path / "out", "--sweep", file)
    code, out, error = biopose(*arguments, "--json")
    assert code == 0, error
    assert set(json.loads(out)["runs"]) == {"4", "24"}
    code, _, error = biopose(*arguments, "--config", file)
    assert code == 2
    assert "--sweep excludes --config" in one_line(error)
    code, _, error = biopose("train", "mqhmr", "--motion", tmp_path, "--json")
    assert code == 2
    assert "need --sweep" in one_line(error)
    code, _, error = biopose(*arguments, "--reuse", tmp_path / "nowhere")
    assert code == 2
    assert "holds none of bank.npz" in one_line(error)
