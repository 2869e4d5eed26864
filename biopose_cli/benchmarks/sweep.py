"""The same training several times with one setting changed: the paper's Tables 4 and 5 at small scale.

A sweep is a TOML file: `config`, the file with the settings of all runs (relative to it), and one setting with the
list of its values. `training/configs/sweep_queries.toml` and `sweep_scales.toml` are those of the tables.
"""

from __future__ import annotations

import csv
import json
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from biopose_cli.benchmarks.markdown import markdown_table
from biopose_cli.errors import SettingError
from biopose_cli.progress import NullProgress, Progress
from biopose_cli.training import mqhmr
from biopose_cli.training.mqhmr_config import TrainConfig, read_config

METRICS = ("mpjpe_mm", "pa_mpjpe_mm", "joints_deg")
REUSED = ("bank.npz", "pictures", "held_out")  # data that a run makes and another one can take over
_HINT = 'Write config = "FILE.toml" and one setting with a list of values, such as queries = [24, 96]'


@dataclass(frozen=True)
class Sweep:
    """A setting's name, and the settings of all runs (TOML values) with the values that it takes."""

    key: str
    values: tuple[Any, ...]
    common: dict[str, Any]


def read_sweep(path: Path) -> Sweep:
    """Read a sweep's file.

    Raises
    ------
    SettingError
        It, or the file that it names as `config`, is missing, is not TOML, or has other keys than it should.
    """
    content = _read_toml(path)
    config = content.pop("config", None)
    if not isinstance(config, str):
        raise SettingError(f"--sweep: {path} does not name the settings of all runs", _HINT)
    common = _read_toml(path.parent / config)
    lists = {key: value for key, value in content.items() if isinstance(value, list) and value}
    if len(content) != 1 or not lists:
        raise SettingError(f"--sweep: {path} must have one setting with a list of values, beside config", _HINT)
    ((key, values),) = lists.items()
    if key not in {field.name for field in fields(TrainConfig)}:
        raise SettingError(f"--sweep: {path}: unknown key {key!r}", _HINT)
    return Sweep(key, tuple(values), common)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(f"--sweep: cannot read {path} ({error.strerror})", "Check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"--sweep: {path} is not valid TOML: {error}", _HINT) from error


def run_sweep(
    path: Path, motion: Path, out: Path, progress: Progress, reuse: Path | None = None, device: str = "cpu"
) -> dict[str, Any]:
    """Train once for each value, each run in a folder of its own inside `out`; a run that was cut goes on.

    The data that the first run makes (`REUSED`) serve the others too.

    Parameters
    ----------
    path
        The sweep's file.
    motion
        Folder with the motion-capture archives.
    reuse
        Folder of another run, whose data are taken instead of making them anew.

    Returns
    -------
    dict
        `setting`: its name; `runs`: by value, `METRICS` on held-out data after the last step.

    Raises
    ------
    SettingError
        As `read_sweep`, `read_config` and `mqhmr.train`.
    """
    sweep = read_sweep(path)
    if reuse is not None and not any((reuse / entry).exists() for entry in REUSED):
        raise SettingError(f"--reuse: {reuse} holds none of {', '.join(REUSED)}", "Name the folder of a training run")
    torch.set_num_threads(1)
    configs = {}
    for value in sweep.values:
        folder = out / str(value).replace(" ", "_")
        folder.mkdir(parents=True, exist_ok=True)
        settings = sweep.common | {sweep.key: value}
        file = folder / "run.toml"
        lines = (f"{key} = {json.dumps(setting)}\n" for key, setting in settings.items())
        file.write_text("".join(lines), encoding="utf-8")
        configs[str(value)] = folder, read_config(file)
    runs, source = {}, reuse
    progress.start("training", len(configs), "runs")
    for name, (folder, config) in configs.items():
        _link_data(source, folder)
        mqhmr.train(config, motion, folder, NullProgress(), device=device)
        runs[name] = _last_validation(folder)
        source = folder
        progress.advance()
    return {"setting": sweep.key, "runs": runs}


def _link_data(source: Path | None, folder: Path) -> None:
    """Let a run take the data of another one."""
    for entry in REUSED if source is not None else ():
        original = source / entry  # type: ignore[operator]
        if original.exists() and not (folder / entry).exists():
            (folder / entry).symlink_to(original.resolve(), original.is_dir())


def _last_validation(folder: Path) -> dict[str, float]:
    with (folder / "log.csv").open(encoding="utf-8") as file:
        last = [row for row in csv.DictReader(file) if row["held_out/mpjpe_mm"]][-1]
    return {key: float(last[f"held_out/{key}"]) for key in METRICS}


def format_report(report: dict[str, Any]) -> str:
    """A Markdown table, one row a run."""
    return markdown_table(
        (report["setting"], "MPJPE, mm", "PA-MPJPE, mm", "joints, degrees"),
        [(name, *(f"{figures[key]:.1f}" for key in METRICS)) for name, figures in report["runs"].items()],
    )
