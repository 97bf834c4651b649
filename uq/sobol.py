"""Sobol' indices of a model: the one call, and its two halves for models that run elsewhere.

Notation
--------
Y = f(X)    X independent inputs, V = Var Y
S_i         Var E[Y | X_i] / V, first order
T_i         E[Var(Y | all but X_i)] / V, total order

Method "pick_freeze": rows of points that share some inputs (`pick_freeze`), in independent
scrambled nets; every part of the variance is corrected by a polynomial fitted on the other nets
(`variance_parts`) where that wins; the spread of the nets is the error (`sobol_analysis`).
Method "importance": the same under a density that is learnt (`target_sensitivity`).
Method "given_data": from runs that exist already (`given_data`).
Dependent inputs have Shapley effects (`shapley`).
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesopt.arguments import check_name, whole_number
from uq.cheap_models import evaluated
from uq.factors import factors_of, given_inputs
from uq.given_runs.given_data import given_data_indices
from uq.given_runs.runs import input_names, real_outputs
from uq.inputs import Inputs
from uq.model_runs import ModelRuns
from uq.pick_freeze import SobolDesign, sobol_design
from uq.pick_freeze_estimates import Options, Surrogate, estimate, prefixes
from uq.sampling import Sampling
from uq.shapley.effects import shapley_effects
from uq.sobol_estimators import ESTIMATORS
from uq.sobol_results import Again, SobolIndices
from uq.star_designs import cost_of_star, star_total_indices
from uq.target_sensitivity.importance import importance_indices
from uq.usable_rows import LEAST_FOLDS

Array = NDArray[np.float64]
Method = Literal["auto", "pick_freeze", "importance", "given_data"]

_METHODS = ("auto", "pick_freeze", "importance", "given_data")
_STAR = "razavi_gupta"


def sobol_indices(
    *,
    func: Callable[[Array], ArrayLike] | None = None,
    inputs: Any = None,
    dists: Sequence[Any] | None = None,
    budget: int | None = None,
    n: int | None = None,
    order: Literal[1, 2] = 1,
    groups: Mapping[str, Sequence[str]] | None = None,
    method: Method = "auto",
    estimator: str = "auto",
    surrogate: Surrogate = "auto",
    sampling: Sampling = "qmc",
    n_resamples: int = 0,
    X: ArrayLike | None = None,
    Y: ArrayLike | None = None,
    batch_size: int | None = None,
    executor: Any = None,
    rng: int | np.random.Generator | None = None,
    progress: bool | Literal["auto"] = "auto",
) -> SobolIndices:
    """Estimate Sobol' indices, with intervals that are true.

    Parameters
    ----------
    func
        The model, vectorised: (n, d) points to (n,) or (n, J) values.
    inputs
        Independent `Inputs`, or a mapping or list of laws. With dependent ones method "auto" gives
        Shapley effects, see `shapley_effects`. For given data None: then the laws are not known.
    dists
        The same, by the name that SciPy has for it.
    budget
        Most runs of the model.
    n
        Instead of it the rows of the design, a power of two: n (k + 2) runs for k factors with
        order 1, n (2 k + 2) with order 2.
    order
        1: first and total indices; 2: those of pairs too.
    groups
        Names of groups to the names of their inputs; the index of a group is its closed index. An
        input in no group is a factor by itself.
    method
        "pick_freeze": a design in which rows share inputs. "importance": for outputs that differ
        in few runs only, such as indicators of rare events; first and total indices. "given_data":
        from `X` and `Y`. "auto": given data where they are given, Shapley effects where inputs are
        dependent, else pick-freeze.
    estimator
        "auto", or by name "janon_monod", "martinez", "saltelli_2010", "jansen"; or "razavi_gupta",
        total indices from stars of n (9 k + 1) runs.
    surrogate
        A cheap model used as control variate where it clearly wins: a polynomial chaos fitted
        across folds ("auto", "polynomial"), your own vectorised function of the inputs, or None.
    sampling
        "qmc": independent scrambled nets; "mc": independent random points.
    n_resamples
        Bootstrap samples of the rows, whose quantiles are then the intervals; 0: intervals from
        the folds. The rows of a net are not independent: their bootstrap is too wide.
    X, Y
        (n, d) points drawn independently from the laws, and (n,) or (n, J) outputs there: instead
        of `func` and of `budget` or `n`. Columns of a table, such as a data frame, go by name where
        it has those of the inputs.
    batch_size
        At most so many points in one call of `func`.
    executor
        Anything with `submit(fn, *args) -> future`; batches run on it.
    rng
        Seed or generator.
    progress
        Show a line of progress: True, False, or "auto" for terminals only.

    Returns
    -------
    SobolIndices

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used, before a run is spent; after the first runs when `func`
        returns another shape or nothing but NaN.

    Warns
    -----
    UserWarning
        Once where runs failed, and once where an output is constant and its indices are 0. By
        importance these are NaN, with a flag: the event may only not have been seen.

    Notes
    -----
    Sources: Sobol' (1993), Saltelli et al. (2010), Janon et al. (2014), Owen (1995); cross-fitted
    control variates as in Demange-Chryst et al. (2023) for densities. The other methods name
    theirs in their rooms.
    """
    check_name("method", method, _METHODS)
    if X is not None or Y is not None or method == "given_data":
        unused = {"func": func, "budget": budget, "n": n, "n_resamples": n_resamples}
        of_runs = {"batch_size": batch_size, "executor": executor, "sampling": sampling != "qmc"}
        _refuse({**unused, **of_runs, "estimator": estimator != "auto"}, "given data")
        _refuse({"method": method not in ("auto", "given_data")}, "given data")
        return _by_given_data(X, Y, inputs, dists, order, groups, surrogate, rng)
    check_name("estimator", estimator, ("auto", *ESTIMATORS, _STAR))
    options = _options("auto" if estimator == _STAR else estimator, surrogate, n_resamples, rng)
    if func is None:
        raise TypeError("Give `func`, the model; or `X` and `Y`, runs that exist already.")
    law = given_inputs(inputs, dists)
    asked = _Asked(law, budget, n, order, groups, estimator, sampling, options, rng)
    evaluate = _Runs(func, batch_size, executor, progress)
    if method == "auto" and not law.is_independent:
        return _by_shapley(asked, evaluate)
    if method == "importance":
        return _by_importance(asked, evaluate)
    if estimator == _STAR:
        return _by_stars(asked, evaluate)
    return _by_pick_freeze(asked, evaluate)


def sobol_estimate(
    design: SobolDesign,
    Y: ArrayLike,
    *,
    estimator: str = "auto",
    surrogate: Surrogate = "auto",
    n_resamples: int = 0,
    rng: int | np.random.Generator | None = 0,
) -> SobolIndices:
    """Sobol' indices from the outputs at the points of a design.

    Parameters
    ----------
    design
        From `uq.sobol_design`.
    Y
        (n_runs,) or (n_runs, J) outputs at ``design.points``, NaN where a run failed.
    estimator, surrogate, n_resamples
        See `sobol_indices`.
    rng
        Seed or generator of the bootstrap.

    Returns
    -------
    SobolIndices

    Raises
    ------
    TypeError, ValueError
        When `Y` has another length, or too few rows are without failed runs.
    """
    if not isinstance(design, SobolDesign):
        raise TypeError(f"`design` must come from `uq.sobol_design`, but got {design!r}.")
    options = _options(estimator, surrogate, n_resamples, rng)
    values = real_outputs(Y, "Y")
    if values.ndim not in (1, 2) or len(values) != design.n_runs or values.size == 0:
        advice = ""
        if values.ndim == 2 and values.shape[1] == design.n_runs:
            advice = " It looks transposed: give Y.T."
        raise ValueError(
            f"`Y` must have one row for each of the {design.n_runs} points of the design, "
            f"({design.n_runs},) or ({design.n_runs}, J), but has the shape {values.shape}.{advice}"
        )
    return _result(design, values.reshape(design.n_runs, -1), options, None)


@dataclass(frozen=True)
class _Runs:
    """The model with its ways of running; called again where a design grows."""

    func: Callable[[Array], ArrayLike]
    batch_size: int | None
    executor: Any
    progress: bool | Literal["auto"]

    def __call__(self, x: Array, n_outputs: int | None = None) -> Array:
        """(n, J) outputs at points (n, d)."""
        with self.counted(x.shape[1], len(x), n_outputs) as runs:
            return runs(x)

    def counted(self, dimension: int, budget: int, n_outputs: int | None = None) -> ModelRuns:
        """Runs within a budget."""
        return ModelRuns(
            self.func, dimension, n_outputs, budget,
            batch_size=self.batch_size, executor=self.executor, progress=self.progress,
        )  # fmt: skip


@dataclass(frozen=True)
class _Asked:
    """What is asked of a model by any method."""

    law: Inputs
    budget: int | None
    n: int | None
    order: Literal[1, 2]
    groups: Mapping[str, Sequence[str]] | None
    estimator: str
    sampling: Sampling
    options: Options
    rng: int | np.random.Generator | None


def _by_pick_freeze(asked: _Asked, evaluate: _Runs) -> SobolIndices:
    surrogate = asked.options.surrogate
    design = sobol_design(
        asked.law, budget=asked.budget, n=asked.n, order=asked.order, groups=asked.groups,
        sampling=asked.sampling, widened=surrogate is not None, rng=asked.rng,
    )  # fmt: skip
    if callable(surrogate):  # one that cannot be used is refused before a run is spent
        evaluated(surrogate, design.inputs.sample(2, 0), None)
    return _result(design, evaluate(design.points), asked.options, evaluate)


def _by_importance(asked: _Asked, evaluate: _Runs) -> SobolIndices:
    unused = {"order": asked.order != 1, "n": asked.n, "estimator": asked.estimator != "auto"}
    _refuse({**unused, "n_resamples": asked.options.n_resamples}, 'method="importance"')
    budget = whole_number(asked.budget, "budget", 1)
    with evaluate.counted(asked.law.dimension, budget) as runs:
        return importance_indices(
            runs, asked.law, budget=budget, groups=asked.groups, sampling=asked.sampling,
            surrogate=asked.options.surrogate, rng=asked.rng,
        )  # fmt: skip


def _by_stars(asked: _Asked, evaluate: _Runs) -> SobolIndices:
    own = asked.options.surrogate not in (None, "auto")
    unused = {"order": asked.order != 1, "groups": asked.groups, "surrogate": own}
    _refuse({**unused, "n_resamples": asked.options.n_resamples}, "stars")
    n, budget, d = asked.n, asked.budget, asked.law.dimension
    most = whole_number(budget if n is None else n, "budget" if n is None else "n", 1)
    with evaluate.counted(d, most if n is None else most * cost_of_star(d)) as runs:
        return star_total_indices(
            runs, asked.law, n=n, budget=budget, sampling=asked.sampling, rng=asked.rng
        )


def _by_shapley(asked: _Asked, evaluate: _Runs) -> SobolIndices:
    surrogate = asked.options.surrogate
    unused = {"order": asked.order != 1, "groups": asked.groups, "surrogate": callable(surrogate)}
    more = {"estimator": asked.estimator != "auto", "n_resamples": asked.options.n_resamples}
    _refuse({**unused, **more}, "dependent inputs, which have Shapley effects")
    return shapley_effects(
        func=evaluate.func, inputs=asked.law, budget=asked.budget, n=asked.n,
        sampling=asked.sampling, surrogate=None if surrogate is None else "auto",
        batch_size=evaluate.batch_size, executor=evaluate.executor, rng=asked.rng,
        progress=evaluate.progress,
    )  # fmt: skip


def _by_given_data(
    X: ArrayLike | None,
    Y: ArrayLike | None,
    inputs: Any,
    dists: Any,
    order: Literal[1, 2],
    groups: Mapping[str, Sequence[str]] | None,
    surrogate: Surrogate,
    rng: int | np.random.Generator | None,
) -> SobolIndices:
    if X is None or Y is None:
        raise TypeError('method="given_data" needs both `X`, points, and `Y`, outputs there.')
    if surrogate not in (None, "auto", "polynomial"):
        raise ValueError(f'Given data take `surrogate` "auto" or None, but got {surrogate!r}.')
    law = None if inputs is None and dists is None else given_inputs(inputs, dists)
    factors = factors_of(input_names(law, X), groups)
    with_polynomial: Literal["auto"] | None = None if surrogate is None else "auto"
    return given_data_indices(
        X, Y, law, factors, order=order, surrogate=with_polynomial, rng=rng
    )  # fmt: skip


def _refuse(unused: Mapping[str, object], what: str) -> None:
    """Raise ValueError for arguments that are given and would not be used."""
    for name, value in unused.items():
        if value is not None and value is not False and value != 0:
            raise ValueError(f"`{name}` is not used with {what}; leave it out.")


def _options(
    estimator: str, surrogate: Surrogate, n_resamples: int, rng: int | np.random.Generator | None
) -> Options:
    check_name("estimator", estimator, ("auto", *ESTIMATORS))
    if surrogate is not None and not callable(surrogate):
        check_name("surrogate", surrogate, ("auto", "polynomial"), "or None or a function")
    n_resamples = whole_number(n_resamples, "n_resamples", 0)
    seed = int(np.random.default_rng(rng).integers(2**63))
    return Options(estimator, surrogate, n_resamples, seed)


def _result(
    design: SobolDesign, Y: Array, options: Options, evaluate: _Runs | None
) -> SobolIndices:
    again = Again(
        partial(_extended, design, Y, options, evaluate) if evaluate else None,
        partial(_history, design, Y, options),
    )
    return estimate(design, Y, options, again)


def _extended(
    design: SobolDesign, Y: Array, options: Options, evaluate: _Runs, n: int
) -> SobolIndices:
    larger = design.extend(n)
    more = evaluate(larger.points[design.n_runs :], Y.shape[1])
    return _result(larger, np.concatenate([Y, more]), options, evaluate)


def _history(design: SobolDesign, Y: Array, options: Options) -> list[SobolIndices]:
    """Estimates of the first rows of every fold, where enough of them are without failed runs."""
    past = []
    for rows in prefixes(design):
        of_row = Y.reshape(design.n, -1)[rows]
        alive = design.folds[rows][np.isfinite(of_row).all(axis=1)]
        if len(np.unique(alive)) < min(LEAST_FOLDS, design.n_folds):
            continue
        with warnings.catch_warnings():  # what failed or is constant was said of all rows
            warnings.simplefilter("ignore", UserWarning)
            past.append(estimate(design.part(rows), Y[np.repeat(rows, design.n_blocks)], options))
    return past
