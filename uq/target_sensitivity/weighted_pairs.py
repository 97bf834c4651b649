"""Sobol' indices from pairs of points that share some inputs and carry likelihood ratios.

Notation
--------
n, R        rows, in R independent folds
y, y'       values at a point and at its copy, which keeps the inputs K
w, w'       likelihood ratios of the point and of the copy by itself
v           likelihood ratio of the pair: of all values that the two hold
N, D        part of the variance, and the variance

    p = E[v y y'],   m = (E[w y] + E[w' y']) / 2,   s = (E[w y^2] + E[w' y'^2]) / 2
    N = p - m^2   closed index of K             D = s - m^2          Janon et al. (2014)         (1)
    N = s - p     total index of the others

Controls, all of mean zero:

    w - 1,   w' - 1,   v - 1,   w y - w' y',   w y^2 - w' y'^2,   v (y + y') - w y - w' y'       (2)
    and w y and w y^2 less their means over the copies of the row

The linearised index is regressed on them, coefficients from the other folds. With v - 1 and
v (y + y') among them it matters little which constant is taken off y.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uq import control_variates
from uq.control_variates import Candidate, fold_means, fold_sums
from uq.sobol_estimators import MOMENTS, gradient, indices

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
Mask = NDArray[np.bool_]

_FORMULA = "janon_monod"
_RANK = 1e-10
_LEAST_FOLD = 16  # rows; in smaller folds the regression is not tried
_ROUNDING = 64 * np.finfo(float).eps


@dataclass(frozen=True)
class PairWeights:
    """Likelihood ratios of rows.

    Parameters
    ----------
    point
        (n,) w.
    copies, pairs
        (n, c) w' and v of the c copies.
    """

    point: Array
    copies: Array
    pairs: Array

    def of_rows(self, rows: Mask) -> "PairWeights":
        """Those of some rows."""
        return PairWeights(self.point[rows], self.copies[rows], self.pairs[rows])


@dataclass(frozen=True)
class PairIndices:
    """Indices of one output.

    Parameters
    ----------
    estimate, standard_error
        (T,), NaN where there is no variance.
    n_free
        Degrees of freedom of the standard errors.
    variance
        Of the output.
    effective
        (T,) effective rows behind the product moments p; 0 where all products are 0.
    """

    estimate: Array
    standard_error: Array
    n_free: float
    variance: float
    effective: Array


def pair_indices(
    y: Array,
    weights: PairWeights,
    copy_of: NDArray[np.int64],
    total: Mask,
    folds: Labels,
    independent: bool,
    complete: bool,
) -> PairIndices:
    """Indices of T targets of one output.

    Parameters
    ----------
    y
        (n, 1 + c) values at the points and at their copies, less a constant near their mean.
    weights
        Likelihood ratios.
    copy_of
        (T,) the copy 0 .. c - 1 of each target.
    total
        (T,) whether the complement is wanted.
    folds
        (n,) labels; the rows of a fold stand together.
    independent
        Whether rows of one fold are independent draws.
    complete
        Whether no row is missing. Else moments are divided by the means of their weights, and no
        controls are used: their means are not known.

    Returns
    -------
    PairIndices
    """
    scale = float(np.abs(y).max()) or 1.0
    M, of_moments, controls = _rows(y / scale, weights, copy_of)
    if not complete:
        M[..., :5] = _conditional(M[..., :5], of_moments)
    n_folds = int(folds.max()) + 1
    estimate, pseudo_values, contributions = _linearised(M, total, folds)
    if complete and len(M) >= _LEAST_FOLD * n_folds:
        correction = _corrections(contributions - estimate, controls, folds)
        correction[:, ~_wins(contributions, correction, folds, independent)] = 0.0
        contributions = contributions - correction
        pseudo_values = pseudo_values - fold_means(correction, folds)
        estimate = estimate - correction.mean(axis=0)
    spread, n_free = _spread(contributions, pseudo_values, folds, independent)
    mean = M.mean(axis=0)
    variances = mean[:, 3:5].mean(axis=1) - np.square(mean[:, 1:3].mean(axis=1))
    unknown = variances <= 0.0
    error = np.sqrt(spread + np.square(_ROUNDING * (1.0 + np.abs(estimate))))
    return PairIndices(
        np.where(unknown, np.nan, estimate),
        np.where(unknown, np.nan, error),
        n_free,
        float(variances.mean()) * scale * scale,
        _effective(M[..., 0]),
    )


def _rows(y: Array, weights: PairWeights, copy_of: NDArray[np.int64]) -> tuple[Array, Array, Array]:
    """Moments (n, T, 12) of Eq. (1), the weights (n, T, 5) in them, and the controls of Eq. (2)."""
    one, other = y[:, :1], y[:, 1:][:, copy_of]
    w = np.broadcast_to(weights.point[:, None], other.shape)
    w_copy, v = weights.copies[:, copy_of], weights.pairs[:, copy_of]
    of_moments = np.stack([v, w, w_copy, w, w_copy], axis=-1)
    values = np.stack(np.broadcast_arrays(one * other, one, other, one**2, other**2), axis=-1)
    M = np.zeros((*other.shape, MOMENTS))
    M[..., :5] = of_moments * values  # (1)
    _, m, m_copy, s, s_copy = np.moveaxis(M[..., :5], -1, 0)
    in_row = weights.copies * y[:, 1:]
    controls = [  # (2)
        w - 1.0, w_copy - 1.0, v - 1.0, m - m_copy, s - s_copy, v * (one + other) - m - m_copy,
        m - in_row.mean(axis=1, keepdims=True),
        s - (in_row * y[:, 1:]).mean(axis=1, keepdims=True),
    ]  # fmt: skip
    return M, of_moments, np.stack(controls, axis=-1)


def _conditional(values: Array, weights: Array) -> Array:
    """Rows whose means are means of the values over means of the weights, linearised."""
    mass = weights.mean(axis=0)
    ratio = values.mean(axis=0) / mass
    rows: Array = ratio + (values - ratio * weights) / mass
    return rows


def _linearised(M: Array, total: Mask, folds: Labels) -> tuple[Array, Array, Array]:
    """Indices (T,), pseudo-values (R, T) of the folds and contributions (n, T) of the rows."""
    n, n_folds = len(M), int(folds.max()) + 1
    share = np.bincount(folds)[:, None, None] / n
    mean = M.mean(axis=0)
    estimate = indices(mean, total, _FORMULA)
    without = (mean - share * fold_means(M, folds)) / (1.0 - share)
    pseudo_values = n_folds * estimate - (n_folds - 1) * indices(without, total, _FORMULA)
    slope = gradient(mean, total, _FORMULA)
    return estimate, pseudo_values, estimate + np.einsum("ntm,tm->nt", M - mean, slope)


def _corrections(deviations: Array, controls: Array, folds: Labels) -> Array:
    """(n, T) what the controls tell of deviations (n, T), coefficients from the other folds."""
    size = np.sqrt(np.square(controls).mean(axis=0))
    scaled = controls / np.where(size > 0.0, size, 1.0)
    gram = fold_sums(np.einsum("ntk,ntl->ntkl", scaled, scaled), folds)
    right = fold_sums(scaled * deviations[..., None], folds)
    gram, right = gram.sum(axis=0) - gram, right.sum(axis=0) - right
    inverse = np.linalg.pinv(gram, rcond=_RANK, hermitian=True)
    coefficients = np.einsum("rtkl,rtl->rtk", inverse, right)
    corrections: Array = np.einsum("ntk,ntk->nt", scaled, coefficients[folds])
    return corrections


def _wins(contributions: Array, correction: Array, folds: Labels, independent: bool) -> Mask:
    """(T,) whether the controls make the variance clearly smaller."""
    zero, one = np.zeros(contributions.shape[1]), np.ones(contributions.shape[1])
    candidates = [
        Candidate("none", contributions, zero, one, "none"),
        Candidate("controls", contributions - correction, zero, one, "controls"),
    ]
    _, used = control_variates.choose(candidates, one, folds, independent)
    return np.asarray(used == 1)


def _spread(
    contributions: Array, pseudo_values: Array, folds: Labels, independent: bool
) -> tuple[Array, float]:
    """(T,) variance of the indices and its degrees of freedom."""
    n, n_folds = len(contributions), len(pseudo_values)
    if independent:
        return contributions.var(axis=0, ddof=1) / n, float(n - 1)
    return pseudo_values.var(axis=0, ddof=1) / n_folds, float(n_folds - 1)


def _effective(products: Array) -> Array:
    """(T,) effective rows of products (n, T)."""
    total = np.square(np.abs(products).sum(axis=0))
    squares = np.square(products).sum(axis=0)
    effective: Array = np.where(squares > 0.0, total / np.where(squares > 0.0, squares, 1.0), 0.0)
    return effective
