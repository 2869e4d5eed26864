"""NeurIK on people and motion that its training never saw: a table like the paper's Table 2, and frames/s.

Held-out subjects' motion capture is worn by random bodies; their virtual markers, clean or noisy, are the input. The
truth is what training labels are too: the angles that our solver finds on the clean markers with the skeleton scaled
to the person. So the solver's own error on clean markers is nothing by definition; on noisy ones it is not.

What each method is given differs, as it does in the product. The network sees markers only and estimates angles and
scales; so does `solver_from_markers` (the paper's optimisation, section 3.1, on the skeleton with typical marker
places). Solver, network plus solver and OpenSim are given the skeleton scaled to the person, with every marker exactly
in its place: their `mae_body_mm` is 0, and their angles have an advantage over the network's. An arm's posture under
its other name (`skeleton/euler_branches.py`) is no error, for no method.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from biopose_cli.body.markers import MARKER_NAMES
from biopose_cli.body.model import load_body
from biopose_cli.ik.network import BODIES, NeurIK, scale_groups
from biopose_cli.ik.predict import predict
from biopose_cli.ik.solver import ITERATIONS, Solver
from biopose_cli.ik.trajectory import scale_groups_for_model, solve_trajectory
from biopose_cli.metrics.pose import mae_angle, mae_body, mpblpe
from biopose_cli.progress import NullProgress, Progress
from biopose_cli.skeleton import opensim_ik
from biopose_cli.skeleton.bony_landmarks import dimensions, load_bony_landmarks
from biopose_cli.skeleton.euler_branches import nearest_branch
from biopose_cli.skeleton.extract import extract_model
from biopose_cli.skeleton.kinematics import Kinematics
from biopose_cli.skeleton.scaling import unscaled_model
from biopose_cli.synthesis.marker_noise import LEVELS, add_noise
from biopose_cli.synthesis.subjects import ScaledSubject, random_betas
from biopose_cli.training.marker_dataset import FPS, captured_motions
from biopose_cli.training.marker_loader import segment_tree
from biopose_cli.typing import Array

RATE = 30.0  # frames/s, the most common of videos
FRAMES = 60  # of every person: 2 s
METHODS = ("network", "network_plus_solver", "solver_from_markers", "solver", "opensim")
_SEED = 20_000  # far from any training's
_ROOT = ("pelvis_tx", "pelvis_ty", "pelvis_tz")


@dataclass(frozen=True)
class Person:
    """One held-out person: `markers` (T, M, 3) m of the body, `q` (T, D) the angles that belong to them."""

    wearer: ScaledSubject
    subject: str
    markers: Array
    q: Array


def evaluate(
    motion: Path,
    network: NeurIK,
    places: Array,
    progress: Progress,
    people: int = 24,
    iterations: int | None = None,
    methods: Sequence[str] = METHODS,
) -> dict[str, Any]:
    """Errors and frames/s of every method at every level of noise.

    Parameters
    ----------
    motion
        Folder with the motion-capture archives.
    places
        (M, 3) m, the markers' typical places on the unscaled bones (they come with the network).
    iterations
        Of the solver after the network; None: to convergence.

    Returns
    -------
    dict
        `network`, `network_plus_solver`, `solver_from_markers`, `solver`, `opensim`: on clean markers, each
        `mae_angle_deg`, `mpblpe_mm`, `mpblpe_rooted_mm` (the pelvis' origin laid on the true one), `mae_body_mm`,
        `frames_per_s`; but for `network` also `network_ahead`: on how many `people` the network's angles are the better
        ones, `by_deg` on average, and the `standard_error_deg` of that mean. `levels`: the same by level of noise;
        `coordinates`: degrees by angle, clean; `people`,
        `frames`; `marker_rms_mm` by level, the mean displacement of each frame taken away.

    Raises
    ------
    SettingError
        The folder lacks the archives.
    """
    crowd = held_out_people(motion, people, progress)
    judge = _Judge(places)
    levels: dict[str, dict[str, Any]] = {}
    coordinates: dict[str, dict[str, float]] = {}
    noise_mm: dict[str, float] = {}
    for level in LEVELS:
        noisy = [_noisy(person, level, number) for number, person in enumerate(crowd)]
        noise_mm[level] = float(np.mean([_rms(n, p.markers) for n, p in zip(noisy, crowd, strict=True)]))
        levels[level] = {}
        first: list[_Found] = []
        for method in methods:
            progress.start(f"{level} markers, {method}", len(crowd), "people")
            run = _runner(method, network, judge, iterations)
            found = [
                judge.judged(person, run, seen, progress) for person, seen in zip(crowd, noisy, strict=True)
            ]
            levels[level][method] = _mean(found)
            if method == "network":
                first = found
            elif first:
                levels[level][method]["network_ahead"] = _ahead(first, found)
            if level == "clean":
                coordinates[method] = {
                    name: float(np.mean([f.angles[name] for f in found])) for name in found[0].angles
                }
    return levels["clean"] | {
        "levels": levels,
        "coordinates": coordinates,
        "marker_rms_mm": noise_mm,
        "people": len(crowd),
        "frames": FRAMES * len(crowd),
    }


def held_out_people(motion: Path, people: int, progress: Progress) -> list[Person]:
    """Random bodies in random takes of the held-out subjects, subjects in turn."""
    body = load_body()
    progress.start("held-out motion", None)
    _, held = captured_motions(motion, body)
    stride = round(FPS / RATE)
    needed = stride * FRAMES
    held = [take for take in held if len(take.pose) >= needed]
    subjects = sorted({take.subject for take in held})
    crowd = []
    for number in range(people):
        rng = np.random.default_rng((_SEED, number))
        own = [take for take in held if take.subject == subjects[number % len(subjects)]]
        take = own[rng.integers(len(own))]
        first = int(rng.integers(len(take.pose) - needed + 1))
        chosen = slice(first, first + needed, stride)
        wearer = ScaledSubject(body, random_betas(rng))
        markers = wearer.markers(take.pose[chosen], take.transl[chosen])
        crowd.append(Person(wearer, take.subject, markers, wearer.solver.solve(markers).q))
    return crowd


@dataclass(frozen=True)
class _Found:
    angles: dict[str, float]  # degrees
    mae_angle: float  # degrees
    mpblpe: float  # mm
    mpblpe_rooted: float  # mm
    mae_body: float  # mm
    seconds: float


_Run = Callable[[Person, Array], tuple[Array, Array]]  # markers (T, M, 3) -> q (T, D), scale (B, 3)


class _Judge:
    """Compares a method's answer with the truth on the unscaled skeleton's landmarks and segments."""

    def __init__(self, places: Array) -> None:
        model = unscaled_model(places).model
        table = extract_model(model)
        self.kinematics = Kinematics(table)
        sites = load_bony_landmarks()
        self.bodies = torch.tensor([table.bodies.index(body) for body in sites.bodies])
        self.places = torch.as_tensor(sites.locations)
        sizes = dimensions(model)
        self.dimensions = np.stack([sizes[body] for body in table.bodies])
        self.rotational = opensim_ik.is_rotational(model)
        self.root = [table.coordinates.index(name) for name in _ROOT]

    def judged(self, person: Person, run: _Run, markers: Array, progress: Progress) -> _Found:
        began = perf_counter()
        q, scale = run(person, markers)
        seconds = perf_counter() - began
        truth_scale = person.wearer.factors
        truth, found = self._landmarks(person.q, truth_scale), self._landmarks(q, scale)
        shift = (person.q - q)[:, None, self.root]
        table = self.kinematics.spec
        angles, mean = mae_angle(
            nearest_branch(table, q, person.q), person.q, self.rotational, table.coordinates
        )
        progress.advance()
        return _Found(
            angles=angles,
            mae_angle=mean,
            mpblpe=mpblpe(found, truth),
            mpblpe_rooted=mpblpe(found + shift, truth),
            mae_body=mae_body(scale, truth_scale, self.dimensions),
            seconds=seconds,
        )

    def _landmarks(self, q: Array, scale: Array) -> Array:
        factors = torch.as_tensor(scale)
        frames = self.kinematics.body_transforms(torch.as_tensor(q), factors)
        return np.asarray(self.kinematics.points(frames, self.bodies, self.places, factors).numpy())


def _runner(method: str, network: NeurIK, judge: _Judge, iterations: int | None) -> _Run:
    typical = Solver(judge.kinematics)

    def guess(person: Person, markers: Array) -> tuple[Array, Array]:
        found = predict(network, markers, person.wearer.spec.coordinates)
        return found.q, np.stack([found.scale[body] for body in person.wearer.spec.bodies])

    def refine(person: Person, markers: Array) -> tuple[Array, Array]:
        start, _ = guess(person, markers)
        steps = ITERATIONS if iterations is None else iterations
        return person.wearer.solver.solve(markers, start, iterations=steps).q, person.wearer.factors

    def solve(person: Person, markers: Array) -> tuple[Array, Array]:
        return person.wearer.solver.solve(markers).q, person.wearer.factors

    def estimate(person: Person, markers: Array) -> tuple[Array, Array]:
        start = typical.solve(markers).q
        groups = scale_groups_for_model(scale_groups().numpy(), BODIES, typical.kinematics.spec)
        found = solve_trajectory(typical.kinematics, markers, start, groups=groups)
        return found.q, found.scale

    def opensim(person: Person, markers: Array) -> tuple[Array, Array]:
        time = np.arange(len(markers)) / RATE
        found = opensim_ik.solve(
            person.wearer.scaled_model.model, MARKER_NAMES, markers, time, NullProgress()
        )
        return found.q, person.wearer.factors

    return {
        "network": guess,
        "network_plus_solver": refine,
        "solver_from_markers": estimate,
        "solver": solve,
        "opensim": opensim,
    }[method]


def _noisy(person: Person, level: str, number: int) -> Array:
    """(T, M, 3), NaN where not seen: the same for every method."""
    segments, parents = segment_tree(person.wearer.spec)
    generator = torch.Generator().manual_seed(_SEED + number)
    clean = torch.as_tensor(person.markers, dtype=torch.float32)[None]
    markers, seen = add_noise(clean, segments, parents, RATE, LEVELS[level], generator)
    return np.where(seen[0, ..., None].numpy(), markers[0].double().numpy(), np.nan)


def _rms(noisy: Array, clean: Array) -> float:
    """mm, over the seen markers, the whole body's displacement of each frame taken away."""
    error = noisy - clean
    error = error - np.nanmean(error, axis=1, keepdims=True)
    return float(1000 * np.sqrt(np.nanmean((error**2).sum(-1))))


def _ahead(network: list[_Found], other: list[_Found]) -> dict[str, float]:
    gains = np.array([b.mae_angle - a.mae_angle for a, b in zip(network, other, strict=True)])
    error = float(gains.std(ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else float("nan")
    return {"people": int((gains > 0).sum()), "by_deg": float(gains.mean()), "standard_error_deg": error}


def _mean(found: list[_Found]) -> dict[str, Any]:
    def over(name: str) -> float:
        return float(np.mean([getattr(f, name) for f in found]))

    return {
        "mae_angle_deg": over("mae_angle"),
        "mpblpe_mm": over("mpblpe"),
        "mpblpe_rooted_mm": over("mpblpe_rooted"),
        "mae_body_mm": over("mae_body"),
        "frames_per_s": FRAMES * len(found) / sum(f.seconds for f in found),
    }
