"""The kinematics in torch are OpenSim's: bodies, markers and joint centres, scaled or not, and their slopes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from biopose_cli.skeleton.build import build_model
from biopose_cli.skeleton.extract import extract_model
from biopose_cli.skeleton.kinematics import Kinematics
from biopose_cli.skeleton.osim import load_model, load_xml, to_xml
from biopose_cli.skeleton.scaling import ScaledModel, _add_landmarks, apply_scale
from tests.helpers.handmade_models import JOINTS, chain, curved, opensims, random_poses

POSES = 200
CLOSE = 1e-6  # m: 0.001 mm
USER_MODELS = ("gait2392_thelen2003muscle", "Rajagopal2016", "LaiUhlrich2022", "RajagopalLaiUhlrich2023")


def _default() -> Any:
    model = build_model()
    _add_landmarks(model)
    return model


def _agrees(model: Any, poses: int, widest: float = 2.5) -> None:
    """Against OpenSim, before and after OpenSim scales the model itself."""
    generator = np.random.default_rng(0)
    table = extract_model(model)
    kinematics = Kinematics(table)
    q = kinematics.apply_couplers(torch.as_tensor(random_poses(table, poses, generator, widest)))
    _same(model, kinematics, q, None)
    factors = generator.uniform(0.75, 1.3, (len(table.bodies), 3))
    apply_scale(model, dict(zip(table.bodies, factors, strict=True)), 70.0)
    _same(model, kinematics, q, torch.as_tensor(factors))
    _same(model, Kinematics(extract_model(model)), q, None)


def _same(model: Any, kinematics: Kinematics, q: torch.Tensor, scale: torch.Tensor | None) -> None:
    frames, markers, centres = opensims(model, kinematics.spec, q.numpy())
    np.testing.assert_allclose(kinematics.body_transforms(q, scale).matrices(), frames, atol=CLOSE)
    np.testing.assert_allclose(kinematics.joint_centers(q, scale), centres, atol=CLOSE)
    if markers.size:
        np.testing.assert_allclose(kinematics.markers(q, scale), markers, atol=CLOSE)


def test_the_default_skeleton_moves_as_in_opensim() -> None:
    _agrees(_default(), POSES)


@pytest.mark.parametrize("name", USER_MODELS)
def test_users_models_move_as_in_opensim(shared: Path, name: str) -> None:
    _agrees(load_model(shared / "data" / "models" / f"{name}.osim"), POSES)


@pytest.mark.parametrize("kind", JOINTS)
def test_every_joint_moves_as_in_opensim(kind: str) -> None:
    _agrees(chain("PinJoint", kind, kind), 20, widest=1.2)


def test_every_function_moves_as_in_opensim() -> None:
    """Splines on both sides of their ends too, and couplers that follow couplers."""
    _agrees(curved(), POSES, widest=3.0)


def test_scales_may_differ_from_frame_to_frame() -> None:
    kinematics = Kinematics(extract_model(_default()))
    generator = np.random.default_rng(1)
    q = torch.as_tensor(random_poses(kinematics.spec, 3, generator))
    scale = torch.as_tensor(generator.uniform(0.8, 1.2, (3, len(kinematics.spec.bodies), 3)))
    together = kinematics.markers(q, scale)
    for frame in range(3):
        alone = kinematics.markers(q[frame : frame + 1], scale[frame])
        torch.testing.assert_close(together[frame : frame + 1], alone)


def test_single_precision_is_within_a_hundredth_of_a_millimetre() -> None:
    table = extract_model(_default())
    q = torch.as_tensor(random_poses(table, 20, np.random.default_rng(1), widest=2.0))
    exact = Kinematics(table).markers(q)
    single = Kinematics(table, torch.float32).markers(q.float())
    assert single.dtype == torch.float32
    assert float((single - exact).abs().max()) < 1e-5


def test_own_places_replace_the_models_markers() -> None:
    kinematics = Kinematics(extract_model(_default()))
    q = torch.as_tensor(random_poses(kinematics.spec, 2, np.random.default_rng(1)))
    moved = kinematics.markers(q, locations=kinematics.marker_locations + torch.tensor([0.01, 0.0, 0.0]))
    steps = torch.linalg.vector_norm(moved - kinematics.markers(q), dim=-1)
    torch.testing.assert_close(steps, torch.full_like(steps, 0.01))


def _few_markers(kinematics: Kinematics) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    step = max(1, len(kinematics.spec.markers) // 6)
    return lambda q, scale: kinematics.markers(q, scale)[:, ::step]


@pytest.mark.parametrize("make", [_default, curved], ids=["default", "curved"])
def test_gradients_with_respect_to_pose_and_scale(make: Callable[[], Any]) -> None:
    kinematics = Kinematics(extract_model(make()))
    generator = np.random.default_rng(2)
    q = torch.as_tensor(random_poses(kinematics.spec, 2, generator)).requires_grad_()
    scale = torch.as_tensor(generator.uniform(0.8, 1.2, (len(kinematics.spec.bodies), 3))).requires_grad_()
    assert torch.autograd.gradcheck(_few_markers(kinematics), (q, scale))


def test_gradients_of_a_users_model(shared: Path) -> None:
    """Rajagopal's knees: translations by splines, patellae by couplers."""
    model = load_model(shared / "data" / "models" / "Rajagopal2016.osim")
    kinematics = Kinematics(extract_model(model))
    generator = np.random.default_rng(2)
    q = torch.as_tensor(random_poses(kinematics.spec, 1, generator)).requires_grad_()
    scale = torch.as_tensor(generator.uniform(0.8, 1.2, (1, len(kinematics.spec.bodies), 3))).requires_grad_()

    def some(q: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return kinematics.joint_centers(q, scale)[:, ::4]

    assert torch.autograd.gradcheck(some, (q, scale))


def test_screws_are_the_motion_per_coordinate(calibrated: ScaledModel) -> None:
    _check_screws(Kinematics(extract_model(load_xml(to_xml(calibrated.model)))))


def test_screws_of_curved_joints() -> None:
    _check_screws(Kinematics(extract_model(_uncoupled(curved()))))


def _uncoupled(model: Any) -> Any:
    for constraint in model.updConstraintSet():
        constraint.set_isEnforced(False)
    return model


def _check_screws(kinematics: Kinematics) -> None:
    """Move one coordinate a little and see where the markers that hang on it go."""
    table = kinematics.spec
    generator = np.random.default_rng(4)
    q = torch.as_tensor(random_poses(table, 2, generator))
    scale = torch.as_tensor(generator.uniform(0.8, 1.2, (len(table.bodies), 3)))
    _, turn, slide = kinematics.screws(q, scale)
    markers = kinematics.markers(q, scale)
    dependent = {coupler.dependent for coupler in table.couplers}
    leaders = {coupler.function.coordinate for coupler in table.couplers}
    step = 1e-6
    for coordinate in range(len(table.coordinates)):
        if coordinate in dependent | leaders:
            continue
        there, back = q.clone(), q.clone()
        there[:, coordinate] += step
        back[:, coordinate] -= step
        found = (kinematics.markers(there, scale) - kinematics.markers(back, scale)) / (2 * step)
        moves = torch.as_tensor(table.ancestors[table.joint_of[coordinate], table.marker_bodies])
        expected = torch.linalg.cross(turn[coordinate].T[:, None].expand_as(markers), markers, dim=-1)
        expected = (expected + slide[coordinate].T[:, None]) * moves[:, None]
        np.testing.assert_allclose(expected, found, atol=2e-8, err_msg=table.coordinates[coordinate])
