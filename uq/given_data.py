"""Sobol' indices from runs that exist already: any points, drawn independently from the input law.

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
neighbours add, and what the fits share (Eqs. (3), (4) of `variance_parts`). Where the laws of the
inputs are not known, ranks take their place, and what runs tell of the laws counts as well
(`unknown_laws`).
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from bayesopt.arguments import check_name, whole_number
from uq import neighbour_statistics
from uq.given_runs import GivenRuns, given_runs, input_names
from uq.inputs import Inputs, Seed
from uq.neighbour_statistics import NeighbourStatistic
from uq.pick_freeze import Factor, factors_of
from uq.sobol_results import IndexEstimates, SobolIndices
from uq.surrogates import Chaos
from uq.unknown_laws import influence_of_laws
from uq.variance_parts import Parts, families, polynomial_parts

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
Mask = NDArray[np.bool_]
Rows = NDArray[np.intp]

_BETTER = 0.95  # a polynomial must bring the variance of the residuals below this share
_MUCH = 0.9  # explained: with less the rest is worth a flag
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
    variance
        V.
    explained
        Share of V that the polynomial explains.
    name
        Of the polynomial, or "none".
    """

    index: Array
    variance_of_index: Array
    variance: float
    explained: float
    name: str


def given_data_indices(
    X: ArrayLike,
    Y: ArrayLike,
    inputs: Inputs | None = None,
    factors: Sequence[Factor] | None = None,
    *,
    order: int = 1,
    surrogate: Literal["auto"] | None = "auto",
    n_folds: int = 10,
    rng: Seed = None,
) -> SobolIndices:
    """Sobol' indices from given runs of a model with independent inputs.

    Parameters
    ----------
    X
        (n, d) points, drawn independently from the law of the inputs (or a net of such points).
    Y
        (n,) or (n, J) outputs. Runs with NaN in any place are left out.
    inputs
        Independent inputs. None: their laws are not known, and ranks are used.
    factors
        Inputs or groups that get indices; None: every input.
    order
        1: first and total indices; 2: those of pairs too.
    surrogate
        "auto": a polynomial where it explains any of the variance. None: nearest neighbours alone,
        as they are published.
    n_folds
        Folds of the cross-fitting, at least three.
    rng
        Seed or generator: deals runs to folds, and breaks ties.

    Returns
    -------
    SobolIndices

    Raises
    ------
    TypeError, ValueError
        When an argument is out of range; see also `given_runs.given_runs`.
    """
    check_order_and_surrogate(order, surrogate)
    names = input_names(inputs, X)
    runs = given_runs(X, Y, inputs, names)
    whole_number(n_folds, "n_folds", 3)
    if n_folds > len(runs.z) // 4:
        raise ValueError(
            f"`n_folds` must leave four runs to every fold, at most {len(runs.z) // 4} folds, but "
            f"got {n_folds}."
        )
    chosen = tuple(factors or factors_of(names, None))
    targets = Targets.of(chosen, len(names), order)
    generator = np.random.default_rng(rng)
    place = generator.permutation(len(runs.z))
    runs = replace(runs, z=runs.z[place], Y=runs.Y[place])
    folds = np.sort(np.arange(len(place)) % n_folds)
    outputs = _each_output(runs, folds, targets, surrogate, generator)
    return _result(outputs, runs, chosen, order)


def check_order_and_surrogate(order: object, surrogate: object) -> None:
    """Raise ValueError unless both are among the known ones."""
    if isinstance(order, bool) or order not in (1, 2):
        raise ValueError(f"`order` must be 1 or 2, but got {order!r}.")
    if surrogate is not None:
        check_name("surrogate", surrogate, ("auto",), "None")


