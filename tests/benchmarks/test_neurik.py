"""The evaluation of NeurIK: a judge that finds what is put in, and a table with what it promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from biopose_cli.benchmarks import neurik
from biopose_cli.benchmarks.neurik import FRAMES, Person, evaluate, held_out_people
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
from tests.helpers.synthetic_markers import parts, typical

SIZE = NeurIKConfig(
    window=8, channels=4, convolutions=1, kernel=3, width=16, layers=1, heads=2, feedforward=32
)
ERRORS = {"mae_angle_deg", "mpblpe_mm", "mpblpe_rooted_mm", "mae_body_mm"}
METHODS = ("network", "solver")


@pytest.fixture(scope="module")
def judge() -> neurik._Judge:
    torch.set_num_threads(1)
    return neurik._Judge(typical()[1])


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
def table(motion: Path) -> dict[str, Any]:
    """What is found of a network that knows nothing, and of the solver, on two people."""
    return evaluate(motion, untaught(), typical()[1], NullProgress(), people=2, methods=METHODS)


def untaught() -> NeurIK:
    torch.manual_seed(0)
    return NeurIK(SIZE, *parts()).eval()


def judged(judge: neurik._Judge, person: Person, q: Array, scale: Array) -> neurik._Found:
    return judge.judged(person, lambda *_: (q, scale), person.markers, NullProgress())


def test_the_truth_has_no_errors(judge: neurik._Judge, person: Person) -> None:
    found = judged(judge, person, person.q, person.wearer.factors)
    assert (found.mae_angle, found.mpblpe, found.mpblpe_rooted, found.mae_body) == (0, 0, 0, 0)
    assert set(found.angles.values()) == {0.0}
    assert "pelvis_tx" not in found.angles
    assert "knee_angle_r_beta" not in found.angles
    assert len(found.angles) == 37


def test_a_pelvis_10_mm_aside_counts_unless_it_is_laid_on_the_true_one(
    judge: neurik._Judge, person: Person
) -> None:
    columns = [person.wearer.spec.coordinates.index(f"pelvis_t{axis}") for axis in "xyz"]
    q = person.q.copy()
    q[:, columns] += [0.0, 0.006, -0.008]
    found = judged(judge, person, q, person.wearer.factors)
    assert found.mpblpe == pytest.approx(10)
    assert found.mpblpe_rooted == pytest.approx(0, abs=1e-9)
    assert (found.mae_angle, found.mae_body) == (0, 0)


def test_scales_10_percent_off_count_by_the_generic_length_of_each_body(
    judge: neurik._Judge, person: Person
) -> None:
    places = typical()[1]
    sizes = dimensions(model_from_factors(dict.fromkeys(BODIES, np.ones(3)), places, 75.0).model)
    factors = person.wearer.factors + 0.1
    found = judged(judge, person, person.q, factors)
    lengths = [size.max() for size in sizes.values() if size.max() > 0]
    assert found.mae_body == pytest.approx(100 * np.mean(lengths))
    assert 5 < found.mae_body < 50
    assert found.mpblpe_rooted > 5
    assert found.mae_angle == 0
    femur = person.wearer.spec.bodies.index("femur_r")
    one = person.wearer.factors.copy()
    one[femur] += 0.1
    assert body_errors(one, person.wearer.factors, judge.dimensions)[femur] == pytest.approx(
        100 * sizes["femur_r"][1]
    )


def test_an_angle_counts_for_itself_and_in_the_mean(judge: neurik._Judge, person: Person) -> None:
    q = person.q.copy()
    q[:, person.wearer.spec.coordinates.index("neck_bending")] += np.radians(3.7)
    found = judged(judge, person, q, person.wearer.factors)
    assert found.angles["neck_bending"] == pytest.approx(3.7)
    assert found.mae_angle == pytest.approx(3.7 / len(found.angles))
    assert found.mae_body == 0


def test_the_solver_finds_the_angles_of_exact_markers(judge: neurik._Judge, person: Person) -> None:
    run = neurik._runner("solver", untaught(), judge, None)
    found = judge.judged(person, run, person.markers, NullProgress())
    assert found.mpblpe < 1
    assert found.mae_body == 0


def test_the_solver_after_the_network_starts_from_its_angles(judge: neurik._Judge, person: Person) -> None:
    """Without an iteration that is all it does, on the person's own skeleton; with some it comes nearer."""
    names = person.wearer.spec.coordinates
    alone, _ = neurik._runner("network", untaught(), judge, None)(person, person.markers)
    start, scale = neurik._runner("network_plus_solver", untaught(), judge, 0)(person, person.markers)
    kept = [i for i, name in enumerate(names) if not name.endswith("_beta") and not name.startswith("pelvis")]
    np.testing.assert_allclose(start[:, kept], alone[:, kept], atol=1e-5)
    np.testing.assert_array_equal(scale, person.wearer.factors)
    refined, _ = neurik._runner("network_plus_solver", untaught(), judge, None)(person, person.markers)
    assert np.abs(refined - person.q).mean() < 0.5 * np.abs(start - person.q).mean()


