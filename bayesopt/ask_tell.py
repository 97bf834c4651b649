"""Ask for a point, tell what it gave: in memory, or in a storage that many processes share."""

import logging
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, overload

from numpy.typing import NDArray

from bayesopt.arguments import whole_number
from bayesopt.budget import BudgetSpent, CostBudget
from bayesopt.checked_evaluation import checked_evaluation
from bayesopt.cost import Cost
from bayesopt.data import Noise
from bayesopt.design import SpaceExhausted
from bayesopt.environment import Environment
from bayesopt.execution.objective import Failure
from bayesopt.ledger import Ledger
from bayesopt.outcome_constraints import OutcomeConstraints
from bayesopt.policy import Policy
from bayesopt.region import Region
from bayesopt.settings import Directions, Settings
from bayesopt.space import Params, Space
from bayesopt.storage.records import StorageError
from bayesopt.suggestion import suggest
from bayesopt.torch_settings import own_torch_settings
from bayesopt.trial import Evaluation, NotFinite, Trial, TrialState, as_seen, copied
from bayesopt.trial_rules import Claim

Point = Mapping[str, Any] | Sequence[Any] | NDArray[Any]
_PATIENCE_WITH_READING = 15.0  # seconds
_LONGEST_REASON = 10_000  # characters; some exceptions show whole arrays
_LONGEST_TRACEBACK = 100_000
_log = logging.getLogger("bayesopt")


