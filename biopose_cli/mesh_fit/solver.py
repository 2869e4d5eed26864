"""Levenberg-Marquardt over a whole clip at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from biopose_cli.body.kinematics import DOF, KinematicChain, Pose
from biopose_cli.errors import SolverError
from biopose_cli.mesh_fit.costs import Cost, State
from biopose_cli.optim.banded import BandedNormalEquations, LinAlgError

_MAX_ROTATION_STEP = 0.6  # rad: a longer step of a joint is cut, since the model holds only nearby
_MAX_ATTEMPTS = 8
_RIDGE = 1e-6  # keeps what no cost sees where it is


def levenberg_marquardt(
    chain: KinematicChain,
    pose: Pose,
    costs: Sequence[Cost],
    iterations: int,
    *,
    free_shape: bool,
    tolerance: float = 1e-4,
    on_iteration: Callable[[], None] = lambda: None,
) -> tuple[Pose, list[float]]:
    """Lower the sum of the costs' energies from `pose`; stop when a step gains less than `tolerance` of the energy.

    Returns the pose and the energy at the start and after every accepted step.

    Raises
    ------
    SolverError
        The energy at the start is not finite.
    """
    # The matrices are small: more threads than one only wait for each other.
    with threadpool_limits(limits=1, user_api="blas"):
        state = State(chain, pose)
        energy = sum(cost.energy(state) for cost in costs)
        if not np.isfinite(energy):
            raise SolverError("the fit of the body cannot start: its energy is not a finite number")
        history = [energy]
        damping = 1e-3
        for iteration in range(iterations):
            equations = BandedNormalEquations(len(pose.transl), DOF, chain.num_shape_params)
            for cost in costs:
                cost.add_to(state, equations)
            equations.blocks[0][:, np.arange(DOF), np.arange(DOF)] += _RIDGE
            equations.shape_hessian[np.diag_indices(chain.num_shape_params)] += _RIDGE
            accepted = None
            for _ in range(_MAX_ATTEMPTS):
                accepted = _attempt(state, costs, equations, damping, energy, free_shape)
                if accepted is not None:
                    break
                damping = max(4 * damping, 1e-4)
            on_iteration()
            if accepted is None:
                break
            gain = energy - accepted[1]
            state, energy = accepted
            history.append(energy)
            damping = max(damping / 5, 1e-7)
            if gain < tolerance * energy and iteration > 1:
                break
    return state.pose, history


def _attempt(
    state: State,
    costs: Sequence[Cost],
    equations: BandedNormalEquations,
    damping: float,
    energy: float,
    free_shape: bool,
) -> tuple[State, float] | None:
    """The state after one damped step and its energy, or None when the energy does not fall."""
    try:
        step, shape_step = equations.solve(damping, free_shape)
    except LinAlgError:
        return None
    largest_rotation = np.abs(step[:, :-3]).max(axis=1, initial=_MAX_ROTATION_STEP)
    step = step * (_MAX_ROTATION_STEP / largest_rotation)[:, None]
    candidate = State(state.chain, state.pose.retract(step, shape_step))
    new_energy = sum(cost.energy(candidate) for cost in costs)
    return (candidate, new_energy) if new_energy < energy else None
