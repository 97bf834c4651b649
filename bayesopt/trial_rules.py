"""What may become of a trial, as changes of a draft: claimed, committed, ended, added.

A number belongs to an owner while its point is chosen and evaluated. When the owner is gone, it is
up for the next one, with its point if it has one already. What has ended never changes: a late
result of a trial that was given out again becomes a trial of its own.

Every function may run twice with the same draft token, where nobody knows whether the first time
got through, and then finds what it has done.
"""

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from bayesopt.budget import CostBudget
from bayesopt.space import Params
from bayesopt.storage.owner import Owner
from bayesopt.storage.records import Draft, Record
from bayesopt.trial import Evaluation, Seen, Trial, TrialState

K = TypeVar("K", bound=Hashable)

LEASE = 60.0
"""Seconds without a sign of life after which another machine's trials are given out again."""

_DIED = "its process died"


@dataclass(frozen=True)
class Claimant:
    """Who asks, and what the store says about others.

    Parameters
    ----------
    owner
        A study of this process.
    one_machine
        Whether all processes of the store are on one machine.
    max_attempts
        How often a trial is given out.
    """

    owner: Owner
    one_machine: bool
    max_attempts: int

    def holds(self, record: Record) -> bool:
        """Whether it is ours."""
        return record.is_open and record.owner == self.owner

    def is_held(self, record: Record, now: float) -> bool:
        """Whether somebody works on it, we or another."""
        if record.owner is None or not record.is_open:
            return False
        if record.owner == self.owner:
            return True
        return not record.owner.is_gone(record.lease_until, now, self.one_machine)


@dataclass(frozen=True)
class Claim:
    """A number of ours: with its trial, or with what is known while its point is chosen.

    Parameters
    ----------
    number
        Position in the study.
    trial
        What to evaluate; None: its point is to be chosen, from the others.
    known
        All trials that had a point when the choice began.
    seen
        What `known` holds, as it is kept with the trial.
    revision
        The last write that `known` holds.
    """

    number: int
    trial: Trial | None
    known: tuple[Trial, ...] = ()
    seen: Seen | None = None
    revision: int = 0


def claim(
    draft: Draft,
    by: Claimant,
    given: Sequence[Params] = (),
    limit: int | None = None,
    running: Collection[int] = (),
    budget: CostBudget | None = None,
) -> Record | None:
    """A number to work on.

    In this order: a trial whose owner is gone; the first of the `given` points that the study does
    not hold as often as it is given; a number whose point is to be chosen.

    Parameters
    ----------
    draft, by
        The study, and who asks.
    given
        Points of the user's.
    limit, running
        Largest number of trials; those that were asked for here by hand, that is, are not
        `running` in the loop that asks, do not count.
    budget
        What may be paid: of the `given` points those that it pays for are taken.

    Returns
    -------
    Record or None
        None where the limit is reached.
    """
    for record in _done_before(draft):
        if by.holds(record):
            return record
    mine = [draft[n] for n in draft.open if by.holds(draft[n])]
    free = [n for n in draft.open if not by.is_held(draft[n], draft.now)]
    for number in free:
        record = draft[number]
        if record.trial is None:
            continue
        died = record.owner is not None  # not given back
        if died and record.trial.attempt >= by.max_attempts:
            draft.put(_given_up(record, draft.now))
            continue
        trial = replace(record.trial, attempt=record.trial.attempt + died)
        return _put(draft, by, number, trial)
    # A point of ours that is still to be chosen is left over: an interrupt came.
    without_point = sorted(
        [n for n in free if draft[n].trial is None] + [r.number for r in mine if r.trial is None]
    )
    by_hand = [r for r in mine if r.trial is not None and r.number not in running]
    if limit is not None and len(draft) - len(without_point) - len(by_hand) >= limit:
        return None
    if budget is not None and given:
        trials = _trials(draft)
        given = [params for params in given if budget.admits(trials, params)]
    wanted = _first_missing(draft, given)
    number = without_point[0] if without_point else len(draft)
    return _put(draft, by, number, None if wanted is None else Trial(number, dict(wanted)))


