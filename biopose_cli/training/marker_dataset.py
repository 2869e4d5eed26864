"""Training pairs for NeurIK: virtual markers of real motion on many bodies, with the joint angles that belong to them.

Labels are made as the paper makes them with OpenSim, by inverse kinematics on a skeleton scaled to every person, here
with our own scaling and solver. A `Pairs` file holds the people (scale factors and where their markers sit on the
bones) and windows of captured motion; joint-space motion on the same people is added while training (`stream.py`).

S people, K clips of F frames, M markers, D coordinates, B bodies; ground frame (OpenSim's axes); m and rad.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from biopose_cli.body.markers import MARKERS
from biopose_cli.body.model import Body, load_body
from biopose_cli.errors import SettingError
from biopose_cli.io.atomic import replacing
from biopose_cli.progress import Progress
from biopose_cli.synthesis.motion_library import load_motions
from biopose_cli.synthesis.retarget import Motion, RestBody, mirrored
from biopose_cli.synthesis.subjects import Wearer, random_betas
from biopose_cli.typing import Array

FPS = 60.0
FRAMES = 64  # of a clip
# Subjects of the motion capture that no training sees. The takes of unknown walkers may be of one of them.
HELD_OUT = ("05", "07", "38", "39", "43", "49", "55")
DOUBTFUL = ("unknown_walking", "unknown_walking_extra")
WORST = 0.02  # m, root mean square: above it the skeleton cannot follow the body, and the clip is left out


@dataclass(frozen=True)
class Pairs:
    """`factors` (S, B, 3) and `places` (S, M, 3): people's scales, and their markers on the *unscaled* bones.
    `markers` (K, F, M, 3) and `q` (K, F, D): clips; `person` (K) wears them; `subject` (K) moved so."""

    factors: Array
    places: Array
    markers: Array
    q: Array
    person: Array
    subject: Array

    def save(self, path: Path) -> None:
        with replacing(path) as temporary:
            np.savez(temporary, **{field.name: getattr(self, field.name) for field in fields(self)})

    @staticmethod
    def load(path: Path) -> Pairs:
        with np.load(path, allow_pickle=False) as stored:
            return Pairs(**{field.name: stored[field.name] for field in fields(Pairs)})


def captured_motions(folder: Path, body: Body) -> tuple[list[Motion], list[Motion]]:
    """The motion capture in `folder` at 60 frames/s: training and held-out motions, split by subject.

    Raises
    ------
    SettingError
        The folder lacks the archives.
    """
    zero = torch.zeros(1, 3)
    with torch.no_grad():
        soles = body.vertices(torch.zeros(1, 23, 3), zero, torch.zeros(10), zero)[0, :, 1].min()
        rest = RestBody(body.rest_joints(torch.zeros(10)).double().numpy(), float(soles))
    try:
        motions = [m for m in load_motions(folder, rest, FPS) if len(m.pose) >= FRAMES]
    except OSError as error:
        raise SettingError(
            f"--motion: {error.filename} cannot be read ({error.strerror})",
            "Name the folder of the motion-capture archives",
        ) from error
    held = [motion for motion in motions if motion.subject in HELD_OUT]
    train = [motion for motion in motions if motion.subject not in (*HELD_OUT, *DOUBTFUL)]
    return train, held


def build(
    motions: Sequence[Motion], people: int, clips: int, seed: int, processes: int, progress: Progress
) -> Pairs:
    """`people` random bodies with `clips` random clips of `motions` each, half of them mirrored.

    processes: 1 works in this one, without others.
    """
    known = _labelled(motions, progress)
    progress.start("people", people, "people")
    parts = []
    for part in _everybody(known, clips, [(seed, number) for number in range(people)], processes):
        parts.append(part)
        progress.advance()
    person = np.concatenate([np.full(len(part.q), i) for i, part in enumerate(parts)])
    joined = {f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Pairs)}
    return Pairs(**(joined | {"person": person}))


@dataclass(frozen=True)
class _Known:
    """A motion with its joint angles on the mean body: a start for every other body's."""

    pose: Array  # (T, 24, 3)
    transl: Array
    q: Array  # (T, D)
    subject: str


def _labelled(motions: Sequence[Motion], progress: Progress) -> list[_Known]:
    progress.start("motion capture on the mean body", 2 * len(motions), "takes")
    wearer = Wearer(load_body(), np.zeros(10))
    known = []
    for motion in motions:
        for pose, transl in ((motion.pose, motion.transl), mirrored(motion.pose, motion.transl)):
            q = wearer.solver.solve(wearer.markers(pose, transl)).q
            known.append(_Known(pose, transl, q, motion.subject))
            progress.advance()
    return known


def _everybody(
    known: list[_Known], clips: int, jobs: list[tuple[int, int]], processes: int
) -> Iterator[Pairs]:
    if processes == 1:
        yield from (_person(known, clips, job) for job in jobs)
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_begin, initargs=(known,)) as pool:
        yield from pool.map(partial(_person_of_worker, clips), jobs)


_known: list[_Known] = []  # of a worker process: sent once, not with every person


def _begin(known: list[_Known]) -> None:
    torch.set_num_threads(1)
    _known[:] = known


def _person_of_worker(clips: int, job: tuple[int, int]) -> Pairs:
    return _person(_known, clips, job)


def _person(known: list[_Known], clips: int, job: tuple[int, int]) -> Pairs:
    rng = np.random.default_rng(job)
    wearer = Wearer(load_body(), random_betas(rng))
    lengths = np.array([len(motion.q) for motion in known], float)
    chosen = rng.choice(len(known), clips, p=np.sqrt(lengths) / np.sqrt(lengths).sum())
    poses, translations, starts, subjects = [], [], [], []
    for motion in (known[i] for i in chosen):
        first = rng.integers(0, len(motion.q) - FRAMES + 1)
        part = slice(first, first + FRAMES)
        poses.append(motion.pose[part])
        translations.append(motion.transl[part])
        starts.append(motion.q[part])
        subjects.append(motion.subject)
    markers = wearer.markers(np.concatenate(poses), np.concatenate(translations))
    solution = wearer.solver.solve(markers, np.concatenate(starts))
    rms = np.sqrt((solution.rms.reshape(clips, FRAMES) ** 2).mean(axis=1))
    good = rms < WORST
    shape = (clips, FRAMES)
    return Pairs(
        factors=wearer.factors[None].astype(np.float32),
        places=wearer.places[None].astype(np.float32),
        markers=markers.reshape(*shape, len(MARKERS), 3)[good].astype(np.float32),
        q=solution.q.reshape(*shape, -1)[good].astype(np.float32),
        person=np.zeros(int(good.sum()), int),
        subject=np.array(subjects)[good],
    )
