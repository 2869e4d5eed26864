"""The evaluation of NeurIK: a judge that finds what is put in, and a table with what it promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from biopose_cli.benchmarks import neurik
from biopose_cli.benchmarks.neurik import NUM_FRAMES, Person, evaluate, held_out_people
from biopose_cli.body.markers import MARKERS
from biopose_cli.body.model import load_body
from biopose_cli.errors import SettingError
from biopose_cli.ik.network import BODIES, NeurIK, NeurIKConfig
from biopose_cli.metrics.pose import body_errors
from biopose_cli.progress import NullProgress
from biopose_cli.skeleton.bony_landmarks import dimensions
from biopose_cli.skeleton.kinematics import Kinematics
from biopose_cli.skeleton.scaling import model_from_factors
from biopose_cli.synthesis.joint_motion import INDEX, sample
from biopose_cli.synthesis.marker_noise import LEVELS
from biopose_cli.synthesis.subjects import ScaledSubject
from biopose_cli.typing import Array
from tests.helpers import mocap_archives
from tests.helpers.mocap_archives import small_archives
from tests.helpers.synthetic_markers import default_model, network_inputs

SIZE = NeurIKConfig(window=8, channels=4, convolutions=1, kernel=3, width=16, layers=1, heads=2, feedforward=32)
ERRORS = {"mae_angle_deg", "mpblpe_mm", "mpblpe_rooted_mm", "mae_body_mm"}
METHODS = ("network", "solver")


@pytest.fixture(scope="module")
def evaluator() -> neurik._Evaluator:
    torch.set_num_threads(1)
    return neurik._Evaluator(default_model()[1])


@pytest.fixture(scope="module")
def person() -> Person:
    """Somebody in ten frames of made-up motion, their markers exactly on the bones."""
    wearer = ScaledSubject(load_body(), np.array([1.0, -0.5, *[0.0] * 8]))
    columns = [INDEX[name] for name in wearer.spec.coordinates]
    q = sample(1, 10, 30.0, np.random.default_rng(2))[0][:, columns].astype(float)
    markers = Kinematics(wearer.spec).markers(torch.as_tensor(q)).numpy()
    return Person(wearer, "nobody", markers, q)


@pytest.fixture(scope="module")
def motion(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return small_archives(shared, tmp_path_factory.mktemp("motion"))


@pytest.fixture(scope="module")
def report(motion: Path) -> dict[str, Any]:
    """What is found of a network that knows nothing, and of the solver, on two people."""
    return evaluate(motion, untrained(), default_model()[1], NullProgress(), people=2, methods=METHODS)


def untrained() -> NeurIK:
    torch.manual_seed(0)
    return NeurIK(SIZE, *network_inputs()).eval()


def evaluate_answer(evaluator: neurik._Evaluator, person: Person, q: Array, scale: Array) -> neurik._Result:
    return evaluator.evaluate(person, lambda *_: (q, scale), person.markers, NullProgress())


def test_the_truth_has_no_errors(evaluator: neurik._Evaluator, person: Person) -> None:
    found = evaluate_answer(evaluator, person, person.q, person.subject_model.factors)
    assert (found.mae_angle, found.mpblpe, found.mpblpe_rooted, found.mae_body) == (0, 0, 0, 0)
    assert set(found.angles.values()) == {0.0}
    assert "pelvis_tx" not in found.angles
    assert "knee_angle_r_beta" not in found.angles
    assert len(found.angles) == 37


def test_a_pelvis_offset_counts_only_in_the_unrooted_error(evaluator: neurik._Evaluator, person: Person) -> None:
    columns = [person.subject_model.spec.coordinates.index(f"pelvis_t{axis}") for axis in "xyz"]
    q = person.q.copy()
    q[:, columns] += [0.0, 0.006, -0.008]
    found = evaluate_answer(evaluator, person, q, person.subject_model.factors)
    assert found.mpblpe == pytest.approx(10)
    assert found.mpblpe_rooted == pytest.approx(0, abs=1e-9)
    assert (found.mae_angle, found.mae_body) == (0, 0)


def test_scales_10_percent_off_count_by_the_generic_length_of_each_body(
    evaluator: neurik._Evaluator, person: Person
) -> None:
    places = default_model()[1]
    sizes = dimensions(model_from_factors(dict.fromkeys(BODIES, np.ones(3)), places, 75.0).model)
    factors = person.subject_model.factors + 0.1
    found = evaluate_answer(evaluator, person, person.q, factors)
    lengths = [size.max() for size in sizes.values() if size.max() > 0]
    assert found.mae_body == pytest.approx(100 * np.mean(lengths))
    assert 5 < found.mae_body < 50
    assert found.mpblpe_rooted > 5
    assert found.mae_angle == 0
    femur = person.subject_model.spec.bodies.index("femur_r")
    one = person.subject_model.factors.copy()
    one[femur] += 0.1
    assert body_errors(one, person.subject_model.factors, evaluator.dimensions)[femur] == pytest.approx(
        100 * sizes["femur_r"][1]
    )


def test_an_angle_counts_for_itself_and_in_the_mean(evaluator: neurik._Evaluator, person: Person) -> None:
    q = person.q.copy()
    q[:, person.subject_model.spec.coordinates.index("neck_bending")] += np.radians(3.7)
    found = evaluate_answer(evaluator, person, q, person.subject_model.factors)
    assert found.angles["neck_bending"] == pytest.approx(3.7)
    assert found.mae_angle == pytest.approx(3.7 / len(found.angles))
    assert found.mae_body == 0


def test_the_solver_finds_the_angles_of_exact_markers(evaluator: neurik._Evaluator, person: Person) -> None:
    run = neurik._make_method("solver", untrained(), evaluator, None)
    found = evaluator.evaluate(person, run, person.markers, NullProgress())
    assert found.mpblpe < 1
    assert found.mae_body == 0


def test_the_solver_after_the_network_starts_from_its_angles(evaluator: neurik._Evaluator, person: Person) -> None:
    """Without an iteration that is all it does, on the person's own skeleton; with some it comes nearer."""
    names = person.subject_model.spec.coordinates
    alone, _ = neurik._make_method("network", untrained(), evaluator, None)(person, person.markers)
    start, scale = neurik._make_method("network_plus_solver", untrained(), evaluator, 0)(person, person.markers)
    kept = [i for i, name in enumerate(names) if not name.endswith("_beta") and not name.startswith("pelvis")]
    np.testing.assert_allclose(start[:, kept], alone[:, kept], atol=1e-5)
    np.testing.assert_array_equal(scale, person.subject_model.factors)
    refined, _ = neurik._make_method("network_plus_solver", untrained(), evaluator, None)(person, person.markers)
    assert np.abs(refined - person.q).mean() < 0.5 * np.abs(start - person.q).mean()


