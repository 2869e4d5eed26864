"""Rendered clips of the held-out subjects, and `biopose evaluate clips` on made-up results."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from biopose_cli.benchmarks import rendered_clips
from biopose_cli.settings import Settings
from biopose_cli.synthesis.rendering import Actor, load_actor
from biopose_cli.synthesis.retarget import Motion
from tests.conftest import Call, one_line
from tests.helpers.motions import LEGS, write_legs

NAMES = ("pelvis_tilt", "pelvis_list", *LEGS)


@pytest.fixture(scope="module")
def actor() -> Actor:
    return load_actor()


@pytest.fixture
def standing(monkeypatch: pytest.MonkeyPatch) -> list[Motion]:
    """One held-out subject who stands above the floor, long enough for a clip of two frames."""
    monkeypatch.setattr(rendered_clips, "HELD_OUT_SUBJECTS", ("05",))
    monkeypatch.setattr(rendered_clips, "FRAMES", 2)
    return [Motion("cmu", "05", "05_01", 60, np.zeros((6, 24, 3)), np.tile([1.0, 3, 2], (6, 1)))]


def test_the_whole_person_is_in_view_and_on_the_floor(actor: Actor, standing: list[Motion]) -> None:
    clips = list(rendered_clips.sample_clips(actor, standing))
    assert [clip.name for clip in clips] == ["05_1", "05_2"]
    for clip in clips:
        vertices = actor.vertices(clip.pose, clip.betas, clip.transl)
        pixels = clip.camera.project(vertices)
        assert len(clip.pose) == 2
        assert abs(vertices[..., 1].min()) < 0.01
        assert pixels.min() > rendered_clips.MIN_MARGIN
        assert pixels.max() < rendered_clips.SIDE - rendered_clips.MIN_MARGIN
        assert clip.camera.from_world(vertices)[..., 2].min() > rendered_clips.MIN_DISTANCE


def test_the_command(biopose: Call, standing: list[Motion], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The truth is `write_legs`, `--mesh mqhmr` is 1 degree off and `--mesh fit` 3."""

    def run(video: Path, out: Path, settings: Settings, *_: object) -> None:
        write_legs(out / video.stem / f"{video.stem}.mot", {"mqhmr": 1.0, "fit": 3.0}[settings.mesh], NAMES)

    def render(actor: Actor, clip: rendered_clips.Clip, out: Path, seed: int) -> Path:
        write_legs(out / f"{clip.name}_truth.mot", names=NAMES)
        return out / f"{clip.name}.mp4"

    monkeypatch.setattr(rendered_clips, "captured_motions", lambda *_: ([], standing))
    monkeypatch.setattr(rendered_clips, "render", render)
    monkeypatch.setattr(rendered_clips, "body_errors", lambda *_: {"network alone": {"mpjpe_mm": 50.0}})
    monkeypatch.setattr("biopose_cli.pipeline.run.run", run)
    arguments = ("evaluate", "clips", "--motion", tmp_path, "--out", tmp_path / "out")
    code, out, error = biopose(*arguments, "--json")
    assert code == 0, error
    report = json.loads(out)
    assert set(report["clips"]) == {"05_1", "05_2"}
    assert report["mean"]["fit"]["legs_mae"] == pytest.approx(3, abs=1e-4)
    assert report["mean"]["mqhmr"]["pelvis_mae"] == pytest.approx(1, abs=1e-4)
    _, out, _ = biopose(*arguments, "--quiet")
    assert "| **mean** | 1.00 / 0.00 / 1.00 | 3.00 / 0.00 / 3.00 |" in out
    assert "| network alone | 50.0 |  |  |  |" in out


def test_missing_data_is_one_line(biopose: Call, tmp_path: Path) -> None:
    code, out, error = biopose("evaluate", "clips")
    assert (code, out) == (2, "")
    assert "--motion is missing" in one_line(error)
    code, _, error = biopose("evaluate", "clips", "--motion", tmp_path, "--out", tmp_path / "out", "--quiet")
    assert code == 2
    assert "cmu_amc" in one_line(error)
