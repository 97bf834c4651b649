"""The trials of a study, as one of its processes reads and writes them.

A point is chosen outside of any transaction: reserve a number (`claim`), compute, `commit`. What
cannot be saved is kept, and saved before anything else is.
"""

import logging
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from textwrap import shorten
from typing import Any, Protocol, TypeVar

from bayesopt import trial_rules
from bayesopt.budget import CostBudget
from bayesopt.space import Params
from bayesopt.storage.memory import Memory
from bayesopt.storage.owner import Holder
from bayesopt.storage.records import Draft, Record, Records, StorageError
from bayesopt.trial import Evaluation, Seen, Trial, TrialState
from bayesopt.trial_rules import Claim, Claimant

T = TypeVar("T")

_PATIENCE_WITH_CHOOSERS = 30.0  # seconds to wait for points that are being chosen elsewhere
_log = logging.getLogger("bayesopt")


class Store(Protocol):
    """What a ledger writes to; see `bayesopt.storage`.

    Attributes
    ----------
    one_machine
        Whether all its processes are on one machine: an owner of another boot is gone then.
    is_shared
        Whether other processes may write to it, so that leases are needed.
    records
        What was read last.
    """

    one_machine: bool
    is_shared: bool
    records: Records

    def refresh(self, patience: float | None = None) -> None:
        """Read what others have written since."""

    def write(self, change: Callable[[Draft], T], durable: bool = True) -> T:
        """Do all that `change` puts into its draft in one transaction."""
        ...


