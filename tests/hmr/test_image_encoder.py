from __future__ import annotations

import itertools

import pytest
import torch

from biopose_cli.errors import SettingError
from biopose_cli.hmr.image_encoder import AREA_SCALES, MultiScaleNeck


def test_cells_are_multiplied_by_the_scale() -> None:
    maps = MultiScaleNeck(6, 4, AREA_SCALES)(torch.randn(2, 6, 16, 16))
    assert [tuple(one.shape) for one in maps] == [(2, 4, side, side) for side in (16, 32, 45, 64, 91)]
    for scale, one in zip(AREA_SCALES, maps, strict=True):
        assert one[0, 0].numel() / 256 == pytest.approx(scale, rel=0.02)


def test_any_choice_of_scales() -> None:
    one = torch.randn(1, 3, 4, 4)
    for scales in itertools.chain.from_iterable(itertools.combinations(AREA_SCALES, n) for n in range(1, 6)):
        neck = MultiScaleNeck(3, 2, tuple(reversed(scales)))
        assert neck.scales == scales
        assert [out.shape[-1] for out in neck(one)] == [round(4 * scale**0.5) for scale in scales]


def test_what_is_at_a_place_stays_there_on_every_scale() -> None:
    torch.manual_seed(0)
    neck = MultiScaleNeck(1, 8, AREA_SCALES)
    blank, spot = torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 16)
    spot[..., 3, 11] = 50
    for plain, seen in zip(neck(blank), neck(spot), strict=True):
        change = (seen - plain).abs().sum(dim=1)[0]
        change = (change - change.median()).clamp_min(0)  # the norm shifts all cells alike
        rows, columns = change.shape
        row = (change.sum(dim=1) @ (torch.arange(rows) + 0.5)) / change.sum() / rows
        column = (change.sum(dim=0) @ (torch.arange(columns) + 0.5)) / change.sum() / columns
        assert row.item() == pytest.approx(3.5 / 16, abs=0.04)
        assert column.item() == pytest.approx(11.5 / 16, abs=0.04)


def test_every_part_learns() -> None:
    neck = MultiScaleNeck(3, 4)
    torch.manual_seed(0)
    sum((one * torch.randn_like(one)).sum() for one in neck(torch.randn(1, 3, 4, 4))).backward()
    assert all(p.grad is not None and p.grad.any() for name, p in neck.named_parameters() if "weight" in name)


@pytest.mark.parametrize("scales", [(), (1, 2), (3,)])
def test_other_scales_are_refused(scales: tuple[int, ...]) -> None:
    with pytest.raises(SettingError, match="not among"):
        MultiScaleNeck(3, 4, scales)
