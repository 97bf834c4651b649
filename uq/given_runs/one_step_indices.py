"""One-step estimates of Sobol' indices from given runs: an exact part, a slope, what is left.

Notation
--------
n, d, R     runs, inputs, folds of random runs
h_r         polynomial chaos without fold r, see `variance_parts`
e           y - h_r at the runs of fold r
F           a family of multi-indices: all inside a set of inputs (a closed part), or all that touch
            a factor (its total part)
Q_F, V      the part of the variance that F carries, the whole variance
h_rs        h without the folds r and s

    Q_F = Q_F(h_r) + 2 mean[h_F e] + Q_F(e)                                Eq. (2) of variance_parts
    V   = Q(h_r)   + 2 mean[h e]   + Var(e)

The last term of either is of second order in e. That of a part comes from pairs of runs that lie
next to each other (`neighbour_statistics`), so that the bias of these statistics is a share of the
residual's variance only. Both runs of a pair need a fit that saw neither of them:

    h_rs = h + (R - 1) / (R - 2) (h_r + h_s - 2 h),      h the mean of the h_r               (1)

which takes the linear part of what the folds r and s told the fit out of it.

Errors are those of the mean of the runs' contributions (their influence on the index), what
neighbours add, and what the fits share (Eqs. (3), (4) of `variance_parts`). A few runs may carry
most of that error where residuals have heavy tails: the kurtosis of the contributions gives the
degrees of freedom. Where the laws of the inputs are not known, ranks take their place, and what
runs tell of the laws counts as well (`unknown_laws`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from uq.factors import Factor
from uq.given_runs import neighbour_statistics
from uq.given_runs.neighbour_statistics import NeighbourStatistic
from uq.given_runs.runs import GivenRuns
from uq.given_runs.unknown_laws import influence_of_laws
from uq.polynomials import Indices
from uq.surrogates import Chaos
from uq.variance_parts import Parts, families

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
Mask = NDArray[np.bool_]
Rows = NDArray[np.intp]

_BETTER = 0.95  # a polynomial must bring the variance of the residuals below this share
_LEAST_FREE = 4.0
_ROUNDING = 64 * np.finfo(float).eps


@dataclass(frozen=True)
class Targets:
    """The T parts of the variance that are estimated, and the I indices made of them.

    Parameters
    ----------
    shared
        (T, d) the inputs of a closed part; for a total part those that it is the complement of.
    total
        (T,) whether it is a total part.
    combination
        (I, T) of the parts in the indices.
    """

    shared: Mask
    total: Mask
    combination: Array

    @staticmethod
    def of(factors: Sequence[Factor], dimension: int, order: int) -> "Targets":
        """First order of the k factors, their totals; closed and second order of all pairs."""
        k = len(factors)
        own = np.zeros((k, dimension), dtype=bool)
        for factor, row in zip(factors, own, strict=True):
            row[list(factor.columns)] = True
        i, j = np.triu_indices(k if order == 2 else 0, 1)
        shared = np.concatenate([own, ~own, own[i] | own[j]])
        total = np.zeros(len(shared), dtype=bool)
        total[k : 2 * k] = True
        alone = np.zeros((len(i), len(shared)))
        rows = np.arange(len(i))
        alone[rows, 2 * k + rows], alone[rows, i], alone[rows, j] = 1.0, -1.0, -1.0
        return Targets(shared, total, np.concatenate([np.eye(len(shared)), alone]))


@dataclass(frozen=True)
class OneOutput:
    """Indices of one output.

    Parameters
    ----------
    index, variance_of_index
        (I,).
    n_free
        (I,) degrees of freedom of these variances: 2 n / (kurtosis of the contributions - 1).
    variance
        V.
    explained
        Share of V that the polynomial explains.
    name
        Of the polynomial, or "none".
    """

    index: Array
    variance_of_index: Array
    n_free: Array
    variance: float
    explained: float
    name: str


@dataclass(frozen=True)
class Polynomial:
    """Cross-fitted polynomial of one output.

    Parameters
    ----------
    parts
        What it tells of the parts of the variance.
    index
        (K, d) multi-indices.
    coefficients
        (R, K) of the fits without each fold.
    """

    parts: Parts
    index: Indices
    coefficients: Array


class NeighbourSearch:
    """Neighbours of every run for each target; what all outputs share is found once."""

    def __init__(self, runs: GivenRuns, targets: Targets, rng: np.random.Generator) -> None:
        self._uniform, self._shared, self._rng = ndtr(runs.z), targets.shared, rng
        self._found: dict[int, Rows] = {}

    def __call__(self, t: int, weights: Array) -> tuple[Array, Rows]:
        """(n, p) inputs of target t on the scales of the distances, and (n, 2 M) neighbours.

        Parameters
        ----------
        t
            Number of the target.
        weights
            (d,) of the inputs.
        """
        columns = self._shared[t]
        x = self._uniform[:, columns] * weights[columns]
        shared = columns.sum() == 1 or (weights == 1.0).all()
        if shared and t in self._found:
            return x, self._found[t]
        found = neighbour_statistics.neighbours(x, self._rng)
        if shared:
            self._found[t] = found
        return x, found


@dataclass(frozen=True)
class _Residuals:
    """e at the runs, for pairs of runs with a fit that saw neither of them.

    Parameters
    ----------
    y
        (n,) outputs.
    predictions
        (n, R) of every fit; (n, 1) zeros without one.
    folds
        (n,).
    """

    y: Array
    predictions: Array
    folds: Labels

    @property
    def own(self) -> Array:
        """(n,) e."""
        if self.predictions.shape[1] == 1:
            return self.y
        return self.y - self.predictions[np.arange(len(self.y)), self.folds]

    def of_pairs(self, found: Rows) -> tuple[Array, Array]:
        """(n, 2 M) e of every run and of its neighbours, by Eq. (1)."""
        here = np.broadcast_to(np.arange(len(self.y))[:, None], found.shape)
        if self.predictions.shape[1] == 1:
            return self.y[here], self.y[found]
        r, s = self.folds[here], self.folds[found]
        return self._without(here, r, s), self._without(found, r, s)

    def _without(self, at: Rows, r: Labels, s: Labels) -> Array:
        h, n_folds = self.predictions, self.predictions.shape[1]
        mean = h.mean(axis=1)[at]
        moved = (n_folds - 1) / (n_folds - 2) * (h[at, r] + h[at, s] - 2.0 * mean)  # (1)
        e: Array = self.y[at] - np.where(r == s, h[at, r], mean + moved)
        return e


def one_output(
    y: Array,
    polynomial: Polynomial | None,
    runs: GivenRuns,
    folds: Labels,
    targets: Targets,
    search: NeighbourSearch,
) -> OneOutput:
    """Indices of one output.

    Parameters
    ----------
    y
        (n,) outputs, of mean 0 and variance 1 or so, not constant.
    polynomial
        Its polynomial, used where it explains any of the variance; None for neighbours alone.
    runs
        The runs; rows of a fold stand together.
    folds
        (n,) labels.
    targets
        What is estimated.
    search
        Neighbours in the inputs of every target.
    """
    if polynomial is not None and polynomial.parts.residuals.var() > _BETTER * y.var():
        polynomial = None
    exact, law, weights, predictions = _known(polynomial, y, runs, folds, targets)
    residuals = _Residuals(y, predictions, folds)
    e = residuals.own
    squares = np.square(e - e.mean()) * len(y) / (len(y) - 1)
    rests = [
        _rest(t, squares, residuals, targets, search, weights) for t in range(len(targets.total))
    ]
    variance = float((exact[:, -1] + squares).mean())
    index = (exact[:, :-1].mean(axis=0) + [rest.value for rest in rests]) / variance
    columns = [*(rest.influence for rest in rests), np.stack([squares, squares])]
    influence = np.stack(columns, axis=-1) + exact + law
    contributions = (influence[..., :-1] - influence[..., -1:] * index) / variance
    noise = np.array([rest.noise for rest in rests]) / variance**2
    return OneOutput(
        targets.combination @ index,
        _variance(contributions, noise, polynomial, index, variance, targets.combination),
        _degrees_of_freedom(contributions.mean(axis=0) @ targets.combination.T),
        variance,
        1.0 - float(squares.mean()) / variance,
        "none" if polynomial is None else polynomial.parts.name,
    )


def _known(
    polynomial: Polynomial | None, y: Array, runs: GivenRuns, folds: Labels, targets: Targets
) -> tuple[Array, Array, Array, Array]:
    """What the polynomial knows: Q_F(h_r) + 2 h_F e, and the influence by way of the laws, both
    (n, T + 1) with V last; (d,) weights of distances; (n, R) predictions of its fits."""
    n, d = runs.z.shape
    nothing = np.zeros((n, len(targets.total) + 1))
    if polynomial is None:
        return nothing, nothing, np.ones(d), np.zeros((n, 1))
    exact = polynomial.parts.known[folds] + polynomial.parts.slopes
    law = nothing if runs.laws_known else _by_laws(polynomial, runs, targets)
    predictions = Chaos(polynomial.index, runs.bounded, polynomial.coefficients.T)(runs.z)
    return exact, law, _distance_weights(polynomial, y), predictions


def _rest(
    t: int,
    squares: Array,
    residuals: _Residuals,
    targets: Targets,
    search: NeighbourSearch,
    weights: Array,
) -> NeighbourStatistic:
    """Q_F(e) of target t; `squares` are those whose mean is Var(e)."""
    if not targets.shared[t].any():  # the total part of all inputs together
        return NeighbourStatistic(float(squares.mean()), np.stack([squares, squares]), 0.0)
    x, found = search(t, weights)
    own, other = residuals.of_pairs(found)
    if targets.total[t]:
        return neighbour_statistics.total_part(own, other, x, found)
    mean = float(residuals.own.mean())
    return neighbour_statistics.closed_part(own, other, mean, x, found)


def _by_laws(polynomial: Polynomial, runs: GivenRuns, targets: Targets) -> Array:
    """(n, T + 1) influence by way of the marginal laws; the whole is the total of all inputs."""
    held = families(polynomial.index, targets.shared, targets.total)
    mean = polynomial.coefficients.mean(axis=0)
    total = np.append(targets.total, True)
    return influence_of_laws(runs.z, runs.bounded, polynomial.index, mean, held, total)


def _distance_weights(polynomial: Polynomial, y: Array) -> Array:
    """(d,) what distances between runs should heed of each input.

    The root of its total part of the polynomial, and of the residuals, which may be of any input.
    """
    total = np.square(polynomial.coefficients.mean(axis=0)) @ (polynomial.index > 0)
    weights: Array = np.sqrt((total + polynomial.parts.residuals.var()) / y.var())
    return weights


def _variance(
    contributions: Array,
    noise: Array,
    polynomial: Polynomial | None,
    index: Array,
    variance: float,
    combination: Array,
) -> Array:
    """(I,) variances of the indices."""
    n = contributions.shape[1]
    first, second = (contributions - contributions.mean(axis=1, keepdims=True)) @ combination.T
    total = np.maximum((first * second).sum(axis=0) / n**2, 0.0) + combination**2 @ noise
    total += np.square(_ROUNDING * (1.0 + np.abs(combination @ index)))
    if polynomial is None:
        return np.asarray(total)

    def of_indices(values: Array) -> Array:
        linear = (values[:, :-1] - values[:, -1:] * index) / variance
        counted: Array = linear @ combination.T
        return counted

    parts = polynomial.parts
    n_folds = len(parts.unseen)
    coupling = np.square(of_indices(parts.hidden)).mean(axis=0)  # (3) of `variance_parts`
    changes = np.square(of_indices(parts.unseen)).sum(axis=0) * (n_folds - 1) / n_folds
    counted: Array = total + coupling + np.maximum(changes - total, 0.0)
    return counted


def _degrees_of_freedom(contributions: Array) -> Array:
    """(I,) of the sample variances of (n, I) contributions, from their fourth moments."""
    n = len(contributions)
    apart = contributions - contributions.mean(axis=0)
    largest = np.abs(apart).max(axis=0)
    squares = np.square(apart / np.where(largest > 0.0, largest, 1.0))
    mean = squares.mean(axis=0)
    kurtosis = np.square(squares).mean(axis=0) / np.where(mean > 0.0, mean, 1.0) ** 2
    free: Array = np.clip(2.0 * n / np.maximum(kurtosis - 1.0, 2.0), _LEAST_FREE, n - 1.0)
    return free
