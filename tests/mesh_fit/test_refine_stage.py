from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from biopose_cli.body.kinematics import KinematicChain, Pose, build_kinematic_chain, forward_kinematics
from biopose_cli.mesh_fit import mesh_stage, refine_stage
from biopose_cli.mesh_fit.contact import FOOT_LANDMARKS, detect_contacts
from biopose_cli.mesh_fit.observations import build_observations
from biopose_cli.progress import NullProgress
from biopose_cli.settings import Settings
from biopose_cli.typing import Array
from tests.helpers.stick_body import Clip, StickBody, make_detection, make_pose

TIME = np.arange(40) / 30


@pytest.fixture(scope="module")
def chain() -> KinematicChain:
    return build_kinematic_chain(StickBody())  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def clip(chain: KinematicChain) -> Clip:
    pose = make_pose(TIME, np.zeros(chain.num_shape_params))
    return Clip(chain, pose, make_detection(chain, pose, TIME, noise=1.5))


def rest_then_go(clip: Clip) -> Pose:
    """The body stands still for 20 frames, then moves sideways at 1.5 m/s."""
    rotations = np.repeat(clip.pose.rotations[:1], len(TIME), axis=0)
    away = np.maximum(TIME - TIME[20], 0)[:, None] * [1.5, 0, 0]
    return Pose(rotations, clip.pose.transl[:1] + away, clip.pose.shape_params)


def standing(clip: Clip, pose: Pose, fitted: Pose) -> Array:
    """What stands in a clip of `pose`, as the body of `fitted` has it."""
    return detect_contacts(
        build_observations(make_detection(clip.chain, pose, TIME)),
        forward_kinematics(clip.chain, fitted).landmarks,
    )


def test_finds_the_feet_that_stand(clip: Clip) -> None:
    pose = rest_then_go(clip)
    weight = standing(clip, pose, pose)
    assert weight[:17].min() > 0.8
    assert weight[23:].max() == 0


@pytest.mark.parametrize(
    ("speed", "stands"), [(0.3, True), (2.5, False)], ids=["an error of the fit", "a swing"]
)
def test_a_foot_that_is_still_in_the_picture_may_move_in_depth(
    clip: Clip, speed: float, stands: bool
) -> None:
    """A distance that drifts is no speed across the view, however far from the picture's corner the foot is; but a
    foot that swings towards the camera hardly moves across it."""
    pose = rest_then_go(clip)
    away = dataclasses.replace(pose, transl=pose.transl + (speed * TIME)[:, None] * [0, 0, 1])
    weight = standing(clip, pose, away)[:17]
    assert weight.min() > 0.8 if stands else weight.max() < 0.05


def test_a_short_rest_is_no_stance(clip: Clip) -> None:
    pose = rest_then_go(clip)
    moving = pose.transl.copy()
    moving[:, 0] = 0.6 * np.abs(TIME - TIME[20])  # turns round in frame 20
    pose = dataclasses.replace(pose, transl=moving)
    assert standing(clip, pose, pose).max() == 0


def test_refined_body(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refine_stage, "load_body", lambda path: StickBody())
    monkeypatch.setattr(mesh_stage, "load_body", lambda path: StickBody())
    pose = rest_then_go(clip)
    detection = make_detection(clip.chain, pose, TIME, noise=2.0)
    mesh = mesh_stage.run(detection, Settings(height=1.7), NullProgress())
    refined = refine_stage.run(detection, mesh, Settings(height=1.7), NullProgress())
    assert (np.diff(refined.loss) <= 0).all()
    assert len(refined.loss) > 1
    assert refined.stature_m == pytest.approx(1.7, abs=0.004)
    assert _slide(clip, refined) < 0.5 * _slide(clip, mesh)


def test_the_longer_nobody_was_seen_the_less_is_known(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refine_stage, "load_body", lambda path: StickBody())
    monkeypatch.setattr(mesh_stage, "load_body", lambda path: StickBody())
    gap = np.zeros(len(TIME), bool)
    gap[20:27] = True
    whole = make_detection(clip.chain, clip.pose, TIME, noise=1.5)
    filled = dataclasses.replace(whole, visible=~gap, interpolated=gap)
    np.testing.assert_allclose(
        30 * build_observations(filled).time_to_measurement[18:29],
        [0, 0, 1, 2, 3, 4, 3, 2, 1, 0, 0],
        atol=1e-9,
    )
    spread = refine_stage.run(
        filled, mesh_stage.run(filled, Settings(), NullProgress()), Settings(), NullProgress()
    ).rotation_std
    np.testing.assert_allclose(spread[20] ** 2 - (1 / 30) ** 2, spread[19] ** 2, atol=1e-6)
    np.testing.assert_allclose(spread[26] ** 2 - (1 / 30) ** 2, spread[27] ** 2, atol=1e-6)
    assert (spread[23] >= 4 / 30 - 1e-6).all()


def _slide(clip: Clip, mesh: object) -> float:
    """Path of the standing feet in the first 18 frames, m."""
    points = forward_kinematics(clip.chain, _pose(mesh)).landmarks[:18, FOOT_LANDMARKS]
    return float(np.linalg.norm(np.diff(points, axis=0), axis=-1).sum(0).mean())


def _pose(mesh: object) -> Pose:
    from biopose_cli.geometry import so3

    vectors: Array = np.concatenate([mesh.global_orient[:, None], mesh.body_pose], axis=1)  # type: ignore[attr-defined]
    shape = np.concatenate([mesh.betas, mesh.landmark_offsets])  # type: ignore[attr-defined]
    return Pose(so3.axis_angle_to_matrix(vectors), mesh.transl, shape)  # type: ignore[attr-defined]
