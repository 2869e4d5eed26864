"""What MQ-HMR learns from and is checked with: synthetic views, or rendered pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from biopose_cli.body.model import Body
from biopose_cli.hmr.backbones.blazepose import CROP, DEFAULT
from biopose_cli.io import assets
from biopose_cli.progress import Progress
from biopose_cli.synthesis import rendered_images
from biopose_cli.synthesis.keypoint_error_bank import Bank
from biopose_cli.synthesis.pose_sampler import Postures
from biopose_cli.synthesis.rendering import load_actor
from biopose_cli.synthesis.retarget import Motion
from biopose_cli.training.mqhmr_config import Config
from biopose_cli.training.rendered_dataset import Sights
from biopose_cli.training.synthetic_dataset import Batch, Views
from biopose_cli.typing import Array

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
    people, everybody = _posed(postures, config.seed)
    sets = [
        _rendered(folder / name, poses, who, count, seed, stored, progress)
        for name, poses, who, count, seed in (
            ("pictures", people, everybody, config.pictures, config.seed),
            ("held_out", of_held, subjects, share, config.seed + 30_000),
        )
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
        people = _posed(postures, config.seed)
        seen = _rendered(path.parent / "looks", *people, config.looks, config.seed, (), progress)
        Bank.of(seen.looks, body).save(path)
    return Bank.load(path)


def _posed(postures: Postures, seed: int) -> tuple[Array, Array]:
    """Poses (P, 24, 3) of which pictures are taken, and whose they are."""
    poses = postures.draw(_POSES, np.random.default_rng((seed, 2)))
    return poses, np.full(len(poses), "training")


def _rendered(
    folder: Path,
    poses: Array,
    subjects: Array,
    count: int,
    seed: int,
    taps: Sequence[str],
    progress: Progress,
) -> rendered_images.Pictures:
    """Pictures of people in these poses, and what the detector sees of them."""
    weights = assets.ensure(assets.needed("heavy"), progress)["heavy"]
    processes = os.cpu_count() or 1
    return rendered_images.make(
        folder, load_actor(), weights, poses, subjects, count, seed, taps, progress, processes=processes
    )
