"""The paper's measures, on numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from biopose_cli.geometry import so3
from biopose_cli.metrics.pose import (
    body_errors,
    joint_angles,
    mae_angle,
    mae_body,
    mpblpe,
    mpjpe,
    mve,
    pa_mpjpe,
    procrustes,
)

NAN = np.nan


def test_landmark_error_is_the_mean_distance_without_alignment() -> None:
    truth = np.array([[[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]], [[0.0, 1.0, 0.0], [0.5, 0.5, 0.5]]])
    offsets = np.array([[[0.03, 0.04, 0.0], [0.0, 0.0, 0.0]], [[0.0, -0.01, 0.0], [0.02, 0.01, 0.02]]])
    assert mpblpe(truth + offsets, truth) == pytest.approx((50 + 0 + 10 + 30) / 4)
    assert mpblpe(truth + 0.1, truth) == pytest.approx(100 * np.sqrt(3))


def test_landmarks_with_nan_in_either_are_left_out_one_by_one() -> None:
    truth = np.zeros((2, 2, 3))
    estimate = truth + np.array([0.01, 0.0, 0.0])
    estimate[0, 0] = [9.0, NAN, 9.0]
    truth[1, 1, 2] = NAN
    estimate[1, 0, 0] = 0.03
    assert mpblpe(estimate, truth) == pytest.approx((10 + 30) / 2)


def test_landmarks_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(ValueError, match="nothing to average"):
        mpblpe(np.full((2, 3, 3), NAN), np.zeros((2, 3, 3)))
    with pytest.raises(ValueError, match="shapes differ"):
        mpblpe(np.zeros((2, 3, 3)), np.zeros((2, 1, 3)))
    with pytest.raises(ValueError, match="T, L, 3"):
        mpblpe(np.zeros((2, 3)), np.zeros((2, 3)))


def test_body_error_is_that_of_the_longest_axis() -> None:
    dimensions = np.array([[0.1, 0.4, 0.1], [0.2, 0.05, 0.1], [0.0, 0.0, 0.0]])
    truth = np.array([[1.0, 1.0, 1.0], [0.9, 1.0, 1.0], [1.0, 1.0, 1.0]])
    estimate = np.array([[2.0, 1.02, 2.0], [0.85, 3.0, 3.0], [5.0, 5.0, 5.0]])
    np.testing.assert_allclose(body_errors(estimate, truth, dimensions), [8.0, 10.0, NAN])
    assert mae_body(estimate, truth, dimensions) == pytest.approx(9.0)


def test_bodies_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(ValueError, match="no body"):
        mae_body(np.ones((2, 3)), np.ones((2, 3)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="shapes differ"):
        mae_body(np.ones((2, 3)), np.ones((2, 3)), np.ones((3, 3)))
    with pytest.raises(ValueError, match="B, 3"):
        body_errors(np.ones(3), np.ones(3), np.ones(3))


def test_angle_error_per_coordinate_and_their_mean() -> None:
    truth = np.radians([[0.0, 0.0, 10.0], [0.0, 0.0, 20.0]])
    estimate = np.radians([[2.0, 500.0, 9.0], [-4.0, 500.0, 23.0]])
    per_angle, mean = mae_angle(estimate, truth, np.array([True, False, True]), ["hip", "pelvis_tx", "knee"])
    assert per_angle == pytest.approx({"hip": 3.0, "knee": 2.0})
    assert mean == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("one", "other", "error"), [(179, -179, 2), (-179, 179, 2), (350, -10, 0), (200, 0, 160), (0, 190, 170)]
)
def test_angles_wrap_around(one: float, other: float, error: float) -> None:
    _, mean = mae_angle(np.radians([[one]]), np.radians([[other]]), np.array([True]), ["pelvis_rotation"])
    assert mean == pytest.approx(error, abs=1e-9)


def test_each_coordinate_counts_alike_however_many_frames_it_has() -> None:
    truth = np.zeros((3, 2))
    estimate = np.radians([[1.0, 6.0], [1.0, NAN], [1.0, 3.0]])
    truth[2, 1] = NAN
    per_angle, mean = mae_angle(estimate, truth, np.array([True, True]), ["a", "b"])
    assert per_angle == pytest.approx({"a": 1.0, "b": 6.0})
    assert mean == pytest.approx(3.5)


def test_angles_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(ValueError, match="no b has"):
        mae_angle(np.array([[0.0, NAN]]), np.zeros((1, 2)), np.array([True, True]), ["a", "b"])
    with pytest.raises(ValueError, match="no rotational coordinate"):
        mae_angle(np.zeros((1, 1)), np.zeros((1, 1)), np.array([False]), ["pelvis_tx"])
    with pytest.raises(ValueError, match="2 names"):
        mae_angle(np.zeros((1, 1)), np.zeros((1, 1)), np.array([True]), ["a", "b"])


def test_joint_error_does_not_count_where_the_root_is() -> None:
    truth = np.array([[[0.0, 0, 0], [0.2, 0, 0], [0, 1, 0]]])
    estimate = truth + np.array([5.0, -3, 2])
    estimate[0, 2] += [0.03, 0, 0.04]
    assert mpjpe(estimate, truth, [0, 1]) == pytest.approx(50 / 3)
    estimate[0, 0] += [0.02, 0, 0]  # half of it moves the root
    assert mpjpe(estimate, truth, [0, 1]) == pytest.approx((10 + 10 + np.hypot(20, 40)) / 3)


def test_aligned_error_does_not_count_place_turn_and_size() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(4, 7, 3))
    turns = so3.axis_angle_to_matrix(rng.normal(size=(4, 3)))
    size = np.array([0.5, 1.0, 1.5, 3.0])[:, None, None]
    estimate = size * truth @ turns + rng.normal(size=(4, 1, 3))
    assert pa_mpjpe(estimate, truth) == pytest.approx(0, abs=1e-9)
    assert mpjpe(estimate, truth, [0]) > 100


def test_aligned_error_of_a_body_pulled_along_one_axis() -> None:
    """Six points at +-1 m on the axes; those of x at +-1.3 instead: the best size is 3.3 / 3.69."""
    truth = np.concatenate([np.eye(3), -np.eye(3)])[None]
    scale = 3.3 / (1.3**2 + 2)
    error = 1000 * (2 * abs(1.3 * scale - 1) + 4 * abs(scale - 1)) / 6
    assert pa_mpjpe(truth * [1.3, 1, 1], truth) == pytest.approx(error)


def test_a_mirrored_body_is_not_aligned_by_mirroring() -> None:
    truth = np.random.default_rng(1).normal(size=(3, 9, 3))
    mirrored = truth * [-1, 1, 1]
    assert pa_mpjpe(mirrored, truth) > 100
    aligned = procrustes(mirrored, truth)
    corners = np.linalg.det(aligned[:, 1:4] - aligned[:, :1]) * np.linalg.det(truth[:, 1:4] - truth[:, :1])
    assert (corners < 0).all()


def test_aligned_error_is_never_above_that_of_any_other_placing() -> None:
    rng = np.random.default_rng(2)
    truth, estimate = rng.normal(size=(2, 5, 8, 3))
    least = ((procrustes(estimate, truth) - truth) ** 2).sum()
    own = estimate - estimate.mean(1, keepdims=True)
    for _ in range(50):
        turned = rng.uniform(0, 1.5) * own @ so3.axis_angle_to_matrix(rng.normal(size=3)) + truth.mean(
            1, keepdims=True
        )
        assert least < ((turned - truth) ** 2).sum()


def test_vertex_error_from_the_pelvis() -> None:
    truth = np.zeros((2, 3, 3))
    estimate = truth + np.array([1.0, 0, 0])
    estimate[1, 2, 1] += 0.06
    assert mve(estimate, truth, np.full((2, 3), [1.0, 0, 0]), np.zeros((2, 3))) == pytest.approx(10)
    assert mve(estimate, truth, np.zeros((2, 3)), np.zeros((2, 3))) > 1000


@pytest.mark.parametrize("bad", [np.full((2, 4, 3), NAN), np.zeros((2, 4)), np.zeros((2, 3, 3))])
def test_bodies_that_are_no_bodies_are_refused(bad: np.ndarray) -> None:
    truth = np.zeros((2, 4)) if bad.ndim == 2 else np.zeros((2, 4, 3))
    with pytest.raises((ValueError, IndexError)):
        mpjpe(bad, truth, [0])


def test_angles_at_a_joint() -> None:
    points = np.array([[[0.0, 1, 0], [0, 0, 0], [0, -2, 0], [3, 0, 0], [1, 1, 0]]])
    found = joint_angles(points, [(0, 1, 2), (0, 1, 3), (3, 1, 4)])
    np.testing.assert_allclose(found, [[180, 90, 45]], atol=1e-5)
