"""Maxima of many functions at once over a region: one call of all of them serves every climb.

Notation
--------
R, N, d     functions, points, parameters
r           (k,) number of the function that is asked at each of k points

Such functions are the posterior means, or the gains, after each of R hypothetical observations. The
best point of a pool is climbed from in the real columns. Every start carries the number of its
function as one more column that stays where it is: climbs end one by one, and which ones are left
is not told otherwise.
"""

from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from bayesopt.parameter import Array
from bayesopt.quasi_newton import minimize_from
from bayesopt.region import Region

_N_ZOOMS = 3
_N_AROUND = 256
_MAX_CALLS = 20


@runtime_checkable  # the tests check types as they run
class ManyFunctions(Protocol):
    """R functions on the unit cube."""

    def everywhere(self, X: Array) -> Tensor:
        """Every function at all points (N, d): (N, R)."""

    def value_and_gradient(self, X: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        """One function at each of k points (k, d): values (k,) and gradients (k, d)."""


def maximisers(
    functions: ManyFunctions, region: Region, pool: Array, rng: np.random.Generator
) -> Array:
    """Where each of the functions is largest.

    Parameters
    ----------
    functions
        What is maximised.
    region
        Where to look. Under constraints nothing is climbed: points are drawn closer and closer.
    pool
        (N, d) points of the region to begin at.
    rng
        Source of the points that are drawn under constraints.

    Returns
    -------
    X
        (R, d) points of the region.
    """
    X = _best_of(functions, pool)
    real = region.space.columns("float")
    if not real:
        return X
    if not region.constrained:
        return _climbed(functions, X, real)
    for _ in range(_N_ZOOMS):
        X = _best_of(functions, np.concatenate((X, region.around(X, _N_AROUND, rng))))
    return X


def _best_of(functions: ManyFunctions, pool: Array) -> Array:
    """The row (R, d) of the pool where every function is largest."""
    best: Array = pool[functions.everywhere(pool).argmax(0).numpy()]
    return best


def _climbed(functions: ManyFunctions, X: Array, real: list[int]) -> Array:
    """Local maximisers (R, d) from X (R, d), in the real columns."""
    d = X.shape[1]
    start = np.column_stack((X, np.arange(len(X), dtype=np.float64)))
    low, high = start.copy(), start.copy()
    low[:, real], high[:, real] = 0.0, 1.0

    def negative(at: Array) -> tuple[Array, Array]:
        x, r = torch.from_numpy(np.ascontiguousarray(at[:, :d])), at[:, d].astype(np.int64)
        value, gradient = functions.value_and_gradient(x, torch.from_numpy(r))
        return -value.numpy(), -np.pad(gradient.numpy(), ((0, 0), (0, 1)))

    found, _ = minimize_from(
        negative, start, low, high, max_calls=_MAX_CALLS, first_step=0.05, only_best=False
    )
    return found[:, :d]
