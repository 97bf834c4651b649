"""A study as its loop sees it: one call of `run`."""

from collections.abc import Callable, Sequence
from typing import Any

from bayesopt.ask_tell import AskTell
from bayesopt.budget import BudgetSpent
from bayesopt.execution.objective import Failure, unusable
from bayesopt.space import Params
from bayesopt.trial import Evaluation, Trial, copied


class LoopOfStudy:
    """Where the trials of one call of `run` come from (`bayesopt.search_loop.TrialSource`).

    Parameters
    ----------
    study
        The study; what only its loops need of it is private.
    n_evals
        Evaluations that it is to hold in all; None: as many as the budget allows.
    given
        Points to evaluate before the policy chooses.
    callback
        Called as ``callback(study, trial)`` after each; it may raise StopIteration to end.
    """

    def __init__(
        self,
        study: AskTell,
        n_evals: int | None,
        given: Sequence[Params],
        callback: Callable[[Any, Trial], object] | None,
    ) -> None:
        self.study, self.ledger = study, study._ledger
        self.n_evals, self.callback = n_evals, callback
        self.given: Sequence[Params] = given
        self._spent: tuple[BudgetSpent, tuple[int, frozenset[int]]] | None = None

    def next_trial(self) -> Trial | None:
        """The next one, resumed, given or chosen; None where the study has enough.

        Raises
        ------
        SpaceExhausted
            If every point of a finite space has been tried.
        BudgetSpent
            If the budget does not pay for another one, for now: a running one may cost less than
            is held for it. The same exception again where none has ended since.
        """
        if self._spent is not None and self._spent[1] == self._under_way():
            # Nothing has changed, so that nothing is to be reckoned again.
            raise self._spent[0].with_traceback(None)  # or it would grow each time
        before = self._under_way() if self.study.cost_budget is not None else None
        try:
            trial = self.study._ask_in_loop(self.given, self.n_evals)
        except BudgetSpent as end:
            self._spent = end, before or self._under_way()
            raise
        if trial is not None and trial.seen is not None and trial.attempt == 1:
            self.given = ()  # a point was chosen, so none of these is missing
        return trial

    def _under_way(self) -> tuple[int, frozenset[int]]:
        """How many have ended, and which others work on: they may be given out again."""
        self.ledger.refresh()
        held = (record for record in self.ledger.held_by_others() if record.trial is not None)
        return self.ledger.n_ended, frozenset(record.number for record in held)

    def checked(self, outcome: Evaluation | Failure) -> Evaluation | Failure:
        """With partial derivatives by name; a failure where it does not fit the study."""
        if isinstance(outcome, Failure):
            return outcome
        try:
            return self.study._checked_evaluation(outcome)
        except ValueError as error:
            return unusable(error)

    def record(self, number: int, outcome: Evaluation | Failure) -> None:
        """How an evaluation of this loop ended."""
        self.study._record(number, outcome)
        self.study._in_loops.discard(number)

    def give_back(self, number: int) -> None:
        """A trial that is not going to end here."""
        self.ledger.give_back(number)
        self.study._in_loops.discard(number)

    def held_by_others(self) -> list[str]:
        """Trials that other processes work on, in words."""
        self.ledger.refresh()
        return [
            f"{record.number} (process {record.owner.pid} on {record.owner.host})"
            for record in self.ledger.held_by_others()
            if record.owner is not None
        ]

    def is_done(self) -> bool:
        """Whether the study has enough evaluations, those of other processes included."""
        self.ledger.refresh()
        return self.n_evals is not None and self.ledger.n_ended >= self.n_evals

    def call_back(self, number: int) -> bool:
        """Tell the user; False if that is the end."""
        if self.callback is None:
            return True
        try:
            self.callback(self.study, copied(self.ledger.trial(number)))
        except StopIteration:
            return False
        return True

    def best_value(self) -> float | None:
        """The best so far of those that meet all outcome constraints as they were observed.

        Where a parameter has a role, of those at its target. None where there is none, and for
        several objectives, which have no best.
        """
        direction = self.study.direction
        if isinstance(direction, tuple):
            return None
        done = [
            trial.evaluation
            for trial in self.ledger.trials
            if trial.evaluation is not None and self.study.space.is_at_target(trial.params)
        ]
        constraints = self.study.outcome_constraints
        met = constraints.holds(constraints.observed(done))
        values = [e.values[0] for e, holds in zip(done, met, strict=True) if holds]
        if not values:
            return None
        return min(values) if direction == "minimize" else max(values)

    def has_results(self) -> bool:
        """Whether a trial has given a value."""
        return any(trial.evaluation is not None for trial in self.ledger.trials)
