"""Forward kinematics of any OpenSim model in torch: body frames, joint centres and markers, with gradients.

Equal to OpenSim's within rounding, also with scaled segments. Internally, the batch is the last axis: a pose is a few
small matrices per body, and this way every elementary product runs over a long row of memory. In the interface, the
batch comes first: `q` (B, D), markers (B, M, 3). Ground frame; m and rad.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from biopose_cli.geometry.so3_torch import skew
from biopose_cli.skeleton.extract import GROUND, Coupler, Function, ModelSpec
from biopose_cli.skeleton.functions import FunctionBank
from biopose_cli.typing import Array


@dataclass(frozen=True)
class BodyTransforms:
    """Body frames: `rotation` (J, 3, 3, B) and `translation` (J, 3, B), ground from body (batch last)."""

    rotation: Tensor
    translation: Tensor

    def matrices(self) -> Tensor:
        """(B, J, 4, 4), ground from body."""
        count, batch = self.translation.shape[0], self.translation.shape[-1]
        bottom = self.translation.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(batch, count, 1, 4)
        top = torch.cat([self.rotation, self.translation[:, :, None]], dim=2).permute(3, 0, 1, 2)
        return torch.cat([top, bottom], dim=2)


class Kinematics:
    """The kinematics of a model's `spec`.

    Methods take `q` (B, D) with every coordinate of the model in its order (dependent ones are computed from their
    couplers, as in OpenSim's assembly) and `scale`, the factors along the bodies' axes as in OpenSim's `Model.scale`:
    (J, 3) for all frames, (B, J, 3), or None for one. Locked coordinates are not special: give their locked value.
    """

    def __init__(self, spec: ModelSpec, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu") -> None:
        self.spec = spec
        self.dtype, self.device = dtype, torch.device(device)
        self.bank = FunctionBank([f for row in spec.functions for f in row], dtype, self.device)
        self.couplers = self._coupler_rounds()
        self.levels = _levels(spec.parents)
        parent, child = self.tensor(spec.parent_frames), self.tensor(spec.child_frames)
        self.rotation_axes, self.translation_axes = self.tensor(spec.axes).split(3, dim=1)  # (J, 3, 3) each
        self.parent_joint_positions, self.joint_positions = parent[:, :3, 3], child[:, :3, 3]
        self.parent_rotations = parent[:, :3, :3]
        cross = skew(self.rotation_axes)
        # P is merged into the first rotation and C^-1 into the last, so that a joint costs two products
        pre = [
            parent[:, :3, :3],
            *[torch.eye(3, dtype=dtype, device=self.device).expand_as(cross[:, 0])] * 2,
        ]
        post = [pre[1], pre[1], child[:, :3, :3].transpose(-1, -2)]
        self.rotation_terms = [
            tuple((b @ k @ a)[..., None] for k in (torch.eye(3, dtype=dtype, device=self.device), c, c @ c))
            for b, c, a in zip(pre, cross.unbind(1), post, strict=True)
        ]
        directions = torch.nn.functional.normalize(self.translation_axes, dim=-1)
        self.translation_directions = self.parent_rotations @ directions.transpose(
            -1, -2
        )  # (J, 3, 3): columns in the parent body
        unscaled = [
            [parent == GROUND or _is_length(function, spec) for function in row[3:]]
            for parent, row in zip(spec.parents, spec.functions, strict=True)
        ]
        self.unscaled = torch.tensor(unscaled, device=self.device)  # displacements that no scale changes
        self.parent_rows = torch.tensor(spec.parents, device=self.device) + 1  # row in a list that begins with ground
        driven = [
            (function.coordinate, joint, slot)
            for joint, row in enumerate(spec.functions)
            for slot, function in enumerate(row)
            if function.coordinate >= 0
        ]
        self.driven_coordinates, self.driven_joints, self.driven_slots = torch.tensor(driven, device=self.device).T
        self.marker_bodies = torch.as_tensor(spec.marker_bodies, device=self.device)
        self.marker_locations = self.tensor(spec.marker_locations)

    def tensor(self, values: Array) -> Tensor:
        """Convert an array to the model's number type and device."""
        return torch.as_tensor(values, dtype=self.dtype, device=self.device)

    def apply_couplers(self, q: Tensor) -> Tensor:
        """`q` (B, D) with the dependent coordinates evaluated."""
        return self._apply_couplers(q.T).T

    def body_transforms(self, q: Tensor, scale: Tensor | None = None) -> BodyTransforms:
        """The frames of all bodies."""
        q = self._apply_couplers(q.T)
        values = self.bank(q).reshape(len(self.spec.bodies), 6, -1)
        rotation, translation, _, _ = self._local_transforms(values, self._factors(scale))
        return self._compose(rotation, translation)

    def points(
        self, transforms: BodyTransforms, bodies: Tensor, locations: Tensor, scale: Tensor | None = None
    ) -> Tensor:
        """Points fixed to bodies, in ground: (B, N, 3).

        bodies: (N) indices. locations: (N, 3) or (B, N, 3) in the unscaled bodies' frames.
        """
        local = locations[..., None] if locations.ndim == 2 else locations.permute(1, 2, 0)
        factors = self._factors(scale)
        if factors is not None:
            local = local * factors[bodies]
        return (_matvec(transforms.rotation[bodies], local) + transforms.translation[bodies]).permute(2, 0, 1)

    def markers(self, q: Tensor, scale: Tensor | None = None, locations: Tensor | None = None) -> Tensor:
        """The model's markers (B, M, 3); `locations` as for `points` instead of the model's own."""
        marker_locations = self.marker_locations if locations is None else locations
        return self.points(self.body_transforms(q, scale), self.marker_bodies, marker_locations, scale)

    def joint_centers(self, q: Tensor, scale: Tensor | None = None) -> Tensor:
        """The origin of every joint's frame on its child body (B, J, 3)."""
        all_bodies = torch.arange(len(self.spec.bodies), device=self.device)
        return self.points(self.body_transforms(q, scale), all_bodies, self.joint_positions, scale)

    def screws(self, q: Tensor, scale: Tensor | None = None) -> tuple[BodyTransforms, Tensor, Tensor]:
        """Body frames, and the twist of a coordinate's own body per unit of it: angular and linear (D, 3, B).

        A point x of that body, or of a descendant, moves by angular x `x` + linear: the linear part is the velocity of
        the body's material point at the ground's origin. Couplers are not followed: each coordinate moves alone.
        """
        q = self._apply_couplers(q.T)
        values, slopes = (f.reshape(len(self.spec.bodies), 6, -1) for f in self.bank.evaluate(q))
        factors = self._factors(scale)
        rotation, translation, axes, center = self._local_transforms(values, factors)
        transforms = self._compose(rotation, translation)
        parent_rotations, origin = self._parent_transforms(transforms)
        axes = _matmul(parent_rotations, axes)
        center = _matvec(parent_rotations, center) + origin
        directions = _matmul(
            parent_rotations,
            self._scaled_directions(factors).expand(*self.translation_directions.shape, q.shape[-1]),
        )
        moments = torch.linalg.cross(center[:, :, None].expand_as(axes), axes, dim=1)
        joint, slot = self.driven_joints, self.driven_slots
        slope = slopes[joint, slot][:, None]
        angular = torch.cat([axes, torch.zeros_like(axes)], dim=2)[joint, :, slot] * slope
        linear = torch.cat([moments, directions], dim=2)[joint, :, slot] * slope
        zeros = q.new_zeros(q.shape[0], 3, q.shape[1])
        return (
            transforms,
            zeros.index_add(0, self.driven_coordinates, angular),
            zeros.index_add(0, self.driven_coordinates, linear),
        )

    def _coupler_rounds(self) -> list[tuple[Tensor, FunctionBank]]:
        """Dependent coordinates and their functions, in order of evaluation."""
        rounds: list[list[Coupler]] = []
        done: set[int] = set()
        for coupler in self.spec.couplers:
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

    def _apply_couplers(self, q: Tensor) -> Tensor:
        for dependent, bank in self.couplers:
            q = q.index_copy(0, dependent, bank(q))
        return q

    def _factors(self, scale: Tensor | None) -> Tensor | None:
        """(J, 3, B or 1)."""
        if scale is None:
            return None
        return scale[..., None] if scale.ndim == 2 else scale.permute(1, 2, 0)

    def _parent_factors(self, factors: Tensor) -> Tensor:
        """(J, 3, B or 1): the parent's factors; ground is not scaled."""
        return torch.cat([torch.ones_like(factors[:1]), factors])[self.parent_rows]

    def _scaled_directions(self, factors: Tensor | None) -> Tensor:
        """(J, 3, 3 axes, B or 1): displacement per unit along the translation axes, in the parent body.

        As in OpenSim, scaled by the parent's factors weighted with the size of the axis' components in the joint's
        frame (which need not sum to one); displacements in ground, and coordinates that are lengths, are not scaled.
        """
        if factors is None:
            return self.translation_directions[..., None]
        stretch = (self.translation_axes.abs()[..., None] * self._parent_factors(factors)[:, None]).sum(2)
        stretch = torch.where(self.unscaled[..., None], torch.ones_like(stretch), stretch)
        return self.translation_directions[..., None] * stretch[:, None]

    def _local_transforms(self, values: Tensor, factors: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Rotation (J, 3, 3, B) and translation (J, 3, B) of every body in its parent; there too, the turning axes
        (J, 3, 3 axes, B) and the centre (J, 3, B) of its joint."""
        sines, versines = values[:, :3].sin(), 1 - values[:, :3].cos()
        first, second, third = (
            fixed + sine_term * sines[:, i, None, None] + versine_term * versines[:, i, None, None]
            for i, (fixed, sine_term, versine_term) in enumerate(self.rotation_terms)
        )
        first_two = _matmul(first, second)
        rotation = _matmul(first_two, third)
        center, child = self.parent_joint_positions[..., None], self.joint_positions[..., None]
        if factors is not None:
            center, child = center * self._parent_factors(factors), child * factors
        center = center + _matvec(self._scaled_directions(factors), values[:, 3:])
        translation = center - _matvec(rotation, child)
        parent = self.parent_rotations[..., None].expand_as(first)
        axes = [_matvec(m, self.rotation_axes[:, i, :, None]) for i, m in enumerate((parent, first, first_two))]
        return rotation, translation, torch.stack(axes, dim=2), center

    def _compose(self, rotation: Tensor, translation: Tensor) -> BodyTransforms:
        """Convert from the parents' frames to ground, level by level of the tree."""
        rotations, translations = [rotation[self.levels[0]]], [translation[self.levels[0]]]
        for parent_level, level in pairwise(self.levels):
            parents = self.parent_rows[level] - 1 - parent_level.start
            parent_rotations, origin = rotations[-1][parents], translations[-1][parents]
            rotations.append(_matmul(parent_rotations, rotation[level]))
            translations.append(_matvec(parent_rotations, translation[level]) + origin)
        return BodyTransforms(torch.cat(rotations), torch.cat(translations))

    def _parent_transforms(self, transforms: BodyTransforms) -> tuple[Tensor, Tensor]:
        """Every body's parent frame, ground's own included."""
        ground = torch.eye(3, dtype=self.dtype, device=self.device)[None, :, :, None]
        rotation = torch.cat([ground.expand_as(transforms.rotation[:1]), transforms.rotation])
        translation = torch.cat([torch.zeros_like(transforms.translation[:1]), transforms.translation])
        return rotation[self.parent_rows], translation[self.parent_rows]


def _levels(parents: tuple[int, ...]) -> list[slice]:
    """Runs of bodies at equal depth (they are adjacent in the table)."""
    depths: list[int] = []
    for parent in parents:
        depths.append(0 if parent == GROUND else depths[parent] + 1)
    return [slice(depths.index(d), depths.index(d) + depths.count(d)) for d in range(max(depths) + 1)]


def _is_length(function: Function, spec: ModelSpec) -> bool:
    linear = function.knots is None and len(function.coefficients) == 2
    return linear and not spec.is_angle[function.coordinate]


def _matmul(a: Tensor, b: Tensor) -> Tensor:
    """(N, 3, 3, B) @ (N, 3, 3, B)."""
    return a[:, :, 0, None] * b[:, None, 0] + a[:, :, 1, None] * b[:, None, 1] + a[:, :, 2, None] * b[:, None, 2]


def _matvec(a: Tensor, x: Tensor) -> Tensor:
    """(N, 3, 3, B) @ (N, 3, B)."""
    return a[:, :, 0] * x[:, None, 0] + a[:, :, 1] * x[:, None, 1] + a[:, :, 2] * x[:, None, 2]
