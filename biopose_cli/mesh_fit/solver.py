"""Levenberg-Marquardt over a whole clip at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from biopose_cli.body.kinematics import DOF, Chain, Pose
from biopose_cli.errors import SolverError
from biopose_cli.mesh_fit.costs import State, Term
from biopose_cli.optim.banded import LinAlgError, System

_LONGEST_TURN = 0.6  # rad: a longer step of a joint is cut, since the model holds only nearby
_ATTEMPTS = 8
_RIDGE = 1e-6  # keeps what no term sees where it is


def minimise(
    chain: Chain,
    pose: Pose,
    terms: Sequence[Term],
    iterations: int,
    *,
    free_shape: bool,
    tolerance: float = 1e-4,
    on_iteration: Callable[[], None] = lambda: None,
) -> tuple[Pose, list[float]]:
    """Lower the sum of the terms' energies from `pose`; stop when a step gains less than `tolerance` of the energy.

    Returns the pose and the energy at the start and after every accepted step.

    Raises
    ------
    SolverError
        The energy at the start is not finite.
    """
    # The matrices are small: more threads than one only wait for each other.
    with threadpool_limits(limits=1, user_api="blas"):
        state = State(chain, pose)
        energy = sum(term.energy(state) for term in terms)
        if not np.isfinite(energy):
            raise SolverError("the fit of the body cannot start: its energy is not a finite number")
        history = [energy]
        damping = 1e-3
        for iteration in range(iterations):
            system = System(len(pose.transl), DOF, chain.shapes)
            for term in terms:
                term.add(state, system)
            system.blocks[0][:, np.arange(DOF), np.arange(DOF)] += _RIDGE
            system.shape[np.diag_indices(chain.shapes)] += _RIDGE
            accepted = None
            for _ in range(_ATTEMPTS):
                accepted = _attempt(state, terms, system, damping, energy, free_shape)
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
    state: State, terms: Sequence[Term], system: System, damping: float, energy: float, free_shape: bool
) -> tuple[State, float] | None:
    """The state after one damped step and its energy, or None when the energy does not fall."""
    try:
        step, shape_step = system.solve(damping, free_shape)
    except LinAlgError:
        return None
    longest = np.abs(step[:, :-3]).max(axis=1, initial=_LONGEST_TURN)
    step = step * (_LONGEST_TURN / longest)[:, None]
    moved = State(state.chain, state.pose.moved(step, shape_step))
    lower = sum(term.energy(moved) for term in terms)
    return (moved, lower) if lower < energy else None
