"""The fit of the pose prior."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from biopose_cli.body.kinematics import ACTIVE_JOINTS


def test_two_clusters_are_found(script: Callable[[str], ModuleType]) -> None:
    fit = script("fit_pose_prior")
    rng = np.random.default_rng(0)
    samples = np.concatenate([rng.normal(-2, 0.2, (300, 2)), rng.normal(2, 0.2, (100, 2))])
    weights, means, covariances = fit.expectation_maximization(samples, 2)
    order = np.argsort(means[:, 0])
    np.testing.assert_allclose(weights[order], [0.75, 0.25], atol=0.01)
    np.testing.assert_allclose(means[order], [[-2, -2], [2, 2]], atol=0.1)
    assert (np.linalg.eigvalsh(covariances) >= fit.MIN_STD**2).all()


def test_log_densities_are_those_of_scipy(script: Callable[[str], ModuleType]) -> None:
    from scipy.stats import multivariate_normal

    rng = np.random.default_rng(0)
    samples, mean, root = rng.normal(size=(5, 3)), rng.normal(size=3), rng.normal(size=(3, 3))
    covariance = root @ root.T + np.eye(3)
    (found,) = script("fit_pose_prior").log_densities(samples, np.array([0.3]), mean[None], covariance[None]).T
    np.testing.assert_allclose(found, np.log(0.3) + multivariate_normal(mean, covariance).logpdf(samples))


def test_frames_are_spread_over_a_clip(script: Callable[[str], ModuleType]) -> None:
    choose = script("fit_pose_prior").choose_frames
    np.testing.assert_array_equal(choose(5, 10), range(5))
    np.testing.assert_array_equal(choose(101, 3), [0, 50, 100])


def test_the_same_motion_gives_the_same_file_of_the_shipped_form(
    run: Callable[..., ModuleType], script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    motions = [SimpleNamespace(pose=rng.normal(0, 0.3, (60, 24, 3))) for _ in range(4)]
    fit = script("fit_pose_prior")
    monkeypatch.setattr(fit, "captured_motions", lambda *_: (motions[:3], motions[3:]))
    monkeypatch.setattr(fit, "expectation_maximization", partial(fit.expectation_maximization, rounds=3))
    written = []
    for name in ("a.npz", "b.npz"):
        run("fit_pose_prior", "--motion", tmp_path, "--out", tmp_path / name, "--components", 2)
        with np.load(tmp_path / name, allow_pickle=False) as stored:
            written.append(dict(stored))
    shipped = np.load(Path(fit.__file__).parents[1] / "biopose_cli" / "mesh_fit" / "data" / "prior.npz")
    assert set(written[0]) == set(shipped)
    for key, values in written[0].items():
        np.testing.assert_array_equal(values, written[1][key])
        assert values.shape[1:] == shipped[key].shape[1:]
    assert written[0]["means"].shape == (2, len(ACTIVE_JOINTS) - 1, 3)
