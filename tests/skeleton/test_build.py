"""The generic skeleton against the published model it is made from, and against itself."""

from __future__ import annotations

import csv
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biopose_cli.skeleton import build, osim

LEG = (
    "hip_flexion",
    "hip_adduction",
    "hip_rotation",
    "knee_angle",
    "knee_angle_beta",
    "ankle_angle",
    "subtalar_angle",
    "mtp_angle",
)
ARM = ("arm_flex", "arm_add", "arm_rot", "elbow_flex", "pro_sup", "wrist_flex", "wrist_dev")
SIDED = ("femur", "patella", "tibia", "talus", "calcn", "toes", "humerus", "ulna", "radius", "hand")


def _on(side: str, name: str) -> str:
    return f"{name[:-5]}_{side}_beta" if name.endswith("_beta") else f"{name}_{side}"


NAMES = [
    *(f"pelvis_{name}" for name in ("tilt", "list", "rotation", "tx", "ty", "tz")),
    *(_on(side, name) for side in "rl" for name in LEG),
    *(f"{part}_{name}" for part in ("lumbar", "neck") for name in ("extension", "bending", "rotation")),
    *(_on(side, name) for side in "rl" for name in ARM),
]


@pytest.fixture(scope="module")
def model() -> Any:
    model = build.build_model()
    model.initSystem()
    return model


@pytest.fixture(scope="module")
def published(shared: Path) -> Any:
    model = osim.load_model(shared / "data/models/Rajagopal2016.osim")
    for coordinate in model.getCoordinateSet():
        coordinate.setDefaultLocked(False)
    return model


def _pose(model: Any, pose: dict[str, float]) -> dict[str, Any]:
    """Body frames with exactly these coordinates (the patella's included: no assembly)."""
    state = model.initSystem()
    for name, value in pose.items():
        model.getCoordinateSet().get(name).setValue(state, value, False)
    model.realizePosition(state)
    return {
        body.getName(): osim.transform_to_matrix(body.getTransformInGround(state))
        for body in model.getBodySet()
    }


def _random_pose(generator: np.random.Generator, names: list[str]) -> dict[str, float]:
    pose = {name: float(generator.uniform(-1.5, 1.5)) for name in names}
    for side in "rl":
        pose[f"knee_angle_{side}"] = float(generator.uniform(0.0, 2.0))
        pose[f"knee_angle_{side}_beta"] = pose[f"knee_angle_{side}"]
    return pose


def test_bodies_and_coordinates_have_the_conventional_names(model: Any) -> None:
    bodies = {body.getName() for body in model.getBodySet()}
    assert bodies == {"pelvis", "lumbar", "torso", "head"} | {
        f"{bone}_{side}" for bone in SIDED for side in "rl"
    }
    assert [coordinate.getName() for coordinate in model.getCoordinateSet()] == NAMES


def test_forward_kinematics_are_the_published_models(model: Any, published: Any) -> None:
    names = [name for name in NAMES if not name.startswith("neck")]
    assert sorted(names) == sorted(coordinate.getName() for coordinate in published.getCoordinateSet())
    generator = np.random.default_rng(3)
    for _ in range(20):
        pose = _random_pose(generator, names)
        ours, theirs = _pose(model, pose), _pose(published, pose)
        for body, frame in theirs.items():
            assert np.abs(ours[body][:3, 3] - frame[:3, 3]).max() < 1e-6, body
            assert np.abs(ours[body] - frame).max() < 2e-5, body  # their left wrist has 1.5708 for pi / 2


def test_the_left_side_mirrors_the_right(model: Any) -> None:
    generator = np.random.default_rng(5)
    pose = dict.fromkeys(NAMES, 0.0)
    for name in (*LEG, *ARM):
        pose[_on("r", name)] = pose[_on("l", name)] = float(generator.uniform(0.1, 1.0))
    frames = _pose(model, pose)
    mirror = np.diag([1.0, 1.0, -1.0, 1.0])
    for bone in SIDED:
        np.testing.assert_allclose(frames[f"{bone}_l"], mirror @ frames[f"{bone}_r"] @ mirror, atol=1e-9)


