"""Forward kinematics of any OpenSim model in torch: body frames, joint centres and markers, with gradients.

Equal to OpenSim's own within rounding, scaled segments included. Inside, the batch is the last axis: a pose
is a handful of small matrices per body, and this way every elementary product runs over a long row of
memory. Outside, the batch comes first: `q` (B, D), markers (B, M, 3). Ground frame; m and rad.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from biopose_cli.skeleton.extract import GROUND, Coupler, Function, Table
from biopose_cli.skeleton.functions import FunctionBank
from biopose_cli.typing import Array


@dataclass(frozen=True)
class Frames:
    """Where the bodies are: `rotation` (J, 3, 3, B) and `place` (J, 3, B), ground from body (batch last)."""

    rotation: Tensor
    place: Tensor

    def matrices(self) -> Tensor:
        """(B, J, 4, 4), ground from body."""
        count, batch = self.place.shape[0], self.place.shape[-1]
        bottom = self.place.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(batch, count, 1, 4)
        top = torch.cat([self.rotation, self.place[:, :, None]], dim=2).permute(3, 0, 1, 2)
        return torch.cat([top, bottom], dim=2)


class Kinematics:
    """The kinematics of a model's `table`.

    Methods take `q` (B, D) with every coordinate of the model in its order (dependent ones are replaced by what
    their couplers say, as OpenSim's assembly does) and `scale`, the factors along the bodies' axes as in
    OpenSim's `Model.scale`: (J, 3) for all frames, (B, J, 3), or None for one. Locked coordinates are not
    treated apart: give their locked value.
    """

    def __init__(
        self, table: Table, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
    ) -> None:
        self.table = table
        self.dtype, self.device = dtype, torch.device(device)
        self.bank = FunctionBank([f for row in table.functions for f in row], dtype, self.device)
        self.couplers = self._coupler_rounds()
        self.levels = _levels(table.parents)
        parent, child = self.tensor(table.parent_frames), self.tensor(table.child_frames)
        self.turn_axes, self.slide_axes = self.tensor(table.axes).split(3, dim=1)  # (J, 3, 3) each
        self.parent_places, self.child_places = parent[:, :3, 3], child[:, :3, 3]
        self.to_parent = parent[:, :3, :3]
        cross = cross_matrices(self.turn_axes)
        # P enters the first turn and C^-1 the last, so that a joint costs two products
        before = [
            parent[:, :3, :3],
            *[torch.eye(3, dtype=dtype, device=self.device).expand_as(cross[:, 0])] * 2,
        ]
        after = [before[1], before[1], child[:, :3, :3].transpose(-1, -2)]
        self.turns = [
            tuple((b @ k @ a)[..., None] for k in (torch.eye(3, dtype=dtype, device=self.device), c, c @ c))
            for b, c, a in zip(before, cross.unbind(1), after, strict=True)
        ]
        ways = torch.nn.functional.normalize(self.slide_axes, dim=-1)
        self.slides = self.to_parent @ ways.transpose(-1, -2)  # (J, 3, 3): columns in the parent body
        kept = [
            [parent == GROUND or _is_length(function, table) for function in row[3:]]
            for parent, row in zip(table.parents, table.functions, strict=True)
        ]
        self.kept = torch.tensor(kept, device=self.device)  # ways that no scale changes
        self.above = (
            torch.tensor(table.parents, device=self.device) + 1
        )  # row in a list that begins with ground
        driven = [
            (function.coordinate, joint, slot)
            for joint, row in enumerate(table.functions)
            for slot, function in enumerate(row)
            if function.coordinate >= 0
        ]
        self.driven, self.driven_joints, self.driven_slots = torch.tensor(driven, device=self.device).T
        self.marker_bodies = torch.as_tensor(table.marker_bodies, device=self.device)
        self.marker_places = self.tensor(table.marker_places)

    def tensor(self, values: Array) -> Tensor:
        return torch.as_tensor(values, dtype=self.dtype, device=self.device)

    def coupled(self, q: Tensor) -> Tensor:
        """`q` (B, D) with the dependent coordinates evaluated."""
        return self._coupled(q.T).T

    def frames(self, q: Tensor, scale: Tensor | None = None) -> Frames:
        """The frames of all bodies."""
        q = self._coupled(q.T)
        values = self.bank(q).reshape(len(self.table.bodies), 6, -1)
        rotation, place, _, _ = self._local(values, self._factors(scale))
        return self._chain(rotation, place)

    def points(self, frames: Frames, bodies: Tensor, places: Tensor, scale: Tensor | None = None) -> Tensor:
        """Points fixed to bodies, in ground: (B, N, 3).

        bodies: (N) indices. places: (N, 3) or (B, N, 3) in the unscaled bodies' frames.
        """
        at = places[..., None] if places.ndim == 2 else places.permute(1, 2, 0)
        factors = self._factors(scale)
        if factors is not None:
            at = at * factors[bodies]
        return (_apply(frames.rotation[bodies], at) + frames.place[bodies]).permute(2, 0, 1)

    def markers(self, q: Tensor, scale: Tensor | None = None, places: Tensor | None = None) -> Tensor:
        """The model's markers (B, M, 3); `places` as for `points` instead of the model's own."""
        where = self.marker_places if places is None else places
        return self.points(self.frames(q, scale), self.marker_bodies, where, scale)

    def joint_centres(self, q: Tensor, scale: Tensor | None = None) -> Tensor:
        """The origin of every joint's frame on its child body (B, J, 3)."""
        everybody = torch.arange(len(self.table.bodies), device=self.device)
        return self.points(self.frames(q, scale), everybody, self.child_places, scale)

    def screws(self, q: Tensor, scale: Tensor | None = None) -> tuple[Frames, Tensor, Tensor]:
        """The frames, and the motion of a coordinate's own body per unit of it: `turn` and `slide` (D, 3, B).

        A point x of that body, or of one that hangs on it, moves by turn x `x` + slide: the slide is that of the
        body's material point at the ground's origin. Couplers are not followed: each coordinate alone moves.
        """
        q = self._coupled(q.T)
        values, slopes = (f.reshape(len(self.table.bodies), 6, -1) for f in self.bank.evaluate(q))
        factors = self._factors(scale)
        rotation, place, axes, centre = self._local(values, factors)
        frames = self._chain(rotation, place)
        above, origin = self._above(frames)
        axes = _product(above, axes)
        centre = _apply(above, centre) + origin
        ways = _product(above, self._slides(factors).expand(*self.slides.shape, q.shape[-1]))
        moments = torch.linalg.cross(centre[:, :, None].expand_as(axes), axes, dim=1)
        joint, slot = self.driven_joints, self.driven_slots
        slope = slopes[joint, slot][:, None]
        turns = torch.cat([axes, torch.zeros_like(axes)], dim=2)[joint, :, slot] * slope
        slides = torch.cat([moments, ways], dim=2)[joint, :, slot] * slope
        still = q.new_zeros(q.shape[0], 3, q.shape[1])
        return frames, still.index_add(0, self.driven, turns), still.index_add(0, self.driven, slides)

    def _coupler_rounds(self) -> list[tuple[Tensor, FunctionBank]]:
        """Dependent coordinates and their functions, those first that others of them depend on."""
        rounds: list[list[Coupler]] = []
        done: set[int] = set()
        for coupler in self.table.couplers:
            if not rounds or coupler.function.coordinate in done:
                rounds.append([])
                done = set()
            rounds[-1].append(coupler)
            done.add(coupler.dependent)
        return [
            (
                torch.tensor([c.dependent for c in members], device=self.device),
                FunctionBank([c.function for c in members], self.dtype, self.device),
            )
            for members in rounds
        ]

    def _coupled(self, q: Tensor) -> Tensor:
        for dependent, bank in self.couplers:
            q = q.index_copy(0, dependent, bank(q))
        return q

    def _factors(self, scale: Tensor | None) -> Tensor | None:
        """(J, 3, B or 1)."""
        if scale is None:
            return None
        return scale[..., None] if scale.ndim == 2 else scale.permute(1, 2, 0)

    def _of_parent(self, factors: Tensor) -> Tensor:
        """(J, 3, B or 1): the parent's factors; ground is not scaled."""
        return torch.cat([torch.ones_like(factors[:1]), factors])[self.above]

    def _slides(self, factors: Tensor | None) -> Tensor:
        """(J, 3, 3 axes, B or 1): ways per unit along the translation axes, in the parent body.

        As OpenSim scales them: by the parent's factors weighted with the size of the axis' components in the
        joint's frame (which need not add up to one); ways in ground, and coordinates that are lengths, stay.
        """
        if factors is None:
            return self.slides[..., None]
        stretch = (self.slide_axes.abs()[..., None] * self._of_parent(factors)[:, None]).sum(2)
        stretch = torch.where(self.kept[..., None], torch.ones_like(stretch), stretch)
        return self.slides[..., None] * stretch[:, None]

    def _local(self, values: Tensor, factors: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Rotation (J, 3, 3, B) and place (J, 3, B) of every body in its parent; there too, the turning axes
        (J, 3, 3 axes, B) and the centre (J, 3, B) of its joint."""
        sines, versines = values[:, :3].sin(), 1 - values[:, :3].cos()
        first, second, third = (
            fixed + odd * sines[:, i, None, None] + even * versines[:, i, None, None]
            for i, (fixed, odd, even) in enumerate(self.turns)
        )
        two = _product(first, second)
        rotation = _product(two, third)
        centre, child = self.parent_places[..., None], self.child_places[..., None]
        if factors is not None:
            centre, child = centre * self._of_parent(factors), child * factors
        centre = centre + _apply(self._slides(factors), values[:, 3:])
        place = centre - _apply(rotation, child)
        parent = self.to_parent[..., None].expand_as(first)
        axes = [_apply(m, self.turn_axes[:, i, :, None]) for i, m in enumerate((parent, first, two))]
        return rotation, place, torch.stack(axes, dim=2), centre

    def _chain(self, rotation: Tensor, place: Tensor) -> Frames:
        """From the parents' frames to ground's, level by level of the tree."""
        rotations, places = [rotation[self.levels[0]]], [place[self.levels[0]]]
        for above, level in pairwise(self.levels):
            parents = self.above[level] - 1 - above.start
            outer, origin = rotations[-1][parents], places[-1][parents]
            rotations.append(_product(outer, rotation[level]))
            places.append(_apply(outer, place[level]) + origin)
        return Frames(torch.cat(rotations), torch.cat(places))

    def _above(self, frames: Frames) -> tuple[Tensor, Tensor]:
        """Every body's parent frame, ground's own included."""
        ground = torch.eye(3, dtype=self.dtype, device=self.device)[None, :, :, None]
        rotation = torch.cat([ground.expand_as(frames.rotation[:1]), frames.rotation])
        place = torch.cat([torch.zeros_like(frames.place[:1]), frames.place])
        return rotation[self.above], place[self.above]


def _levels(parents: tuple[int, ...]) -> list[slice]:
    """Runs of bodies that are equally far from ground (the table's order has them one after the other)."""
    depths: list[int] = []
    for parent in parents:
        depths.append(0 if parent == GROUND else depths[parent] + 1)
    return [slice(depths.index(d), depths.index(d) + depths.count(d)) for d in range(max(depths) + 1)]


def _is_length(function: Function, table: Table) -> bool:
    linear = function.knots is None and len(function.coefficients) == 2
    return linear and not table.angles[function.coordinate]


def cross_matrices(vectors: Tensor) -> Tensor:
    """(..., 3) -> (..., 3, 3), the matrix of the cross product with the vector."""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*vectors.shape, 3)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """(N, 3, 3, B) @ (N, 3, 3, B)."""
    return (
        a[:, :, 0, None] * b[:, None, 0] + a[:, :, 1, None] * b[:, None, 1] + a[:, :, 2, None] * b[:, None, 2]
    )


def _apply(a: Tensor, x: Tensor) -> Tensor:
    """(N, 3, 3, B) @ (N, 3, B)."""
    return a[:, :, 0] * x[:, None, 0] + a[:, :, 1] * x[:, None, 1] + a[:, :, 2] * x[:, None, 2]
