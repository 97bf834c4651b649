"""Cheap limit states that need no folds: a polynomial of learning runs only, or the user's own.

Notation
--------
n, d, J     points, dimension, limit states
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uq.surrogates.limit_state_trend import EXACT, Warp, fit_trend

Array = NDArray[np.float64]

_LEAST_NEAR, _NEAR_SHARE = 40, 0.1


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

    error = _error_near(trend, z, g, warp)
    return FixedLimitState(function, np.array([error]), trend.cost)


def given_limit_state(
    function: Callable[[Array], Array], z: Array, g: Array, warp: Warp
) -> FixedLimitState:
    """The user's cheap limit state of z, its error by the learning runs (n, d), (n,)."""
    error = _error_near(function, z, g, warp)
    return FixedLimitState(function, np.array([error]), 16 * z.shape[1])


def _error_near(function: Callable[[Array], Array], z: Array, g: Array, warp: Warp) -> float:
    """Root mean square near the thresholds; 0 where all runs are met but for rounding."""
    off = warp(function(z)) - warp(g)
    if not np.abs(off).max() > EXACT * warp.scale:
        return 0.0
    n_near = max(_LEAST_NEAR, int(_NEAR_SHARE * len(g)))
    near = np.argsort(warp.distance(g), kind="stable")[:n_near]
    return float(np.sqrt(np.square(off[near]).mean()))
