"""What MQ-HMR learns from and is checked with: synthetic views, or rendered pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from biopose_cli import assets
from biopose_cli.body.model import Body
from biopose_cli.mesh.taps import CROP, DEFAULT
from biopose_cli.progress import Progress
from biopose_cli.training import pictures
from biopose_cli.training.keypoint_noise import Bank
from biopose_cli.training.mqhmr_config import Config
from biopose_cli.training.postures import Postures
from biopose_cli.training.render import load_actor
from biopose_cli.training.retarget import Motion
from biopose_cli.training.sights import Sights
from biopose_cli.training.views import Batch, Views

_CHECKED = (8, 512)  # batches of views of held-out motion
_POSES = 200_000  # from which pictures are drawn
_HELD_OUT = 25  # of so many pictures, one is of held-out subjects
_FOR_CHECKS = 10  # of so many of the detector's errors, one

Source = tuple[Views | Sights, list[Batch]]  # of batches to learn from, and those of held-out subjects


def synthetic(
    config: Config, folder: Path, body: Body, postures: Postures, held: list[Motion], progress: Progress
) -> Source:
    """Views without end, and checks of the held-out subjects' motion with errors that are kept apart."""
    bank = _bank(folder / "bank.npz", config, postures, body, progress)
    learned, kept = bank.apart(_FOR_CHECKS)
    checks = Views(body, Postures(held, 1.0, 0.0, 0.0), kept, _CHECKED[1], config.seed + 1)
    tests = [checks.batch(number) for number in range(_CHECKED[0])]
    return Views(body, postures, learned, config.batch, config.seed), tests


def pictured(
    config: Config, folder: Path, body: Body, postures: Postures, held: list[Motion], progress: Progress
) -> Source:
    """Rendered pictures with what the network is to see of them, and some of the held-out subjects."""
    of_held = np.concatenate([motion.pose for motion in held])
    subjects = np.repeat([motion.subject for motion in held], [len(motion.pose) for motion in held])
    share = max(1, config.pictures // _HELD_OUT)
    stored = (CROP,) if config.encoder else DEFAULT
    sets = [
        _rendered(folder / "pictures", postures, config.pictures, config.seed, stored, progress),
        pictures.make(
            folder / "held_out",
            load_actor(),
            _detector(progress),
            of_held,
            subjects,
            share,
            config.seed + 30_000,
            stored,
            progress,
            processes=os.cpu_count() or 1,
        ),
    ]
    taps = config.size.seen
    learn, check = (
        Sights(body, one, config.batch, config.seed, taps, keypoints=config.keypoints) for one in sets
    )
    parts = np.array_split(np.arange(len(check)), -(-len(check) // _CHECKED[1]))
    rng = np.random.default_rng((config.seed, 3))
    return learn, [check.part(part, rng) for part in parts]


def _bank(path: Path, config: Config, postures: Postures, body: Body, progress: Progress) -> Bank:
    """The detector's errors on rendered people, from `path` if they are there."""
    if not path.exists():
        seen = _rendered(path.parent / "looks", postures, config.looks, config.seed, (), progress)
        Bank.of(seen.looks, body).save(path)
    return Bank.load(path)


def _rendered(
    folder: Path, postures: Postures, count: int, seed: int, taps: Sequence[str], progress: Progress
) -> pictures.Pictures:
    """Pictures of people in these postures, and what the detector sees of them."""
    poses = postures.draw(_POSES, np.random.default_rng((seed, 2)))
    everybody = np.full(len(poses), "training")
    return pictures.make(
        folder,
        load_actor(),
        _detector(progress),
        poses,
        everybody,
        count,
        seed,
        taps,
        progress,
        processes=os.cpu_count() or 1,
    )


def _detector(progress: Progress) -> Path:
    return assets.ensure(assets.needed("heavy"), progress)["heavy"]
