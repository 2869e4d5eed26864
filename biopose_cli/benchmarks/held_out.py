"""Rendered people who move as the held-out subjects do: the pictures on which mesh recovery is judged."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np

from biopose_cli.errors import SettingError
from biopose_cli.io import assets
from biopose_cli.progress import Progress
from biopose_cli.synthesis.rendered_detections import RenderedDetections, render_and_detect
from biopose_cli.synthesis.rendering import load_actor
from biopose_cli.training.marker_dataset import captured_motions

_SEED = 30_000  # far from any training's


def load_looks(path: Path) -> RenderedDetections:
    """The rendered people in `path`.

    Raises
    ------
    SettingError
        The file is not there or holds something else.
    """
    try:
        return RenderedDetections.load(path)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise SettingError(
            f"cannot read rendered people from {path}: {reason}", "Remove it: they are made anew"
        ) from error


def held_out_looks(motion: Path, folder: Path, progress: Progress, count: int = 920) -> Path:
    """Pictures of random people who move as the held-out subjects do, and what the detector sees: a file in `folder`.

    Made once. Its name tells by which poses, so that those of an earlier calibration are not taken for today's.

    motion: the folder with the motion-capture archives.

    Raises
    ------
    SettingError
        `motion` lacks the archives.
    """
    actor = load_actor()
    progress.start("motion capture", None)
    _, held = captured_motions(motion, actor.body)
    subjects = np.repeat([take.subject for take in held], [len(take.pose) for take in held])
    poses = np.concatenate([take.pose for take in held])
    rounded = np.round(poses, 4).astype(np.float32)  # rad: processors differ in the last digits
    path = folder / f"detections_{hashlib.sha256(rounded.tobytes()).hexdigest()[:12]}_{count}.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        weights = assets.ensure(assets.required_assets("heavy"), progress)["heavy"]
        render_and_detect(actor, weights, poses, subjects, count, _SEED, progress, processes=2).save(path)
    return path