def _each_output(
    runs: GivenRuns,
    folds: Labels,
    targets: Targets,
    surrogate: str | None,
    rng: np.random.Generator,
) -> list[OneOutput]:
    centre, scale = runs.Y.mean(axis=0), runs.Y.std(axis=0)
    constant = scale <= _ROUNDING * np.maximum(np.abs(runs.Y).max(axis=0), np.finfo(float).tiny)
    if constant.any():
        warnings.warn(
            "The output is the same in all runs: it has no variance to share, and its indices are "
            "given as zero.",
            UserWarning,
            stacklevel=4,
        )
    scale = np.where(constant, 1.0, scale)
    Y = (runs.Y - centre) / scale
    parts: Sequence[Parts | None] | None = None
    if surrogate == "auto" and not constant.all():
        one = runs.z[:, None], Y[:, None, ~constant], np.ones((len(Y), 1))
        parts = polynomial_parts(*one, folds, runs.bounded, targets.shared, targets.total)
    left = iter(parts or [None] * len(scale))
    search = _Search(runs, targets, rng)
    outputs = []
    for j, size in enumerate(scale):
        if constant[j]:
            zeros = np.zeros(len(targets.combination))
            outputs.append(OneOutput(zeros, zeros, 0.0, 0.0, "none"))
            continue
        found = _one_output(Y[:, j], next(left), runs, folds, targets, search)
        outputs.append(replace(found, variance=found.variance * float(size) ** 2))
    return outputs


class _Search:
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


def _one_output(
    y: Array,
    parts: Parts | None,
    runs: GivenRuns,
    folds: Labels,
    targets: Targets,
    search: _Search,
) -> OneOutput:
    n, n_targets = len(y), len(targets.total)
    if parts is not None and parts.residuals.var() > _BETTER * y.var():
        parts = None
    weights, predictions = np.ones(runs.z.shape[1]), np.zeros((n, 1))
    exact, law = np.zeros((n, n_targets + 1)), np.zeros((n, n_targets + 1))
    if parts is not None:
        predictions = _predictions(parts, runs)
        exact = parts.known[folds] + parts.slopes
        weights = _distance_weights(parts, y)
        law = law if runs.laws_known else _by_laws(parts, runs, targets)
    residuals = _Residuals(y, predictions, folds)
    e = residuals.own
    rests = [_rest(t, e, residuals, targets, search, weights) for t in range(n_targets)]
    squares = np.square(e - e.mean()) * n / (n - 1)
    variance = float((exact[:, -1] + squares).mean())
    values = np.array([rest.value for rest in rests])
    index = (exact[:, :-1].mean(axis=0) + values) / variance
    influence = np.stack([rest.influence for rest in rests], axis=-1)
    influence = np.concatenate([influence, np.stack([squares, squares])[..., None]], axis=-1)
    influence += exact + law
    contributions = (influence[..., :-1] - influence[..., -1:] * index) / variance
    noise = np.array([rest.noise for rest in rests]) / variance**2
    return OneOutput(
        targets.combination @ index,
        _variance(contributions, noise, parts, index, variance, targets.combination),
        variance,
        1.0 - float(squares.mean()) / variance,
        "none" if parts is None else parts.name,
    )


def _rest(
    t: int,
    e: Array,
    residuals: _Residuals,
    targets: Targets,
    search: _Search,
    weights: Array,
) -> NeighbourStatistic:
    if not targets.shared[t].any():  # the total part of all inputs together
        squares = np.square(e - e.mean())
        return NeighbourStatistic(float(squares.mean()), np.stack([squares, squares]), 0.0)
    x, found = search(t, weights)
    own, other = residuals.of_pairs(found)
    if targets.total[t]:
        return neighbour_statistics.total_part(own, other, x, found)
    return neighbour_statistics.closed_part(own, other, float(e.mean()), x, found)


def _predictions(parts: Parts, runs: GivenRuns) -> Array:
    """(n, R) of the fits without each fold, at all runs."""
    fits = Chaos(parts.index, runs.bounded, parts.coefficients.T)
    return fits(runs.z)


def _by_laws(parts: Parts, runs: GivenRuns, targets: Targets) -> Array:
    """(n, T + 1) influence by way of the marginal laws; the whole is the total of all inputs."""
    held = families(parts.index, targets.shared, targets.total)
    mean = parts.coefficients.mean(axis=0)
    total = np.append(targets.total, True)
    return influence_of_laws(runs.z, runs.bounded, parts.index, mean, held, total)


