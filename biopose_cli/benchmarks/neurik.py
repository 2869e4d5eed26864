"""NeurIK on held-out people and motion: a table like the paper's Table 2, and frames/s.

Random bodies perform held-out subjects' motion capture; their virtual markers, clean or noisy, are the input. The truth
is defined as in training: the angles that our solver finds on the clean markers with the skeleton scaled to the person.
So the solver's own error on clean markers is 0 by definition; on noisy ones it is not.

The methods' inputs differ, as in the product. The network gets markers only and predicts angles and scales, and so does
`solver_from_markers` (the paper's optimisation, section 3.1, on the skeleton with typical marker positions). Solver,
network plus solver and OpenSim get the skeleton scaled to the person with exact marker positions: their `mae_body_mm`
is 0, and their angles have an advantage over the network's. An arm's posture on the other Euler branch
(`skeleton/euler_branches.py`) is no error, for any method.
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

FRAME_RATE = 30.0  # frames/s, the most common of videos
NUM_FRAMES = 60  # per person: 2 s
METHODS = ("network", "network_plus_solver", "solver_from_markers", "solver", "opensim")
_SEED = 20_000  # far from the seeds of training
_PELVIS_TRANSLATIONS = ("pelvis_tx", "pelvis_ty", "pelvis_tz")


@dataclass(frozen=True)
class Person:
    """One held-out person: `markers` (T, M, 3) m of the body, and their true angles `q` (T, D)."""

    subject_model: ScaledSubject
    subject: str
    markers: Array
    q: Array


def evaluate(
    motion: Path,
    network: NeurIK,
    marker_locations: Array,
    progress: Progress,
    people: int = 24,
    iterations: int | None = None,
    methods: Sequence[str] = METHODS,
) -> dict[str, Any]:
    """Errors and frames/s of every method at every noise level.

    Parameters
    ----------
    motion : folder of the motion-capture archives
    network : the network to evaluate
    marker_locations : (M, 3) m, typical positions of the markers on the unscaled bones (from the network's file)
    progress : reports the current method
    people : number of people
    iterations : of the solver after the network; None: to convergence
    methods : of `METHODS`

    Returns
    -------
    dict
        By method (`network`, `network_plus_solver`, `solver_from_markers`, `solver`, `opensim`), on clean markers:
        `mae_angle_deg`, `mpblpe_mm`, `mpblpe_rooted_mm` (pelvis origins aligned), `mae_body_mm`, `frames_per_s`; except
        for `network` also `network_gain`: on how many `people` the network's angles are better, the mean gain
        `mean_deg` and its `standard_error_deg`. `levels`: the same by noise level. `coordinates`: degrees by angle,
        clean. Also `people`, `frames`, and `marker_rms_mm` by level, without the mean displacement of each frame.

    Raises
    ------
    SettingError
        The folder lacks the archives.
    """
    persons = held_out_people(motion, people, progress)
    evaluator = _Evaluator(marker_locations)
    levels: dict[str, dict[str, Any]] = {}
    coordinates: dict[str, dict[str, float]] = {}
    noise_mm: dict[str, float] = {}
    for level in LEVELS:
        noisy = [_noisy_markers(person, level, number) for number, person in enumerate(persons)]
        noise_mm[level] = float(np.mean([_rms(n, p.markers) for n, p in zip(noisy, persons, strict=True)]))
        levels[level] = {}
        network_results: list[_Result] = []
        for method in methods:
            progress.start(f"{level} markers, {method}", len(persons), "people")
            run = _make_method(method, network, evaluator, iterations)
            results = [
                evaluator.evaluate(person, run, noisy_markers, progress)
                for person, noisy_markers in zip(persons, noisy, strict=True)
            ]
            levels[level][method] = _mean(results)
            if method == "network":
                network_results = results
            elif network_results:
                levels[level][method]["network_gain"] = _paired_gain(network_results, results)
            if level == "clean":
                coordinates[method] = {
                    name: float(np.mean([f.angles[name] for f in results])) for name in results[0].angles
                }
    return levels["clean"] | {
        "levels": levels,
        "coordinates": coordinates,
        "marker_rms_mm": noise_mm,
        "people": len(persons),
        "frames": NUM_FRAMES * len(persons),
    }


def held_out_people(motion: Path, people: int, progress: Progress) -> list[Person]:
    """Random bodies in random takes of the held-out subjects, subjects in turn."""
    body = load_body()
    progress.start("held-out motion", None)
    _, held_out_motions = captured_motions(motion, body)
    stride = round(FPS / FRAME_RATE)
    min_frames = stride * NUM_FRAMES
    held_out_motions = [take for take in held_out_motions if len(take.pose) >= min_frames]
    subjects = sorted({take.subject for take in held_out_motions})
    persons = []
    for number in range(people):
        rng = np.random.default_rng((_SEED, number))
        subject_takes = [take for take in held_out_motions if take.subject == subjects[number % len(subjects)]]
        take = subject_takes[rng.integers(len(subject_takes))]
        first = int(rng.integers(len(take.pose) - min_frames + 1))
        frames = slice(first, first + min_frames, stride)
        subject_model = ScaledSubject(body, random_betas(rng))
        markers = subject_model.markers(take.pose[frames], take.transl[frames])
        persons.append(Person(subject_model, take.subject, markers, subject_model.solver.solve(markers).q))
    return persons


@dataclass(frozen=True)
class _Result:
    angles: dict[str, float]  # degrees
    mae_angle: float  # degrees
    mpblpe: float  # mm
    mpblpe_rooted: float  # mm
    mae_body: float  # mm
    seconds: float


_Method = Callable[[Person, Array], tuple[Array, Array]]  # markers (T, M, 3) -> q (T, D), scale (B, 3)


class _Evaluator:
    """Compares a method's result with the truth on the unscaled skeleton's landmarks and segments."""

    def __init__(self, marker_locations: Array) -> None:
        model = unscaled_model(marker_locations).model
        spec = extract_model(model)
        self.kinematics = Kinematics(spec)
        bony_landmarks = load_bony_landmarks()
        self.bodies = torch.tensor([spec.bodies.index(body) for body in bony_landmarks.bodies])
        self.landmark_locations = torch.as_tensor(bony_landmarks.locations)
        body_dimensions = dimensions(model)
        self.dimensions = np.stack([body_dimensions[body] for body in spec.bodies])
        self.is_rotational = opensim_ik.is_rotational(model)
        self.pelvis_translations = [spec.coordinates.index(name) for name in _PELVIS_TRANSLATIONS]

    def evaluate(self, person: Person, method: _Method, markers: Array, progress: Progress) -> _Result:
        start = perf_counter()
        q, scale = method(person, markers)
        seconds = perf_counter() - start
        gt_scale = person.subject_model.factors
        gt, pred = self._landmarks(person.q, gt_scale), self._landmarks(q, scale)
        pelvis_shift = (person.q - q)[:, None, self.pelvis_translations]
        spec = self.kinematics.spec
        angles, mean_angle_error = mae_angle(
            nearest_branch(spec, q, person.q), person.q, self.is_rotational, spec.coordinates
        )
        progress.advance()
        return _Result(
            angles=angles,
            mae_angle=mean_angle_error,
            mpblpe=mpblpe(pred, gt),
            mpblpe_rooted=mpblpe(pred + pelvis_shift, gt),
            mae_body=mae_body(scale, gt_scale, self.dimensions),
            seconds=seconds,
        )

    def _landmarks(self, q: Array, scale: Array) -> Array:
        factors = torch.as_tensor(scale)
        frames = self.kinematics.body_transforms(torch.as_tensor(q), factors)
        return np.asarray(self.kinematics.points(frames, self.bodies, self.landmark_locations, factors).numpy())


def _make_method(method: str, network: NeurIK, evaluator: _Evaluator, iterations: int | None) -> _Method:
    typical_solver = Solver(evaluator.kinematics)

    def run_network(person: Person, markers: Array) -> tuple[Array, Array]:
        prediction = predict(network, markers, person.subject_model.spec.coordinates)
        return prediction.q, np.stack([prediction.scale[body] for body in person.subject_model.spec.bodies])

    def run_network_plus_solver(person: Person, markers: Array) -> tuple[Array, Array]:
        init, _ = run_network(person, markers)
        max_iterations = ITERATIONS if iterations is None else iterations
        return person.subject_model.solver.solve(
            markers, init, iterations=max_iterations
        ).q, person.subject_model.factors

    def run_solver(person: Person, markers: Array) -> tuple[Array, Array]:
        return person.subject_model.solver.solve(markers).q, person.subject_model.factors

    def run_solver_from_markers(person: Person, markers: Array) -> tuple[Array, Array]:
        init = typical_solver.solve(markers).q
        groups = scale_groups_for_model(scale_groups().numpy(), BODIES, typical_solver.kinematics.spec)
        solution = solve_trajectory(typical_solver.kinematics, markers, init, groups=groups)
        return solution.q, solution.scale

    def run_opensim(person: Person, markers: Array) -> tuple[Array, Array]:
        time = np.arange(len(markers)) / FRAME_RATE
        solution = opensim_ik.solve(
            person.subject_model.scaled_model.model, MARKER_NAMES, markers, time, NullProgress()
        )
        return solution.q, person.subject_model.factors

    return {
        "network": run_network,
        "network_plus_solver": run_network_plus_solver,
        "solver_from_markers": run_solver_from_markers,
        "solver": run_solver,
        "opensim": run_opensim,
    }[method]


def _noisy_markers(person: Person, level: str, number: int) -> Array:
    """Markers (T, M, 3), m, NaN where hidden: the same for every method."""
    segments, parents = segment_tree(person.subject_model.spec)
    generator = torch.Generator().manual_seed(_SEED + number)
    clean = torch.as_tensor(person.markers, dtype=torch.float32)[None]
    markers, visible = add_noise(clean, segments, parents, FRAME_RATE, LEVELS[level], generator)
    return np.where(visible[0, ..., None].numpy(), markers[0].double().numpy(), np.nan)


def _rms(noisy: Array, clean: Array) -> float:
    """RMS displacement, mm, of the visible markers, without the mean displacement of each frame."""
    error = noisy - clean
    error = error - np.nanmean(error, axis=1, keepdims=True)
    return float(1000 * np.sqrt(np.nanmean((error**2).sum(-1))))


def _paired_gain(network_results: list[_Result], baseline_results: list[_Result]) -> dict[str, float]:
    gains = np.array([b.mae_angle - a.mae_angle for a, b in zip(network_results, baseline_results, strict=True)])
    error = float(gains.std(ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else float("nan")
    return {"people": int((gains > 0).sum()), "mean_deg": float(gains.mean()), "standard_error_deg": error}


def _mean(results: list[_Result]) -> dict[str, Any]:
    def mean_of(name: str) -> float:
        return float(np.mean([getattr(f, name) for f in results]))

    return {
        "mae_angle_deg": mean_of("mae_angle"),
        "mpblpe_mm": mean_of("mpblpe"),
        "mpblpe_rooted_mm": mean_of("mpblpe_rooted"),
        "mae_body_mm": mean_of("mae_body"),
        "frames_per_s": NUM_FRAMES * len(results) / sum(f.seconds for f in results),
    }
