"""Training pairs: bodies in motion and the angles that belong to them."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from biopose_cli.body.markers import MARKERS
from biopose_cli.body.model import load_body
from biopose_cli.errors import SettingError
from biopose_cli.ik.network import PELVIS_COORDINATES
from biopose_cli.progress import NullProgress
from biopose_cli.skeleton.kinematics import Kinematics
from biopose_cli.synthesis.retarget import Motion
from biopose_cli.synthesis.subjects import ScaledSubject, random_betas
from biopose_cli.training import marker_dataset as module
from biopose_cli.training.marker_dataset import (
    EXCLUDED_SUBJECTS,
    FPS,
    FRAMES,
    HELD_OUT_SUBJECTS,
    MAX_RESIDUAL,
    MarkerDataset,
    build_dataset,
    captured_motions,
)
from biopose_cli.typing import Array
from tests.helpers import mocap_archives
from tests.helpers.mocap_archives import small_archives
from tests.helpers.synthetic_markers import default_model, synthetic_dataset

Groups = tuple[list[Motion], list[Motion]]


@pytest.fixture(scope="module")
def subject_model() -> ScaledSubject:
    torch.set_num_threads(1)
    return ScaledSubject(load_body(), random_betas(np.random.default_rng(3)))


@pytest.fixture(scope="module")
def motions(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Groups:
    return captured_motions(small_archives(shared, tmp_path_factory.mktemp("motion")), load_body())


@pytest.fixture(scope="module")
def dataset(motions: Groups) -> MarkerDataset:
    return build_dataset(motions[0], people=2, clips=1, seed=4, processes=1, progress=NullProgress())


def test_locations_times_factors_are_the_models_markers(subject_model: ScaledSubject) -> None:
    scaled = subject_model.marker_locations * subject_model.factors[subject_model.spec.marker_bodies]
    np.testing.assert_allclose(scaled, subject_model.spec.marker_locations, atol=1e-12)
    markers = subject_model.scaled_model.model.getMarkerSet()
    for i, marker in enumerate(MARKERS):
        location = markers.get(marker.name).get_location()
        np.testing.assert_allclose(scaled[i], [location.get(k) for k in range(3)], atol=1e-9)


def test_the_unscaled_model_with_a_persons_scale_and_locations_is_that_persons(
    subject_model: ScaledSubject,
) -> None:
    """So a stream can make markers of anybody from one table."""
    rng = np.random.default_rng(0)
    q = torch.as_tensor(rng.uniform(-0.4, 0.4, (4, len(subject_model.spec.coordinates))))
    generic = Kinematics(default_model()[0])
    found = generic.markers(q, torch.as_tensor(subject_model.factors), torch.as_tensor(subject_model.marker_locations))
    np.testing.assert_allclose(found, Kinematics(subject_model.spec).markers(q), atol=1e-9)


def test_a_body_that_stands_has_the_angles_of_its_static_trial(subject_model: ScaledSubject) -> None:
    """Markers of the model in the calibration's pose: nothing but the trunk's and the forearms' known angles."""
    pose = subject_model.scaled_model.pose
    q = np.array([[pose.get(name, 0.0) for name in subject_model.spec.coordinates]])
    markers = Kinematics(subject_model.spec).markers(torch.as_tensor(q)).numpy()
    found = subject_model.solver.solve(markers).q
    np.testing.assert_allclose(np.degrees(found), np.degrees(q), atol=0.05)
    inner = [i for i, name in enumerate(subject_model.spec.coordinates) if name not in {*PELVIS_COORDINATES, *pose}]
    np.testing.assert_allclose(np.degrees(found[:, inner]), 0, atol=0.05)


def test_a_body_in_a_t_pose_has_its_legs_near_zero_and_its_arms_out(subject_model: ScaledSubject) -> None:
    """SMPL's zero, which is no pose of the calibration. x forward, y up: facing along x as OpenSim has it."""
    found = subject_model.solver.solve(subject_model.markers(np.zeros((1, 24, 3)), np.zeros((1, 3))))
    assert found.rms[0] < 0.015
    angle = dict(zip(subject_model.spec.coordinates, np.degrees(found.q[0]), strict=True))
    for name in ("pelvis_tilt", "pelvis_list", "pelvis_rotation", "lumbar_bending", "lumbar_rotation"):
        assert abs(angle[name]) < 8, name
    for side in "rl":
        for name in ("hip_flexion", "hip_adduction", "knee_angle", "ankle_angle"):
            assert abs(angle[f"{name}_{side}"]) < 15, name
        assert -110 < angle[f"arm_add_{side}"] < -60