def take(draft: Draft, by: Claimant, params: Params, budget: CostBudget | None = None) -> Record:
    """A new running trial at a point of the user's; BudgetSpent where it cannot be paid."""
    for record in _done_before(draft):
        return record
    if budget is not None:
        budget.check(_trials(draft), params)
    return _put(draft, by, len(draft), Trial(len(draft), dict(params)))


def claim_together(draft: Draft, by: Claimant, n: int) -> list[Record]:
    """n new numbers whose points are chosen together."""
    claimed = _done_before(draft)
    while len(claimed) < n:
        claimed.append(_put(draft, by, len(draft), None))
    return claimed


def commit(
    draft: Draft,
    by: Claimant,
    claim: Claim,
    trial: Trial,
    distinct: bool,
    budget: CostBudget | None = None,
) -> Trial | None:
    """Make a chosen point the trial of a number that was claimed.

    None where it cannot be, because the point is another's by now, and may not be twice, or others
    have taken what it would be paid from, or the number is another's; it is given back then.
    """
    record = draft[claim.number]
    if not by.holds(record):
        return None
    if record.trial is not None:
        return record.trial if record.trial.params == trial.params else None
    news = draft.newer_than(claim.revision)
    taken = distinct and any(r.trial and r.trial.params == trial.params for r in news)
    if taken or not (budget is None or budget.admits(_trials(draft), trial.params)):
        draft.put(replace(record, owner=None))
        return None
    started = replace(trial, started=draft.now, seen=claim.seen)
    draft.put(replace(record, trial=started, lease_until=draft.now + LEASE))
    return started


def give_back(draft: Draft, by: Claimant, number: int) -> None:
    """Undo a claim: the number is up for the next.

    Its point stays with it where the user gave it, where it was given out before, so that a result
    may still come, and where other points were chosen beside it.
    """
    record, trial = draft[number], draft[number].trial
    if by.holds(record):
        stays = trial is not None and (
            trial.origin == "given" or trial.attempt > 1 or _was_seen(draft, number)
        )
        draft.put(replace(record, owner=None, trial=trial if stays else None))


def _was_seen(draft: Draft, number: int) -> bool:
    later = (record.trial for record in draft if record.trial is not None)
    return any(trial.seen is not None and number in trial.seen.pending for trial in later)


def end(
    draft: Draft,
    number: int,
    state: TrialState,
    fields: Mapping[str, Any],
    keep_late: bool = False,
) -> None:
    """How a trial ended; the same again changes nothing.

    Parameters
    ----------
    draft, number, state, fields
        The study, the trial, and how it ended, as fields of Trial.
    keep_late
        Keep a result as a late one also where somebody else has ended the only attempt.

    Raises
    ------
    ValueError
        If it ended otherwise, in its only attempt.
    """
    record = draft[number]
    before = record.trial
    if before is None:
        raise ValueError(f"Trial {number} was given back; its point is being chosen again.")
    after = ended(before, state, {"ended": draft.now, **fields})
    if before.state is TrialState.RUNNING:
        draft.put(replace(record, trial=after, owner=None, lease_until=0.0))
    else:
        if not keep_late:
            check_may_follow(before, after)
        _keep_late(draft, after)


def check_may_follow(before: Trial, after: Trial) -> None:
    """Raise ValueError where a trial that had one attempt is to end in two ways."""
    given_up = (before.reason or "").startswith(_DIED)
    if not same_result(before, after) and before.attempt == 1 and not given_up:
        raise ValueError(f"Trial {before.number} has ended already: {before}.")


def end_later(draft: Draft, after: Trial) -> None:
    """Record a trial that could not be saved when it ended.

    If its number has ended otherwise meanwhile, or has another point, it is kept as a late one.
    """
    before = draft[after.number].trial if after.number in draft else None
    if before is not None and before.state is TrialState.RUNNING and before.params == after.params:
        record = draft[after.number]
        draft.put(replace(record, trial=after, owner=None, lease_until=0.0))
    else:
        _keep_late(draft, after)


