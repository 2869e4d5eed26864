from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor

from biopose_cli.hmr.deformable_attention import MultiScaleDeformableAttention

WIDTH, HEADS, POINTS = 8, 2, 3
SIZES = ((4, 5), (7, 3))  # rows, columns


def layer() -> MultiScaleDeformableAttention:
    """One that has learned something: offsets and weights that depend on the query."""
    torch.manual_seed(0)
    result = MultiScaleDeformableAttention(WIDTH, HEADS, len(SIZES), POINTS).double()
    torch.nn.init.normal_(result.sampling_offsets.weight, std=0.3)
    torch.nn.init.normal_(result.attention_weights.weight, std=0.5)
    return result


def inputs() -> tuple[Tensor, Tensor, list[Tensor]]:
    torch.manual_seed(1)
    queries = torch.randn(2, 6, WIDTH, dtype=torch.float64)
    reference = torch.rand(2, 6, 2, dtype=torch.float64)
    return queries, reference, [torch.randn(2, WIDTH, *size, dtype=torch.float64) for size in SIZES]


def bilinear(image: Tensor, x: float, y: float) -> Tensor:
    """(C, H, W) at a place 0..1 of the picture; cell i's centre is at (i + 0.5) / size, outside there is zero."""
    rows, columns = image.shape[1:]
    across, down = x * columns - 0.5, y * rows - 0.5
    result = torch.zeros(len(image), dtype=image.dtype)
    for i in (math.floor(down), math.floor(down) + 1):
        for j in (math.floor(across), math.floor(across) + 1):
            if 0 <= i < rows and 0 <= j < columns:
                result += (1 - abs(down - i)) * (1 - abs(across - j)) * image[:, i, j]
    return result


def naive(
    net: MultiScaleDeformableAttention, queries: Tensor, reference: Tensor, maps: list[Tensor]
) -> Tensor:
    per_head = WIDTH // HEADS
    mixing, bias = net.value_proj.weight[:, :, 0, 0], net.value_proj.bias[:, None, None]
    projected = [torch.einsum("oi,nihw->nohw", mixing, one) + bias for one in maps]
    result = torch.zeros_like(queries)
    for n, k in torch.cartesian_prod(torch.arange(2), torch.arange(6)).tolist():
        offsets = (net.sampling_offsets.weight @ queries[n, k] + net.sampling_offsets.bias).view(
            HEADS, len(SIZES), POINTS, 2
        )
        logits = (net.attention_weights.weight @ queries[n, k] + net.attention_weights.bias).view(HEADS, -1)
        seen = torch.zeros(WIDTH, dtype=queries.dtype)
        for h in range(HEADS):
            alpha = (logits[h].exp() / logits[h].exp().sum()).view(len(SIZES), POINTS)
            for s, (rows, columns) in enumerate(SIZES):
                for m in range(POINTS):
                    dx, dy = offsets[h, s, m].tolist()
                    x, y = reference[n, k].tolist()
                    part = slice(h * per_head, (h + 1) * per_head)
                    seen[part] += alpha[s, m] * bilinear(
                        projected[s][n, part], x + dx / columns, y + dy / rows
                    )
        result[n, k] = net.output_proj.weight @ seen + net.output_proj.bias
    return result


def test_it_is_the_papers_sum() -> None:
    net, (queries, reference, maps) = layer(), inputs()
    with torch.no_grad():
        seen = net(queries, reference, net.project_values(maps))
        torch.testing.assert_close(seen, naive(net, queries, reference, maps), atol=1e-10, rtol=0)
        single = copy.deepcopy(net).float()
        rough = single(
            queries.float(), reference.float(), single.project_values([one.float() for one in maps])
        )
    torch.testing.assert_close(rough, seen.float(), atol=1e-5, rtol=0)


def test_gradients_to_the_queries() -> None:
    net, (queries, reference, maps) = layer(), inputs()
    values = [value.detach() for value in net.project_values(maps)]
    assert torch.autograd.gradcheck(lambda q: net(q, reference, values), queries.requires_grad_())


def test_queries_do_not_see_each_other() -> None:
    net, (queries, reference, maps) = layer(), inputs()
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    values = net.project_values(maps)
    torch.testing.assert_close(
        net(queries[:, order], reference[:, order], values), net(queries, reference, values)[:, order]
    )


def test_reference_points_may_be_common_to_all_pictures() -> None:
    net, (queries, reference, maps) = layer(), inputs()
    values = net.project_values(maps)
    torch.testing.assert_close(
        net(queries, reference[0], values), net(queries, reference[:1].expand(2, -1, -1), values)
    )


def test_a_constant_map_gives_a_constant() -> None:
    torch.manual_seed(0)
    net = MultiScaleDeformableAttention(WIDTH, 4, 2, 2)
    colour = torch.randn(WIDTH)
    maps = [colour[:, None, None].expand(1, WIDTH, side, side) for side in (9, 16)]
    queries, reference = torch.randn(1, 5, WIDTH), 0.4 + 0.2 * torch.rand(1, 5, 2)
    expected = net.output_proj(net.value_proj.weight[:, :, 0, 0] @ colour + net.value_proj.bias)
    seen = net(queries, reference, net.project_values(maps))
    torch.testing.assert_close(seen, expected.expand(1, 5, WIDTH), atol=1e-5, rtol=1e-5)


def test_x_is_right_and_y_is_down() -> None:
    net = MultiScaleDeformableAttention(1, 1, 1, 1)
    with torch.no_grad():
        for tensor in net.parameters():
            tensor.zero_()
        net.value_proj.weight.fill_(1)
        net.output_proj.weight.fill_(1)
    picture = torch.zeros(1, 1, 4, 4)
    picture[0, 0, 0, 3] = 1  # first row, last column
    corners = torch.tensor([[0.875, 0.125], [0.125, 0.875], [0.125, 0.125]])
    seen = net(torch.zeros(1, 3, 1), corners, net.project_values([picture]))
    torch.testing.assert_close(seen[0, :, 0], torch.tensor([1.0, 0.0, 0.0]))


def test_it_starts_as_rays_in_all_directions() -> None:
    net = MultiScaleDeformableAttention(8, 4, 3, 2)
    rays = net.sampling_offsets.bias.view(4, 3, 2, 2)
    assert not net.sampling_offsets.weight.any()
    torch.testing.assert_close(rays.sum(dim=0), torch.zeros(3, 2, 2), atol=1e-6, rtol=0)
    torch.testing.assert_close(rays.abs().amax(-1), torch.tensor([1.0, 2.0]).expand(4, 3, 2))


def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="3 heads"):
        MultiScaleDeformableAttention(8, 3, 1, 1)
    with pytest.raises(ValueError, match="made for 2 maps and got 1"):
        layer().project_values(inputs()[2][:1])
