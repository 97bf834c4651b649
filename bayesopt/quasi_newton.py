"""Minimise one smooth function from many starting points at once, inside a box.

Notation
--------
b, d    number of starts, of variables
x, f, g (b, d), (b,), (b, d): points, values, gradients
H       (b, d, d) approximations of the inverse Hessian (BFGS)
p, t    (b, d), (b,): directions and step lengths

A projected quasi-Newton method (Bertsekas 1982; Nocedal & Wright 2006, Eq. 6.17): the step of
BFGS in the variables that are free, clipped to the box, with a backtracking search along the
clipped path. All starts advance together and one call of the function serves all of them: for
the small problems of this library the cost is the call, not the arithmetic, so that ten starts
cost little more than one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
ValueAndGradient = Callable[[Array], tuple[Array, Array]]

_SUFFICIENT_DECREASE = 1e-4
_MAX_BACKTRACKS = 15
_PATIENCE = 8
_NEXT_TO = 1e-2


@dataclass
class _State:
    """What each start that is still running carries from one call to the next."""

    index: NDArray[np.int64]
    low: Array
    high: Array
    x: Array
    f: Array
    g: Array
    H: Array
    p: Array
    t: Array
    fresh: NDArray[np.bool_]
    backtracks: NDArray[np.int64]
    small_steps: NDArray[np.int64]

    def keep(self, mask: NDArray[np.bool_]) -> None:
        if mask.all():
            return
        for name, value in vars(self).items():
            setattr(self, name, value[mask])


def minimize_from(
    value_and_gradient: ValueAndGradient,
    starts: Array,
    low: Array | float = 0.0,
    high: Array | float = 1.0,
    *,
    max_calls: int = 100,
    first_step: float = 0.1,
    value_tolerance: float = 1e-9,
    gradient_tolerance: float = 1e-6,
    only_best: bool = True,
) -> tuple[Array, Array]:
    """Minimise from every row of `starts`.

    Parameters
    ----------
    value_and_gradient
        Maps (b, d) to values (b,) and gradients (b, d). A value that is not finite is a step too
        far.
    starts
        (b, d) starting points; they are clipped to the box.
    low, high
        Bounds of the box: scalars, (d,), or (b, d) for every start its own. Where they are equal
        the variable stays.
    max_calls
        Largest number of calls of `value_and_gradient`.
    first_step
        Longest first step in a component of x; later ones are at most 1 long.
    value_tolerance
        A start is done when two steps in a row lower its value by less than this.
    gradient_tolerance
        A start is done when no component of the projected gradient is larger.
    only_best
        Only the best point is meant to be a minimum: a start that could not catch up with it, by
        ten times the decrease that its quadratic model predicts, is left where it is.

    Returns
    -------
    x, f
        (b, d) points and (b,) values, never worse than at the starts.
    """
    low, high = np.broadcast_to(low, starts.shape), np.broadcast_to(high, starts.shape)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        state = _begin(value_and_gradient, np.clip(starts, low, high), low, high)
        best_x, best_f = state.x.copy(), state.f.copy()
        state.keep(np.isfinite(state.f) & (_projected_gradient(state) > gradient_tolerance))
        _choose_direction(state, state.fresh, first_step)
        for call in range(1, max_calls):
            if len(state.x) == 0:
                break
            accepted, stuck = _step(state, value_and_gradient, value_tolerance)
            best_x[state.index], best_f[state.index] = state.x, state.f
            _choose_direction(state, accepted | (stuck & ~state.fresh), first_step)
            done = (stuck & state.fresh) | (state.small_steps >= 2)
            done |= accepted & (_projected_gradient(state) <= gradient_tolerance)
            if only_best and call >= _PATIENCE:
                predicted = 0.5 * np.abs(np.einsum("bd,bd->b", state.g, state.p))
                done |= state.f - 10.0 * predicted > best_f.min()
            state.fresh = stuck | (state.fresh & ~accepted)
            state.keep(~done)
    return best_x, best_f


def _begin(value_and_gradient: ValueAndGradient, x: Array, low: Array, high: Array) -> _State:
    b, d = x.shape
    f, g = value_and_gradient(x)
    return _State(
        index=np.arange(b),
        low=low,
        high=high,
        x=x,
        f=f,
        g=np.where(low < high, g, 0.0),
        H=np.tile(np.eye(d), (b, 1, 1)),
        p=np.zeros((b, d)),
        t=np.ones(b),
        fresh=np.ones(b, dtype=np.bool_),
        backtracks=np.zeros(b, dtype=np.int64),
        small_steps=np.zeros(b, dtype=np.int64),
    )


def _step(
    state: _State, value_and_gradient: ValueAndGradient, value_tolerance: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Try one step of every start; say which were taken, and which starts found none at all."""
    trial_x = np.clip(state.x + state.t[:, None] * state.p, state.low, state.high)
    trial_f, trial_g = value_and_gradient(trial_x)
    trial_g = np.where(state.low < state.high, trial_g, 0.0)
    step = trial_x - state.x
    expected = np.einsum("bd,bd->b", state.g, step)
    accepted = trial_f <= state.f + _SUFFICIENT_DECREASE * np.minimum(expected, 0.0)
    accepted &= np.isfinite(trial_f) & np.isfinite(trial_g).all(axis=1)
    small = state.f - trial_f <= value_tolerance
    state.small_steps = np.where(accepted, (state.small_steps + 1) * small, state.small_steps)
    _update_inverse_hessian(state, accepted, step, trial_g)
    stuck = _backtrack(state, ~accepted, trial_f, expected)
    state.x = np.where(accepted[:, None], trial_x, state.x)
    state.f = np.where(accepted, trial_f, state.f)
    state.g = np.where(accepted[:, None], trial_g, state.g)
    return accepted, stuck


