"""Parts of a variance with a cheap model as control variate: exact part, slope, what is left.

Notation
--------
n, R        rows of a pick-freeze design, folds
h_r         polynomial chaos sum_a c_ra psi_a, orthonormal products, fitted without fold r
e           f - h_r at the points of fold r
F           a family of multi-indices: those inside a set of factors, those that touch a set, or all
            but zero. Q_F(f) is the part of the variance of f that they carry
h_F         sum_{a in F} c_a psi_a

    Q_F(h_r) = sum_{a in F} c_ra^2                                                             (1)
    Q_F(f)   = Q_F(h_r) + 2 E[h_F e] + Q_F(e)                                                  (2)

Eq. (2) is exact for any h_r, since h_F is the projection of h_r that Q_F squares. Its second term
is a mean over the input law: all blocks of a row give it, and not only those of a pair. Its third
is what pick-freeze pairs estimate; it is of second order in e.

What the fits share
-------------------
    c_ra - c_a = (R - 1)^-1 sum_{s != r} g_sa,     g_sa = mean over fold s of psi_a e
    b_rs       = 2 (R - 1)^-1 sum_{a in F} g_ra g_sa

The slope of fold r holds b_rs, and that of fold s holds it again: the spread of the folds' values
does not show their covariance Var(b_rs), which is counted beside it. It matters where all c_a of a
family are noise.                                                                              (3)
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from uq.polynomials import basis, index_set
from uq.surrogates import CrossFit, offered_sizes

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Labels = NDArray[np.int64]

_MOST_TERMS = 500
_RUNS_PER_TERM = 24  # that are fitted: more do not help where the model is smooth
_BETTER = 0.8  # a larger size must bring the mean square of the residuals below this share
_PILOT = 100  # terms of the first fit, at most
_NORM = 0.75  # of `index_set`
_STEEPEST = 10.0  # largest ratio of two weights
_ABOVE = 20.0  # keeps the intercept of the fall positive
_ROWS = 512  # of all blocks, in one chunk


@dataclass(frozen=True)
class Parts:
    """Control variates of the parts of one output's variance, T of them and the whole.

    Parameters
    ----------
    name
        Of the cheap model.
    residuals
        (n, n_blocks) e.
    known
        (R, T + 1) Eq. (1), the whole variance last.
    slopes
        (n, T + 1) rows of 2 h_F e, averaged over the blocks.
    coupling
        (R (R - 1) / 2, T + 1) b_rs of Eq. (3), less its mean.
    """

    name: str
    residuals: Array
    known: Array
    slopes: Array
    coupling: Array


def families(indices: NDArray[np.int64], shared: Mask, total: Mask) -> Mask:
    """(K, T + 1) which multi-indices a part holds; the last column is the whole variance.

    Parameters
    ----------
    indices
        (K, d) multi-indices.
    shared
        (T, d) inputs that a pair shares: the multi-indices inside of them.
    total
        (T,) whether the complement is meant: the multi-indices that touch another input.
    """
    used = indices > 0
    inside = ~(used[:, None, :] & ~shared).any(axis=2)
    whole = used.any(axis=1, keepdims=True)
    return np.concatenate([np.where(total, ~inside, inside & whole), whole], axis=1)


def polynomial_parts(
    z: Array, Y: Array, folds: Labels, bounded: Mask, shared: Mask, total: Mask
) -> list[Parts] | None:
    """Control variates by polynomial chaos for each output; None where runs are too few.

    Parameters
    ----------
    z
        (n, n_blocks, d) independent standard normal variables behind the points.
    Y
        (n, n_blocks, J) outputs, of mean 0 and variance 1 or so.
    folds
        (n,) labels; the rows of a fold stand together.
    bounded
        (d,) inputs with Legendre polynomials, the others have Hermite polynomials.
    shared, total
        See `families`.
    """
    n, n_blocks, d = z.shape
    sizes = offered_sizes(n * n_blocks, d, _MOST_TERMS)[1:]
    if not sizes:
        return None
    index = index_set(d, sizes[-1], weights=_column_weights(z, Y, folds, bounded, sizes))
    fitted, coefficients = _fitted(z, Y, folds, index, bounded, sizes)
    chosen = _chosen_sizes(fitted, coefficients, index, bounded)
    kept = [coefficients[size][:, :, j] for j, size in enumerate(chosen)]
    return _parts(z, Y, folds, index, bounded, families(index, shared, total), kept)


def _column_weights(
    z: Array, Y: Array, folds: Labels, bounded: Mask, sizes: tuple[int, ...]
) -> Array:
    """(d,) weights of `index_set`: how fast the coefficients of a first fit fall in each column.

    log c_a^2 = alpha - sum_i w_i a_i^norm by least squares, w >= 0; several outputs share it.
    """
    d = z.shape[2]
    size = max(k for k in sizes if k <= max(_PILOT, sizes[0]))
    index = index_set(d, size)
    runs, coefficients = _fitted(z, Y, folds, index, bounded, (size,))
    mean = coefficients[size].mean(axis=0)
    left = 1.0 - np.square(mean[1:]).sum(axis=0).clip(0.0, 1.0)
    noise = np.maximum(left, 1e-12) / len(runs.z)
    falls = -np.log(np.square(mean[1:]) + noise).mean(axis=1)
    powers = index[1:].astype(np.float64) ** _NORM
    design = np.hstack([np.ones((len(powers), 1)), powers])
    weights = nnls(design, falls - falls.min() + _ABOVE)[0][1:]
    least = max(weights.min(), weights.max() / _STEEPEST)
    return np.clip(weights / least, 1.0, _STEEPEST) if least > 0.0 else np.ones(d)


def _fitted(
    z: Array,
    Y: Array,
    folds: Labels,
    index: NDArray[np.int64],
    bounded: Mask,
    sizes: tuple[int, ...],
) -> tuple["_Runs", dict[int, Array]]:
    """The runs of a fit and the coefficients (R, size, J) of each size."""
    runs = _fitted_rows(z, Y, folds, sizes[-1])
    fit = CrossFit(runs.z, runs.Y, np.ones(len(runs.z)), runs.folds, index, bounded, sizes)
    return runs, {size: fit.coefficients(size) for size in sizes}


@dataclass(frozen=True)
class _Runs:
    z: Array
    Y: Array
    folds: Labels


def _fitted_rows(z: Array, Y: Array, folds: Labels, terms: int) -> _Runs:
    """Enough runs for a fit: the first rows of each fold, and of them as many blocks as needed."""
    n, n_blocks, d = z.shape
    counts = np.bincount(folds)
    wanted = _RUNS_PER_TERM * terms
    blocks = min(n_blocks, -(-wanted // n))
    most = -(-wanted // (blocks * len(counts)))
    place = np.arange(n) - np.repeat(np.cumsum(counts) - counts, counts)
    rows = place < most
    labels = np.repeat(folds[rows], blocks)
    return _Runs(z[rows, :blocks].reshape(-1, d), Y[rows, :blocks].reshape(-1, Y.shape[2]), labels)


def _chosen_sizes(
    runs: _Runs, coefficients: dict[int, Array], index: NDArray[np.int64], bounded: Mask
) -> list[int]:
    """For each output the smallest size that no larger one clearly beats, by the runs left out."""
    squares = np.zeros((len(coefficients), runs.Y.shape[1]))
    for rows in _chunks(len(runs.z), _ROWS):
        psi = basis(runs.z[rows], index, bounded)
        Y, labels = runs.Y[rows], runs.folds[rows]
        for r in np.unique(labels):
            here = labels == r
            for k, (size, c) in enumerate(coefficients.items()):
                squares[k] += np.square(Y[here] - psi[here, :size] @ c[r]).sum(axis=0)
    sizes = list(coefficients)
    chosen = []
    for column in squares.T:
        best = 0
        for k in range(1, len(sizes)):
            if column[k] < _BETTER * column[best]:
                best = k
        chosen.append(sizes[best])
    return chosen


def _parts(
    z: Array,
    Y: Array,
    folds: Labels,
    index: NDArray[np.int64],
    bounded: Mask,
    members: Mask,
    coefficients: list[Array],
) -> list[Parts]:
    """Eqs. (1) to (3) with the coefficients (R, size) of each output, in one pass over the runs."""
    n, n_blocks, d = z.shape
    n_folds, n_outputs, n_parts = int(folds.max()) + 1, len(coefficients), members.shape[1]
    largest = max(c.shape[1] for c in coefficients)
    weight = members[:largest].astype(np.float64)
    residuals = np.empty((n_outputs, n, n_blocks))
    slopes = np.empty((n_outputs, n, n_parts))
    scores = np.zeros((n_outputs, n_folds, largest))
    starts = np.searchsorted(folds, np.arange(n_folds + 1))
    for r in range(n_folds):
        for piece in _chunks(starts[r + 1] - starts[r], _ROWS):
            rows = slice(starts[r] + piece.start, min(starts[r] + piece.stop, starts[r + 1]))
            psi = basis(z[rows].reshape(-1, d), index[:largest], bounded)
            for j, fit in enumerate(coefficients):
                c = fit[r]
                own = psi[:, : len(c)]
                e = Y[rows, :, j] - (own @ c).reshape(-1, n_blocks)
                g = np.einsum("tbk,tb->tk", own.reshape(len(e), n_blocks, -1), e) / n_blocks
                residuals[j, rows] = e
                slopes[j, rows] = 2.0 * (g * c) @ weight[: len(c)]
                scores[j, r, : len(c)] += g.sum(axis=0)
    scores /= np.diff(starts)[:, None]
    first, second = np.triu_indices(n_folds, 1)
    parts = []
    for j, fit in enumerate(coefficients):
        known = np.square(fit) @ weight[: fit.shape[1]]  # (1)
        coupling = 2.0 / (n_folds - 1) * (scores[j, first] * scores[j, second]) @ weight
        coupling -= coupling.mean(axis=0)
        name = f"polynomial of {fit.shape[1]} terms"
        parts.append(Parts(name, residuals[j], known, slopes[j], coupling))
    return parts


def _chunks(n: int, step: int) -> Iterator[slice]:
    return (slice(start, start + step) for start in range(0, n, step))
