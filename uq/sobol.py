"""Sobol' indices of a model: the one call, and its two halves for models that run elsewhere.

Notation
--------
Y = f(X)    X independent inputs, V = Var Y
S_i         Var E[Y | X_i] / V, first order
T_i         E[Var(Y | all but X_i)] / V, total order

Method "pick_freeze": rows of points that share some inputs (`pick_freeze`), in independent
scrambled nets; every part of the variance is corrected by a polynomial fitted on the other nets
(`variance_parts`) where that wins; the spread of the nets is the error (`sobol_analysis`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesopt.arguments import check_name, real_numbers, whole_number
from uq.cheap_models import evaluated
from uq.model_runs import ModelRuns
from uq.pick_freeze import SobolDesign, sobol_design
from uq.pick_freeze_estimates import Options, Surrogate, estimate, prefixes
from uq.sampling import Sampling
from uq.sobol_estimators import ESTIMATORS
from uq.sobol_results import Again, SobolIndices

Array = NDArray[np.float64]
Method = Literal["auto", "pick_freeze", "importance", "given_data"]

_METHODS = ("auto", "pick_freeze", "importance", "given_data")


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
        Independent `Inputs`, or a mapping or list of laws.
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
        "pick_freeze".
    estimator
        "auto", or by name "janon_monod", "martinez", "saltelli_2010", "jansen".
    surrogate
        A cheap model used as control variate where it clearly wins: a polynomial chaos fitted
        across folds ("auto", "polynomial"), your own vectorised function of the inputs, or None.
    sampling
        "qmc": independent scrambled nets; "mc": independent random points.
    n_resamples
        Bootstrap samples of the rows, whose quantiles are then the intervals; 0: intervals from
        the folds. The rows of a net are not independent: their bootstrap is too wide.
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
        Once where runs failed, and once where an output is constant.

    Notes
    -----
    Sources: Sobol' (1993), Saltelli et al. (2010), Janon et al. (2014), Owen (1995); cross-fitted
    control variates as in Demange-Chryst et al. (2023) for densities.
    """
    check_name("method", method, _METHODS)
    options = _options(estimator, surrogate, n_resamples, rng)
    if func is None or not callable(func):
        raise TypeError(f"`func` must be callable, but got {func!r}.")
    if executor is not None and not hasattr(executor, "submit"):
        raise TypeError(f"`executor` must have a method `submit`, but got {executor!r}.")
    if batch_size is not None:
        batch_size = whole_number(batch_size, "batch_size", 1)
    design = sobol_design(
        inputs, dists=dists, budget=budget, n=n, order=order, groups=groups, sampling=sampling,
        widened=surrogate is not None, rng=np.random.default_rng(rng),
    )  # fmt: skip
    if callable(surrogate):
        evaluated(surrogate, design.inputs.sample(2, 0), None)
    evaluate = _Runs(func, batch_size, executor, progress)
    return _result(design, evaluate(design.points), options, evaluate)


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
    values = real_numbers(Y, "Y")
    if values.ndim not in (1, 2) or len(values) != design.n_runs or values.size == 0:
        advice = ""
        if values.ndim == 2 and values.shape[1] == design.n_runs:
            advice = " It looks transposed: give Y.T."
        raise ValueError(
            f"`Y` must have one row for each of the {design.n_runs} points of the design, "
            f"({design.n_runs},) or ({design.n_runs}, J), but has the shape {values.shape}.{advice}"
        )
    return _result(design, values.reshape(design.n_runs, -1), options, None)


class _Runs:
    """The model with its ways of running; called again where a design grows."""

    def __init__(
        self,
        func: Callable[[Array], ArrayLike],
        batch_size: int | None,
        executor: Any,
        progress: bool | Literal["auto"],
    ) -> None:
        self._func, self._batch_size = func, batch_size
        self._executor, self._progress = executor, progress

    def __call__(self, x: Array, n_outputs: int | None = None) -> Array:
        """(n, J) outputs at points (n, d)."""
        with ModelRuns(
            self._func, x.shape[1], n_outputs, len(x),
            batch_size=self._batch_size, executor=self._executor, progress=self._progress,
        ) as runs:  # fmt: skip
            return runs(x)


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
    def extend(n: int) -> SobolIndices:
        larger = design.extend(n)
        assert evaluate is not None
        more = evaluate(larger.points[design.n_runs :], Y.shape[1])
        return _result(larger, np.concatenate([Y, more]), options, evaluate)

    def history() -> list[SobolIndices]:
        past = []
        for rows in prefixes(design):
            each = np.repeat(rows, design.n_blocks)
            past.append(estimate(design.part(rows), Y[each], options))
        return past

    again = Again(extend if evaluate else None, history)
    return estimate(design, Y, options, again)
