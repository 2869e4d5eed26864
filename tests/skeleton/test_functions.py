"""Lines, polynomials and splines give OpenSim's values, and the slopes that belong to them."""

from __future__ import annotations

import numpy as np
import torch

from biopose_cli.skeleton.extract import Function, _function
from biopose_cli.skeleton.functions import FunctionBank
from biopose_cli.skeleton.osim import opensim
from tests.helpers.handmade_models import scale_function, spline

X = np.linspace(-2.0, 2.0, 81)  # the spline's knots end at -1 and 1.2


def _kinds() -> list[object]:
    cubic = opensim.PolynomialFunction(opensim.Vector.createFromMat(np.array([0.2, -0.3, 0.5, 0.1])))
    square = opensim.PolynomialFunction(opensim.Vector.createFromMat(np.array([1.5, 0.0, -2.0])))
    two = opensim.SimmSpline()
    for x, y in ((0.0, 0.1), (0.5, 0.6)):
        two.addPoint(x, y)
    return [
        opensim.Constant(0.7),
        opensim.LinearFunction(-1.5, 0.25),
        cubic,
        spline(),
        scale_function(scale_function(spline(), 2.0), -0.3),
        square,
        scale_function(cubic, 3.0),
        two,
        scale_function(opensim.Constant(0.5), 4.0),
    ]


def _bank(functions: list[Function]) -> FunctionBank:
    return FunctionBank(functions, torch.float64, torch.device("cpu"))


def test_values_are_opensims() -> None:
    kinds = _kinds()
    values = _bank([_function(kind, 0, "test") for kind in kinds])(torch.as_tensor(X)[None])
    for kind, found in zip(kinds, values, strict=True):
        expected = [kind.calcValue(opensim.Vector(1, float(x))) for x in X]  # type: ignore[attr-defined]
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_slopes_are_those_of_the_values() -> None:
    bank = _bank([_function(kind, row, "test") for row, kind in enumerate(_kinds())])
    q = torch.as_tensor(X).repeat(bank.count, 1).requires_grad_()
    values, slopes = bank.evaluate(q)
    (expected,) = torch.autograd.grad(values.sum(), q)
    inner = (torch.as_tensor(X)[:, None] - torch.tensor([-1.0, 1.2, 0.0, 0.5])).abs().amin(1) > 1e-9
    torch.testing.assert_close(slopes[:, inner], expected[:, inner])


def test_a_bank_of_lines_alone_needs_no_curves() -> None:
    bank = _bank([Function(1, (2.0, 1.0)), Function()])
    values, slopes = bank.evaluate(torch.tensor([[5.0], [3.0]], dtype=torch.float64))
    assert values.tolist() == [[7.0], [0.0]]
    assert slopes.tolist() == [[2.0], [0.0]]
