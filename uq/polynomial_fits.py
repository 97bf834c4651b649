"""Polynomials of a model by least squares across folds: which terms, how many, how high.

Notation
--------
n, n_blocks rows of points, points of a row; N of them are fitted
d, J, K     columns, outputs, terms
W           weights of the points, near zero in the tails of a widened design
c_r         (K,) coefficients without fold r

Terms are where the model needs them: a first fit tells how fast coefficients fall in each column.

    log c_a^2 = alpha - sum_i w_i a_i^norm                                                     (1)

A Hermite polynomial of degree k lives within |z| < 2 sqrt(k). Degrees beyond what the points reach
are extrapolation: a smooth model is known far better with them, and one with a kink worse. They are
taken where the points left out, those of the tails counted in full, show a win beyond doubt.
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
_NEAR = 1  # degrees more than points reach, without asking
_BEYOND = 4  # the same where the points left out show that they help
_BEYOND_DOUBT = 0.05  # of the mean square without them
_LOOKED_AT = 64  # multi-indices for each that is kept, where degrees end early
_LEAST_RUNS_PER_TERM = 12  # of complete degrees
_RUNS_PER_TERM = 24  # that are fitted: more do not help where the model is smooth
_BETTER = 0.8  # a larger size must bring the mean square of the residuals below this share
_PILOT = 100  # terms of the first fit, at most
_NORM = 0.75  # of `index_set`
_STEEPEST = 10.0  # largest ratio of two weights
_ABOVE = 20.0  # keeps the intercept of the fall positive
_ROWS = 512  # of all blocks, in one chunk


def polynomial_fit(
    z: Array, Y: Array, W: Array, folds: Labels, bounded: Mask, beyond: int = _BEYOND
) -> "PolynomialFit | None":
    """Polynomials with terms where the model needs them; None where runs are too few.

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
    beyond
        Most degrees more than points reach that are tried; 0 for none.
    """
    n, n_blocks, d = z.shape
    sizes = offered_sizes(n * n_blocks, d, _MOST_TERMS)[1:]
    if not sizes:
        return None
    runs = z, Y, W, folds, bounded
    near = PolynomialFit(*runs, _chosen_indices(*runs, sizes, min(_NEAR, beyond)), sizes)
    if bounded.all() or beyond == 0:
        return near
    far = PolynomialFit(*runs, _chosen_indices(*runs, sizes, beyond), sizes)
    left = [_mean_logarithm(fit.plain_squares.min(axis=0)) for fit in (near, far)]
    return far if left[1] - left[0] < math.log(_BEYOND_DOUBT) else near


def complete_fit(z: Array, Y: Array, W: Array, folds: Labels) -> "PolynomialFit | None":
    """Hermite polynomials of all total degrees up to one: no rotation of z leaves their span."""
    n, n_blocks, d = z.shape
    most = min(n * n_blocks // _LEAST_RUNS_PER_TERM, _MOST_TERMS)
    reach = int(np.square(np.abs(z).max() / 2.0))
    sizes = tuple(
        size
        for p in range(1, min(reach, _LARGEST_DEGREE) + 1)
        if (size := math.comb(d + p, d)) <= most
    )
    if not sizes:
        return None
    index = index_set(d, sizes[-1], norm=1.0)
    return PolynomialFit(z, Y, W, folds, np.zeros(d, dtype=bool), index, sizes)


def _chosen_indices(
    z: Array,
    Y: Array,
    W: Array,
    folds: Labels,
    bounded: Mask,
    sizes: tuple[int, ...],
    beyond: int,
) -> Indices:
    """Multi-indices by Eq. (1), where a small fit shows that they help, else by equal weights."""
    size = max(k for k in sizes if k <= max(_PILOT, sizes[0]))
    equal = np.ones(z.shape[2])
    first = PolynomialFit(z, Y, W, folds, bounded, _indices(z, bounded, size, equal, beyond))
    weights = first.column_weights()
    second = PolynomialFit(z, Y, W, folds, bounded, _indices(z, bounded, size, weights, beyond))
    left = [_mean_logarithm(fit.squares[-1]) for fit in (first, second)]
    return _indices(z, bounded, sizes[-1], weights if left[1] < left[0] else equal, beyond)


def _mean_logarithm(squares: Array) -> float:
    """Of the outputs' sums of squares (J,); finite where a polynomial is exact."""
    return float(np.log(squares + np.finfo(float).tiny).mean())


def _indices(z: Array, bounded: Mask, size: int, weights: Array, beyond: int) -> Indices:
    """(size or fewer, d) multi-indices, in Hermite columns as high as the points reach."""
    reach = np.abs(z).max(axis=(0, 1))
    most = np.where(bounded, _LARGEST_DEGREE, np.square(reach / 2.0).astype(np.int64) + beyond)
    wanted, available = size, math.comb(z.shape[2] + _LARGEST_DEGREE, z.shape[2])
    while True:
        index = index_set(z.shape[2], min(wanted, available), weights=weights.tolist())
        kept = index[(index <= most).all(axis=1)]
        if len(kept) >= size or wanted >= min(available, _LOOKED_AT * size):
            return kept[:size]
        wanted *= 2


class PolynomialFit:
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
        self.index, self.bounded = index, bounded
        fit = CrossFit(runs.z, runs.Y, runs.W, runs.folds, index, bounded, self._sizes)
        self._coefficients = {size: fit.coefficients(size) for size in self._sizes}
        self.squares, self.plain_squares = self._left_out()

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

    def _left_out(self) -> tuple[Array, Array]:
        """(sizes, J) sums of squares at the runs that a fit has not seen, weighted and plain."""
        runs = self._runs
        squares = np.zeros((2, len(self._sizes), runs.Y.shape[1]))
        for r in range(int(runs.folds.max()) + 1):
            here = np.flatnonzero(runs.folds == r)
            for piece in _chunks(len(here), _ROWS):
                at = here[piece]
                psi = basis(runs.z[at], self.index, self.bounded)
                for k, (size, c) in enumerate(self._coefficients.items()):
                    e = np.square(runs.Y[at] - psi[:, :size] @ c[r])
                    squares[0, k] += runs.W[at] @ e
                    squares[1, k] += e.sum(axis=0)
        return squares[0], squares[1]

    @property
    def coefficients(self) -> list[Array]:
        """For each output (R, K) of the smallest size that no larger one clearly beats."""
        chosen = []
        for j, column in enumerate(self.squares.T):
            best = 0
            for k in range(1, len(column)):
                if column[k] < _BETTER * column[best]:
                    best = k
            chosen.append(self._coefficients[self._sizes[best]][:, :, j])
        return chosen


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
