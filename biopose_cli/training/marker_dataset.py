"""Training pairs for NeurIK: virtual markers of real motion on many bodies, with the joint angles that belong to them.

Labels are made as the paper makes them with OpenSim, by inverse kinematics on a skeleton scaled to every person, here
with our own scaling and solver. A file of `MarkerDataset` holds the people (scale factors and where their markers sit
on the bones) and windows of captured motion; joint-space motion on the same people is added while training
(`marker_loader.py`).

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
from biopose_cli.io.atomic import atomic_write
from biopose_cli.progress import Progress
from biopose_cli.synthesis.motion_library import load_motions
from biopose_cli.synthesis.retarget import Motion, RestBody, mirror_motion
from biopose_cli.synthesis.subjects import ScaledSubject, random_betas
from biopose_cli.typing import Array

FPS = 60.0
FRAMES = 64  # of a clip
# Subjects of the motion capture that no training sees. The takes of unknown walkers may be of one of them.
HELD_OUT_SUBJECTS = ("05", "07", "38", "39", "43", "49", "55")
EXCLUDED_SUBJECTS = ("unknown_walking", "unknown_walking_extra")
MAX_RESIDUAL = 0.02  # m, root mean square: above it the skeleton cannot follow the body, and the clip is left out


@dataclass(frozen=True)
class MarkerDataset:
    """`factors` (S, B, 3) and `marker_locations` (S, M, 3): people's scales, and their markers on the *unscaled* bones.
    `markers` (K, F, M, 3) and `q` (K, F, D): clips; `person` (K) wears them; `subject` (K) moved so."""

    factors: Array
    marker_locations: Array
    markers: Array
    q: Array
    person: Array
    subject: Array

    def save(self, path: Path) -> None:
        """Write all arrays to `path` (.npz), atomically."""
        with atomic_write(path) as temporary:
            np.savez(temporary, **{field.name: getattr(self, field.name) for field in fields(self)})

    @staticmethod
    def load(path: Path) -> MarkerDataset:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            return MarkerDataset(**{field.name: stored[field.name] for field in fields(MarkerDataset)})


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
    held_out = [motion for motion in motions if motion.subject in HELD_OUT_SUBJECTS]
    train = [motion for motion in motions if motion.subject not in (*HELD_OUT_SUBJECTS, *EXCLUDED_SUBJECTS)]
    return train, held_out


def build_dataset(
    motions: Sequence[Motion], people: int, clips: int, seed: int, processes: int, progress: Progress
) -> MarkerDataset:
    """`people` random bodies with `clips` random clips of `motions` each, half of them mirrored.

    processes: 1 works in this one, without others.
    """
    labeled = _label_motions(motions, progress)
    progress.start("people", people, "people")
    parts = []
    for part in _build_all(labeled, clips, [(seed, number) for number in range(people)], processes):
        parts.append(part)
        progress.advance()
    person = np.concatenate([np.full(len(part.q), i) for i, part in enumerate(parts)])
    columns = {f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(MarkerDataset)}
    return MarkerDataset(**(columns | {"person": person}))


@dataclass(frozen=True)
class _LabeledMotion:
    """A motion with its joint angles on the mean body: a start for every other body's."""

    pose: Array  # (T, 24, 3)
    transl: Array
    q: Array  # (T, D)
    subject: str


def _label_motions(motions: Sequence[Motion], progress: Progress) -> list[_LabeledMotion]:
    progress.start("motion capture on the mean body", 2 * len(motions), "takes")
    subject = ScaledSubject(load_body(), np.zeros(10))
    labeled = []
    for motion in motions:
        for pose, transl in ((motion.pose, motion.transl), mirror_motion(motion.pose, motion.transl)):
            q = subject.solver.solve(subject.markers(pose, transl)).q
            labeled.append(_LabeledMotion(pose, transl, q, motion.subject))
            progress.advance()
    return labeled


def _build_all(
    labeled: list[_LabeledMotion], clips: int, jobs: list[tuple[int, int]], processes: int
) -> Iterator[MarkerDataset]:
    if processes == 1:
        yield from (_build_person(labeled, clips, job) for job in jobs)
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_init_worker, initargs=(labeled,)) as pool:
        yield from pool.map(partial(_build_person_in_worker, clips), jobs)


_labeled_motions: list[_LabeledMotion] = []  # of a worker process: sent once, not with every person


def _init_worker(labeled: list[_LabeledMotion]) -> None:
    torch.set_num_threads(1)
    _labeled_motions[:] = labeled


def _build_person_in_worker(clips: int, job: tuple[int, int]) -> MarkerDataset:
    return _build_person(_labeled_motions, clips, job)


def _build_person(labeled: list[_LabeledMotion], clips: int, job: tuple[int, int]) -> MarkerDataset:
    rng = np.random.default_rng(job)
    subject = ScaledSubject(load_body(), random_betas(rng))
    lengths = np.array([len(motion.q) for motion in labeled], float)
    chosen = rng.choice(len(labeled), clips, p=np.sqrt(lengths) / np.sqrt(lengths).sum())
    poses, translations, initial_q, subjects = [], [], [], []
    for motion in (labeled[i] for i in chosen):
        first = rng.integers(0, len(motion.q) - FRAMES + 1)
        window = slice(first, first + FRAMES)
        poses.append(motion.pose[window])
        translations.append(motion.transl[window])
        initial_q.append(motion.q[window])
        subjects.append(motion.subject)
    markers = subject.markers(np.concatenate(poses), np.concatenate(translations))
    solution = subject.solver.solve(markers, np.concatenate(initial_q))
    rms = np.sqrt((solution.rms.reshape(clips, FRAMES) ** 2).mean(axis=1))
    valid = rms < MAX_RESIDUAL
    shape = (clips, FRAMES)
    return MarkerDataset(
        factors=subject.factors[None].astype(np.float32),
        marker_locations=subject.marker_locations[None].astype(np.float32),
        markers=markers.reshape(*shape, len(MARKERS), 3)[valid].astype(np.float32),
        q=solution.q.reshape(*shape, -1)[valid].astype(np.float32),
        person=np.zeros(int(valid.sum()), int),
        subject=np.array(subjects)[valid],
    )