class Ledger:
    """The trials of one study.

    Parameters
    ----------
    store
        Where they are; None: in memory.
    max_attempts
        How often a trial is given out before it has failed, when its process dies each time.
    """

    def __init__(self, store: Store | None = None, max_attempts: int = 3) -> None:
        self.store: Store = Memory() if store is None else store
        self.max_attempts = max_attempts
        self._holder = Holder()
        self._unsaved: list[Trial] = []
        self._heart: threading.Thread | None = None

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_heart": None}

    @property
    def _us(self) -> Claimant:
        return Claimant(self._holder.owner, self.store.one_machine, self.max_attempts)

    @property
    def trials(self) -> list[Trial]:
        """All trials that have a point, in the order of their numbers, as far as we have read."""
        return self._trials_of(self.store.records)

    def _trials_of(self, records: Iterable[Record]) -> list[Trial]:
        unsaved = {trial.number: trial for trial in self._unsaved}
        found = (unsaved.get(r.number, r.trial) if r.is_open else r.trial for r in records)
        return [trial for trial in found if trial is not None]

    @property
    def n_ended(self) -> int:
        """Number of trials with a result or a failure."""
        records = self.store.records
        unsaved = {trial.number for trial in self._unsaved}
        return records.n_ended + len(unsaved & records.open)

    def refresh(self, patience: float | None = None) -> None:
        """Read what other processes have written since, if need be for so many seconds."""
        self.store.refresh(patience)

    def held_by_others(self) -> list[Record]:
        """Trials that others work on, as far as we have read."""
        by, now = self._us, time.time()
        records = self.store.records
        found = [records[number] for number in sorted(records.open)]
        return [r for r in found if by.is_held(r, now) and not by.holds(r)]

    def trial(self, number: int) -> Trial:
        """The trial of a number; raises ValueError if there is none."""
        if number not in self.store.records:
            self.refresh()
        if number not in self.store.records:
            n = len(self.store.records)
            raise ValueError(f"This study has {n} trials, but none is {number}.")
        found = self._trials_of([self.store.records[number]])
        if not found:
            raise ValueError(f"The point of trial {number} is still being chosen.")
        return found[0]

    def claim(
        self,
        given: Sequence[Params] = (),
        limit: int | None = None,
        running: Collection[int] = (),
        budget: CostBudget | None = None,
    ) -> Claim | None:
        """A trial to evaluate, or a number whose point is to be chosen (see `trial_rules.claim`).

        Raises
        ------
        StorageError
            If it cannot be saved.
        """
        by = self._us
        record = self._plan(
            lambda draft: trial_rules.claim(draft, by, given, limit, running, budget)
        )
        if record is None:
            return None
        self._keep_alive()
        if record.trial is not None:
            return Claim(record.number, record.trial)
        return self._with_what_is_known([record.number])[0]

    def claim_together(self, n: int) -> list[Claim]:
        """n new numbers whose points are to be chosen together, from the same trials.

        Raises
        ------
        StorageError
            If they cannot be saved.
        """
        by = self._us
        records = self._plan(lambda draft: trial_rules.claim_together(draft, by, n))
        self._keep_alive()
        return self._with_what_is_known([record.number for record in records])

    def take(self, params: Params, budget: CostBudget | None = None) -> Trial:
        """A new running trial at a point of the user's.

        Raises
        ------
        BudgetSpent
            If the budget does not pay for it.
        StorageError
            If it cannot be saved.
        """
        by = self._us
        trial = self._plan(lambda draft: trial_rules.take(draft, by, params, budget)).trial
        assert trial is not None
        self._keep_alive()
        return trial

    def _with_what_is_known(self, ours: Sequence[int]) -> list[Claim]:
        """Wait for the points that are being chosen under smaller numbers: no two choose alike."""
        give_up = time.monotonic() + _PATIENCE_WITH_CHOOSERS
        by = self._us
        while True:
            # Another thread may read on meanwhile: all that follows is about these.
            records = list(self.store.records)
            still_open = [
                record for record in records if record.is_open and record.number not in ours
            ]
            absent = [record for record in still_open if record.trial is None]
            now = time.time()
            before = [
                r
                for r in absent
                if r.number < ours[0] and by.is_held(r, now) and now < _last_waited_for(r)
            ]
            if not before or time.monotonic() > give_up:
                break
            time.sleep(0.02)
            self.refresh()
        seen = Seen(
            len(records),
            pending=tuple(r.number for r in still_open if r.trial is not None),
            absent=tuple(r.number for r in absent),
            together=tuple(ours) if len(ours) > 1 else (),
        )
        revision = max(record.revision for record in records)
        known = tuple(self._trials_of(records))
        return [Claim(number, None, known, seen, revision) for number in ours]

    def commit(
        self, claim: Claim, trial: Trial, distinct: bool, budget: CostBudget | None = None
    ) -> Trial | None:
        """Make a chosen point the trial of the number; None: claim again.

        Parameters
        ----------
        claim, trial
            What was claimed, and what came of it.
        distinct
            Whether no two trials may have the same point.
        budget
            What all trials together may cost, where that is known.

        Raises
        ------
        StorageError
            If it cannot be saved.
        """
        by = self._us
        return self._plan(
            lambda draft: trial_rules.commit(draft, by, claim, trial, distinct, budget)
        )

    def give_back(self, number: int) -> None:
        """Undo a claim: the number is up for the next (see `trial_rules.give_back`).

        Raises
        ------
        StorageError
            If it cannot be saved.
        """
        by = self._us
        self._plan(lambda draft: trial_rules.give_back(draft, by, number))

    def end(
        self, number: int, state: TrialState, *, keep_late: bool = False, **fields: Any
    ) -> None:
        """Record how a trial ended; the same again changes nothing.

        Raises
        ------
        ValueError
            If there is no such trial, or it ended otherwise.
        StorageError
            If it could not be saved. It is kept in memory, and saved before anything else is.
        """
        before = self.trial(number)
        try:
            self._write(lambda draft: trial_rules.end(draft, number, state, fields, keep_late))
        except StorageError as error:
            self._keep(before, state, fields, keep_late)
            raise StorageError(_what_to_do(error, number, fields)) from error
        except (KeyboardInterrupt, SystemExit):  # while it waited for the storage
            self._keep(before, state, fields, keep_late)
            raise

    def _keep(
        self, before: Trial, state: TrialState, fields: dict[str, Any], keep_late: bool
    ) -> None:
        after = trial_rules.ended(before, state, {"ended": time.time(), **fields})
        if before.state is not TrialState.RUNNING and not keep_late:
            trial_rules.check_may_follow(before, after)
        if after not in self._unsaved:
            self._unsaved.append(after)

    def save(self) -> None:
        """Write the results that could not be written when they came.

        Raises
        ------
        StorageError
            If they still cannot be.
        """
        while self._unsaved:
            trial = self._unsaved[0]
            self.store.write(partial(trial_rules.end_later, after=trial))
            self._unsaved.remove(trial)

    def add(self, points: Sequence[Params], results: Sequence[dict[str, Any]], once: bool) -> None:
        """Add trials that have ended elsewhere.

        Parameters
        ----------
        points, results
            Parameters, and how they ended, as fields of Trial.
        once
            Only those that the study does not hold as often already.

        Raises
        ------
        StorageError
            If they cannot be saved; then nothing is added.
        """
        new = [
            Trial(0, dict(point), origin="added", **fields)
            for point, fields in zip(points, results, strict=True)
        ]
        self._write(lambda draft: trial_rules.add(draft, new, once))

    def fill(self, trials: Sequence[Trial]) -> None:
        """Begin with the trials of a copy."""
        self._write(lambda draft: trial_rules.fill(draft, trials))

    def _write(self, change: Callable[[Draft], T]) -> T:
        self.save()
        return self.store.write(change)

    def _plan(self, change: Callable[[Draft], T]) -> T:
        """Write what would be the same again if the power failed now: who does what next."""
        self.save()
        return self.store.write(change, durable=False)

    def _keep_alive(self) -> None:
        """Renew the leases of our trials, from a thread, for as long as we have any."""
        if self.store.is_shared and (self._heart is None or not self._heart.is_alive()):
            self._heart = threading.Thread(
                target=_beat, args=(weakref.ref(self),), name="bayesopt leases", daemon=True
            )
            self._heart.start()

    def renew_leases(self) -> bool:
        """Show other machines that we live; False if we hold no trial."""
        by = self._us
        return self.store.write(lambda draft: trial_rules.renew_leases(draft, by), durable=False)


