"""The normal equations of inverse kinematics: how marker distances change with the coordinates, frame by frame.

A coordinate moves all markers outwards of its joint as one rigid body, so neither Jacobian nor its product with
itself has to be built from single markers. Each subtree's markers are summed to the moments of a rigid body
(mass, first and second moments of the weights), as the composite-rigid-body algorithm does for inertia
(Featherstone, Rigid Body Dynamics Algorithms, 2008, section 6.2); then `J'J` of two coordinates is one screw times
the moments of the outer one's subtree times the other screw. Exact, and twenty times less work than `J'J`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from biopose_cli.geometry.so3_torch import skew
from biopose_cli.skeleton.functions import FunctionBank
from biopose_cli.skeleton.kinematics import Kinematics


@dataclass(frozen=True)
class NormalEquations:
    """Of every frame: `cost` (B), half the weighted sum of squared distances; its gradient (B, D); the Gauss-Newton
    matrix (B, D, D)."""

    cost: Tensor
    gradient: Tensor
    matrix: Tensor

    def select(self, rows: Tensor) -> NormalEquations:
        """Return the systems of these rows only."""
        return NormalEquations(self.cost[rows], self.gradient[rows], self.matrix[rows])

    def where(self, keep: Tensor, other: NormalEquations) -> NormalEquations:
        """This one's frames where `keep` (B) is true, else the other's."""
        return NormalEquations(
            torch.where(keep, self.cost, other.cost),
            torch.where(keep[:, None], self.gradient, other.gradient),
            torch.where(keep[:, None, None], self.matrix, other.matrix),
        )


class MarkerNormalEquations:
    """Builds `NormalEquations` for a model's markers. Dependent coordinates are folded into those they follow."""

    def __init__(self, kinematics: Kinematics) -> None:
        spec = kinematics.spec
        self.kinematics = kinematics
        joints = spec.joint_of
        is_ancestor = spec.ancestors[joints]  # (D, J)
        is_ancestor[joints < 0] = False
        self.moves_marker = kinematics.tensor(is_ancestor[:, spec.marker_bodies].astype(float))  # (D, M)
        descends = is_ancestor[:, joints]  # (D, D) [c, d]: d's joint hangs on c's, or is it
        self.descendant_or_self = torch.as_tensor(descends.T & (joints >= 0)[:, None])  # [d, c]
        strictly_descends = descends.T & ~descends  # [d, c]: d strictly outside c
        self.descendant = torch.as_tensor(strictly_descends)
        # a coupler matters if what follows moves markers: a patella usually does not
        couplers_move_markers = any(bool(self.moves_marker[c.dependent].any()) for c in spec.couplers)
        self.couplers = [
            (c, FunctionBank([c.function], kinematics.dtype, kinematics.device))
            for c in spec.couplers
            if couplers_move_markers
        ]
        all_linear = all(c.function.knots is None and len(c.function.coefficients) <= 2 for c in spec.couplers)
        zero_q = torch.zeros(1, len(spec.coordinates), dtype=kinematics.dtype)
        self._constant_coupling = self._evaluate_couplers(zero_q) if couplers_move_markers and all_linear else None

    def __call__(self, q: Tensor, targets: Tensor, weights: Tensor) -> NormalEquations:
        """q (B, D); targets (B, M, 3) m, ground, finite also where the weight is zero; weights (B, M)."""
        kinematics = self.kinematics
        transforms, angular, linear = kinematics.screws(q)
        x = kinematics.points(transforms, kinematics.marker_bodies, kinematics.marker_locations).permute(1, 2, 0)
        w = weights.T[:, None]
        weighted_residual = w * (x - targets.permute(1, 2, 0))  # (M, 3, B)
        cost = 0.5 * (weighted_residual * (x - targets.permute(1, 2, 0))).sum((0, 1))
        weighted_points = w * x
        moments = torch.cat(
            [
                w, weighted_points, weighted_points * x,
                weighted_points[:, :2] * x[:, 1:], weighted_points[:, :1] * x[:, 2:],
                weighted_residual, torch.linalg.cross(x, weighted_residual, dim=1),
            ],
            dim=1,
        )  # fmt: skip
        count, batch = len(self.moves_marker), q.shape[0]
        sums = (self.moves_marker @ moments.reshape(len(moments), -1)).reshape(count, -1, batch)
        mass, first, squares = sums[:, :1], sums[:, 1:4], sums[:, 4:7]
        xy, yz, xz = sums[:, 7], sums[:, 8], sums[:, 9]
        gradient = (linear * sums[:, 10:13] + angular * sums[:, 13:16]).sum(1).T
        a, b, c = angular.unbind(1)
        second = torch.stack(
            [
                squares[:, 0] * a + xy * b + xz * c,
                xy * a + squares[:, 1] * b + yz * c,
                xz * a + yz * b + squares[:, 2] * c,
            ],
            dim=1,
        )
        force = torch.linalg.cross(angular, first, dim=1) + mass * linear
        torque = squares.sum(1, keepdim=True) * angular - second + torch.linalg.cross(first, linear, dim=1)
        screws = torch.cat([angular, linear], dim=1).permute(2, 1, 0)  # (B, 6, D)
        wrenches = torch.cat([torque, force], dim=1).permute(2, 0, 1)  # (B, D, 6)
        product = wrenches @ screws
        inner = product * self.descendant_or_self
        matrix = inner + (product * self.descendant).transpose(1, 2)
        return self._apply_couplers(q, NormalEquations(cost, gradient, matrix))

    def jacobian(self, q: Tensor) -> Tensor:
        """(B, D, 3, M): how the model's markers move with each coordinate of q (B, D), m per rad or m."""
        kinematics = self.kinematics
        transforms, angular, linear = kinematics.screws(q)
        x = kinematics.points(transforms, kinematics.marker_bodies, kinematics.marker_locations)
        rotational = skew(angular.permute(2, 0, 1)).flatten(1, 2) @ x.transpose(1, 2)  # (B, 3 D, M)
        result: Tensor = self.moves_marker[:, None] * (
            rotational.unflatten(1, (-1, 3)) + linear.permute(2, 0, 1)[..., None]
        )
        coupling = self.coupler_jacobian(q)
        if coupling is not None:
            result = (coupling.transpose(1, 2) @ result.flatten(2)).unflatten(2, (3, -1))
        return result

    def coupler_jacobian(self, q: Tensor) -> Tensor | None:
        """How every coordinate (rows) moves with every other (columns) through the couplers: (B or 1, D, D); None if
        no marker notices."""
        if not self.couplers or self._constant_coupling is not None:
            return self._constant_coupling
        return self._evaluate_couplers(q)

    def _apply_couplers(self, q: Tensor, equations: NormalEquations) -> NormalEquations:
        """Add what the dependent coordinates do to those they follow."""
        coupling = self.coupler_jacobian(q)
        if coupling is None:
            return equations
        gradient = (equations.gradient[:, None] @ coupling)[:, 0]
        return NormalEquations(equations.cost, gradient, coupling.transpose(1, 2) @ equations.matrix @ coupling)

    def _evaluate_couplers(self, q: Tensor) -> Tensor:
        coupling = torch.eye(q.shape[1], dtype=q.dtype).repeat(len(q), 1, 1)
        full = self.kinematics.apply_couplers(q).T
        for coupler, bank in self.couplers:
            slope = bank.evaluate(full)[1][0]
            coupling[:, coupler.dependent] = slope[:, None] * coupling[:, coupler.function.coordinate]
        return coupling