def test_the_table_has_what_the_docstring_says(report: dict[str, Any]) -> None:
    assert set(report) == {*METHODS, "levels", "coordinates", "marker_rms_mm", "people", "frames"}
    assert report["people"] == 2
    assert report["frames"] == 2 * NUM_FRAMES
    assert list(report["levels"]) == list(LEVELS)
    for level in LEVELS:
        assert set(report["levels"][level]) == set(METHODS)
        for method, found in report["levels"][level].items():
            ahead = {} if method == "network" else found["network_gain"]
            assert set(found) == {*ERRORS, "frames_per_s"} | ({"network_gain"} if ahead else set())
            assert all(np.isfinite(found[name]) for name in ERRORS)
            assert found["frames_per_s"] > 0
    assert report["levels"]["clean"] == {method: report[method] for method in METHODS}
    for method in METHODS:
        mean = np.mean(list(report["coordinates"][method].values()))
        assert mean == pytest.approx(report[method]["mae_angle_deg"], rel=1e-6, abs=1e-9)


def test_the_paired_gain_over_the_network(report: dict[str, Any]) -> None:
    """Of an untaught network, nobody is behind when the markers are clean."""
    ahead = report["solver"]["network_gain"]
    assert ahead["people"] == 0
    gain = report["solver"]["mae_angle_deg"] - report["network"]["mae_angle_deg"]
    assert ahead["mean_deg"] == pytest.approx(gain, rel=1e-6)
    assert ahead["standard_error_deg"] < -ahead["mean_deg"]


def test_the_solvers_errors_are_zero_on_clean_markers_and_grow_with_noise(
    report: dict[str, Any],
) -> None:
    assert report["solver"]["mpblpe_mm"] < 0.5  # its own answer is the truth
    errors = [report["levels"][level]["solver"]["mpblpe_mm"] for level in LEVELS]
    assert errors == sorted(errors)
    assert errors[-1] > 10
    assert report["solver"]["mae_body_mm"] == 0
    assert report["network"]["mae_body_mm"] > 0
    assert report["network"]["mae_angle_deg"] > report["solver"]["mae_angle_deg"]  # it knows nothing yet


def test_the_noise_has_the_size_of_its_level(report: dict[str, Any]) -> None:
    rms = report["marker_rms_mm"]
    assert rms["clean"] == pytest.approx(0, abs=1e-3)
    assert 0 < rms["low"] < rms["medium"] < rms["high"]
    assert 10 < rms["high"] < 60


def test_people_are_held_out_subjects_in_turn_and_always_the_same(motion: Path) -> None:
    crowd, again = (held_out_people(motion, people, NullProgress()) for people in (2, 1))
    assert {person.subject for person in crowd} == mocap_archives.HELD_OUT
    np.testing.assert_array_equal(crowd[0].markers, again[0].markers)
    for person in crowd:
        assert person.markers.shape == (NUM_FRAMES, len(MARKERS), 3)
        assert person.q.shape == (NUM_FRAMES, len(person.subject_model.spec.coordinates))
    assert np.abs(crowd[0].subject_model.factors - crowd[1].subject_model.factors).max() > 0.01


def test_motion_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="--motion") as caught:
        held_out_people(tmp_path / "nowhere", 1, NullProgress())
    assert "\n" not in str(caught.value)
