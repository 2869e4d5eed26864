"""A recorded trial rendered from five sides, and `biopose evaluate trial` on made-up results."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from biopose_cli.benchmarks import rendered_clips, rendered_trial
from biopose_cli.io.storage import read_motion, write_mot
from biopose_cli.settings import Settings
from biopose_cli.synthesis.mocap import INDEX
from biopose_cli.synthesis.rendering import Actor, load_actor
from tests.conftest import Call, one_line
from tests.helpers.motions import LEGS, write_legs

NAMES = ("pelvis_tilt", "pelvis_list", *LEGS)


@pytest.fixture
def squat(tmp_path: Path) -> Path:
    """6 s in which both knees bend to 90 degrees and the hips with them."""
    time = np.arange(0, 6, 1 / 50)
    knee = 45 - 45 * np.cos(2 * np.pi * (time - 1) / 4)
    angles = {"knee_angle_r": knee, "knee_angle_l": knee, "hip_flexion_r": knee / 2, "hip_flexion_l": knee / 2}
    path = tmp_path / "squat.mot"
    write_mot(path, time, tuple(angles), np.stack(list(angles.values()), axis=1))
    return path


def test_the_ankles_stay_and_the_feet_are_on_the_floor(squat: Path) -> None:
    actor = load_actor()
    pose = rendered_trial.trial_poses(read_motion(squat))[::20]
    transl = rendered_trial.ankles_fixed_transl(actor, pose, np.zeros(10))
    ankles = actor.joints(pose, np.zeros(10), transl)[:, [INDEX["left_ankle"], INDEX["right_ankle"]]].mean(1)
    np.testing.assert_allclose(ankles[:, [0, 2]], 0, atol=1e-5)
    np.testing.assert_allclose(actor.vertices(pose, np.zeros(10), transl)[..., 1].min(1), 0, atol=1e-5)
    knees = np.degrees(np.linalg.norm(pose[:, INDEX["left_knee"]], axis=1))
    assert knees.max() > 75
    assert knees[0] < 15


@pytest.mark.parametrize("heading", rendered_trial.HEADINGS)
def test_the_camera_is_level_and_at_the_heading(heading: int) -> None:
    camera = rendered_trial.level_camera(np.array([0.0, 0.3, 0.0]), heading)
    assert camera.position[1] == pytest.approx(rendered_trial.HEIGHT)
    assert np.hypot(camera.position[0], camera.position[2]) == pytest.approx(rendered_trial.DISTANCE)
    facing = np.arctan2(camera.position[0], camera.position[2]) - 0.3
    assert np.cos(facing - np.radians(heading)) == pytest.approx(1)
    np.testing.assert_allclose(camera.rotation @ [0, 1, 0], [0, -1, 0], atol=1e-12)


def test_knee_flexion_by_range(tmp_path: Path) -> None:
    truth = read_motion(write_legs(tmp_path / "a.mot", 0.0))
    estimate = read_motion(write_legs(tmp_path / "b.mot", 5.0))
    flexion = rendered_trial.knee_flexion(estimate, truth)
    assert flexion["bent"] is None
    straight = flexion["straight"]
    assert straight is not None
    assert straight["estimated_deg"] - straight["true_deg"] == pytest.approx(5, abs=1e-4)


def test_the_command(biopose: Call, squat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(video: Path, out: Path, settings: Settings, *_: object) -> None:
        write_legs(out / video.stem / f"{video.stem}.mot", 2.0, NAMES)

    def render(actor: Actor, clip: rendered_clips.Clip, out: Path, seed: int) -> Path:
        write_legs(out / f"{clip.name}_truth.mot", names=NAMES)
        return out / f"{clip.name}.mp4"

    monkeypatch.setattr(rendered_trial, "render", render)
    monkeypatch.setattr("biopose_cli.pipeline.run.run", run)
    arguments = ("evaluate", "trial", "--trial", squat, "--out", tmp_path / "out")
    code, out, error = biopose(*arguments, "--json")
    assert code == 0, error
    views = json.loads(out)["views"]
    assert [view["heading_deg"] for view in views] == [0, 0, 30, 30, 60, 60, 90, 90, 180, 180]
    assert views[0]["legs_mae"] == pytest.approx(2, abs=1e-4)
    assert "| 180 | `--mesh fit` | 2.0 / 0.0 | 2.0 |" in biopose(*arguments, "--quiet")[1]


def test_unusable_trials_are_one_line(biopose: Call, tmp_path: Path) -> None:
    short = write_legs(tmp_path / "short.mot")
    armless = write_legs(tmp_path / "arms.mot", names=("arm_flex_r",), frames=200)
    for trial, message in ((short, "ends at 1.30 s"), (armless, "lacks knee_angle_l"), (tmp_path / "no.mot", "no.mot")):
        code, out, error = biopose("evaluate", "trial", "--trial", trial, "--out", tmp_path / "out", "--quiet")
        assert (code, out) == (2, "")
        assert message in one_line(error)
    assert not (tmp_path / "out").exists()
