"""The embedded clip is what its README says."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from biopose_cli.body.model import DEFAULT_BODY
from biopose_cli.io.storage import read_motion
from biopose_cli.io.video.probe import probe
from biopose_cli.io.video.reader import read_frames
from biopose_cli.render.scene import Camera
from biopose_cli.synthesis.mocap import INDEX
from biopose_cli.synthesis.rendering import load_actor


@pytest.fixture(scope="module")
def folder(sample_clip: Path) -> Path:
    return sample_clip.parent


def test_the_clip_is_small_and_holds_its_focal_length(sample_clip: Path, folder: Path) -> None:
    info = probe(sample_clip)
    facts = json.loads((folder / "walk_truth.json").read_text(encoding="utf-8"))
    assert sample_clip.stat().st_size < 3_000_000
    assert (info.width, info.height) == tuple(facts["image_size"])
    assert info.frame_rate == pytest.approx(facts["frame_rate"])
    assert info.frame_count == facts["frames"]
    assert info.focal_px == pytest.approx(facts["focal_px"], rel=1e-5)
    assert not info.variable_rate
    assert info.warnings == ()


def test_the_truth_has_a_row_per_frame_and_is_a_walk(sample_clip: Path, folder: Path) -> None:
    truth = read_motion(folder / "walk_truth.mot")
    assert truth.warnings == ()
    assert len(truth.time) == probe(sample_clip).frame_count
    np.testing.assert_allclose(np.diff(truth.time), 1 / 30, atol=1e-6)
    for side in "rl":
        assert 55 < np.ptp(truth[f"knee_angle_{side}"]) < 80
        assert truth[f"knee_angle_{side}"].min() > -5
        assert 40 < np.ptp(truth[f"hip_flexion_{side}"]) < 70
        assert 15 < np.ptp(truth[f"ankle_angle_{side}"]) < 45
    assert np.corrcoef(truth["hip_flexion_r"], truth["hip_flexion_l"])[0, 1] < -0.5
    assert truth["pelvis_tx"][-1] - truth["pelvis_tx"][0] > 2.5  # m, forwards


def test_the_clip_was_drawn_with_the_body_in_the_package(folder: Path) -> None:
    facts = json.loads((folder / "walk_truth.json").read_text(encoding="utf-8"))
    current = hashlib.sha256(DEFAULT_BODY.read_bytes()).hexdigest()
    assert facts["body_sha256"] == current, "the body has changed: run scripts/make_sample.py --motion FOLDER"


def test_the_person_is_where_the_ground_truth_projects(sample_clip: Path, folder: Path) -> None:
    """In a late frame the room is the one of the first frame, but for a person around the true joints."""
    with np.load(folder / "walk_truth.npz", allow_pickle=False) as truth:
        camera = Camera(truth["camera_matrix"], truth["camera_rotation"], truth["camera_translation"], 1280, 960)
        joints = load_actor().joints(truth["pose"], truth["betas"], truth["transl"])
        count = len(truth["time"])
    first, last = (
        frame.image.astype(float) for frame in read_frames(probe(sample_clip)) if frame.index in {0, count - 1}
    )
    changed = np.abs(last - first).max(axis=2) > 25
    for joint in ("pelvis", "left_knee", "right_knee", "left_ankle", "right_ankle", "head", "right_elbow"):
        x, y = camera.project(joints[-1, INDEX[joint]])
        assert changed[int(y), int(x)], joint
    at = camera.project(joints[-1])
    above_floor = changed[: int(at[INDEX["pelvis"], 1]), 700:]  # no shadow; the first frame's person is further left
    rows, columns = np.nonzero(above_floor)
    assert columns.min() + 700 > at[:, 0].min() - 60
    assert columns.max() + 700 < at[:, 0].max() + 60
    assert rows.min() > at[:, 1].min() - 80
