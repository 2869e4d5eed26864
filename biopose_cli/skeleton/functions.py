"""Batched evaluation of all functions of a model's joints, with their slopes, in torch.

The batch is the last axis throughout (see `kinematics.py`): coordinates (D, B) in, values (F, B) out.
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
        polynomials = [i for i, f in enumerate(functions) if f.knots is None and len(f.coefficients) > 2]
        self.order = torch.tensor(lines + polynomials + splines, device=device).argsort()

        def tensor(values: object) -> Tensor:
            return torch.tensor(values, dtype=dtype, device=device)

        def inputs(members: list[int]) -> Tensor:
            return torch.tensor([max(functions[i].coordinate, 0) for i in members], device=device, dtype=torch.long)

        def factors(members: list[int]) -> Tensor:
            return tensor([functions[i].factor for i in members])[:, None]

        pairs = [(0.0, 0.0, *functions[i].coefficients)[-2:] for i in lines]
        self.line_inputs = inputs(lines)
        self.line_slopes, self.line_intercepts = tensor(pairs).reshape(-1, 2).T[..., None] * factors(lines)

        degree = max((len(functions[i].coefficients) for i in polynomials), default=1)
        padded = [(0.0,) * (degree - len(c := functions[i].coefficients)) + c for i in polynomials]
        self.polynomial_inputs = inputs(polynomials)
        self.polynomial_coefficients = tensor(padded).reshape(len(polynomials), degree).T[..., None] * factors(
            polynomials
        )

        max_knots = max((len(k) for i in splines if (k := functions[i].knots) is not None), default=2)
        self.spline_inputs = inputs(splines)
        self.knots = torch.full((len(splines), max_knots), torch.inf, dtype=dtype, device=device)
        self.knot_values, self.knot_slopes = torch.zeros_like(self.knots), torch.zeros_like(self.knots)
        self.last_knot = torch.zeros(len(splines), 1, dtype=torch.long, device=device)
        for row, i in enumerate(splines):
            knots = tensor(functions[i].knots)
            self.knots[row, : len(knots)] = knots[:, 0]
            self.knot_values[row, : len(knots)] = knots[:, 1] * functions[i].factor
            self.knot_slopes[row, : len(knots)] = knots[:, 2] * functions[i].factor
            self.last_knot[row] = len(knots) - 1

    def __call__(self, q: Tensor) -> Tensor:
        """(D, B) -> (F, B)."""
        return self.evaluate(q)[0]

    def evaluate(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """(D, B) -> values and slopes with respect to each function's own coordinate, (F, B) both."""
        lines = self.line_slopes * q[self.line_inputs] + self.line_intercepts
        parts = [(lines, self.line_slopes.expand_as(lines))]
        if len(self.polynomial_inputs):
            parts.append(self._polynomials(q[self.polynomial_inputs]))
        if len(self.spline_inputs):
            parts.append(self._splines(q[self.spline_inputs]))
        values, slopes = (torch.cat(both)[self.order] for both in zip(*parts, strict=True))
        return values, slopes

    def _polynomials(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Horner's scheme for value and slope."""
        value, slope = self.polynomial_coefficients[0].expand_as(x), torch.zeros_like(x)
        for coefficients in self.polynomial_coefficients[1:]:
            slope = slope * x + value
            value = value * x + coefficients
        return value, slope

    def _splines(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Cubic Hermite pieces between the knots; outside them the line through the end."""
        clamped = torch.minimum(torch.maximum(x, self.knots[:, :1]), torch.gather(self.knots, 1, self.last_knot))
        right = torch.searchsorted(self.knots, clamped.detach().contiguous(), right=True)
        right = torch.minimum(right.clamp(min=1), self.last_knot)
        left = right - 1
        x0, x1, y0, y1, m0, m1 = (
            torch.gather(values, 1, index)
            for values in (self.knots, self.knot_values, self.knot_slopes)
            for index in (left, right)
        )
        width = x1 - x0
        t = (clamped - x0) / width
        secant = (y1 - y0) / width
        bend0, bend1 = m0 - secant, m1 - secant
        value = y0 + (t * secant + t * (1 - t) * (bend0 * (1 - t) - bend1 * t)) * width
        slope = secant + bend0 * (1 - t) * (1 - 3 * t) + bend1 * t * (3 * t - 2)
        return value + slope * (x - clamped), slope
