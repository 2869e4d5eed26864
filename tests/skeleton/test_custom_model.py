"""The models that users have: found bodies, fitted joints, muscles kept; and models that cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from biopose_cli.errors import ModelFileError
from biopose_cli.ik.solver import Solver
from biopose_cli.progress import NullProgress
from biopose_cli.skeleton import build, custom_model, opensim_ik, osim
from biopose_cli.skeleton.extract import extract_model
from biopose_cli.skeleton.kinematics import Kinematics
from biopose_cli.skeleton.osim import opensim, vec3
from biopose_cli.skeleton.scaling import ScaledModel
from biopose_cli.skeleton.static_trial import StaticTrial

MODELS = {
    "models/Rajagopal2016": (22, 80),
    "models/LaiUhlrich2022": (22, 80),
    "models/RajagopalLaiUhlrich2023": (22, 80),
    "models/gait2392_thelen2003muscle": (12, 92),
    "dev/multiview_balance/balance_reference_scaled": (None, 0),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_users_model_fits_the_body(
    name: str, shared: Path, calibrated: ScaledModel, standing: StaticTrial
) -> None:
    path = shared / "data" / f"{name}.osim"
    fitted = custom_model.scale_custom_model(path, calibrated, standing)
    bodies, muscles = MODELS[name]
    assert bodies in {None, fitted.model.getBodySet().getSize()}
    assert fitted.model.getMuscles().getSize() == muscles
    assert fitted.model.getTotalMass(fitted.model.initSystem()) == pytest.approx(calibrated.mass)
    assert set(fitted.factors) == {body.getName() for body in fitted.model.getBodySet()}
    legs = [miss for joint, miss in fitted.misfit.items() if joint[:-2] in {"hip", "knee", "ankle"}]
    assert max(legs) < 0.015
    arms = [marker for marker in fitted.markers if marker.endswith("LEL")]
    assert bool(arms) == ("gait2392" not in name)
    again = osim.load_xml(osim.to_xml(fitted.model))
    assert again.getMarkerSet().getSize() == len(fitted.markers)


@pytest.mark.parametrize("name", ["models/LaiUhlrich2022", "models/gait2392_thelen2003muscle"])
def test_neutral_is_zero_in_a_users_model_too(
    name: str, shared: Path, calibrated: ScaledModel, standing: StaticTrial
) -> None:
    fitted = custom_model.scale_custom_model(shared / "data" / f"{name}.osim", calibrated, standing)
    columns = [calibrated.markers.index(marker) for marker in fitted.markers]
    q = opensim_ik.solve(
        fitted.model, fitted.markers, standing.markers[None, columns], np.zeros(1), NullProgress()
    ).q[0]
    for column, coordinate in enumerate(fitted.model.getCoordinateSet()):
        name = coordinate.getName()
        if name.startswith(("hip", "knee", "ankle", "lumbar", "elbow", "arm")) or name == "pelvis_tilt":
            assert np.degrees(q[column]) == pytest.approx(0.0, abs=3.5), name


def test_a_users_model_may_turn_round(shared: Path, calibrated: ScaledModel, standing: StaticTrial) -> None:
    """Rajagopal's pelvis_rotation ends at 90 degrees; people do not."""
    fitted = custom_model.scale_custom_model(shared / "data/models/Rajagopal2016.osim", calibrated, standing)
    columns = [calibrated.markers.index(marker) for marker in fitted.markers]
    turned = standing.markers[None, columns] * [-1.0, 1.0, -1.0]  # by 180 degrees about the vertical
    start = np.zeros(len(opensim_ik.coordinate_names(fitted.model)))
    start[2] = 2.8
    q = opensim_ik.solve(fitted.model, fitted.markers, turned, np.zeros(1), NullProgress(), start).q[0]
    assert np.degrees(q[2]) == pytest.approx(180.0, abs=2.0)


def test_the_pelvis_has_one_name_per_attitude(
    shared: Path, calibrated: ScaledModel, standing: StaticTrial
) -> None:
    """gait2392 clamps nothing: tipped over, its pelvis_list came out beyond 90 degrees, tilt and heading half round."""
    path = shared / "data/models/gait2392_thelen2003muscle.osim"
    solver = Solver(
        Kinematics(extract_model(custom_model.scale_custom_model(path, calibrated, standing).model))
    )
    generator = np.random.default_rng(0)
    q = np.zeros((60, len(solver.kinematics.spec.coordinates)))
    q[:, :3] = np.radians(generator.uniform([-180, -80, -180], [180, 80, 180], (60, 3)))
    markers = solver.kinematics.markers(torch.as_tensor(q)).numpy()
    found = [solver.solve(frame[None]) for frame in markers]
    assert max(solution.rms[0] for solution in found) < 1e-4
    np.testing.assert_allclose([solution.q[0, 1] for solution in found], q[:, 1], atol=1e-3)