def _last_waited_for(record: Record) -> float:
    """Until when a point that is being chosen is waited for: its owner may be stopped."""
    return record.lease_until - trial_rules.LEASE + _PATIENCE_WITH_CHOOSERS


def _beat(ledger: "weakref.ref[Ledger]") -> None:
    """Renew until there is nothing to renew; the thread must not keep a ledger alive."""
    while True:
        time.sleep(trial_rules.LEASE / 4)
        present = ledger()
        if present is None or not _renewed(present):
            return
        del present


def _renewed(ledger: Ledger) -> bool:
    """Whether to go on: for as long as the ledger holds something and no other thread renews."""
    try:
        if ledger.renew_leases():
            return True
        ledger._heart = None  # what is claimed from now on starts another thread
        if not ledger.renew_leases() or ledger._heart is not None:
            return False
        ledger._heart = threading.current_thread()
    except StorageError as error:
        _log.warning("Leases could not be renewed: %s", error)
    return True


def _what_to_do(error: StorageError, number: int, fields: dict[str, Any]) -> str:
    evaluation = fields.get("evaluation")
    if isinstance(evaluation, Evaluation):
        result = f"the value {evaluation.value!r}"
    else:
        result = f"failed: {shorten(str(fields.get('reason')), 200)}"
    return (
        f"{error} The result of trial {number} ({result}) is kept in memory. Mend the storage, "
        f"then call `study.save()` or go on with this study, which saves it first; or tell it in "
        f"another process, as trial {number}."
    )