def _keep_late(draft: Draft, late: Trial) -> None:
    """A result that came after another attempt had ended the trial: as a trial of its own."""
    held = (r.trial for r in draft if r.trial is not None and r.trial.params == late.params)
    if late.state is TrialState.COMPLETE and not any(same_result(t, late) for t in held):
        number = len(draft)
        kept = replace(late, number=number, origin="late", hyperparameters=None, seen=None)
        draft.put(Record(number, kept, token=draft.token))


def add(draft: Draft, new: Sequence[Trial], once: bool) -> None:
    """Trials that have ended elsewhere; if `once`, what is held as often already is left out."""
    if _done_before(draft):
        return
    held = _counted((r.trial for r in draft), _result_of) if once else Counter()
    for trial in new:
        if held[_result_of(trial)] > 0:
            held[_result_of(trial)] -= 1
        else:
            number = len(draft)
            draft.put(Record(number, replace(trial, number=number), token=draft.token))


def fill(draft: Draft, trials: Sequence[Trial]) -> None:
    """The trials of a copy; those that were running are up for the next to ask."""
    of_number = {trial.number: trial for trial in trials}
    for number in range(max(of_number, default=-1) + 1):
        draft.put(Record(number, of_number.get(number), token=draft.token))


def renew_leases(draft: Draft, by: Claimant) -> bool:
    """Move the ends of our leases; False if we have none."""
    held = [draft[n] for n in draft.open if by.holds(draft[n])]
    for record in held:
        draft.put(replace(record, lease_until=draft.now + LEASE))
    return bool(held)


def ended(trial: Trial, state: TrialState, fields: Mapping[str, Any]) -> Trial:
    """The trial with its result, and nothing of an earlier one."""
    nothing = {"evaluation": None, "reason": None, "traceback": None}
    return replace(trial, state=state, **{**nothing, **fields})


def same_result(one: Trial, other: Trial) -> bool:
    """Whether two trials ended alike."""
    return (one.state, one.evaluation, one.reason) == (other.state, other.evaluation, other.reason)


def _put(draft: Draft, by: Claimant, number: int, trial: Trial | None) -> Record:
    if trial is not None:
        trial = replace(trial, started=draft.now)
    record = Record(number, trial, by.owner, draft.now + LEASE, draft.token)
    draft.put(record)
    return record


def _trials(draft: Draft) -> list[Trial]:
    return [record.trial for record in draft if record.trial is not None]


def _done_before(draft: Draft) -> list[Record]:
    """What an earlier attempt at the same write has made."""
    return [r for r in draft if r.token == draft.token] if draft.repeated else []


def _given_up(record: Record, now: float) -> Record:
    assert record.trial is not None
    reason = f"{_DIED} in {record.trial.attempt} attempts"
    trial = ended(record.trial, TrialState.FAILED, {"reason": reason, "ended": now})
    return replace(record, trial=trial, owner=None)


def _point_of(trial: Trial) -> Hashable:
    return tuple(sorted(trial.params.items()))  # by names: no two are alike


def _result_of(trial: Trial) -> tuple[Hashable, Evaluation | None, str | None]:
    return _point_of(trial), trial.evaluation, trial.reason


def _counted(trials: Iterable[Trial | None], key: Callable[[Trial], K]) -> Counter[K]:
    return Counter(key(trial) for trial in trials if trial is not None)


def _first_missing(draft: Draft, given: Sequence[Params]) -> Params | None:
    """The first point that stands more often in `given` than in the study."""
    if not given:
        return None
    held = _counted((record.trial for record in draft), _point_of)
    for params in given:
        point = _point_of(Trial(0, params))
        if held[point] == 0:
            return params
        held[point] -= 1
    return None
