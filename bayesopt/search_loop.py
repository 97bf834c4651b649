"""Ask, evaluate, tell, with as many evaluations at once as there are workers.

The loop knows neither a study nor a storage: it gets trials, hands them to workers and reports
what came back. Points are chosen while others are evaluated.
"""

import logging
import math
import time
from dataclasses import replace
from typing import Protocol

from bayesopt.budget import BudgetSpent
from bayesopt.design import SpaceExhausted
from bayesopt.execution.interruption import Interruption
from bayesopt.execution.objective import Failure, Finished, stop_if_hopeless
from bayesopt.execution.progress import Progress
from bayesopt.execution.workers import Workers
from bayesopt.storage.records import StorageError
from bayesopt.trial import Evaluation, Trial

_LOOK_FOR_OTHERS = 0.2  # seconds between two looks at what other processes do
_SECONDS_OF_SILENCE = 30.0
_log = logging.getLogger("bayesopt")


class TrialSource(Protocol):
    """Where trials come from and results go."""

    def next_trial(self) -> Trial | None:
        """The next one; None if there is none to start now.

        Raises
        ------
        SpaceExhausted
            If there is none any more.
        BudgetSpent
            If it cannot be paid; the same exception again where nothing has ended since.
        """

    def checked(self, outcome: Evaluation | Failure) -> Evaluation | Failure:
        """The outcome as it is kept: a failure where the study cannot use it."""

    def record(self, number: int, outcome: Evaluation | Failure) -> None:
        """How a trial ended."""

    def give_back(self, number: int) -> None:
        """A trial that was begun here and is not going to end."""

    def held_by_others(self) -> list[str]:
        """Trials that other processes work on, in words."""

    def is_done(self) -> bool:
        """Whether there are as many results as are wanted, those of other processes included."""

    def call_back(self, number: int) -> bool:
        """Tell the user that a trial has ended; False if the user has had enough."""

    def best_value(self) -> float | None:
        """The best value so far; None while there is none, or where none is better than all."""

    def has_results(self) -> bool:
        """Whether there is a value at all."""


def run_until_done(
    source: TrialSource, workers: Workers, progress: Progress, timeout: float | None
) -> str:
    """Evaluate until enough is known; returns why it ended, "" if all is done.

    Parameters
    ----------
    source
        The study.
    workers
        What evaluates. They are closed at the end, whatever happens, and what they have not
        finished is given back.
    progress
        Where it is shown.
    timeout
        Seconds after which no evaluation is begun; the running ones may end.

    Raises
    ------
    AllEvaluationsFailed
        If the first five evaluations fail alike.
    StorageError
        If a result could not be saved.
    KeyboardInterrupt
        If a signal came.
    Exception
        Whatever kept the next trial from being chosen or started; as with a StorageError, the
        running evaluations end first, and theirs are kept too.
    """
    loop = _Loop(source, workers, progress, timeout)
    with Interruption() as interruption:
        try:
            return loop.run(interruption)
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt(interruption.reason) from error
        finally:
            loop.keep_what_has_ended()
            workers.close()
            for number in sorted(loop.begun, reverse=True):
                loop.give_back(number)


class _Loop:
    """One search: what has been begun, what came of it, and why nothing more is begun."""

    def __init__(
        self, source: TrialSource, workers: Workers, progress: Progress, timeout: float | None
    ) -> None:
        self.source, self.workers, self.progress = source, workers, progress
        self.timeout = timeout
        self.started = time.monotonic()
        self.begun: set[int] = set()
        self.outcomes: list[Evaluation | Failure] = []
        self.why_no_more: str | None = None
        self.budget_spent: BudgetSpent | None = None
        self.trouble: Exception | None = None
        self.idle_since: float | None = None

    def run(self, interruption: Interruption) -> str:
        while True:
            self._fill()
            if not self.workers.running:
                if self.trouble is not None:
                    raise self.trouble
                if self.why_no_more is not None or self.source.is_done():
                    return self.why_no_more or ""
                self._say_whom_we_wait_for()
            wait = None if self._is_full else _LOOK_FOR_OTHERS
            with interruption.allowed():
                if self.workers.running:
                    finished = self.workers.finished(wait)
                else:
                    finished = []
                    time.sleep(_LOOK_FOR_OTHERS)
            finished = [self._checked(one) for one in finished]
            # All of them before anything that may end the search.
            taken = [one for one in finished if self._record(one)]
            for one in taken:
                if not self._report(one):
                    return "The callback ended the search."

    @property
    def _is_full(self) -> bool:
        """Whether nothing could be started now, whatever other processes do."""
        busy = len(self.workers.running) >= self.workers.capacity
        return busy or self.why_no_more is not None or self.trouble is not None

    def _fill(self) -> None:
        """Start what can be started."""
        while not self._is_full:
            if self._is_late():
                self.why_no_more = f"The timeout of {self.timeout} s was reached."
                return
            try:
                with self.progress.asking():
                    trial = self.source.next_trial()
                if trial is None:
                    return
                self.idle_since = None
                self.begun.add(trial.number)
                self.workers.start(trial.number, trial.params)
            except SpaceExhausted as end:
                if not self.source.held_by_others():  # else one of theirs may come to us
                    self.why_no_more = str(end)
                return
            except BudgetSpent as end:
                # What runs, here or elsewhere, may cost less than is held for it; and the last of
                # it may have ended while the point was chosen.
                if self.workers.running or self.source.held_by_others():
                    return
                if end is self.budget_spent:
                    self.why_no_more = str(end)
                self.budget_spent = end
            except Exception as error:
                self.trouble = error
                return

    def _is_late(self) -> bool:
        """Past the timeout; but one evaluation is had in any case."""
        began = bool(self.outcomes or self.workers.running)
        late = self.timeout is not None and time.monotonic() - self.started > self.timeout
        return late and (began or self.source.has_results())

    def _say_whom_we_wait_for(self) -> None:
        now = time.monotonic()
        if self.idle_since is None:
            self.idle_since = now
        elif now - self.idle_since > _SECONDS_OF_SILENCE:
            self.idle_since = math.inf  # once
            held = ", ".join(self.source.held_by_others())
            _log.warning("Nothing is left to start; waiting for others to end trial %s.", held)

    def _checked(self, finished: Finished) -> Finished:
        return replace(finished, outcome=self.source.checked(finished.outcome))

    def _record(self, finished: Finished) -> bool:
        """Keep one result; False if it could only be kept in memory."""
        self.begun.discard(finished.key)
        try:
            self.source.record(finished.key, finished.outcome)
        except StorageError as error:
            self.trouble = self.trouble or error
            return False
        return True

    def _report(self, finished: Finished) -> bool:
        """Show one result; False if the user has had enough."""
        self.outcomes.append(finished.outcome)  # one by one: the first few are counted exactly
        self.progress.advance(self.source.best_value(), finished.seconds)
        stop_if_hopeless(self.outcomes)
        return self.source.call_back(finished.key)

    def keep_what_has_ended(self) -> None:
        """Results that have come, but that nobody has looked at yet."""
        try:
            for finished in self.workers.ended():
                self._record(self._checked(finished))
        except Exception as error:  # of a broken executor; what ends the search is told already
            _log.warning("Results could not be fetched: %s", error)

    def give_back(self, number: int) -> None:
        try:
            self.source.give_back(number)
        except StorageError as error:  # it is given out again once this process has ended
            _log.warning("Trial %d could not be given back: %s", number, error)
