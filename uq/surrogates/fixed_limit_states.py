"""Cheap limit states that need no folds: a polynomial of learning runs only, or the user's own.

Notation
--------
z, g        (n, d) points in standard normal space, (n,) values of the limit state
w, p        warp and trend, see `limit_state_trend`

    h(z) = w(p(z)), or the function that was given

The error is the root mean square of w(h) - w(g) over the learning runs nearest to a threshold.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uq.surrogates.limit_state_trend import EXACT, Warp, error_near, fit_trend

Array = NDArray[np.float64]

_NUMBERS_PER_INPUT = 16  # that a point of a function of the user is taken to cost


@dataclass(frozen=True, eq=False)
class FixedLimitState:
    """One function of z, whatever fold is left out.

    Parameters
    ----------
    function
        (n, d) to (n,).
    error
        (1,) what it is off by near the thresholds, of the size of the limit state.
    cost
        About how many numbers one point costs.
    """

    function: Callable[[Array], Array]
    error: Array
    cost: int

    def __call__(self, z: Array) -> Array:
        """(n, 1) values."""
        return self.function(z)[:, None]


def polynomial_limit_state(z: Array, g: Array, warp: Warp) -> FixedLimitState:
    """The trend of the learning runs (n, d), (n,) alone."""
    trend = fit_trend(z, g, warp)

    def function(at: Array) -> Array:
        return warp(trend(at))

    error = _error(trend, z, g, warp)
    return FixedLimitState(function, np.array([error]), trend.cost)


def given_limit_state(
    function: Callable[[Array], Array], z: Array, g: Array, warp: Warp
) -> FixedLimitState:
    """The user's cheap limit state of z, its error by the learning runs (n, d), (n,)."""
    error = _error(function, z, g, warp)
    return FixedLimitState(function, np.array([error]), _NUMBERS_PER_INPUT * z.shape[1])


def _error(function: Callable[[Array], Array], z: Array, g: Array, warp: Warp) -> float:
    """Near the thresholds; 0 where all runs are met but for rounding."""
    off = warp(function(z)) - warp(g)
    if not np.abs(off).max() > EXACT * warp.scale:
        return 0.0
    return error_near(off, g, warp)
