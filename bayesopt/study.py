"""A study: every trial of one problem, in memory or on disk; ask, tell, run, recommend."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any, Literal

from numpy.typing import NDArray

from bayesopt.arguments import checked_n_evals, checked_timeout, whole_number
from bayesopt.ask_tell import AskTell, Point
from bayesopt.cost import Cost, CostGiven
from bayesopt.data import Direction, Noise
from bayesopt.data_exchange import DataExchange
from bayesopt.environment import Environment
from bayesopt.execution.objective import Calling, Objective, check_signature
from bayesopt.execution.progress import Progress
from bayesopt.execution.workers import workers_for
from bayesopt.ledger import Ledger
from bayesopt.loop_of_study import LoopOfStudy
from bayesopt.opening import open_study, read_settings
from bayesopt.outcome_constraints import OutcomeBounds, OutcomeConstraints
from bayesopt.policy import Policy
from bayesopt.region import Region
from bayesopt.search_loop import run_until_done
from bayesopt.settings import Settings, checked_direction
from bayesopt.space import Space
from bayesopt.study_file import read_study
from bayesopt.study_insight import StudyInsight
from bayesopt.suggestion import default_n_initial
from bayesopt.trial import Trial

Callback = Callable[["Study", Trial], object]


class Study(DataExchange, StudyInsight):
    """Everything known about one problem, and the next point to try.

    Parameters
    ----------
    space
        A Space, a list of (low, high) pairs, or `scipy.optimize.Bounds`. A parameter of a Space may
        have a role: cheap approximations, random conditions or related tasks (see
        `bayesopt.Float`, `bayesopt.Categorical`).
    direction
        "minimize" or "maximize"; for several objectives a list with one for each.
    noise
        "auto": inferred, the same everywhere; "heteroscedastic": inferred, another one from place
        to place, and points are repeated where that is worth most (without gradients, roles and
        drawn hyperparameters); False: the function is deterministic and no point is tried twice; a
        number: the known standard deviation of one value, in its own units.
    constraints
        `scipy.optimize.LinearConstraint`, `NonlinearConstraint`, `bayesopt.Simplex` or a list of
        them, on the parameters in the user's units. Every suggestion satisfies them: linear ones
        to 1e-10, or to the rounding of their sums where these are large. A has one column for each
        parameter, 0 for categories; the function of a NonlinearConstraint is called as the
        objective is, must be cheap, and NaN means no.
    outcome_constraints
        Bounds on what an evaluation gives besides its value: ``{"latency": (None, 5.0)}`` wants a
        latency of at most 5. Each Evaluation has them in `constraints`, by the same names.
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
    seed
        A whole number makes everything repeatable; None draws one (see `seed`).
    storage
        Where trials are kept: None in memory; the path of a file, which is an SQLite database on a
        local disk; or the URL of a database server, as ``postgresql+psycopg://user@host/database``.
        Any number of processes may work on one study at once. A study that exists is gone on with;
        its settings must be the same, but for `policy` and `cost_budget`; None takes what is
        stored.
    name
        Which study of the storage; None is "study".
    max_attempts
        How often a trial is given out when its whole process dies each time.

    Raises
    ------
    TypeError, ValueError
        If an argument is not what it has to be, or differs from what is stored; the text says how.
    StorageError
        If the storage cannot be used, or is damaged; it is left as it is.
    ModuleNotFoundError
        If the driver of the database is not installed.

    Examples
    --------
    >>> study = Study([(-5.0, 10.0)], seed=0)
    >>> trial = study.ask()
    >>> study.tell(trial, (trial.params["x0"] - 1.0) ** 2)
    >>> len(study.trials)
    1
    """

    def __init__(
        self,
        space: Space | Sequence[Any] | NDArray[Any] | object,
        *,
        direction: Direction | Sequence[Direction] = "minimize",
        noise: Noise = "auto",
        constraints: object = (),
        outcome_constraints: OutcomeBounds | None = None,
        reference_point: Sequence[float] | None = None,
        environment: Environment | Mapping[Any, Any] | None = None,
        cost: CostGiven = None,
        cost_budget: float | None = None,
        policy: Policy | None = None,
        n_initial: int | None = None,
        seed: int | None = None,
        storage: str | PathLike[str] | None = None,
        name: str | None = None,
        max_attempts: int = 3,
    ) -> None:
        whole_number(max_attempts, "max_attempts", 1)
        space = Space.of(space)
        free = {
            "policy": policy,
            "n_initial": n_initial,
            "seed": seed,
            "reference_point": reference_point,
            "cost": cost,
            "cost_budget": cost_budget,
        }
        settings = Settings(
            space=space,
            direction=checked_direction(direction),
            noise=noise,
            constraints=constraints,  # type: ignore[arg-type]
            outcome_constraints=OutcomeConstraints.of(outcome_constraints),
            reference_point=reference_point,  # type: ignore[arg-type]
            environment=Environment.of(environment),
            cost=Cost.of(cost, space),
            cost_budget=cost_budget,
            policy=Policy() if policy is None else policy,
            n_initial=default_n_initial(space) if n_initial is None else n_initial,
            seed=secrets.randbits(32) if seed is None else seed,
        )
        region = Region(space, constraints)
        store, settings = open_study(
            settings, [key for key, value in free.items() if value is None], storage, name
        )
        super().__init__(settings, region, Ledger(store, max_attempts))

    @classmethod
    def load(
        cls,
        path: str | PathLike[str] | None = None,
        *,
        storage: str | PathLike[str] | None = None,
        name: str | None = None,
        constraints: object = None,
        policy: Policy | None = None,
        cost: CostGiven = None,
        cost_budget: float | None = None,
        max_attempts: int = 3,
    ) -> "Study":
        """Open a study that exists: in a storage, or a copy of one that `export` wrote.

        Parameters
        ----------
        path
            A file of `export`; the study is then in memory.
        storage, name, max_attempts
            As in `Study`.
        constraints, policy, cost
            Needed where those of the study hold functions, which cannot be stored.
        cost_budget
            Instead of that of the study.

        Raises
        ------
        TypeError, ValueError
            If not one of `path` and `storage` is given, or functions are missing, or the file is
            damaged or not a study.
        StorageError
            If there is no such study in the storage, or it cannot be used.
        """
        whole_number(max_attempts, "max_attempts", 1)
        if (path is None) == (storage is None):
            raise TypeError("Study.load needs a `path` or a `storage`, one of them.")
        study = cls.__new__(cls)
        if path is None:
            assert storage is not None
            store, described = read_settings(storage, name)
            ledger = Ledger(store, max_attempts)
        else:
            described, trials = read_study(path)
            ledger = Ledger(max_attempts=max_attempts)
            ledger.fill(trials)
        settings = Settings.from_json(described, constraints=constraints, policy=policy, cost=cost)
        if cost_budget is not None:
            settings = replace(settings, cost_budget=cost_budget)
        AskTell.__init__(study, settings, Region(settings.space, settings.constraints), ledger)
        return study

    def run(
        self,
        fun: Objective,
        n_evals: int | None = None,
        *,
        x0: Sequence[Point] = (),
        n_parallel: int = 1,
        executor: object | None = None,
        timeout: float | None = None,
        trial_timeout: float | None = None,
        callback: Callback | None = None,
        progress: bool | Literal["auto"] = "auto",
    ) -> str:
        """Ask, evaluate and tell until the study holds `n_evals` evaluations or its budget is used.

        Parameters
        ----------
        fun
            Called with the parameters as keywords, or with one vector when the space is a list of
            bounds. Returns what `tell` takes; what it raises is recorded.
        n_evals
            Evaluations of the study in all: failed, added and earlier ones and those of other
            processes included. None: as many as the study's `cost_budget` allows.
        x0
            Points to evaluate before the policy chooses; not those that the study holds already.
        n_parallel
            So many evaluations at once, each in a process of its own that uses one thread, unless
            there is an `executor`. With 1 the function is called here.
        executor
            "process": a process for each evaluation, also for one at a time: a crash costs that
            trial only. Or anything with ``submit(fn, *args)`` that returns futures:
            `concurrent.futures`, `dask.distributed.Client`, MPI's pool, submitit.
        timeout
            Seconds after which no new evaluation starts.
        trial_timeout
            Seconds after which an evaluation is stopped and has failed. It runs in a process of
            its own.
        callback
            Called as ``callback(study, trial)`` after each; it may raise StopIteration to end.
        progress
            Show a line of progress; "auto": it moves in a terminal or a notebook, and elsewhere
            there is a line every 30 seconds.

        Returns
        -------
        str
            Why it ended.

        Raises
        ------
        AllEvaluationsFailed
            If the first five evaluations fail alike.
        StorageError
            If a result cannot be saved; it is kept in memory, see `save`.
        TypeError, ValueError
            If an argument is wrong; nothing is evaluated then.
        """
        n_evals = checked_n_evals(n_evals, self.cost_budget)
        check_signature(fun, self.space)
        given = [self.region.check(point) for point in self._checked(x0)]
        timeout = checked_timeout(timeout)
        if callback is not None and not callable(callback):
            raise TypeError(f"`callback` must be callable, but got {callback!r}.")
        workers = workers_for(
            fun,
            Calling.of(self.space, self._settings.n_values),
            whole_number(n_parallel, "n_parallel", 1),
            executor,
            checked_timeout(trial_timeout, "trial_timeout"),
        )
        self._ledger.refresh()
        has_best = self._settings.n_values == 1 and self.space.is_observable
        line = Progress(n_evals, self._ledger.n_ended, progress, has_best)
        loop = LoopOfStudy(self, n_evals, given, callback)
        try:
            why = run_until_done(loop, workers, line, timeout)
        finally:
            line.close()
        return why or f"{n_evals} evaluations are done."
