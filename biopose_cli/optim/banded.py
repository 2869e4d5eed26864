"""The normal equations of a clip: banded over time, bordered by the shape, solved by LAPACK's banded Cholesky.

Every frame has D unknowns; terms couple a frame with itself and the next two. The S shape parameters (a body's betas, a
skeleton's scales) couple with all frames: they are taken out by their Schur complement. Cost of a solve: T D^3, memory
3 T D^2.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import LinAlgError, cho_solve_banded, cholesky_banded

from biopose_cli.typing import Array


class BandedNormalEquations:
    """Accumulates `H` and `g` of the quadratic model 0.5 x'Hx + g'x over `num_frames` frames of `num_unknowns`."""

    def __init__(self, num_frames: int, num_unknowns: int, num_shape_params: int) -> None:
        # [k][t]: rows of frame t + k, columns of frame t; the last k are of no frame and stay zero
        self.blocks = np.zeros((3, num_frames, num_unknowns, num_unknowns))
        self.gradient = np.zeros((num_frames, num_unknowns))
        self.coupling = np.zeros((num_frames, num_unknowns, num_shape_params))
        self.shape_hessian = np.zeros((num_shape_params, num_shape_params))
        self.shape_gradient = np.zeros(num_shape_params)

    def add_local(
        self,
        jacobian: Array,
        residual: Array,
        shape_jacobian: Array | None = None,
        frames: slice = slice(None),
    ) -> None:
        """Weighted residuals of T single `frames`: `jacobian` (T,R,D), `residual` (T,R), `shape_jacobian` (T,R,S)."""
        transposed = np.swapaxes(jacobian, 1, 2)
        self.blocks[0][frames] += transposed @ jacobian
        self.gradient[frames] += (transposed @ residual[..., None])[..., 0]
        if shape_jacobian is not None:
            self.coupling[frames] += transposed @ shape_jacobian
            flat = shape_jacobian.reshape(-1, shape_jacobian.shape[-1])
            self.shape_hessian += flat.T @ flat
            self.shape_gradient += flat.T @ residual.reshape(-1)

    def solve(self, damping: float, free_shape: bool) -> tuple[Array, Array]:
        """Minimise the model with its diagonal raised by the factor `damping`: steps (T,D) and (S,).

        Raises
        ------
        scipy.linalg.LinAlgError
            The damped matrix is not positive definite.
        """
        frames, size = self.gradient.shape
        factor = cholesky_banded(self._band(damping), lower=True, overwrite_ab=True, check_finite=False)
        if not free_shape:
            step = cho_solve_banded((factor, True), -self.gradient.reshape(-1), check_finite=False)
            return step.reshape(frames, size), np.zeros(len(self.shape_gradient))
        border = self.coupling.reshape(frames * size, -1)
        rhs = np.column_stack([self.gradient.reshape(-1), border])
        solved = cho_solve_banded((factor, True), rhs, check_finite=False)
        damped = self.shape_hessian + damping * np.diag(np.diag(self.shape_hessian))
        schur_complement = damped - border.T @ solved[:, 1:]
        reduced_gradient = self.shape_gradient - border.T @ solved[:, 0]
        shape_step = -np.linalg.solve(schur_complement, reduced_gradient)
        step = -solved[:, 0] - solved[:, 1:] @ shape_step
        return step.reshape(frames, size), shape_step

    def _band(self, damping: float) -> Array:
        """LAPACK's lower band: element (i, j) of the matrix at [i - j, j]."""
        _, frames, size, _ = self.blocks.shape
        column = np.concatenate(
            list(self.blocks), axis=1
        )  # (T, 3D, D): all of a frame's columns below the diagonal
        band = np.zeros((3 * size, frames * size))
        for b in range(size):
            band[: 3 * size - b, b::size] = column[:, b:, b].T
        band[0] *= 1 + damping
        return band


__all__ = ["BandedNormalEquations", "LinAlgError"]