def test_the_table_has_what_the_docstring_says(table: dict[str, Any]) -> None:
    assert set(table) == {*METHODS, "levels", "coordinates", "marker_rms_mm", "people", "frames"}
    assert table["people"] == 2
    assert table["frames"] == 2 * FRAMES
    assert list(table["levels"]) == list(LEVELS)
    for level in LEVELS:
        assert set(table["levels"][level]) == set(METHODS)
        for method, found in table["levels"][level].items():
            ahead = {} if method == "network" else found["network_ahead"]
            assert set(found) == {*ERRORS, "frames_per_s"} | ({"network_ahead"} if ahead else set())
            assert all(np.isfinite(found[name]) for name in ERRORS)
            assert found["frames_per_s"] > 0
    assert table["levels"]["clean"] == {method: table[method] for method in METHODS}
    for method in METHODS:
        mean = np.mean(list(table["coordinates"][method].values()))
        assert mean == pytest.approx(table[method]["mae_angle_deg"], rel=1e-6, abs=1e-9)


def test_who_is_ahead(table: dict[str, Any]) -> None:
    """Of an untaught network, nobody is behind when the markers are clean."""
    ahead = table["solver"]["network_ahead"]
    assert ahead["people"] == 0
    gain = table["solver"]["mae_angle_deg"] - table["network"]["mae_angle_deg"]
    assert ahead["by_deg"] == pytest.approx(gain, rel=1e-6)
    assert ahead["standard_error_deg"] < -ahead["by_deg"]


def test_the_solvers_errors_are_nothing_on_clean_markers_and_grow_with_the_noise(
    table: dict[str, Any],
) -> None:
    assert table["solver"]["mpblpe_mm"] < 0.5  # its own answer is the truth
    errors = [table["levels"][level]["solver"]["mpblpe_mm"] for level in LEVELS]
    assert errors == sorted(errors)
    assert errors[-1] > 10
    assert table["solver"]["mae_body_mm"] == 0
    assert table["network"]["mae_body_mm"] > 0
    assert table["network"]["mae_angle_deg"] > table["solver"]["mae_angle_deg"]  # it knows nothing yet


def test_the_noise_is_of_the_size_that_its_levels_say(table: dict[str, Any]) -> None:
    rms = table["marker_rms_mm"]
    assert rms["clean"] == pytest.approx(0, abs=1e-3)
    assert 0 < rms["low"] < rms["medium"] < rms["high"]
    assert 10 < rms["high"] < 60


def test_people_are_held_out_subjects_in_turn_and_always_the_same(motion: Path) -> None:
    crowd, again = (held_out_people(motion, people, NullProgress()) for people in (2, 1))
    assert {person.subject for person in crowd} == mocap_archives.HELD_OUT
    np.testing.assert_array_equal(crowd[0].markers, again[0].markers)
    for person in crowd:
        assert person.markers.shape == (FRAMES, len(MARKERS), 3)
        assert person.q.shape == (FRAMES, len(person.wearer.spec.coordinates))
    assert np.abs(crowd[0].wearer.factors - crowd[1].wearer.factors).max() > 0.01


def test_motion_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="--motion") as caught:
        held_out_people(tmp_path / "nowhere", 1, NullProgress())
    assert "\n" not in str(caught.value)
