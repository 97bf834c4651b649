"""Parts of a variance from runs that lie next to each other in some of the inputs.

Notation
--------
n           runs
u           some of the inputs, p of them
e           (n,) a function of all inputs at the runs, such as the residual of a surrogate
l           2 M runs next to run k in the inputs u; the other inputs of both are independent
delta       (n, 2 M, p) differences of x_u between a run and its neighbours
g           E[e | x_u];     a, b    means of e over one half of these runs, and over the other
D           mean of (e_k - e_l)^2 / 2

    closed part      Q = Var(g)         mean of e_k e_l - mean(e)^2                       (1)
    total part       V - Q              D                                                 (2)

Eq. (1): Gamboa, Gremaud, Klein & Lagnoux (2022) for a single input, where the next runs are those
of the next ranks; Broto, Bachoc & Depecker (2020) for several, where they are nearest neighbours.
Eq. (2) is the same for the complement of a factor, in the form of Jansen. Both are consistent, but
neighbours in many inputs are far away, and what e changes on the way to them is counted as the
others' part. So D is carried on to neighbours at no distance, by non-negative least squares:

    (e_k - e_l)^2 / 2  =  D_0 + sum_j c_j delta_klj^2,     D_0, c_j >= 0                  (3)

Eq. (2) becomes D_0, and Eq. (1) grows by D - D_0. Half of this correction counts as a standard
error: e need not be smooth over such distances.

    influence of run k          2 e_k g - g^2     and     (e_k - g)^2                     (4)

g is not known. With a and b in its place, the covariance of the two versions of Eq. (4) over the
runs is the variance of the influence, for their noises are independent; the noise that neighbours
make themselves, E[e_k^2 e_l^2] / M, comes on top.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.spatial import cKDTree

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

_MOST_RANKS = 0.5  # M of n^(1/3): far fewer ranks than a smooth function needs to change
_NEAREST = 4  # 2 M where there are several inputs
_DOUBT = 0.5  # of the correction by Eq. (3)


@dataclass(frozen=True)
class NeighbourStatistic:
    """A part of the variance of e.

    Parameters
    ----------
    value
        Eq. (1) or (2), corrected by Eq. (3).
    influence
        (2, n) Eq. (4), with a and with b.
    noise
        What neighbours and the correction add to the variance of `value`.
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
        return _without_self(cKDTree(x).query(x, k=_NEAREST + 1)[1])
    half = max(1, round(_MOST_RANKS * n ** (1 / 3)))
    order = np.lexsort(np.stack([rng.random(n), x[:, 0]]))
    start = np.clip(np.arange(n) - half, 0, n - 2 * half - 1)
    window = start[:, None] + np.arange(2 * half + 1)
    window = window[window != np.arange(n)[:, None]].reshape(n, 2 * half)
    found = np.empty((n, 2 * half), dtype=np.intp)
    found[order] = order[window]
    return found


def _without_self(found: Rows) -> Rows:
    """All but the run itself; of many runs at one point the last stands in for it."""
    own = found == np.arange(len(found))[:, None]
    own[~own.any(axis=1), -1] = True
    others: Rows = found[~own].reshape(len(found), -1)
    return others


def closed_part(own: Array, other: Array, mean: float, x: Array, found: Rows) -> NeighbourStatistic:
    """Eq. (1).

    Parameters
    ----------
    own, other
        (n, 2 M) e of every run and of its neighbours.
    mean
        Mean of e over the runs.
    x
        (n, p) inputs u.
    found
        (n, 2 M) the neighbours.
    """
    own, other = own - mean, other - mean
    products = own * other
    # The mean is one of n draws.
    value = float(products.mean() + np.square(own).mean() / len(own))  # (1)
    noise = float(np.square(products).mean()) / (own.size / 2)
    missed = 0.0  # the next ranks of a single input are near enough
    if x.shape[1] > 1:
        D = np.square(own - other) / 2.0
        missed = float(D.mean()) - _at_no_distance(D, x, found)
    influence = 2.0 * _halves(products) - np.square(_halves(other))  # (4)
    return NeighbourStatistic(value + missed, influence, noise + (_DOUBT * missed) ** 2)


def total_part(own: Array, other: Array, x: Array, found: Rows) -> NeighbourStatistic:
    """Eq. (2) of a factor; the inputs u are all the others. Arguments as in `closed_part`."""
    D = np.square(own - other) / 2.0  # (2), before Eq. (3)
    mean, value = float(D.mean()), _at_no_distance(D, x, found)
    share = value / mean if mean > 0.0 else 1.0
    first, second = _halves(D)
    noise = float((first * second).mean()) / (own.size / 2)
    return NeighbourStatistic(
        value,
        share * np.square(_halves(own - other)),  # (4)
        share**2 * noise + (_DOUBT * (mean - value)) ** 2,
    )


def _at_no_distance(D: Array, x: Array, found: Rows) -> float:
    """D_0 of Eq. (3)."""
    mean = float(D.mean())
    if not mean > 0.0:
        return mean
    squares = np.square(x[:, None] - x[found]).reshape(D.size, -1)
    scale = np.maximum(squares.mean(axis=0), np.finfo(float).tiny)
    terms = np.concatenate([np.ones((D.size, 1)), squares / scale], axis=1)
    return min(mean, mean * float(nnls(terms, D.ravel() / mean)[0][0]))  # (3)


def _halves(values: Array) -> Array:
    """(2, n) means over the one half of the neighbours and over the other."""
    return np.stack([values[:, ::2].mean(axis=1), values[:, 1::2].mean(axis=1)])
