"""A study: every trial of one problem, and the loop ask, evaluate, tell."""

import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from bayesopt.arguments import checked_noise, checked_seed, checked_timeout, whole_number
from bayesopt.data import Dataset, Direction, Noise, complete, dataset, observed_values
from bayesopt.design import SpaceExhausted
from bayesopt.execution.objective import (
    Failure,
    Objective,
    check_signature,
    evaluate,
    stop_if_hopeless,
)
from bayesopt.execution.progress import Progress
from bayesopt.explanation import Explanation, explain
from bayesopt.models.fully_bayesian import Surrogate
from bayesopt.parameter import Array
from bayesopt.policy import Policy
from bayesopt.recommend import Recommendation, Rule, recommend
from bayesopt.region import Region
from bayesopt.space import Params, Space
from bayesopt.suggestion import default_n_initial, fit_model, suggest
from bayesopt.torch_settings import own_torch_settings
from bayesopt.trial import Evaluation, NotFinite, Trial, TrialState, given_results

Point = Mapping[str, Any] | Sequence[Any] | NDArray[Any]
Callback = Callable[["Study", Trial], object]


class Study:
    """Everything known about one problem, and the next point to try.

    Parameters
    ----------
    space
        A Space, a list of (low, high) pairs, or `scipy.optimize.Bounds`.
    direction
        "minimize" or "maximize".
    noise
        "auto": inferred from the data; False: the function is deterministic and no point is ever
        tried twice; a number: the known standard deviation of a value, in its own units.
    constraints
        `scipy.optimize.LinearConstraint`, `NonlinearConstraint`, `bayesopt.Simplex` or a list of
        them, on the parameters in the user's units. Every suggestion satisfies them: linear ones
        to 1e-10, or to the rounding of their sums where these are large. A has one column for each
        parameter, 0 for categories; the function of a NonlinearConstraint is called as the
        objective is, must be cheap, and NaN means no.
    policy
        How points are chosen.
    n_initial
        Number of space-filling points before the model takes over; None chooses by dimension.
    seed
        A whole number makes everything repeatable; None draws one (see `seed`).

    Raises
    ------
    TypeError, ValueError
        If an argument is not what it has to be; the text says what is.

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
        direction: Direction = "minimize",
        noise: Noise = "auto",
        constraints: object = (),
        policy: Policy | None = None,
        n_initial: int | None = None,
        seed: int | None = None,
    ) -> None:
        self.space = Space.of(space)
        if direction not in ("minimize", "maximize"):
            raise ValueError(f"`direction` is 'minimize' or 'maximize', but got {direction!r}.")
        self.direction: Direction = direction
        self.noise = checked_noise(noise)
        if not isinstance(policy, Policy | None):
            raise TypeError(f"`policy` must be a bayesopt.Policy, but got {policy!r}.")
        self.policy = policy or Policy()
        self.n_initial = (
            default_n_initial(self.space)
            if n_initial is None
            else whole_number(n_initial, "n_initial", 1)
        )
        self.region = Region(self.space, constraints)
        self.seed = secrets.randbits(32) if seed is None else checked_seed(seed)
        self._trials: list[Trial] = []
        self._lock = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.RLock())

    @property
    def trials(self) -> list[Trial]:
        """All trials, in the order of their numbers."""
        return [_copy(trial) for trial in self._trials]

    @overload
    def ask(self, n: None = None, *, params: Point | None = None) -> Trial: ...
    @overload
    def ask(self, n: int) -> list[Trial]: ...
    def ask(self, n: int | None = None, *, params: Point | None = None) -> Trial | list[Trial]:
        """Choose what to evaluate next.

        Parameters
        ----------
        n
            None for one Trial, a number for a list of so many (fewer where a finite space ends).
        params
            A point of your own choice instead of the policy's.

        Raises
        ------
        SpaceExhausted
            If every point of a finite space has been tried.
        ValueError, TypeError
            If `n` is not a positive whole number, or `params` is not a point of the space or
            violates a constraint.
        """
        if n is not None:
            return self._ask_several(whole_number(n, "n", 1))
        with self._lock:
            trial = self._next(
                None if params is None else self.region.check(self.space.check(params))
            )
            self._trials.append(trial)
        return _copy(trial)

    def _ask_several(self, n: int) -> list[Trial]:
        """At least one trial; fewer than n when a finite space has no more."""
        trials = [self.ask()]
        while len(trials) < n:
            try:
                trials.append(self.ask())
            except SpaceExhausted:
                break
        return trials

    def _next(self, given: Params | None) -> Trial:
        number = len(self._trials)
        if given is not None:
            return Trial(number, given)
        with own_torch_settings():
            chosen = suggest(
                self.space,
                self.policy,
                self._trials,
                direction=self.direction,
                noise=self.noise,
                seed=self.seed,
                number=number,
                n_initial=self.n_initial,
                region=self.region,
            )
        return Trial(
            number,
            chosen.params,
            origin=chosen.origin,
            hyperparameters=chosen.hyperparameters,
        )

    def tell(self, trial: Trial | int, result: object) -> None:
        """Record what an evaluation gave.

        Parameters
        ----------
        trial
            A running trial, or its number. Telling the same result again changes nothing.
        result
            A number, a ``(mean, sd)`` tuple with the standard error sd, or an Evaluation. A value
            that is NaN or infinite is recorded as a failure.

        Raises
        ------
        TypeError, ValueError
            If the result is none of these (the trial goes on running), or the trial is not of this
            study, or ended otherwise.
        """
        number = self._number(trial)
        try:
            evaluation = Evaluation.of(result)
        except NotFinite as error:
            self.fail(number, str(error))
            return
        self._end(number, TrialState.COMPLETE, evaluation=evaluation)

    def fail(self, trial: Trial | int, reason: str) -> None:
        """Record that an evaluation gave nothing, and why.

        Raises
        ------
        ValueError
            If the trial is not of this study, or ended otherwise.
        """
        self._end(self._number(trial), TrialState.FAILED, reason=str(reason))

    def _number(self, trial: Trial | int) -> int:
        number = trial.number if isinstance(trial, Trial) else whole_number(trial, "trial", 0)
        if number >= len(self._trials):
            raise ValueError(f"This study has {len(self._trials)} trials, but none is {trial!r}.")
        if isinstance(trial, Trial) and trial.params != self._trials[number].params:
            raise ValueError(f"Trial {number} of this study has other parameters; is it another's?")
        return number

    def _end(self, number: int, state: TrialState, **fields: Any) -> None:
        with self._lock:
            before = self._trials[number]
            ended = replace(before, state=state, **fields)
            if before.state is not TrialState.RUNNING and ended != before:
                raise ValueError(f"Trial {number} has ended already: {before}.")
            self._trials[number] = ended

    def _forget(self, trial: Trial) -> None:
        """Undo the last ask: its point will be asked for again. An older one is failed instead."""
        with self._lock:
            if trial.number == len(self._trials) - 1:
                self._trials.pop()
            else:
                self.fail(trial, "interrupted")

    def add(
        self, X: Sequence[Point] | NDArray[Any], y: ArrayLike, sd: ArrayLike | None = None
    ) -> None:
        """Add results from elsewhere; NaN and infinite values become failed trials.

        They may violate constraints: the model learns from them, but none of them is recommended.

        Parameters
        ----------
        X
            (n, d) array or a list of dicts.
        y
            (n,) values in the user's units.
        sd
            Standard errors, a scalar or (n,); None or NaN where one is not known.

        Raises
        ------
        ValueError, TypeError
            If shapes differ or a point is not in the space; then nothing is added.
        """
        points = self._checked(X)
        ended = given_results(len(points), y, sd)
        with self._lock:
            for params, fields in zip(points, ended, strict=True):
                self._trials.append(Trial(len(self._trials), params, origin="added", **fields))

    def run(
        self,
        fun: Objective,
        n_evals: int,
        *,
        x0: Sequence[Point] = (),
        timeout: float | None = None,
        callback: Callback | None = None,
        progress: bool | Literal["auto"] = "auto",
    ) -> str:
        """Ask, evaluate and tell until the study holds `n_evals` evaluations.

        Parameters
        ----------
        fun
            Called with the parameters as keywords, or with one vector when the space is a list of
            bounds. Returns a number, ``(mean, sd)`` or an Evaluation; what it raises is recorded.
        n_evals
            Evaluations of the study in all: failed, added and earlier ones included.
        x0
            Points to evaluate before the policy chooses.
        timeout
            Seconds after which no new evaluation starts.
        callback
            Called as ``callback(study, trial)`` after each; it may raise StopIteration to end.
        progress
            Show a line of progress; "auto": when the error stream is a terminal.

        Returns
        -------
        str
            Why it ended.

        Raises
        ------
        AllEvaluationsFailed
            If the first five evaluations fail alike.
        TypeError, ValueError
            If an argument is wrong; nothing is evaluated then.
        """
        n_evals = whole_number(n_evals, "n_evals", 1)
        check_signature(fun, self.space)
        given = [self.region.check(point) for point in self._checked(x0)]
        timeout = checked_timeout(timeout)
        if callback is not None and not callable(callback):
            raise TypeError(f"`callback` must be callable, but got {callback!r}.")
        started = time.monotonic()
        line = Progress(n_evals, self._n_ended(), progress)
        outcomes: list[Evaluation | Failure] = []
        try:
            while self._n_ended() < n_evals:
                if timeout is not None and outcomes and time.monotonic() - started > timeout:
                    return f"The timeout of {timeout} s was reached."
                try:
                    with line.asking():
                        trial = self.ask(params=given.pop(0) if given else None)
                except SpaceExhausted as end:
                    return str(end)
                outcomes.append(self._evaluate(fun, trial, line))
                stop_if_hopeless(outcomes)
                if callback is not None and not self._goes_on(callback, trial):
                    return "The callback ended the search."
        finally:
            line.close()
        return f"{n_evals} evaluations are done."

    def _evaluate(self, fun: Objective, trial: Trial, line: Progress) -> Evaluation | Failure:
        start = time.perf_counter()
        try:
            outcome = evaluate(fun, self.space, trial.params)
        except BaseException:
            self._forget(trial)
            raise
        seconds = time.perf_counter() - start
        if isinstance(outcome, Failure):
            self.fail(trial, outcome.reason)
        else:
            self.tell(trial, outcome)
        line.advance(self._best_value(), seconds)
        return outcome

    def _goes_on(self, callback: Callback, trial: Trial) -> bool:
        try:
            callback(self, _copy(self._trials[trial.number]))
        except StopIteration:
            return False
        return True

    def _n_ended(self) -> int:
        return sum(trial.state is not TrialState.RUNNING for trial in self._trials)

    def _best_value(self) -> float | None:
        values = observed_values(self._trials)
        if len(values) == 0:
            return None
        return float(values.min() if self.direction == "minimize" else values.max())

    def recommend(self, rule: Rule | Literal["auto"] = "auto") -> Recommendation:
        """The point to use.

        Parameters
        ----------
        rule
            "best_observed", "best_evaluated_mean" or "best_mean" (see `bayesopt.recommend`);
            "auto" is the first when `noise` is False and no value has a standard error, the second
            otherwise, and the third where no evaluated point satisfies the constraints.

        Raises
        ------
        ValueError
            If nothing has been observed yet, or the rule is not known.
        """
        self._need_an_observation()
        if rule == "auto":
            rule = self._automatic_rule()
        with own_torch_settings():
            model, data = self._fitted(self.policy.search.truncate)
            trials = complete(self._trials)
            return recommend(model, data, self.space, trials, rule, self.seed, self.region)

    def _automatic_rule(self) -> Rule:
        done = complete(self._trials)
        X = np.array([self.space.to_unit(trial.params) for trial in done])
        if not self.region.holds(X).any():
            return "best_mean"
        exact = not any(trial.evaluation is not None and trial.evaluation.sd for trial in done)
        return "best_observed" if self.noise is False and exact else "best_evaluated_mean"

    def predict(self, points: Sequence[Point] | NDArray[Any]) -> tuple[Array, Array]:
        """Mean and standard deviation of the function (without noise) at points (n,).

        Fitted to all values as they are. The search and `recommend` look harder at the good values
        and count the poor ones only as poor, so that their numbers differ a little from these.

        Raises
        ------
        ValueError, TypeError
            If nothing has been observed yet, or a point is not in the space.
        """
        self._need_an_observation()
        X = np.array([self.space.to_unit(params) for params in self._checked(points)])
        with own_torch_settings(), torch.no_grad():
            model, data = self._fitted(None)
            mean, variance = model.marginals(torch.from_numpy(X.reshape(-1, len(self.space))))
        return data.scaling.value(mean.numpy()), data.scaling.value_sd(variance.sqrt().numpy())

    @property
    def description(self) -> str:
        """Model and acquisition that choose the points, in words.

        Raises
        ------
        ValueError
            If nothing has been observed yet.
        """
        self._need_an_observation()
        data = dataset(self.space, self._trials, self.direction, self.noise)
        return ", ".join(self.policy.described(data))

    def explain(self) -> Explanation:
        """What the model behind the search has learnt, and how far to trust it; print it.

        Raises
        ------
        ValueError
            If nothing has been observed yet.
        """
        self._need_an_observation()
        with own_torch_settings():
            model, data = self._fitted(self.policy.search.truncate)
            described = self.policy.described(data)
            return explain(model, data, self.space, self._trials, described)

    def _fitted(self, truncate: float | None) -> tuple[Surrogate, Dataset]:
        """The model of all trials so far; the same as long as no trial comes or ends."""
        rng = np.random.default_rng([self.seed, self._n_ended(), 1])
        model, data, _ = fit_model(
            self.space, self.policy, self._trials, self.direction, self.noise, truncate, rng
        )
        return model, data

    def _checked(self, points: Sequence[Point] | NDArray[Any]) -> list[Params]:
        if isinstance(points, Mapping):
            raise TypeError(f"A list of points is needed, but one point came: {points!r}.")
        return [self.space.check(point) for point in points]

    def _need_an_observation(self) -> None:
        if not any(trial.state is TrialState.COMPLETE for trial in self._trials):
            raise ValueError("Nothing has been observed yet; tell or add a result first.")


def _copy(trial: Trial) -> Trial:
    """The trial with parameters of its own: what a user does to them does not reach the study."""
    return replace(trial, params=dict(trial.params))
