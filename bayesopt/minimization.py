"""The one call: minimise or maximise an expensive function."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from bayesopt.arguments import checked_n_evals
from bayesopt.ask_tell import Point
from bayesopt.budget import BudgetSpent
from bayesopt.cost import CostGiven
from bayesopt.data import Direction, Noise
from bayesopt.environment import Environment
from bayesopt.execution.objective import AllEvaluationsFailed, Objective, check_signature
from bayesopt.outcome_constraints import OutcomeBounds
from bayesopt.policy import Policy
from bayesopt.result import Result, result_of
from bayesopt.space import Params, Space
from bayesopt.study import Callback, Study
from bayesopt.trial import Evaluation, TrialState


def minimize(
    fun: Objective,
    space: object,
    n_evals: int | None = None,
    *,
    noise: Noise = "auto",
    constraints: object = (),
    outcome_constraints: OutcomeBounds | None = None,
    direction: Direction | Sequence[Direction] | None = None,
    reference_point: Sequence[float] | None = None,
    environment: Environment | Mapping[Any, Any] | None = None,
    cost: CostGiven = None,
    cost_budget: float | None = None,
    policy: Policy | None = None,
    n_initial: int | None = None,
    x0: Point | Sequence[Point] | None = None,
    y0: ArrayLike | Evaluation | Sequence[Evaluation] | None = None,
    n_parallel: int = 1,
    executor: object | None = None,
    storage: str | PathLike[str] | None = None,
    name: str | None = None,
    max_attempts: int = 3,
    seed: int | None = None,
    timeout: float | None = None,
    trial_timeout: float | None = None,
    callback: Callback | None = None,
    progress: bool | Literal["auto"] = "auto",
) -> Result:
    """Minimise an expensive function in as few evaluations as possible.

    Parameters
    ----------
    fun
        Called with the parameters as keywords, or with one vector when `space` is a list of
        bounds. Returns a number, ``(mean, sd)`` with the standard error of the mean, or an
        Evaluation, which may bring partial derivatives, its cost and a trace of cheaper fidelities,
        and brings the outcomes that are constrained; for several objectives a sequence with a
        number for each, or an Evaluation.
        An exception, NaN or an unusable result is recorded as a failed trial.
    space
        A Space, a list of (low, high) pairs, or `scipy.optimize.Bounds`. A parameter of a Space may
        have a role: cheap approximations, random conditions or related tasks (see
        `bayesopt.Float`, `bayesopt.Categorical`).
    n_evals
        Number of evaluations in all: failed ones, those in `y0` and those that the storage holds
        already included. None: as many as the `cost_budget` allows.
    noise
        "auto": inferred, the same everywhere; "heteroscedastic": inferred, another one from place
        to place, and points are repeated where that is worth most (without gradients, roles and
        drawn hyperparameters); False: the function is deterministic and no point is tried twice; a
        number: the known standard deviation of one value, in its own units.
    constraints
        On the parameters: `scipy.optimize.LinearConstraint`, `NonlinearConstraint`,
        `bayesopt.Simplex` or a list of them; every point that is tried satisfies them (see
        `Study`). Points in `x0` must, too, unless their values are given.
    outcome_constraints
        Bounds on what an evaluation gives besides its value: ``{"latency": (None, 5.0)}`` wants a
        latency of at most 5, and the function returns
        ``Evaluation(value, constraints={"latency": ...})``.
    direction
        For several objectives a list of "minimize" and "maximize", one for each. None: "minimize".
    reference_point
        For several objectives a value for each: what is worse in one of them counts for nothing.
        None: chosen from what was observed.
    environment
        Laws of the parameters with ``role="environment"``: ``{"wind": scipy.stats.norm(3, 1)}``,
        ``{"fold": {0: 0.5, 1: 0.5}}``. What is best on average over them is sought, or, with a
        `bayesopt.Environment`, in their worst cases.
    cost
        What an evaluation costs: a number; a dict by the values of the parameter that has a role; a
        cheap function, called as the objective is; or "learn", from what evaluations bring,
        ``Evaluation(value, cost=...)``. None: each costs 1. Where costs differ, points are chosen
        by what they show per unit cost. A fidelity or a source that has told no cost yet is thought
        to cost no more than the target, once that has told one.
    cost_budget
        What all evaluations may cost together: failed, running and added ones count. The search
        ends when what is left does not pay for the cheapest evaluation, or not for the target of a
        fidelity or a source that has not been asked for long. The sum of known costs never exceeds
        it; costs that are learnt are foreseen by their 95 % quantile. None: there is no limit.
    policy
        How points are chosen (see `bayesopt.Policy`).
    n_initial
        Number of space-filling points before the model takes over; None chooses by dimension. A
        task that others turn out to say nothing of is filled up to it.
    x0, y0
        A point or points to start with, and their values when they are known already: numbers, a
        row for each point where there are several objectives, or Evaluations.
    n_parallel
        So many evaluations at once, each in a process of its own, or on the `executor`.
    executor
        "process", or anything with ``submit(fn, *args)`` that returns futures, like those of
        `concurrent.futures` and a `dask.distributed.Client` (see `Study.run`).
    storage, name, max_attempts
        A file or a database that keeps the study, under a name (see `Study`). Where it holds it
        already, the search goes on; any number of processes and machines may work on it at once.
    seed
        A whole number makes the search repeatable.
    timeout
        Seconds after which no new evaluation starts.
    trial_timeout
        Seconds after which an evaluation is stopped, and has failed.
    callback
        Called as ``callback(study, trial)`` after each evaluation; raise StopIteration to end.
    progress
        Show a line of progress; "auto": it moves in a terminal or a notebook, and elsewhere there
        is a line every 30 seconds.

    Returns
    -------
    scipy.optimize.OptimizeResult
        ``x`` and ``params`` (the recommended point), ``fun`` (its value: observed when `noise` is
        False, else the posterior mean), ``sd`` (how unsure that is), ``observed`` (what was seen
        there; NaN if nothing was), ``nfev``, ``n_failed`` and ``failures`` (how many of those
        failed, and how many for each reason), ``success`` (False when interrupted, or no point is
        known to meet the outcome constraints), ``message``, ``x_iters``, ``func_vals`` (NaN where
        it failed), ``study``, and ``explain()``, which says what the model has learnt.

        In ``x`` and ``params`` a parameter that has a role is at its target; an environment is left
        out, and so is a task that has no target.

        With outcome constraints also ``feasibility`` (probability that the point meets them) and
        ``constraints`` (their values seen there, by name).

        For m objectives ``pareto_front`` (see `bayesopt.ParetoFront`) instead of ``observed``,
        ``feasibility`` and ``constraints``; ``x`` and ``params`` are lists of its k points, ``fun``
        and ``sd`` (k, m) their values, ``func_vals`` is (nfev, m).

    Raises
    ------
    TypeError, ValueError
        If an argument is wrong; nothing is evaluated then.
    BudgetSpent
        If the `cost_budget` does not pay for a single evaluation.
    AllEvaluationsFailed
        If the first five evaluations fail alike, or not one succeeds.
    StorageError
        If the storage cannot be used. Every exception carries the ``study``.

    Examples
    --------
    >>> result = minimize(lambda x: (x[0] - 1.0) ** 2, [(-5.0, 5.0)], 15, noise=False, seed=0)
    >>> round(float(result.x[0]), 2)
    1.0
    """
    return _optimize(
        fun,
        space,
        n_evals,
        x0,
        y0,
        dict(
            direction=_of_minimize(direction),
            noise=noise,
            constraints=constraints,
            outcome_constraints=outcome_constraints,
            reference_point=reference_point,
            environment=environment,
            cost=cost,
            cost_budget=cost_budget,
            policy=policy,
            n_initial=n_initial,
            seed=seed,
            storage=storage,
            name=name,
            max_attempts=max_attempts,
        ),
        n_parallel=n_parallel,
        executor=executor,
        timeout=timeout,
        trial_timeout=trial_timeout,
        callback=callback,
        progress=progress,
    )


def maximize(
    fun: Objective,
    space: object,
    n_evals: int | None = None,
    *,
    noise: Noise = "auto",
    constraints: object = (),
    outcome_constraints: OutcomeBounds | None = None,
    direction: Direction | Sequence[Direction] | None = None,
    reference_point: Sequence[float] | None = None,
    environment: Environment | Mapping[Any, Any] | None = None,
    cost: CostGiven = None,
    cost_budget: float | None = None,
    policy: Policy | None = None,
    n_initial: int | None = None,
    x0: Point | Sequence[Point] | None = None,
    y0: ArrayLike | Evaluation | Sequence[Evaluation] | None = None,
    n_parallel: int = 1,
    executor: object | None = None,
    storage: str | PathLike[str] | None = None,
    name: str | None = None,
    max_attempts: int = 3,
    seed: int | None = None,
    timeout: float | None = None,
    trial_timeout: float | None = None,
    callback: Callback | None = None,
    progress: bool | Literal["auto"] = "auto",
) -> Result:
    """Maximise an expensive function; everything as in `minimize`, values keep their sign.

    For one objective: `direction` is None or "maximize". Several are given to `minimize`.
    """
    return _optimize(
        fun,
        space,
        n_evals,
        x0,
        y0,
        dict(
            direction=_only_maximize(direction),
            noise=noise,
            constraints=constraints,
            outcome_constraints=outcome_constraints,
            reference_point=reference_point,
            environment=environment,
            cost=cost,
            cost_budget=cost_budget,
            policy=policy,
            n_initial=n_initial,
            seed=seed,
            storage=storage,
            name=name,
            max_attempts=max_attempts,
        ),
        n_parallel=n_parallel,
        executor=executor,
        timeout=timeout,
        trial_timeout=trial_timeout,
        callback=callback,
        progress=progress,
    )


def _of_minimize(direction: Any) -> Any:
    if isinstance(direction, str) and direction == "maximize":
        raise ValueError("`minimize` got direction='maximize': call `maximize`.")
    return "minimize" if direction is None else direction


def _only_maximize(direction: object) -> Literal["maximize"]:
    if direction is not None and not (isinstance(direction, str) and direction == "maximize"):
        raise ValueError(
            f"`maximize` has no other direction, but got {direction!r}. For several objectives "
            "call `minimize`, whose `direction` may be a list."
        )
    return "maximize"


def _optimize(
    fun: Objective,
    space: object,
    n_evals: int | None,
    x0: Point | Sequence[Point] | None,
    y0: ArrayLike | Evaluation | Sequence[Evaluation] | None,
    of_study: dict[str, Any],
    **of_run: Any,
) -> Result:
    # A study that is made stays in its storage: what does not fit its space is refused before.
    space = Space.of(space)
    check_signature(fun, space)
    n_evals = checked_n_evals(n_evals, of_study["cost_budget"])
    if y0 is not None and x0 is None:
        raise ValueError("`y0` holds the values at the points `x0`, but `x0` was not given.")
    first = _starting_points(space, x0)
    study = Study(space, **of_study)
    if y0 is not None:
        study.add(first, _values_at(first, y0, study), once=True)
        first = []
    with _kept(study):
        try:
            message, success = study.run(fun, n_evals, x0=first, **of_run), True
        except KeyboardInterrupt as interrupt:
            if not any(trial.state is TrialState.COMPLETE for trial in study.trials):
                raise
            message, success = str(interrupt), False
        if not study.trials:
            raise BudgetSpent(message)
        if not any(trial.state is TrialState.COMPLETE for trial in study.trials):
            reasons = sorted({str(trial.reason) for trial in study.trials})
            raise AllEvaluationsFailed(f"Not one evaluation succeeded: {'; '.join(reasons)}")
        return result_of(study, message, success)


@contextmanager
def _kept(study: Study) -> Iterator[None]:
    """Nothing told is lost: whatever breaks, a callback or an acquisition, carries the study."""
    try:
        yield
    except BaseException as error:
        error.study = study  # type: ignore[attr-defined]
        error.add_note("All trials so far are in the error's `study`.")
        raise


def _starting_points(space: Space, x0: Point | Sequence[Point] | None) -> list[Params]:
    """One point or several, each checked."""
    if x0 is None:
        return []
    several = isinstance(x0, Sequence | np.ndarray) and all(
        isinstance(entry, Mapping | Sequence | np.ndarray) and not isinstance(entry, str)
        for entry in x0
    )
    return [space.check(point) for point in (x0 if several else [x0])]


def _values_at(points: Sequence[Params], y0: Any, study: Study) -> Any:
    """What was given for one point or several, an entry or a row for each."""
    if isinstance(y0, Evaluation):
        return [y0]
    if isinstance(y0, Sequence) and any(isinstance(one, Evaluation) for one in y0):
        return y0
    values = np.atleast_1d(y0)
    is_row = isinstance(study.direction, tuple) and len(points) == values.ndim == 1
    return values[None] if is_row else values
