"""The embedded clip's files are those that `make_sample.py` makes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from biopose_cli.io.storage import read_motion
from biopose_cli.io.video.probe import probe
from biopose_cli.io.video.reader import read_frames
from biopose_cli.synthesis.rendering import load_actor, render_clip


def test_the_camera_is_that_of_the_clip(script: Callable[[str], ModuleType], sample_clip: Path) -> None:
    camera = script("make_sample").sample_camera()
    with np.load(sample_clip.with_name("walk_truth.npz"), allow_pickle=False) as truth:
        np.testing.assert_allclose(camera.matrix, truth["camera_matrix"])
        np.testing.assert_allclose(camera.rotation, truth["camera_rotation"], atol=1e-12)
        np.testing.assert_allclose(camera.translation, truth["camera_translation"])


def test_the_facts_and_the_first_image_are_reproduced(
    script: Callable[[str], ModuleType], sample_clip: Path, tmp_path: Path
) -> None:
    make_sample = script("make_sample")
    actor = load_actor()
    betas = actor.body.betas_for_stature(make_sample.STATURE, torch.tensor(make_sample.SHAPE)).numpy().astype(float)
    with np.load(sample_clip.with_name("walk_truth.npz"), allow_pickle=False) as truth:
        np.testing.assert_allclose(betas, truth["betas"], atol=1e-5)
        pose, transl = truth["pose"].astype(float), truth["transl"].astype(float)
    camera = make_sample.sample_camera()
    make_sample.write_facts(tmp_path, actor, pose, betas, transl, camera)
    written, shipped = (
        json.loads((folder / "walk_truth.json").read_text(encoding="utf-8"))
        for folder in (tmp_path, sample_clip.parent)
    )
    assert written.pop("betas") == pytest.approx(shipped.pop("betas"), abs=1e-4)
    assert written == shipped
    render = next(iter(render_clip(actor, pose[:1], betas, transl[:1], camera, make_sample.SEED)))
    first = next(frame.image for frame in read_frames(probe(sample_clip)))
    assert np.abs(render.image.astype(float) - first).mean() < 4  # what the compression changes


def test_the_true_angles_are_reproduced(run: Callable[..., ModuleType], sample_clip: Path, tmp_path: Path) -> None:
    shutil.copy(sample_clip.with_name("walk_truth.npz"), tmp_path)
    run("make_sample", "--angles", "--out", tmp_path)
    written, shipped = (read_motion(folder / "walk_truth.mot") for folder in (tmp_path, sample_clip.parent))
    assert written.names == shipped.names
    np.testing.assert_allclose(written.values, shipped.values, atol=0.01)
