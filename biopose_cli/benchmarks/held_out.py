"""Rendered people with the motion of held-out subjects: the test set of mesh recovery."""

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

_SEED = 30_000  # far from the seeds of training


def load_detections(path: Path) -> RenderedDetections:
    """Load the rendered people in `path`.

    Raises
    ------
    SettingError
        The file does not exist or holds something else.
    """
    try:
        return RenderedDetections.load(path)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise SettingError(
            f"cannot read rendered people from {path}: {reason}", "Remove it; it will be made again"
        ) from error


def held_out_detections(motion: Path, folder: Path, progress: Progress, count: int = 920) -> Path:
    """Render random people with the motion of held-out subjects and run the detector: a file in `folder`.

    An existing file is reused. Its name contains a hash of the poses, so that those of earlier corrections are not
    reused.

    Parameters
    ----------
    motion : folder of the motion-capture archives
    folder : output folder
    progress : reports the rendering
    count : number of people

    Returns
    -------
    Path
        The file.

    Raises
    ------
    SettingError
        `motion` lacks the archives.
    """
    actor = load_actor()
    progress.start("motion capture", None)
    _, held_out_motions = captured_motions(motion, actor.body)
    subjects = np.repeat([take.subject for take in held_out_motions], [len(take.pose) for take in held_out_motions])
    poses = np.concatenate([take.pose for take in held_out_motions])
    rounded = np.round(poses, 4).astype(np.float32)  # rad: processors differ in the last digits
    path = folder / f"detections_{hashlib.sha256(rounded.tobytes()).hexdigest()[:12]}_{count}.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        weights = assets.ensure(assets.required_assets("heavy"), progress)["heavy"]
        render_and_detect(actor, weights, poses, subjects, count, _SEED, progress, processes=2).save(path)
    return path
