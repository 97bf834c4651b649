"""Parts of a variance from runs that lie next to each other in some of the inputs.

Notation
--------
n           runs
u           some of the inputs
e           (n,) a function of all inputs at the runs, such as the residual of a surrogate
l           2 M runs next to run k in the inputs u; the other inputs of both are independent
g           E[e | x_u];     a, b    means of e over one half of these runs, and over the other

    closed part      Q = Var(g)         mean of e_k e_l - mean(e)^2                       (1)
    total part       V - Q              mean of (e_k - e_l)^2 / 2                         (2)

Eq. (1): Gamboa, Gremaud, Klein & Lagnoux (2022) for a single input, where the next runs are those
of the next ranks; Broto, Bachoc & Depecker (2020) for several, where they are nearest neighbours.
Eq. (2) is the same for the complement of a factor, in the form of Jansen. Both are consistent, with
nothing to tune; several neighbours in the place of one make the noise smaller.

    influence of run k          2 e_k g - g^2     and     (e_k - g)^2                     (3)

g is not known. With a and b in its place, the covariance of the two versions of Eq. (3) over the
runs is the variance of the influence, for their noises are independent; the noise that neighbours
make themselves, E[e_k^2 e_l^2] / M, comes on top.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

_MOST_RANKS = 0.5  # M of n^(1/3): far fewer ranks than a smooth function needs to change


@dataclass(frozen=True)
class NeighbourStatistic:
    """A part of the variance of e.

    Parameters
    ----------
    value
        Eq. (1) or (2).
    influence
        (2, n) Eq. (3), with a and with b.
    noise
        What neighbours add to the variance of `value`.
    """

    value: float
    influence: Array
    noise: float


def neighbours(x: Array, rng: np.random.Generator) -> Rows:
    """(n, 2 M) runs next to every run, the two halves in turn.

    Parameters
    ----------
    x
        (n, p) inputs u, on scales that suit Euclidean distances where p is not 1.
    rng
        Breaks ties of a single input.
    """
    n, p = x.shape
    if p > 1:
        return _without_self(cKDTree(x).query(x, k=3)[1])
    half = max(1, round(_MOST_RANKS * n ** (1 / 3)))
    order = np.lexsort((rng.random(n), x[:, 0]))
    start = np.clip(np.arange(n) - half, 0, n - 2 * half - 1)
    window = start[:, None] + np.arange(2 * half + 1)
    window = window[window != np.arange(n)[:, None]].reshape(n, 2 * half)
    found = np.empty((n, 2 * half), dtype=np.intp)
    found[order] = order[window]
    return found


def _without_self(found: Rows) -> Rows:
    """All but the run itself; of runs at one point the last found is left out where it is not."""
    own = found == np.arange(len(found))[:, None]
    own[~own.any(axis=1), -1] = True
    return found[~own].reshape(len(found), -1)


def closed_part(own: Array, other: Array, mean: float) -> NeighbourStatistic:
    """Eq. (1).

    Parameters
    ----------
    own, other
        (n, 2 M) e of every run and of its neighbours.
    mean
        Mean of e over the runs.
    """
    own, other = own - mean, other - mean
    products = own * other
    squares = np.square(own).mean()
    return NeighbourStatistic(
        float(products.mean() + squares / len(own)),  # the mean is one of n draws
        2.0 * _halves(products) - np.square(_halves(other)),
        float(np.square(products).mean()) / _count(own),
    )


def total_part(own: Array, other: Array) -> NeighbourStatistic:
    """Eq. (2); `own` and `other` as in `closed_part`, neighbours in all but the factor."""
    differences = own - other
    squares = _halves(np.square(differences) / 2.0)
    return NeighbourStatistic(
        float(squares.mean()),
        np.square(_halves(differences)),
        float((squares[0] * squares[1]).mean()) / _count(own),
    )


def _halves(values: Array) -> Array:
    """(2, n) means over the one half of the neighbours and over the other."""
    return np.stack([values[:, ::2].mean(axis=1), values[:, 1::2].mean(axis=1)])


def _count(values: Array) -> float:
    return values.size / 2
