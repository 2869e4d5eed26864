"""What `build_body.py` does with MakeHuman's mesh, without MakeHuman; and that the shipped body is what it makes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from biopose_cli.body.model import DEFAULT_BODY, JOINT_NAMES


@pytest.fixture
def build_body(script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setitem(sys.modules, "anny", ModuleType("anny"))
    return script("build_body")


def test_adults_are_half_women_and_of_human_size(build_body: ModuleType) -> None:
    adults = build_body.draw_adults(400, np.random.default_rng(0))
    women = adults["gender"] > 0.5
    assert women.sum() == 200
    assert adults["stature"][women].mean() == pytest.approx(1.64, abs=0.02)
    assert adults["stature"][~women].mean() == pytest.approx(1.77, abs=0.02)
    assert (adults["size"] != adults["stature"]).double().mean() == pytest.approx(build_body.RESIZED_FRACTION, abs=0.05)
    for name, sliders in build_body.draw_adults(400, np.random.default_rng(0)).items():
        torch.testing.assert_close(sliders, adults[name])


def test_people_get_the_stature_that_was_drawn(build_body: ModuleType) -> None:
    def mesh(phenotype_kwargs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Two points, 1.2 to 2.2 m apart; MakeHuman's z is up."""
        height = 1.2 + phenotype_kwargs["height"]
        points = torch.zeros(len(height), 2, 3, dtype=torch.float64)
        points[:, 1, 2] = height
        return {"rest_vertices": points, "rest_bone_heads": points}

    source: Any = mesh
    wanted = torch.tensor([1.5, 1.7], dtype=torch.float64)
    size = torch.tensor([1.5, 2.0], dtype=torch.float64)
    vertices, heads = build_body.sample_shapes(source, source, {"stature": wanted, "size": size})
    np.testing.assert_allclose(np.ptp(vertices[..., 1], axis=1), size)
    np.testing.assert_allclose(heads, vertices)


def test_the_shipped_body_is_of_this_version_and_symmetric(build_body: ModuleType) -> None:
    with np.load(DEFAULT_BODY, allow_pickle=False) as body:
        assert str(body["version"]) == build_body.VERSION
        np.testing.assert_array_equal(body["kintree_table"][0], build_body.PARENTS)
        mirror, template = body["mirror"], body["v_template"]
        np.testing.assert_allclose(build_body.mirror_points(template, mirror), template, atol=1e-6)
        hip, knee, ankle = (template[-24:][JOINT_NAMES.index(f"left_{name}")] for name in ("hip", "knee", "ankle"))
        np.testing.assert_allclose(knee[[0, 2]], hip[[0, 2]], atol=2e-3)  # straight, vertical legs
        np.testing.assert_allclose(ankle[[0, 2]], knee[[0, 2]], atol=2e-3)
