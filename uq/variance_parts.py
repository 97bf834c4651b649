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

What the fits share, the spread of the folds' values does not show. Two parts of it are counted:

    c_ra - c_a = (R - 1)^-1 sum_{s != r} g_sa,     g_sa = mean over fold s of W psi_a e
    b_rs       = 2 (R - 1)^-1 sum_{a in F} g_ra g_sa                                           (3)

stands in the slope of fold r and again in that of fold s, a covariance of Var(b_rs). It matters
where all c_a of a family are noise. And where no fold has points all h_r err alike:

    v_rF = 2 c_F' (I - G) (c_r - c),      G = mean W psi psi'                                  (4)

is what a change of the fit does to the estimate where no point sees it, c the mean of the c_r.

Terms are where the model needs them: a first fit tells how fast coefficients fall in each column.
A Hermite polynomial of degree k lives within |z| < 2 sqrt(k): beyond what points reach it would be
extrapolation, and so the degree ends there.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from uq.polynomials import Indices, basis, index_set
from uq.surrogates import CrossFit, offered_sizes

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Labels = NDArray[np.int64]

_MOST_TERMS = 500
_LARGEST_DEGREE = 40  # of `index_set`
_BEYOND = 4  # degrees more than points reach, with their error counted by Eq. (4)
_LOOKED_AT = 64  # multi-indices for each that is kept, where degrees end early
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
    unseen
        (R, T + 1) Eq. (4).
    index
        (K, d) multi-indices of the polynomial.
    coefficients
        (R, K) c_r of the fits without each fold.
    """

    name: str
    residuals: Array
    known: Array
    slopes: Array
    coupling: Array
    unseen: Array
    index: Indices
    coefficients: Array


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
    z: Array,
    Y: Array,
    W: Array,
    folds: Labels,
    bounded: Mask,
    shared: Mask,
    total: Mask,
) -> list[Parts] | None:
    """Control variates by polynomial chaos for each output; None where runs are too few.

    Parameters
    ----------
    z
        (n, n_blocks, d) independent standard normal variables behind the points.
    Y
        (n, n_blocks, J) outputs, of mean 0 and variance 1 or so.
    W
        (n, n_blocks) weights of the points.
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
    runs = z, Y, W, folds, bounded
    index = _indices(z, bounded, sizes[-1], _column_weights(*runs, sizes))
    return _Fit(*runs, index, sizes).parts(z, Y, W, folds, families(index, shared, total))


def _column_weights(
    z: Array, Y: Array, W: Array, folds: Labels, bounded: Mask, sizes: tuple[int, ...]
) -> Array:
    """(d,) weights of the columns in `index_set`, where a small fit shows that they help."""
    size = max(k for k in sizes if k <= max(_PILOT, sizes[0]))
    equal = np.ones(z.shape[2])
    first = _Fit(z, Y, W, folds, bounded, _indices(z, bounded, size, equal))
    weights = first.column_weights()
    second = _Fit(z, Y, W, folds, bounded, _indices(z, bounded, size, weights))
    left = [np.log(fit.squares()[-1] + np.finfo(float).tiny).mean() for fit in (first, second)]
    return weights if left[1] < left[0] else equal


def _indices(z: Array, bounded: Mask, size: int, weights: Array) -> Indices:
    """(size or fewer, d) multi-indices, in Hermite columns as high as the points reach."""
    reach = np.abs(z).max(axis=(0, 1))
    most = np.where(bounded, _LARGEST_DEGREE, np.square(reach / 2.0).astype(np.int64) + _BEYOND)
    wanted, available = size, math.comb(z.shape[2] + _LARGEST_DEGREE, z.shape[2])
    while True:
        index = index_set(z.shape[2], min(wanted, available), weights=weights)
        kept = index[(index <= most).all(axis=1)]
        if len(kept) >= size or wanted >= min(available, _LOOKED_AT * size):
            return kept[:size]
        wanted *= 2


