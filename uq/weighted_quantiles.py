"""Quantiles of weighted runs under many laws, and their errors by leaving out folds.

Notation
--------
n, K, R     runs, laws, folds
y_(i)       values in increasing order, w_ik their weights under law k
S_ik        w_1k + ... + w_ik

    q_k     interpolates y_(i) at the middle S_ik - w_ik / 2 of its weight, at level S_nk        (1)
    C_kl    (R - 1)/R sum_r (q_k(-r) - mean q_k(-r)) (q_l(-r) - mean q_l(-r))                    (2)

q(-r) is the quantile without fold r. Leaving out one point at a time fails for quantiles, leaving
out a share of them does not (Shao & Wu 1989).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


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


def jackknife_covariance(y: Array, weights: Array, level: float, folds: NDArray[np.int64]) -> Array:
    """Covariance (K, K) of the quantiles, Eq. (2).

    Parameters
    ----------
    y, weights, level
        As in `weighted_quantiles`.
    folds
        (n,) labels; at least two of them occur.

    Returns
    -------
    covariance
        NaN for a quantile that no fold moves: its error is not known.
    """
    order = np.argsort(y)
    without = np.stack(list(_without_folds(y[order], weights[order], level, folds[order])))
    R = len(without)
    apart = without - without.mean(axis=0)
    covariance: Array = (R - 1) / R * apart.T @ apart  # (2)
    still = ~(np.ptp(without, axis=0) > 0.0)
    covariance[still] = np.nan
    covariance[:, still] = np.nan
    return covariance


def _without_folds(
    y: Array, weights: Array, level: float, folds: NDArray[np.int64]
) -> Iterator[Array]:
    for fold in np.unique(folds):
        kept = folds != fold
        yield _quantiles(y[kept], weights[kept], level)


def _quantiles(y: Array, weights: Array, level: float) -> Array:
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
