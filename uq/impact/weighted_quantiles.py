"""Quantiles of weighted runs under many laws, and their errors from independent folds.

Notation
--------
n, K, R     runs, laws, folds
p           level
y_(i)       values in increasing order, w_ik their weights under law k
S_ik        w_1k + ... + w_ik

    q_k     interpolates y_(i) at the middle S_ik - w_ik / 2 of its weight, where that is a_k    (1)
    a_k     = p S_nk                                                     weights of any sum
    a_k     = S_nk - (1 - p) M_k - b_k (S_nk - M_k)                      weights of known mass   (2)

M_k is what the weights sum to in expectation: n for likelihood ratios. Eq. (2) estimates
P(y > q) = 1 - p with S / M as control variate; b_k is its regression coefficient at q_k. With
b = 1 - p it is the first line again; b is near 0 where the sample was drawn for the upper tail and
S is not known well, which would spoil the tail too (Glynn 1996; Hesterberg & Nelson 1998).

    u_ik    = w_ik (1{y_i > q_k} - b_k) / M_k                                                    (3)
    V_kl    = R/(R - 1) sum_r (u_rk - mean u_k)(u_rl - mean u_l),   u_rk = sum_{i in r} u_ik    (4)
    V_kk   >= R v_k^2 / (12 M_k^2),     v_k^2 the mean of w_ik^2 over the 2 R runs nearest q_k   (5)
    C_kl    = s_k V_kl s_l,         s_k = (q(a_k + h_k M_k) - q(a_k - h_k M_k)) / (2 h_k)        (6)

The slope s_k of the quantile is taken over h_k = 2 V_kk^(1/2), as wide as an interval of the
level (Woodruff 1952): no density is estimated. Without (5) nets that happen to agree would leave no
error; in each one run at q_k is undecided, a uniform part of its weight.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_WIDTH = 2.0  # standard errors of the level
_INSIDE = 0.9  # of the way from the aim to an end


def weighted_quantiles(y: Array, weights: Array, level: float) -> Array:
    """Quantiles (K,), Eq. (1); NaN where all weights are 0.

    Parameters
    ----------
    y
        (n,) values, finite.
    weights
        (n, K), not negative, of any sum.
    level
        Between 0 and 1.
    """
    order = np.argsort(y)
    weights = weights[order]
    return _quantiles(y[order], weights, level * weights.sum(axis=0))


def quantiles_and_covariance(
    y: Array,
    weights: Array,
    level: float,
    folds: NDArray[np.int64],
    mass: Array | None = None,
) -> tuple[Array, Array]:
    """Quantiles (K,) and their covariance (K, K), Eq. (6).

    Parameters
    ----------
    y, weights, level
        As in `weighted_quantiles`.
    folds
        (n,) labels; at least two of them occur.
    mass
        (K,) expected sums of the weights, where they are known.

    Returns
    -------
    quantiles, covariance
        The covariance is NaN for a quantile that lies on a value of many runs: its error is not
        known.
    """
    order = np.argsort(y)
    y, weights, labels = y[order], weights[order], np.unique(folds[order], return_inverse=True)[1]
    total = weights.sum(axis=0)
    aim, b, M = level * total, np.full(len(total), 1.0 - level), np.where(total > 0, total, np.nan)
    q = _quantiles(y, weights, aim)
    if mass is not None:
        mass = np.where(mass < np.inf, mass, np.nan)
        b = np.where(np.isnan(mass), b, _coefficients(y, weights, q))
        known = total - (1.0 - level) * mass - b * (total - mass)  # (2)
        usable = (known > 0.0) & (known < total)  # not so where the sample misses the law
        aim, b, M = (np.where(usable, *pair) for pair in ((known, aim), (b, 1 - level), (mass, M)))
        q = _quantiles(y, weights, aim)
    V = _covariance_of_levels(y, weights, labels, q, b, M)
    h = np.minimum(_WIDTH * np.sqrt(np.diagonal(V)), _INSIDE * np.minimum(aim, total - aim) / M)
    h[~(h > 0.0)] = np.nan
    slope = (_quantiles(y, weights, aim + h * M) - _quantiles(y, weights, aim - h * M)) / (2.0 * h)
    slope[~(slope > 0.0)] = np.nan
    covariance: Array = slope[:, None] * V * slope  # (6)
    return q, covariance


def _coefficients(y: Array, weights: Array, q: Array) -> Array:
    """(K,) regression of w 1{y > q} on w, within [0, 1]."""
    above = y[:, None] > q
    spread = weights - weights.mean(axis=0)
    variance = np.square(spread).sum(axis=0)
    share = (spread * weights * above).sum(axis=0)
    constant = ~(variance > 1e-12 * np.square(weights).sum(axis=0))
    slope = share / np.where(constant, 1.0, variance)
    b: Array = np.where(constant, above.mean(axis=0), np.clip(slope, 0.0, 1.0))
    return b


def _covariance_of_levels(
    y: Array, weights: Array, labels: NDArray[np.intp], q: Array, b: Array, mass: Array
) -> Array:
    R = int(labels.max()) + 1
    u = weights * ((y[:, None] > q) - b) / mass  # (3)
    sums = np.stack([u[labels == r].sum(axis=0) for r in range(R)])
    spread = sums - sums.mean(axis=0)
    V: Array = R / (R - 1) * spread.T @ spread  # (4)
    first = np.clip(np.searchsorted(y, q) - R, 0, max(len(y) - 2 * R, 0))
    rows = np.minimum(first + np.arange(2 * R)[:, None], len(y) - 1)
    near = np.square(np.take_along_axis(weights, rows, axis=0)).mean(axis=0)
    np.fill_diagonal(V, np.maximum(np.diagonal(V), R / 12.0 * near / mass**2))  # (5)
    return V


def _quantiles(y: Array, weights: Array, aim: Array) -> Array:
    """Eq. (1) at sums of weights `aim` (K,); `y` in increasing order."""
    below = np.cumsum(weights, axis=0)
    middle = below - 0.5 * weights
    above = np.minimum((middle < aim).sum(axis=0), len(y) - 1)
    under = np.maximum(above - 1, 0)
    columns = np.arange(weights.shape[1])
    gap = middle[above, columns] - middle[under, columns]
    share = np.where(gap > 0.0, aim - middle[under, columns], 0.0) / np.where(gap > 0.0, gap, 1.0)
    q = y[under] + np.clip(share, 0.0, 1.0) * (y[above] - y[under])  # (1)
    return np.where(below[-1] > 0.0, q, np.nan)