class _Fit:
    """Least squares without each fold, on as many runs as it needs."""

    def __init__(
        self,
        z: Array,
        Y: Array,
        W: Array,
        folds: Labels,
        bounded: Mask,
        index: Indices,
        sizes: tuple[int, ...] | None = None,
    ) -> None:
        self._runs = runs = _fitted_runs(z, Y, W, folds, len(index))
        kept = [k for k in sizes or () if k < len(index)]
        self._sizes = (*kept, len(index))
        self.index, self._bounded = index, bounded
        fit = CrossFit(runs.z, runs.Y, runs.W, runs.folds, index, bounded, self._sizes)
        self._coefficients = {size: fit.coefficients(size) for size in self._sizes}
        self._gram = fit.gram

    def column_weights(self) -> Array:
        """(d,) weights of `index_set`: how fast the coefficients fall in each column.

        log c_a^2 = alpha - sum_i w_i a_i^norm by least squares, w >= 0; several outputs share it.
        """
        mean = self._coefficients[self._sizes[-1]].mean(axis=0)[1:]
        left = 1.0 - np.square(mean).sum(axis=0).clip(0.0, 1.0)
        noise = np.maximum(left, 1e-12) / len(self._runs.z)
        falls = -np.log(np.square(mean) + noise).mean(axis=1)
        powers = self.index[1:].astype(np.float64) ** _NORM
        design = np.hstack([np.ones((len(powers), 1)), powers])
        weights = nnls(design, falls - falls.min() + _ABOVE)[0][1:]
        least = max(weights.min(), weights.max() / _STEEPEST)
        if not least > 0.0:
            return np.ones(len(weights))
        steep: Array = np.clip(weights / least, 1.0, _STEEPEST)
        return steep

    def squares(self) -> Array:
        """(sizes, J) weighted sums of squares at the runs that a fit has not seen."""
        runs = self._runs
        squares = np.zeros((len(self._sizes), runs.Y.shape[1]))
        for r in range(int(runs.folds.max()) + 1):
            here = np.flatnonzero(runs.folds == r)
            for piece in _chunks(len(here), _ROWS):
                at = here[piece]
                psi = basis(runs.z[at], self.index, self._bounded)
                for k, (size, c) in enumerate(self._coefficients.items()):
                    e = runs.Y[at] - psi[:, :size] @ c[r]
                    squares[k] += runs.W[at] @ np.square(e)
        return squares

    def _chosen_sizes(self) -> list[int]:
        """For each output the smallest size that no larger one clearly beats."""
        chosen = []
        for column in self.squares().T:
            best = 0
            for k in range(1, len(column)):
                if column[k] < _BETTER * column[best]:
                    best = k
            chosen.append(self._sizes[best])
        return chosen

    def parts(self, z: Array, Y: Array, W: Array, folds: Labels, members: Mask) -> list[Parts]:
        """Eqs. (1) to (4) of each output, in one pass over all runs."""
        coefficients = [self._coefficients[k][:, :, j] for j, k in enumerate(self._chosen_sizes())]
        n, n_blocks, d = z.shape
        n_folds, n_outputs = int(folds.max()) + 1, len(coefficients)
        largest = max(c.shape[1] for c in coefficients)
        weight = members[:largest].astype(np.float64)
        residuals = np.empty((n_outputs, n, n_blocks))
        slopes = np.empty((n_outputs, n, members.shape[1]))
        scores = np.zeros((n_outputs, n_folds, largest))
        starts = np.searchsorted(folds, np.arange(n_folds + 1))
        for r in range(n_folds):
            for piece in _chunks(starts[r + 1] - starts[r], _ROWS):
                rows = slice(starts[r] + piece.start, min(starts[r] + piece.stop, starts[r + 1]))
                psi = basis(z[rows].reshape(-1, d), self.index[:largest], self._bounded)
                psi = psi.reshape(-1, n_blocks, largest)
                for j, fit in enumerate(coefficients):
                    c = fit[r]
                    own = psi[..., : len(c)]
                    e = Y[rows, :, j] - own @ c
                    g = np.einsum("tbk,tb->tk", own, e * W[rows]) / n_blocks
                    residuals[j, rows] = e
                    slopes[j, rows] = 2.0 * (g * c) @ weight[: len(c)]
                    scores[j, r, : len(c)] += g.sum(axis=0)
        scores /= np.diff(starts)[:, None]
        return [
            self._of_output(fit, residuals[j], slopes[j], scores[j], weight)
            for j, fit in enumerate(coefficients)
        ]

    def _of_output(
        self, fit: Array, residuals: Array, slopes: Array, scores: Array, weight: Array
    ) -> Parts:
        n_folds, size = fit.shape
        known = np.square(fit) @ weight[:size]  # (1)
        first, second = np.triu_indices(n_folds, 1)
        coupling = 2.0 / (n_folds - 1) * (scores[first] * scores[second]) @ weight  # (3)
        mean = fit.mean(axis=0)
        not_seen = np.eye(size) - self._gram[:size, :size]
        return Parts(
            f"polynomial of {size} terms",
            residuals,
            known,
            slopes,
            coupling - coupling.mean(axis=0),
            2.0 * ((fit - mean) @ not_seen * mean) @ weight[:size],  # (4)
            self.index[:size],
            fit,
        )


@dataclass(frozen=True)
class _Runs:
    """Points (N, d), outputs (N, J), weights (N,) and folds (N,)."""

    z: Array
    Y: Array
    W: Array
    folds: Labels


def _fitted_runs(z: Array, Y: Array, W: Array, folds: Labels, terms: int) -> _Runs:
    """Enough runs for a fit: the first rows of each fold, and of them as many blocks as needed."""
    n, n_blocks, d = z.shape
    counts = np.bincount(folds)
    wanted = _RUNS_PER_TERM * terms
    blocks = min(n_blocks, -(-wanted // n))
    most = -(-wanted // (blocks * len(counts)))
    place = np.arange(n) - np.repeat(np.cumsum(counts) - counts, counts)
    rows = place < most
    return _Runs(
        z[rows, :blocks].reshape(-1, d),
        Y[rows, :blocks].reshape(-1, Y.shape[2]),
        W[rows, :blocks].reshape(-1),
        np.repeat(folds[rows], blocks),
    )


def _chunks(n: int, step: int) -> Iterator[slice]:
    return (slice(start, start + step) for start in range(0, n, step))
