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

from biopose_cli.skeleton.functions import FunctionBank
from biopose_cli.skeleton.kinematics import Kinematics, cross_matrices


@dataclass(frozen=True)
class Normal:
    """Of every frame: `cost` (B), half the weighted sum of squared distances; its gradient (B, D); the Gauss-Newton
    matrix (B, D, D)."""

    cost: Tensor
    gradient: Tensor
    matrix: Tensor

    def part(self, rows: Tensor) -> Normal:
        return Normal(self.cost[rows], self.gradient[rows], self.matrix[rows])

    def where(self, keep: Tensor, other: Normal) -> Normal:
        """This one's frames where `keep` (B) is true, else the other's."""
        return Normal(
            torch.where(keep, self.cost, other.cost),
            torch.where(keep[:, None], self.gradient, other.gradient),
            torch.where(keep[:, None, None], self.matrix, other.matrix),
        )


class MarkerTerms:
    """Builds `Normal` for a model's markers. Dependent coordinates are folded into those they follow."""

    def __init__(self, kinematics: Kinematics) -> None:
        table = kinematics.table
        self.kinematics = kinematics
        joints = table.joint_of
        above = table.ancestors[joints]  # (D, J)
        above[joints < 0] = False
        self.moves = kinematics.tensor(above[:, table.marker_bodies].astype(float))  # (D, M)
        outer = above[:, joints]  # (D, D) [c, d]: d's joint hangs on c's, or is it
        self.outer = torch.as_tensor(outer.T & (joints >= 0)[:, None])  # [d, c]
        depth_first = outer.T & ~outer  # [d, c]: d strictly outside c
        self.strict = torch.as_tensor(depth_first)
        # a coupler matters if what follows moves markers: a patella usually does not
        moving = any(bool(self.moves[c.dependent].any()) for c in table.couplers)
        self.couplers = [
            (c, FunctionBank([c.function], kinematics.dtype, kinematics.device))
            for c in table.couplers
            if moving
        ]
        straight = all(c.function.knots is None and len(c.function.coefficients) <= 2 for c in table.couplers)
        still = torch.zeros(1, len(table.coordinates), dtype=kinematics.dtype)
        self._constant = self._coupled_motion(still) if moving and straight else None

    def __call__(self, q: Tensor, targets: Tensor, weights: Tensor) -> Normal:
        """q (B, D); targets (B, M, 3) m, ground, finite also where the weight is zero; weights (B, M)."""
        kinematics = self.kinematics
        frames, turn, slide = kinematics.screws(q)
        x = kinematics.points(frames, kinematics.marker_bodies, kinematics.marker_places).permute(1, 2, 0)
        w = weights.T[:, None]
        pull = w * (x - targets.permute(1, 2, 0))  # (M, 3, B)
        cost = 0.5 * (pull * (x - targets.permute(1, 2, 0))).sum((0, 1))
        heavy = w * x
        moments = torch.cat(
            [
                w, heavy, heavy * x, heavy[:, :2] * x[:, 1:], heavy[:, :1] * x[:, 2:],
                pull, torch.linalg.cross(x, pull, dim=1),
            ],
            dim=1,
        )  # fmt: skip
        count, batch = len(self.moves), q.shape[0]
        sums = (self.moves @ moments.reshape(len(moments), -1)).reshape(count, -1, batch)
        mass, first, squares = sums[:, :1], sums[:, 1:4], sums[:, 4:7]
        xy, yz, xz = sums[:, 7], sums[:, 8], sums[:, 9]
        gradient = (slide * sums[:, 10:13] + turn * sums[:, 13:16]).sum(1).T
        a, b, c = turn.unbind(1)
        second = torch.stack(
            [
                squares[:, 0] * a + xy * b + xz * c,
                xy * a + squares[:, 1] * b + yz * c,
                xz * a + yz * b + squares[:, 2] * c,
            ],
            dim=1,
        )
        force = torch.linalg.cross(turn, first, dim=1) + mass * slide
        torque = squares.sum(1, keepdim=True) * turn - second + torch.linalg.cross(first, slide, dim=1)
        screws = torch.cat([turn, slide], dim=1).permute(2, 1, 0)  # (B, 6, D)
        wrenches = torch.cat([torque, force], dim=1).permute(2, 0, 1)  # (B, D, 6)
        product = wrenches @ screws
        inner = product * self.outer
        matrix = inner + (product * self.strict).transpose(1, 2)
        return self._follow(q, Normal(cost, gradient, matrix))

    def jacobian(self, q: Tensor) -> Tensor:
        """(B, D, 3, M): how the model's markers move with each coordinate of q (B, D), m per rad or m."""
        kinematics = self.kinematics
        frames, turn, slide = kinematics.screws(q)
        x = kinematics.points(frames, kinematics.marker_bodies, kinematics.marker_places)
        spun = cross_matrices(turn.permute(2, 0, 1)).flatten(1, 2) @ x.transpose(1, 2)  # (B, 3 D, M)
        moved: Tensor = self.moves[:, None] * (spun.unflatten(1, (-1, 3)) + slide.permute(2, 0, 1)[..., None])
        chain = self.chain(q)
        if chain is not None:
            moved = (chain.transpose(1, 2) @ moved.flatten(2)).unflatten(2, (3, -1))
        return moved

    def chain(self, q: Tensor) -> Tensor | None:
        """How every coordinate (rows) moves with every other (columns) through the couplers: (B or 1, D, D); None if
        no marker notices."""
        if not self.couplers or self._constant is not None:
            return self._constant
        return self._coupled_motion(q)

    def _follow(self, q: Tensor, normal: Normal) -> Normal:
        """Add what the dependent coordinates do to those they follow."""
        chain = self.chain(q)
        if chain is None:
            return normal
        gradient = (normal.gradient[:, None] @ chain)[:, 0]
        return Normal(normal.cost, gradient, chain.transpose(1, 2) @ normal.matrix @ chain)

    def _coupled_motion(self, q: Tensor) -> Tensor:
        chain = torch.eye(q.shape[1], dtype=q.dtype).repeat(len(q), 1, 1)
        full = self.kinematics.coupled(q).T
        for coupler, bank in self.couplers:
            slope = bank.evaluate(full)[1][0]
            chain[:, coupler.dependent] = slope[:, None] * chain[:, coupler.function.coordinate]
        return chain
