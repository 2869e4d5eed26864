"""The skeleton fits the body: joint centres, angles at neutral, masses; scaling and measuring agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from biopose_cli.body.markers import MARKER_NAMES
from biopose_cli.body.model import Body
from biopose_cli.progress import NullProgress
from biopose_cli.skeleton import opensim_ik, osim
from biopose_cli.skeleton.build import build_model
from biopose_cli.skeleton.scaling import (
    PALMS_IN,
    ScaledModel,
    _add_landmarks,
    apply_scale,
    body_points,
    scale_factors,
    scale_model,
    skeleton_points,
)
from biopose_cli.skeleton.static_trial import StaticTrial
from biopose_cli.typing import Array
from tests.skeleton.conftest import SHAPE


def test_joint_centres_lie_on_the_bodys(calibrated: ScaledModel) -> None:
    assert set(calibrated.misfit) >= {
        f"{j}_{s}" for j in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist") for s in "rl"
    }
    assert max(calibrated.misfit.values()) < 0.002


def test_markers_lie_on_the_body_in_the_static_trial(calibrated: ScaledModel, standing: StaticTrial) -> None:
    assert calibrated.markers == MARKER_NAMES
    points = skeleton_points(calibrated.model, calibrated.pose)
    found = np.array([points[name] for name in calibrated.markers])
    np.testing.assert_allclose(found, standing.markers, atol=1e-6)


def test_the_neutral_posture_is_zero(calibrated: ScaledModel, standing: StaticTrial) -> None:
    solution = opensim_ik.solve(
        calibrated.model, calibrated.markers, standing.markers[None], np.zeros(1), NullProgress()
    )
    for name, value in zip(opensim_ik.coordinate_names(calibrated.model), solution.q[0], strict=True):
        if not name.startswith("pelvis_t") or name == "pelvis_tilt":
            assert np.degrees(value - PALMS_IN.get(name, 0.0)) == pytest.approx(0.0, abs=3.0), name


def test_factors_are_near_one_and_alike_on_both_sides(calibrated: ScaledModel) -> None:
    assert set(calibrated.factors) == {body.getName() for body in calibrated.model.getBodySet()}
    for name, factor in calibrated.factors.items():
        assert np.all((factor > 0.75) & (factor < 1.3)), name
        if name.endswith("_r"):
            np.testing.assert_array_equal(factor, calibrated.factors[name[:-2] + "_l"])


def test_a_scaled_skeleton_measures_as_it_was_scaled(calibrated: ScaledModel) -> None:
    """Factors taken between the generic skeleton and a scaled one are those it was scaled by."""
    generic, scaled = build_model(), build_model()
    _add_landmarks(generic)
    _add_landmarks(scaled)
    wanted = calibrated.factors
    apply_scale(scaled, wanted, 70.0)
    found = scale_factors(skeleton_points(generic, PALMS_IN), skeleton_points(scaled, PALMS_IN))
    for name, factor in found.items():
        if name == "head" or name.startswith(("radius", "ulna", "hand")):
            continue  # from C7 on the torso, and across the elbow: not of one bone alone
        np.testing.assert_allclose(factor, wanted[name], rtol=0.02, err_msg=name)


def test_a_taller_body_gets_longer_bones(body: Body, standing: StaticTrial) -> None:
    taller = body.betas_for_stature(float(body.stature(_tensor(SHAPE))) * 1.1, _tensor(SHAPE)).numpy()
    small, tall = scale_model(body, SHAPE)[0], scale_model(body, taller)[0]
    for name in ("femur_r", "tibia_r", "humerus_r"):
        assert tall.factors[name][1] > 1.05 * small.factors[name][1]


def test_mass_is_the_one_given_or_follows_the_stature(body: Body, calibrated: ScaledModel) -> None:
    heavy = scale_model(body, SHAPE, mass=91.5)[0]
    assert heavy.model.getTotalMass(heavy.model.initSystem()) == pytest.approx(91.5)
    estimated = calibrated.model.getTotalMass(calibrated.model.initSystem())
    assert estimated == pytest.approx(calibrated.mass)
    assert estimated == pytest.approx(24.3 * float(body.stature(_tensor(SHAPE))) ** 2)
    share = heavy.model.getBodySet().get("femur_r").getMass() / 91.5
    assert share == pytest.approx(9.3014 / 75.337, rel=1e-6)  # the generic distribution stays


def test_pelvis_inclination_is_opensims(standing: StaticTrial) -> None:
    """The line from PSIS to ASIS drops as on Rajagopal's pelvis at zero tilt (5.9 degrees), within 3 degrees."""
    points = body_points(standing)
    forward = points["asis_r"] - points["psis_r"]
    assert np.degrees(np.arctan2(-forward[1], forward[0])) == pytest.approx(5.9, abs=3.0)


def test_the_model_survives_its_file(calibrated: ScaledModel) -> None:
    again = osim.load_xml(osim.to_xml(calibrated.model))
    before, after = (skeleton_points(model, calibrated.pose) for model in (calibrated.model, again))
    assert set(before) == set(after)
    for name, point in before.items():
        np.testing.assert_allclose(after[name], point, atol=1e-6)


def _tensor(values: Array) -> torch.Tensor:
    return torch.as_tensor(values)
