"""The geometry of `straighten_body.py`."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
import torch

from biopose_cli.body.markers import MARKERS
from biopose_cli.body.model import DEFAULT_BODY, JOINT_NAMES, load_body


@pytest.fixture
def body_script(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("straighten_body")


def test_the_rotation_between_two_directions(body_script: ModuleType) -> None:
    rng = np.random.default_rng(0)
    for source, target in rng.normal(size=(20, 2, 3)):
        rotation = body_script.rotation_between(source, target)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        np.testing.assert_allclose(
            rotation @ source / np.linalg.norm(source), target / np.linalg.norm(target), atol=1e-12
        )
    np.testing.assert_array_equal(body_script.rotation_between(np.ones(3), np.ones(3)), np.eye(3))


def test_stretching_changes_segments_and_keeps_the_stature(body_script: ModuleType) -> None:
    body = load_body()
    zero = torch.zeros(1, 3)
    with torch.no_grad():
        vertices = body.vertices(torch.zeros(1, 23, 3), zero, torch.zeros(10), zero)[0].double().numpy()
        joints = body.rest_joints(torch.zeros(10)).double().numpy()
    arm = (np.abs(vertices[:, 0]) > np.abs(joints[JOINT_NAMES.index("left_shoulder"), 0])).astype(float)
    points, moved = body_script.stretch(vertices, joints, arm, np.array([1.1, 1.0, 1.0, 0.9]))
    assert np.ptp(points[:, 1]) == pytest.approx(np.ptp(vertices[:, 1]))

    def length(places: np.ndarray, first: str, second: str) -> float:
        return float(np.linalg.norm(places[JOINT_NAMES.index(first)] - places[JOINT_NAMES.index(second)]))

    shank = length(moved, "left_knee", "left_ankle") / length(joints, "left_knee", "left_ankle")
    thigh = length(moved, "left_hip", "left_knee") / length(joints, "left_hip", "left_knee")
    forearm = length(moved, "right_elbow", "right_wrist") / length(joints, "right_elbow", "right_wrist")
    assert thigh / shank == pytest.approx(1.1, abs=0.005)
    assert forearm / shank == pytest.approx(0.9, abs=0.01)


def test_the_components_of_a_linear_shape_space_are_found(body_script: ModuleType) -> None:
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(20, 3))
    basis = np.linalg.qr(rng.normal(size=(60, 10)))[0].T.reshape(10, 20, 3) * np.arange(10, 0, -1)[:, None, None]
    points = mean + np.einsum("nk,kvi->nvi", rng.normal(size=(400, 10)), basis)
    found_mean, directions = body_script.principal_components(points)
    np.testing.assert_allclose(found_mean, points.mean(0))
    centered = (points - found_mean).reshape(400, -1)
    scores = np.linalg.lstsq(directions.reshape(10, -1).T, centered.T, rcond=None)[0]
    np.testing.assert_allclose(scores @ scores.T / 400, np.eye(10), atol=1e-6)  # uncorrelated, unit variance
    np.testing.assert_allclose(directions.reshape(10, -1).T @ scores, centered.T, atol=1e-6)
    top, bottom = found_mean[:, 1].argmax(), found_mean[:, 1].argmin()
    assert (directions[:, top, 1] >= directions[:, bottom, 1]).all()  # a larger score is a taller person


def test_the_shipped_body_moves_its_markers_with_their_bones(body_script: ModuleType) -> None:
    """What `fix_landmarks` makes is in the file, so that making it once more changes nothing at the markers."""
    with np.load(DEFAULT_BODY, allow_pickle=False) as stored:
        skin = len(stored["v_template"]) - len(JOINT_NAMES)
        template = stored["v_template"][:skin].astype(float)
        weights = stored["weights"][:skin].astype(float)
    fixed = body_script.fix_landmarks(weights, template)
    vertices = [marker.vertex for marker in MARKERS if marker.name[1:] not in body_script.SCAPULA]
    np.testing.assert_allclose(fixed[vertices], weights[vertices], atol=2e-3)
    np.testing.assert_allclose(fixed.sum(1), 1, atol=5e-3)


def test_the_other_side_of_a_name(body_script: ModuleType) -> None:
    assert [body_script.opposite(name) for name in ("LeftArm", "right_hip", "Hips")] == ["RightArm", "left_hip", "Hips"]