def _distance_weights(parts: Parts, y: Array) -> Array:
    """(d,) what distances between runs should heed of each input.

    The root of its total part of the polynomial, and of the residuals, which may be of any input.
    """
    total = np.square(parts.coefficients.mean(axis=0)) @ (parts.index > 0)
    weights: Array = np.sqrt((total + parts.residuals.var()) / y.var())
    return weights


def _variance(
    contributions: Array,
    noise: Array,
    parts: Parts | None,
    index: Array,
    variance: float,
    combination: Array,
) -> Array:
    """(I,) variances of the indices."""
    n = contributions.shape[1]
    first, second = (contributions - contributions.mean(axis=1, keepdims=True)) @ combination.T
    total = np.maximum((first * second).sum(axis=0) / n**2, 0.0) + combination**2 @ noise
    total += np.square(_ROUNDING * (1.0 + np.abs(combination @ index)))
    if parts is None:
        return total

    def of_indices(values: Array) -> Array:
        counted: Array = (values[:, :-1] - values[:, -1:] * index) / variance @ combination.T
        return counted

    n_folds = len(parts.unseen)
    coupling = np.square(of_indices(parts.coupling)).mean(axis=0)  # (3) of `variance_parts`
    changes = np.square(of_indices(parts.unseen)).sum(axis=0) * (n_folds - 1) / n_folds
    counted: Array = total + coupling + np.maximum(changes - total, 0.0)
    return counted


def _result(
    outputs: list[OneOutput], runs: GivenRuns, factors: tuple[Factor, ...], order: int
) -> SobolIndices:
    n, k = len(runs.z), len(factors)
    index = np.stack([one.index for one in outputs], axis=-1)
    error = np.sqrt(np.stack([one.variance_of_index for one in outputs], axis=-1))
    variance = np.array([one.variance for one in outputs])
    if not runs.several:
        index, error, variance = index[:, 0], error[:, 0], variance[0]
    first, total, pairs = slice(0, k), slice(k, 2 * k), k * (k - 1) // 2
    estimates = {
        "first_order": IndexEstimates(index[first], error[first], n - 1),
        "total_order": IndexEstimates(index[total], error[total], n - 1),
    }
    if order == 2:
        for kind, start in (("second_order", 2 * k + pairs), ("closed_second_order", 2 * k)):
            rows = slice(start, start + pairs)
            square = (_of_pairs(values[rows], k) for values in (index, error))
            estimates[kind] = IndexEstimates(*square, n - 1)
    return SobolIndices(
        tuple(factor.name for factor in factors),
        estimates,
        np.asarray(variance),
        runs.n_given,
        n,
        _message(outputs, runs),
        (*runs.flags, *_residual_flags(outputs)),
        method="given_data",
    )


def _of_pairs(values: Array, k: int) -> Array:
    """(k, k) or (k, k, J) symmetric, NaN on the diagonal."""
    square = np.full((k, k, *values.shape[1:]), np.nan)
    i, j = np.triu_indices(k, 1)
    square[i, j] = square[j, i] = values
    return square


def _message(outputs: list[OneOutput], runs: GivenRuns) -> str:
    laws = "" if runs.laws_known else "The laws of the inputs are not known; ranks were used. "
    how = "; ".join(
        (f"output {j}: " if len(outputs) > 1 else "")
        + (
            "nearest neighbours alone"
            if one.name == "none"
            else f"a {one.name}, which explains {100.0 * one.explained:.4g} % of the variance, and "
            "nearest neighbours for the rest"
        )
        for j, one in enumerate(outputs)
    )
    return f"{laws}Indices from {len(runs.z)} given runs by {how}."


def _residual_flags(outputs: list[OneOutput]) -> tuple[str, ...]:
    much = [j for j, one in enumerate(outputs) if one.variance and one.explained < _MUCH]
    if not much:
        return ()
    which = "" if len(outputs) == 1 else f" of the outputs {', '.join(map(str, much))}"
    return (
        f"the polynomial leaves more than {100.0 * (1.0 - _MUCH):.0f} % of the variance{which} to "
        "nearest neighbours, whose bias the intervals do not count: total indices may be too large",
    )
