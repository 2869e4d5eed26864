"""All functions of a model's joints at once, with their slopes, in torch.

The batch is the last axis throughout (`kinematics.py` says why): coordinates (D, B) in, values (F, B) out.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from biopose_cli.skeleton.extract import Function


class FunctionBank:
    """F functions of D coordinates. Lines, polynomials and splines are each evaluated together."""

    def __init__(self, functions: Sequence[Function], dtype: torch.dtype, device: torch.device) -> None:
        self.count = len(functions)
        splines = [i for i, f in enumerate(functions) if f.knots is not None]
        lines = [i for i, f in enumerate(functions) if f.knots is None and len(f.coefficients) <= 2]
        curves = [i for i, f in enumerate(functions) if f.knots is None and len(f.coefficients) > 2]
        self.order = torch.tensor(lines + curves + splines, device=device).argsort()

        def tensor(values: object) -> Tensor:
            return torch.tensor(values, dtype=dtype, device=device)

        def inputs(members: list[int]) -> Tensor:
            return torch.tensor(
                [max(functions[i].coordinate, 0) for i in members], device=device, dtype=torch.long
            )

        def factors(members: list[int]) -> Tensor:
            return tensor([functions[i].factor for i in members])[:, None]

        pairs = [(0.0, 0.0, *functions[i].coefficients)[-2:] for i in lines]
        self.line_inputs = inputs(lines)
        self.line_slopes, self.line_starts = tensor(pairs).reshape(-1, 2).T[..., None] * factors(lines)

        degree = max((len(functions[i].coefficients) for i in curves), default=1)
        padded = [(0.0,) * (degree - len(c := functions[i].coefficients)) + c for i in curves]
        self.curve_inputs = inputs(curves)
        self.curves = tensor(padded).reshape(len(curves), degree).T[..., None] * factors(curves)

        size = max((len(k) for i in splines if (k := functions[i].knots) is not None), default=2)
        self.spline_inputs = inputs(splines)
        self.knots = torch.full((len(splines), size), torch.inf, dtype=dtype, device=device)
        self.knot_values, self.knot_slopes = torch.zeros_like(self.knots), torch.zeros_like(self.knots)
        self.last = torch.zeros(len(splines), 1, dtype=torch.long, device=device)
        for row, i in enumerate(splines):
            knots = tensor(functions[i].knots)
            self.knots[row, : len(knots)] = knots[:, 0]
            self.knot_values[row, : len(knots)] = knots[:, 1] * functions[i].factor
            self.knot_slopes[row, : len(knots)] = knots[:, 2] * functions[i].factor
            self.last[row] = len(knots) - 1

    def __call__(self, q: Tensor) -> Tensor:
        """(D, B) -> (F, B)."""
        return self.evaluate(q)[0]

    def evaluate(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """(D, B) -> values and slopes with respect to each function's own coordinate, (F, B) both."""
        lines = self.line_slopes * q[self.line_inputs] + self.line_starts
        parts = [(lines, self.line_slopes.expand_as(lines))]
        if len(self.curve_inputs):
            parts.append(self._polynomials(q[self.curve_inputs]))
        if len(self.spline_inputs):
            parts.append(self._splines(q[self.spline_inputs]))
        values, slopes = (torch.cat(both)[self.order] for both in zip(*parts, strict=True))
        return values, slopes

    def _polynomials(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Horner's scheme for value and slope."""
        value, slope = self.curves[0].expand_as(x), torch.zeros_like(x)
        for coefficients in self.curves[1:]:
            slope = slope * x + value
            value = value * x + coefficients
        return value, slope

    def _splines(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Cubic Hermite pieces between the knots; outside them the line through the end."""
        inside = torch.minimum(torch.maximum(x, self.knots[:, :1]), torch.gather(self.knots, 1, self.last))
        right = torch.searchsorted(self.knots, inside.detach().contiguous(), right=True)
        right = torch.minimum(right.clamp(min=1), self.last)
        left = right - 1
        x0, x1, y0, y1, m0, m1 = (
            torch.gather(values, 1, at)
            for values in (self.knots, self.knot_values, self.knot_slopes)
            for at in (left, right)
        )
        width = x1 - x0
        t = (inside - x0) / width
        rise = (y1 - y0) / width
        bend0, bend1 = m0 - rise, m1 - rise
        value = y0 + (t * rise + t * (1 - t) * (bend0 * (1 - t) - bend1 * t)) * width
        slope = rise + bend0 * (1 - t) * (1 - 3 * t) + bend1 * t * (3 * t - 2)
        return value + slope * (x - inside), slope