def _projected_gradient(state: _State) -> Array:
    """Largest component (b,) of the gradient that does not point out of the box."""
    inside = np.clip(state.x - state.g, state.low, state.high)
    largest: Array = np.abs(inside - state.x).max(axis=1, initial=0.0)
    return largest


def _update_inverse_hessian(
    state: _State, accepted: NDArray[np.bool_], s: Array, trial_g: Array
) -> None:
    """BFGS, Nocedal & Wright Eq. (6.17), where the step was taken and the curvature positive."""
    y = trial_g - state.g
    sy = np.einsum("bd,bd->b", s, y)
    yy = np.einsum("bd,bd->b", y, y)
    usable = accepted & (sy > 1e-12 * np.sqrt(np.einsum("bd,bd->b", s, s) * yy)) & (yy > 0)
    if not usable.any():
        return
    s, y, sy, yy = s[usable], y[usable], sy[usable], yy[usable]
    H = state.H[usable]
    # Scale the first matrix to the curvature that was met, Eq. (6.20).
    H = np.where(state.fresh[usable, None, None], np.eye(s.shape[1]) * (sy / yy)[:, None, None], H)
    Hy = np.einsum("bij,bj->bi", H, y)
    rho = 1.0 / sy
    outer = np.einsum("bi,bj->bij", s, Hy * rho[:, None])
    factor = rho * (1.0 + rho * np.einsum("bi,bi->b", y, Hy))
    H = H - outer - outer.transpose(0, 2, 1) + np.einsum("bi,bj->bij", s, s * factor[:, None])
    state.H[usable] = H


def _backtrack(
    state: _State, rejected: NDArray[np.bool_], trial_f: Array, expected: Array
) -> NDArray[np.bool_]:
    """Shorten rejected steps to the minimum of a parabola; say which starts are stuck."""
    state.backtracks = np.where(rejected, state.backtracks + 1, 0)
    parabola = -0.5 * expected / (trial_f - state.f - expected)
    shorter = np.clip(np.where(np.isfinite(parabola), parabola, 0.1), 0.1, 0.5)
    state.t = np.where(rejected, state.t * shorter, state.t)
    return rejected & (state.backtracks >= _MAX_BACKTRACKS)


def _newton_step(H: Array, g: Array, fixed: NDArray[np.bool_]) -> Array:
    """-(B_FF)^-1 g_F in the free variables F, where B = H^-1; zero in the fixed variables A.

    By block inversion (B_FF)^-1 = H_FF - H_FA (H_AA)^-1 H_AF.
    """
    Hg = np.einsum("bij,bj->bi", H, np.where(fixed, 0.0, g))
    if fixed.any():
        among_fixed = fixed[:, :, None] & fixed[:, None, :]
        block = np.where(among_fixed, H, np.eye(g.shape[1]))
        z = np.linalg.solve(block, np.where(fixed, Hg, 0.0)[..., None])[..., 0]
        Hg = Hg - np.einsum("bij,bj->bi", H, np.where(fixed, z, 0.0))
    return np.where(fixed, 0.0, -Hg)


def _choose_direction(state: _State, which: NDArray[np.bool_], first_step: float) -> None:
    """New directions where `which`: BFGS in the free variables, steepest descent if that fails."""
    restart = which & (state.backtracks >= _MAX_BACKTRACKS)
    state.H[restart] = np.eye(state.x.shape[1])
    # Bertsekas' active set: next to a bound counts as on it, or the step zigzags along it.
    reach = np.minimum(_NEXT_TO, _projected_gradient(state))[:, None]
    at_low = (state.x - state.low <= reach) & (state.g > 0)
    at_high = (state.high - state.x <= reach) & (state.g < 0)
    p = _newton_step(state.H, state.g, at_low | at_high)
    p = np.where(at_low, state.low - state.x, np.where(at_high, state.high - state.x, p))
    g = state.g
    uphill = np.einsum("bd,bd->b", p, g) >= 0
    p = np.where(uphill[:, None], -g, p)
    state.H[which & uphill] = np.eye(state.x.shape[1])
    length = np.abs(p).max(axis=1)
    first = state.fresh | restart | uphill
    limit = np.where(first, first_step, 1.0)
    p *= np.minimum(1.0, limit / np.maximum(length, 1e-300))[:, None]
    state.p = np.where(which[:, None], p, state.p)
    state.t = np.where(which, 1.0, state.t)
    state.backtracks = np.where(which, 0, state.backtracks)