def test_trunk_keeps_the_published_mass_centre_and_inertia(model: Any, published: Any) -> None:
    """Lumbar, torso and head in the neutral posture are together the published torso."""
    frames = _pose(model, dict.fromkeys(NAMES, 0.0))
    base = frames["torso"][:3, 3]
    parts = []
    for name in ("lumbar", "torso", "head"):
        body = model.getBodySet().get(name)
        centre = frames[name][:3, 3] + osim.vec3_to_array(body.get_mass_center()) - base
        moments = np.array([body.get_inertia().get(i) for i in range(3)])
        parts.append((body.getMass(), centre, moments))
    mass = sum(part[0] for part in parts)
    centre = sum(part[0] * part[1] for part in parts) / mass
    inertia = sum(moments + part * (np.dot(d := place - centre, d) - d**2) for part, place, moments in parts)
    whole = published.getBodySet().get("torso")
    assert mass == pytest.approx(whole.getMass())
    np.testing.assert_allclose(centre, osim.vec3_to_array(whole.get_mass_center()), atol=1e-6)
    np.testing.assert_allclose(inertia, [whole.get_inertia().get(i) for i in range(3)], rtol=1e-3)


def test_other_masses_and_inertias_are_the_published_ones(model: Any, published: Any) -> None:
    assert model.getTotalMass(model.initSystem()) == pytest.approx(
        published.getTotalMass(published.initSystem())
    )
    for whole in published.getBodySet():
        if whole.getName() == "torso":
            continue
        body = model.getBodySet().get(whole.getName())
        assert body.getMass() == pytest.approx(whole.getMass())
        np.testing.assert_allclose(
            osim.vec3_to_array(body.get_mass_center()), osim.vec3_to_array(whole.get_mass_center())
        )
        ours = [body.get_inertia().get(i) for i in range(6)]
        np.testing.assert_allclose(ours, [whole.get_inertia().get(i) for i in range(6)])


def test_ranges_contain_the_published_ones_and_are_enforced(model: Any, published: Any) -> None:
    for theirs in published.getCoordinateSet():
        ours = model.getCoordinateSet().get(theirs.getName())
        if theirs.getName().endswith("beta"):
            continue
        assert ours.getRangeMin() <= theirs.getRangeMin() + 1e-6, theirs.getName()
        assert ours.getRangeMax() >= theirs.getRangeMax() - 1e-6, theirs.getName()
    assert all(coordinate.getDefaultClamped() for coordinate in model.getCoordinateSet())
    assert not any(coordinate.getDefaultLocked() for coordinate in model.getCoordinateSet())


def test_the_patella_follows_the_knee(model: Any) -> None:
    state = model.initSystem()
    model.getCoordinateSet().get("knee_angle_r").setValue(state, 1.0, False)
    model.assemble(state)
    assert model.getCoordinateSet().get("knee_angle_r_beta").getValue(state) == pytest.approx(1.0, abs=1e-3)


def test_bone_meshes_are_the_published_ones(model: Any, published: Any) -> None:
    def meshes(model: Any) -> set[str]:
        components = (osim.opensim.Mesh.safeDownCast(part) for part in model.getComponentsList())
        return {mesh.get_mesh_file() for mesh in components if mesh is not None}

    assert meshes(model) == meshes(published)


def test_a_written_model_loads_without_a_warning_but_absent_meshes(tmp_path: Path) -> None:
    path = tmp_path / "skeleton.osim"
    build.write_model(path)
    log = tmp_path / "opensim.log"
    logger = osim.opensim.Logger
    logger.setLevelString("Warn")
    logger.addFileSink(str(log))
    try:
        with osim.silence_output():
            osim.opensim.Model(str(path)).initSystem()
    finally:
        logger.removeFileSink()
        logger.setLevelString("Off")
    lines = [line for line in log.read_text().splitlines() if line and ".vtp" not in line]
    assert lines == []


def test_every_row_of_every_table_names_its_source() -> None:
    for file in resources.files("biopose_cli.skeleton").joinpath("tables").iterdir():
        rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
        assert rows, file.name
        assert all(row["source"] and None not in row for row in rows), file.name
