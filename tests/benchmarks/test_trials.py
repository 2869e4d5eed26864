"""Other people's trials: the body fits markers made of a known body, and the stage meets the references."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from biopose_cli.benchmarks import trials
from biopose_cli.benchmarks.marker_body_fit import FittedBody, fit_body
from biopose_cli.body.markers import MARKER_NAMES
from biopose_cli.body.model import JOINT_NAMES, load_body
from biopose_cli.errors import SettingError
from biopose_cli.progress import NullProgress
from biopose_cli.settings import Settings


def test_every_marker_of_the_table_stands_for_a_site() -> None:
    assert set(trials.site_by_marker().values()) <= set(MARKER_NAMES)


def test_a_known_body_is_recovered() -> None:
    """All sites of a moving body, the heels 12 mm too high: a static trial tells the offset from a turned ankle."""
    torch.set_num_threads(1)
    body, frames = load_body(), 12
    betas = torch.zeros(10)
    pose = torch.zeros(frames + 1, 23, 3)  # the last: standing
    bend = torch.linspace(0.1, 0.9, frames)
    ankles = [JOINT_NAMES.index(f"{side}_ankle") - 1 for side in ("left", "right")]
    for name, share in (("hip", -1.0), ("knee", 2.0), ("ankle", -1.0)):
        for side in ("left", "right"):
            pose[:frames, JOINT_NAMES.index(f"{side}_{name}") - 1, 0] = share * bend
    nowhere = torch.zeros(frames + 1, 3)
    target = body.pose(pose, nowhere, betas, nowhere).markers.double().numpy()
    target[:, :, 1] -= target[:, [MARKER_NAMES.index("RMT1")], 1]  # the feet stay on the floor
    heels = [MARKER_NAMES.index(name) for name in ("RCAL", "LCAL")]
    target[:, heels, 1] += 0.012
    height = float(body.stature(betas))

    def error(fitted: FittedBody) -> float:
        """Of the ankles, degrees."""
        return float(np.degrees(np.abs(fitted.body_pose[:, ankles, 0] + bend.numpy()[:, None])).mean())

    alone = fit_body(body, target[:frames], MARKER_NAMES, height)
    calibrated = fit_body(body, target[:frames], MARKER_NAMES, height, target[frames])
    assert error(calibrated) < 1.0 < error(alone)
    assert np.all(np.abs(calibrated.offsets[heels, 1] - 0.012) < 0.004)
    assert 1000 * np.sqrt(np.mean(calibrated.residual**2)) < 4.0


# Of the legs, degrees: mean absolute error, and without the offsets. At every third frame: docs/how/skeleton.md
LIMITS = {"Squats_0": (2.0, 1.4), "balance_reference": (6.0, 3.0), "walk_free_01": (4.0, 2.2)}


def test_the_stage_meets_the_references(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    chosen = tuple(files for files in trials.TRIALS if Path(files.markers).stem in LIMITS)
    monkeypatch.setattr(trials, "TRIALS", chosen)
    results = trials.evaluate_trials(shared / "data/dev", Settings(ik="opensim"), NullProgress(), stride=30)
    assert [r.name for r in results] == list(LIMITS)
    for result in results:
        error, without_offset = LIMITS[result.name]
        assert result.legs["mae"] < error, result.name
        assert result.legs["mae_offset_removed"] < without_offset, result.name
        assert result.coordinates["knee_angle_r"]["r"] > 0.98, result.name
        assert result.residual_mm < 15, result.name  # natural poses: our skeleton can follow the body
    assert json.loads(json.dumps(trials.as_json(results)))[0]["legs"] == results[0].legs


def test_a_folder_without_trials_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="holds no trial"):
        trials.evaluate_trials(tmp_path, Settings(), NullProgress())


def test_a_static_trial_must_be_there(shared: Path, tmp_path: Path) -> None:
    for name in ("Squats_0.trc", "Squats_0.mot"):
        (tmp_path / "opencap_squat").mkdir(exist_ok=True)
        shutil.copy(shared / "data/dev/opencap_squat" / name, tmp_path / "opencap_squat")
    with pytest.raises(SettingError, match="holds no trial"):
        trials.evaluate_trials(tmp_path, Settings(), NullProgress())