class AskTell:
    """The trials of one problem, and the next point to try.

    Parameters
    ----------
    settings, region
        The problem.
    ledger
        Its trials.
    """

    def __init__(self, settings: Settings, region: Region, ledger: Ledger) -> None:
        self._settings, self.region, self._ledger = settings, region, ledger
        self._budget: CostBudget | None = None
        if settings.cost_budget is not None:
            self._budget = CostBudget(settings.cost_budget, settings.cost)
        self._lock = threading.RLock()
        self._in_loops: set[int] = set()  # numbers that are evaluated by loops of this object

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.RLock())

    @property
    def space(self) -> Space:
        """The parameters."""
        return self._settings.space

    @property
    def direction(self) -> Directions:
        """Which values are good; a tuple, one for each of several objectives."""
        return self._settings.direction

    @property
    def outcome_constraints(self) -> OutcomeConstraints:
        """What must hold for the outcomes of an evaluation."""
        return self._settings.outcome_constraints

    @property
    def noise(self) -> Noise:
        """What is known about the noise."""
        return self._settings.noise

    @property
    def environment(self) -> Environment | None:
        """Laws of the parameters that are random, and what is sought under them."""
        return self._settings.environment

    @property
    def cost(self) -> Cost:
        """What an evaluation costs."""
        return self._settings.cost

    @property
    def cost_budget(self) -> float | None:
        """What all evaluations may cost together."""
        return self._settings.cost_budget

    @property
    def policy(self) -> Policy:
        """How points are chosen."""
        return self._settings.policy

    @property
    def n_initial(self) -> int:
        """Number of space-filling points."""
        return self._settings.n_initial

    @property
    def seed(self) -> int:
        """What makes everything repeatable."""
        return self._settings.seed

    @property
    def trials(self) -> list[Trial]:
        """All trials that have a point, in the order of their numbers.

        Where the storage cannot be read, those that were read before, with a warning in the log.
        """
        with self._lock:
            try:
                self._ledger.refresh(_PATIENCE_WITH_READING)
            except StorageError as error:  # what we have read and told is still to be had
                _log.warning("These are the trials as they were read before: %s", error)
            return [copied(trial) for trial in self._ledger.trials]

    @overload
    def ask(self, n: None = None, *, params: Point | None = None) -> Trial: ...
    @overload
    def ask(self, n: int) -> list[Trial]: ...
    def ask(self, n: int | None = None, *, params: Point | None = None) -> Trial | list[Trial]:
        """Choose what to evaluate next.

        A trial whose process has died is given out again, with its number and its parameters.

        Parameters
        ----------
        n
            None for one Trial, a number for a list of so many (fewer where a finite space or the
            `cost_budget` ends), chosen as `Policy.batch` says.
        params
            A point of your own choice instead of the policy's.

        Raises
        ------
        SpaceExhausted
            If every point of a finite space has been tried.
        BudgetSpent
            If what is left of the `cost_budget` does not pay for it.
        ValueError, TypeError
            If `n` is not a positive whole number, or `params` is not a point of the space or
            violates a constraint.
        StorageError
            If the storage cannot be written to.
        """
        if n is not None and params is not None:
            raise TypeError("Study.ask takes `n` or `params`, not both.")
        if n is not None:
            return self._ask_several(whole_number(n, "n", 1))
        if params is not None:
            point = self.region.check(self.space.check(params))
            with self._lock:
                return copied(self._ledger.take(point, self._budget))
        trial = self._ask()
        assert trial is not None
        return copied(trial)

    def _ask_several(self, n: int) -> list[Trial]:
        """At least one trial; fewer than n when a finite space has no more."""
        trials = self._ask_together(n) if self.policy.batch == "joint" and n > 1 else []
        while len(trials) < n:
            try:
                trials.append(self.ask())
            except (SpaceExhausted, BudgetSpent):
                if not trials:
                    raise
                break
        return trials

    def _ask_together(self, n: int) -> list[Trial]:
        """Trials whose points are chosen together; at most n."""
        with self._lock:
            claims = self._ledger.claim_together(n)
            try:
                chosen = self._choose(tuple(claim.number for claim in claims), claims[0].known)
                trials = [
                    self._commit(claim, trial) for claim, trial in zip(claims, chosen, strict=False)
                ]
            except BaseException:
                for claim in reversed(claims):
                    self._ledger.give_back(claim.number)
                raise
            for claim in reversed(claims[len(chosen) :]):
                self._ledger.give_back(claim.number)
            return [copied(trial) for trial in trials if trial is not None]

    def _ask_in_loop(self, given: Sequence[Params], limit: int | None) -> Trial | None:
        """The next trial of a loop; None where the study has `limit` of them."""
        with self._lock:  # no other loop counts in between
            trial = self._ask(given, limit)
            if trial is not None:
                self._in_loops.add(trial.number)
            return trial

    def _ask(self, given: Sequence[Params] = (), limit: int | None = None) -> Trial | None:
        """The next trial; the arguments are those of `bayesopt.trial_rules.claim`."""
        with self._lock:
            while True:
                claim = self._ledger.claim(given, limit, self._in_loops, self._budget)
                if claim is None or claim.trial is not None:
                    return None if claim is None else claim.trial
                try:
                    (chosen,) = self._choose((claim.number,), claim.known)
                    if self._budget is not None:
                        self._budget.check(claim.known, chosen.params)
                    trial = self._commit(claim, chosen)
                except BaseException:
                    self._ledger.give_back(claim.number)
                    raise
                if trial is not None:
                    _log.debug("Trial %d: %s", trial.number, dict(trial.params))
                    return trial

    def _commit(self, claim: Claim, chosen: Trial) -> Trial | None:
        return self._ledger.commit(claim, chosen, distinct=self.noise is False, budget=self._budget)

    def _choose(self, numbers: tuple[int, ...], known: Sequence[Trial]) -> list[Trial]:
        """Trials at the points that the policy chooses; they depend on nothing but the arguments.

        Fewer than there are numbers when a finite space has no more.
        """
        with own_torch_settings():
            chosen = suggest(self._settings, known, numbers, self.region)
        return [
            Trial(number, one.params, origin=one.origin, hyperparameters=one.hyperparameters)
            for number, one in zip(numbers, chosen, strict=False)
        ]

    def replay(self, trial: Trial | int) -> Params:
        """Choose the point of a trial again, from what was known then.

        On the same machine, with the same policy, it is the point of the trial, bit for bit.

        Raises
        ------
        ValueError
            If the trial is not of this study, or its point was not chosen by the policy.
        """
        trial = self._ledger.trial(self._number(trial))
        if trial.seen is None:
            raise ValueError(f"The point of trial {trial.number} was {trial.origin}, not chosen.")
        known = as_seen(self._ledger.trials, trial.number, trial.seen)
        numbers = trial.seen.together or (trial.number,)
        return dict(self._choose(numbers, known)[numbers.index(trial.number)].params)

    def tell(self, trial: Trial | int, result: object) -> None:
        """Record what an evaluation gave; it is on the disk when this returns.

        Parameters
        ----------
        trial
            A running trial, or its number. Telling the same result again changes nothing. A result
            that comes after another attempt at its trial has ended is kept as a trial of its own.
        result
            A number, a ``(mean, sd)`` tuple with the standard error sd, or an Evaluation, which
            brings the values of `outcome_constraints`; for several objectives a sequence with a
            number for each, or an Evaluation. What is NaN or infinite is recorded as a failure.

        Raises
        ------
        TypeError, ValueError
            If the result is none of these, has another number of values than there are objectives,
            or lacks a constraint (the trial goes on running), or the trial is not of this study,
            or ended otherwise.
        StorageError
            If it cannot be saved; it is kept in memory, see `save`.
        """
        number = self._number(trial)
        try:
            evaluation = self._checked_evaluation(Evaluation.of(result, self._settings.n_values))
        except NotFinite as error:
            self.fail(number, str(error))
            return
        self._end(number, TrialState.COMPLETE, evaluation=evaluation)

    def fail(self, trial: Trial | int, reason: str, *, traceback: str | None = None) -> None:
        """Record that an evaluation gave nothing, and why.

        Raises
        ------
        ValueError
            If the trial is not of this study, or ended otherwise.
        StorageError
            If it cannot be saved; it is kept in memory, see `save`.
        """
        self._end(self._number(trial), TrialState.FAILED, **_why(reason, traceback))

    def _record(self, number: int, outcome: Evaluation | Failure) -> None:
        """How an evaluation of ours ended; kept as a late one where others have ended the trial."""
        if isinstance(outcome, Failure):
            why = _why(outcome.reason, outcome.traceback)
            self._end(number, TrialState.FAILED, keep_late=True, **why)
        else:
            self._end(number, TrialState.COMPLETE, keep_late=True, evaluation=outcome)

    def _checked_evaluation(self, evaluation: Evaluation) -> Evaluation:
        """With partial derivatives by name; raises ValueError where it does not fit the study."""
        return checked_evaluation(evaluation, self._settings)

    def save(self) -> None:
        """Write results that could not be saved when they were told.

        Raises
        ------
        StorageError
            If they still cannot be.
        """
        with self._lock:
            self._ledger.save()

    def _number(self, trial: Trial | int) -> int:
        """The number of a trial; raises ValueError where it is not of this study."""
        number = trial.number if isinstance(trial, Trial) else whole_number(trial, "trial", 0)
        with self._lock:
            if isinstance(trial, Trial):  # its number may have been given back and taken meanwhile
                with suppress(StorageError):  # a result must be kept in any case
                    self._ledger.refresh(_PATIENCE_WITH_READING)
            known = self._ledger.trial(number)
        if isinstance(trial, Trial) and trial.params != known.params:
            raise ValueError(f"Trial {number} of this study has other parameters; is it another's?")
        return number

    def _end(
        self, number: int, state: TrialState, *, keep_late: bool = False, **fields: Any
    ) -> None:
        with self._lock:
            self._ledger.end(number, state, keep_late=keep_late, **fields)
        result = {"state": state.value, **fields}
        evaluation = fields.get("evaluation")
        said = fields.get("reason") if evaluation is None else evaluation.value
        _log.info("Trial %d %s: %s", number, state, said, extra={"trial": number, "result": result})

    def _checked(self, points: Sequence[Point] | NDArray[Any]) -> list[Params]:
        if isinstance(points, Mapping):
            raise TypeError(f"A list of points is needed, but one point came: {points!r}.")
        return [self.space.check(point) for point in points]


def _why(reason: str, traceback: str | None) -> dict[str, Any]:
    """Reason and traceback of a failure, not endless."""
    if traceback is not None and len(traceback) > _LONGEST_TRACEBACK:
        traceback = f"... {traceback[-_LONGEST_TRACEBACK:]}"
    reason = str(reason) or "no reason given"
    if len(reason) > _LONGEST_REASON:
        reason = f"{reason[:_LONGEST_REASON]} ..."
    return {"reason": reason, "traceback": traceback}