@pytest.mark.parametrize("axes", ["zxy", "xyz"])
def test_the_root_may_turn_all_round_about_the_vertical(
    axes: str, calibrated: ScaledModel, standing: StaticTrial, tmp_path: Path
) -> None:
    """Only a middle turn that tips over is kept within 90 degrees; one about the vertical is the heading."""
    model = calibrated.model.clone()
    transform = opensim.CustomJoint.safeDownCast(
        model.updJointSet().get("ground_pelvis")
    ).updSpatialTransform()
    for slot, axis in enumerate(axes):
        transform.updTransformAxis(slot).setAxis(vec3(np.eye(3)["xyz".index(axis)]))
    path = tmp_path / "mine.osim"
    path.write_text(osim.to_xml(model), encoding="utf-8")
    table = extract_model(custom_model.scale_custom_model(path, calibrated, standing).model)
    assert table.clamped[:3].tolist() == [False, axes == "zxy", False]


def test_an_already_scaled_model_keeps_its_size(
    calibrated: ScaledModel, standing: StaticTrial, tmp_path: Path
) -> None:
    path = tmp_path / "mine.osim"
    path.write_text(osim.to_xml(calibrated.model), encoding="utf-8")
    again = custom_model.scale_custom_model(path, calibrated, standing)
    for body, factor in again.factors.items():
        np.testing.assert_allclose(factor, 1.0, atol=0.01, err_msg=body)


def test_an_already_scaled_model_without_arms_keeps_its_size(
    shared: Path, calibrated: ScaledModel, standing: StaticTrial, tmp_path: Path
) -> None:
    once = custom_model.scale_custom_model(
        shared / "data/models/gait2392_thelen2003muscle.osim", calibrated, standing
    )
    path = tmp_path / "mine.osim"
    path.write_text(osim.to_xml(once.model), encoding="utf-8")
    for body, factor in custom_model.scale_custom_model(path, calibrated, standing).factors.items():
        np.testing.assert_allclose(factor, 1.0, atol=1e-4, err_msg=body)


@pytest.mark.parametrize("missing", ["humerus", "toes", "talus", "hand"])
def test_what_a_scaled_model_does_not_show_keeps_its_size(
    missing: str, calibrated: ScaledModel, standing: StaticTrial, tmp_path: Path
) -> None:
    path = tmp_path / "mine.osim"
    path.write_text(osim.to_xml(calibrated.model).replace(missing, "nameless"), encoding="utf-8")
    for body, factor in custom_model.scale_custom_model(path, calibrated, standing).factors.items():
        np.testing.assert_allclose(factor, 1.0, atol=0.02, err_msg=body)


def test_a_model_without_feet_or_trunk_is_refused_by_name(
    calibrated: ScaledModel, standing: StaticTrial, tmp_path: Path
) -> None:
    path = tmp_path / "half.osim"
    build.write_model(path)
    path.write_text(path.read_text().replace("calcn_l", "hoof_l").replace("torso", "chest"), encoding="utf-8")
    with pytest.raises(ModelFileError) as caught:
        custom_model.scale_custom_model(path, calibrated, standing)
    assert "no body for torso, calcn_l" in str(caught.value)
    assert "hoof_l" in str(caught.value)
    assert str(path) in str(caught.value)


def test_bodies_are_found_by_their_common_names(tmp_path: Path) -> None:
    path = tmp_path / "named.osim"
    build.write_model(path)
    text = path.read_text()
    for ours, theirs in (("torso", "thorax"), ("tibia_r", "r_tibia"), ("calcn_l", "FOOT_L")):
        text = text.replace(ours, theirs)
    path.write_text(text, encoding="utf-8")
    bodies = custom_model.segment_bodies(osim.load_model(path), path)
    assert bodies["torso", ""] == "thorax"
    assert bodies["tibia", "_r"] == "r_tibia"
    assert bodies["calcn", "_l"] == "FOOT_L"