def test_a_body_that_is_moved_takes_its_markers_along(subject_model: ScaledSubject) -> None:
    zero = np.zeros((2, 24, 3))
    still, moved = subject_model.markers(zero, np.array([[0.0, 0.0, 0.0], [0.1, 0.2, 0.3]]))
    np.testing.assert_allclose(moved - still, np.tile([0.3, 0.2, -0.1], (len(MARKERS), 1)), atol=1e-6)


def test_random_shapes_are_plausible() -> None:
    betas = np.stack([random_betas(np.random.default_rng(n)) for n in range(300)])
    assert betas.shape == (300, 10)
    assert np.abs(betas).max() <= 2.5
    assert betas.std() == pytest.approx(1, abs=0.1)


def test_motions_are_split_by_subject_and_at_60_frames_a_second(motions: Groups) -> None:
    train, held = motions
    assert {motion.subject for motion in train} == mocap_archives.TRAINED
    assert {motion.subject for motion in held} == mocap_archives.HELD_OUT
    assert {motion.fps for motion in [*train, *held]} == {FPS}
    assert min(len(motion.pose) for motion in [*train, *held]) >= FRAMES


def test_held_out_and_excluded_subjects_and_short_takes_are_never_trained_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def motion(subject: str, frames: int) -> Motion:
        return Motion("x", subject, "x", FPS, np.zeros((frames, 24, 3)), np.zeros((frames, 3)))

    everybody = [*HELD_OUT_SUBJECTS, *EXCLUDED_SUBJECTS, "02", "unknown_jumping"]
    takes = [motion(subject, frames) for subject in everybody for frames in (FRAMES - 1, FRAMES)]
    monkeypatch.setattr(module, "load_motions", lambda *_: takes)
    train, held = captured_motions(Path(), load_body())
    assert [m.subject for m in train] == ["02", "unknown_jumping"]
    assert [m.subject for m in held] == list(HELD_OUT_SUBJECTS)
    assert {len(m.pose) for m in [*train, *held]} == {FRAMES}


def test_a_folder_without_the_archives_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(SettingError, match=r"--motion: .*cmu_amc\.tar\.xz cannot be read"):
            captured_motions(folder, load_body())


def test_the_labelled_skeleton_carries_its_markers_where_the_body_has_them(dataset: MarkerDataset) -> None:
    table, _ = default_model()
    assert dataset.q.shape == (2, FRAMES, len(table.coordinates))
    assert dataset.person.tolist() == [0, 1]
    assert set(dataset.subject.tolist()) <= mocap_archives.TRAINED
    kinematics = Kinematics(table)
    for clip in range(2):
        q, factors, places = (
            torch.as_tensor(a[clip].astype(float)) for a in (dataset.q, dataset.factors, dataset.marker_locations)
        )
        apart = np.linalg.norm(kinematics.markers(q, factors, places).numpy() - dataset.markers[clip], axis=-1)
        assert np.sqrt((apart**2).mean()) < 0.015
        assert apart.max() < 0.08
        assert np.ptp(dataset.q[clip], axis=0).max() > 0.2  # they do move
    low, high = table.ranges.T
    assert ((dataset.q > low - 1e-5) & (dataset.q < high + 1e-5)).all()


@pytest.mark.slow
def test_pairs_are_the_same_for_the_same_seed_in_other_processes_too(motions: Groups, dataset: MarkerDataset) -> None:
    again = build_dataset(motions[0], people=2, clips=1, seed=4, processes=2, progress=NullProgress())
    for field in fields(MarkerDataset):
        own, other = getattr(dataset, field.name), getattr(again, field.name)
        np.testing.assert_array_equal(own, other, err_msg=field.name)


def test_people_differ(dataset: MarkerDataset) -> None:
    assert np.abs(dataset.factors[0] - dataset.factors[1]).max() > 0.01
    assert np.abs(dataset.marker_locations[0] - dataset.marker_locations[1]).max() > 0.001


def test_clips_that_the_skeleton_cannot_follow_are_left_out(motions: Groups, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RESIDUAL", MAX_RESIDUAL / 100)
    found = build_dataset(motions[0][:1], people=1, clips=1, seed=4, processes=1, progress=NullProgress())
    assert found.factors.shape[0] == 1
    assert found.q.shape[0] == found.markers.shape[0] == len(found.person) == len(found.subject) == 0


def test_saving_and_loading_round_trip(tmp_path: Path) -> None:
    dataset = synthetic_dataset()
    dataset.save(tmp_path / "pairs.npz")
    loaded = MarkerDataset.load(tmp_path / "pairs.npz")
    for field in fields(MarkerDataset):
        own: Array = getattr(dataset, field.name)
        np.testing.assert_array_equal(own, getattr(loaded, field.name))
        assert own.dtype == getattr(loaded, field.name).dtype
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.npz"]
