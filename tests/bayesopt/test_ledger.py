"""Who works on which trial: claims, leases, late results, and results that cannot be saved."""

import gc
import os
import pickle
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from forked import exit_code, forked, kill_self
from sqlalchemy.exc import OperationalError
from threads import in_threads

from bayesopt import trial_rules
from bayesopt.ledger import Ledger
from bayesopt.storage import engine
from bayesopt.storage.database import Database
from bayesopt.storage.memory import Memory
from bayesopt.storage.owner import Holder
from bayesopt.storage.records import StorageError
from bayesopt.trial import Evaluation, Seen, Trial, TrialState

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
COMPLETE, FAILED, RUNNING = TrialState.COMPLETE, TrialState.FAILED, TrialState.RUNNING
on_postgres = pytest.param("postgres", marks=pytest.mark.postgres)


@pytest.fixture(params=["memory", "sqlite", on_postgres])
def another(request, tmp_path):
    """Opens a ledger of the study, each with a store of its own where it is shared."""
    memory = Memory()

    def opened(**kwargs):
        if request.param == "memory":
            return Ledger(memory, **kwargs)
        return Ledger(Database(where, "s", {}), **kwargs)

    if request.param == "sqlite":
        where = tmp_path / "runs.db"
    elif request.param == "postgres":
        where = request.getfixturevalue("postgres_url")
    return opened


@pytest.fixture
def file(tmp_path):
    return lambda **kwargs: Ledger(Database(tmp_path / "runs.db", "s", {}), **kwargs)


def chosen(ledger, x, distinct=True, claim=None):
    claim = claim or ledger.claim()
    return ledger.commit(claim, Trial(claim.number, {"x": x}, origin="random"), distinct)


def tell(ledger, number, value):
    ledger.end(number, COMPLETE, evaluation=Evaluation(value))


def values(ledger):
    ledger.refresh()
    return [trial.value for trial in ledger.trials]


def as_owner(ledger, **changes):
    """Let all that the ledger does come from elsewhere."""
    ledger._holder = SimpleNamespace(owner=replace(Holder().owner, **changes))
    return ledger


def on_other_host(ledger):
    return as_owner(ledger, host="elsewhere", boot="another")


def own_pid_namespace(ledger):
    return as_owner(ledger, namespace="pid:[1]")


def expire(ledger):
    def change(draft):
        for number in draft.open:
            draft.put(replace(draft[number], lease_until=draft.now - 1.0))

    ledger.store.write(change)


def dead():
    child = forked(lambda: None)
    assert exit_code(child) == 0
    return child


# ---- claims


def test_numbers_are_claimed_in_order(another):
    ledger, other = another(), another()
    free = other.claim().number
    as_owner(another(), pid=dead()).take({"x": 0.5})
    other.give_back(free)
    given = [{"x": 0.1}, {"x": 0.2}]
    first = ledger.claim(given)
    assert (first.number, first.trial.params, first.trial.attempt) == (1, {"x": 0.5}, 2)
    second = ledger.claim(given)
    assert (second.number, second.trial.params, second.trial.origin) == (0, {"x": 0.1}, "given")
    third = other.claim(given)
    assert (third.number, third.trial.params) == (2, {"x": 0.2})
    fourth = ledger.claim(given)
    assert (fourth.number, fourth.trial) == (3, None)
    assert fourth.seen == Seen(4, (0, 1, 2), ()) and len(fourth.known) == 3


def test_a_given_point_is_evaluated_as_often_as_it_is_given(another):
    ledger, given = another(), [{"x": 1}, {"x": 1}, {"x": True}, {"x": 1.0}]
    ledger.add([{"x": 1}], [{"state": COMPLETE, "evaluation": Evaluation(1.0)}], once=True)
    points = [repr(ledger.claim(given).trial.params["x"]) for _ in range(3)]
    assert points == ["1", "True", "1.0"] and ledger.claim(given).trial is None


def test_the_limit_counts_what_is_running_but_not_what_was_asked_by_hand(another):
    ledger, other = another(), another()
    by_hand = chosen(ledger, 0.0).number
    running = [chosen(ledger, x).number for x in (1.0, 2.0)]
    assert other.claim(limit=3) is None
    assert ledger.claim(limit=2, running=running) is None
    third = ledger.claim(limit=3, running=running)
    assert third.number == 3
    chosen(ledger, 3.0, claim=third)
    assert ledger.claim(limit=3, running=[*running, 3]) is None
    tell(ledger, by_hand, 0.0)
    assert ledger.claim(limit=4, running=[*running, 3]) is None
    assert other.claim(limit=5).number == 4


def test_one_of_several_claimants_gets_a_dead_ones_trial(another):
    gone = as_owner(another(), pid=dead())
    chosen(gone, 0.5)
    ledgers = [another() for _ in range(5)]
    claims = in_threads(*[lambda ledger=ledger: ledger.claim([{"x": 1}] * 9) for ledger in ledgers])
    assert sorted(claim.number for claim in claims) == [0, 1, 2, 3, 4]
    assert [claim.trial.attempt for claim in claims if claim.number == 0] == [2]


def test_one_of_several_processes_gets_the_trial_of_one_that_was_killed(file):
    def die():
        file().take({"x": 0.5})
        kill_self()

    assert exit_code(forked(die)) == -9

    def claim():
        ledger = file()
        number = ledger.claim([{"x": 0.5}, {"x": 1.0}, {"x": 1.0}, {"x": 1.0}]).number
        tell(ledger, number, float(os.getpid()))

    children = [forked(claim) for _ in range(4)]
    assert [exit_code(child) for child in children] == [0] * 4
    trials = file().trials
    assert {trial.value for trial in trials} == set(map(float, children))
    assert [trial.attempt for trial in trials] == [2, 1, 1, 1]
    assert [trial.params["x"] for trial in trials] == [0.5, 1.0, 1.0, 1.0]


# ---- whether an owner is there


def is_taken_over(another, owner):
    number = owner.take({"x": 0.5}).number
    claim = another().claim()
    assert claim.trial is None or claim.number == number
    return claim.trial is not None


def test_the_trial_of_a_living_process_is_left_to_it(another):
    parent = as_owner(another(), pid=os.getppid())
    started = Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()[19]
    parent._holder.owner = replace(parent._holder.owner, started=started)
    assert not is_taken_over(another, parent)
    assert not is_taken_over(another, another())


def test_a_process_whose_number_was_used_again_is_gone(another):
    assert is_taken_over(another, as_owner(another(), pid=os.getppid(), started="1"))


def test_a_process_that_has_ended_but_was_not_waited_for_is_gone(file):
    child = forked(lambda: file().take({"x": 0.5}))
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    claim = file().claim()
    assert (claim.number, claim.trial.attempt) == (0, 2)
    assert exit_code(child) == 0


def test_a_study_that_is_gone_within_this_process_leaves_its_trials(another):
    ledger = another()
    ledger.take({"x": 0.5})
    assert another().claim().trial is None
    del ledger
    gc.collect()
    assert another().claim().number == 0


def test_a_copy_of_a_study_is_another_owner(another):
    ledger = another()
    ledger.take({"x": 0.5})
    again = pickle.loads(pickle.dumps(ledger))
    assert again.claim().number == 1 and len(again.trials) == 1


def test_another_host_has_its_trial_until_the_lease_runs_out(another):
    far = on_other_host(another())
    far.store.one_machine = False
    far.take({"x": 0.5})
    near = another()
    near.store.one_machine = False
    assert near.claim().trial is None
    expire(far)
    assert far.renew_leases() and near.claim().trial is None
    expire(far)
    claim = near.claim()
    assert (claim.number, claim.trial.attempt) == (0, 2)
    assert not far.renew_leases()


def test_containers_of_one_machine_have_leases_too(file):
    within = own_pid_namespace(file())
    within.take({"x": 0.5})
    assert file().claim().trial is None
    expire(within)
    assert file().claim().number == 0


def test_a_file_on_a_machine_that_was_started_anew_has_no_owners(file):
    assert is_taken_over(file, on_other_host(file()))


def test_leases_are_renewed_for_as_long_as_a_trial_is_held(file, monkeypatch):
    monkeypatch.setattr(trial_rules, "LEASE", 0.2)
    within = own_pid_namespace(file())
    number = within.take({"x": 0.5}).number
    heart = within._heart
    other = file()
    for _ in range(4):
        time.sleep(0.1)
        claim = other.claim()
        assert claim.trial is None
        other.give_back(claim.number)
    tell(within, number, 1.0)
    heart.join(2.0)
    assert not heart.is_alive() and within._heart is None
    within.take({"x": 0.6})
    assert within._heart.is_alive() and within._heart is not heart
    heart = within._heart
    del within
    gc.collect()
    heart.join(2.0)
    assert not heart.is_alive()


def test_a_lease_claimed_while_the_thread_that_renews_is_ending_is_renewed(file, monkeypatch):
    ledger = file()
    renew, calls = ledger.renew_leases, []

    def renew_and_claim():
        calls.append(renew())
        if len(calls) == 1:
            ledger.take({"x": 0.5})
        return calls[-1]

    monkeypatch.setattr(trial_rules, "LEASE", 0.04)
    monkeypatch.setattr(ledger, "renew_leases", renew_and_claim)
    tell(ledger, ledger.take({"x": 0.1}).number, 1.0)
    deadline = time.monotonic() + 5.0
    while len(calls) < 4 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert calls[0] is False and calls[1:4] == [True] * 3 and ledger._heart.is_alive()


def test_a_trial_whose_process_dies_each_time_has_failed(another):
    for attempt in (1, 2):
        ledger = as_owner(another(max_attempts=2), pid=dead())
        claim = ledger.claim([{"x": 0.5}])
        assert (claim.number, claim.trial.attempt) == (0, attempt)
    ledger = another(max_attempts=2)
    assert ledger.claim([{"x": 0.5}]).number == 1
    trial = ledger.trial(0)
    assert (trial.state, trial.reason) == (FAILED, "its process died in 2 attempts")
    assert ledger.n_ended == 1


# ---- results


def test_the_same_result_may_be_told_again_and_another_not(another):
    ledger, other = another(), another()
    number = chosen(ledger, 0.5).number
    tell(ledger, number, 1.0)
    tell(ledger, number, 1.0)
    tell(other, number, 1.0)
    for teller in (ledger, other):
        with pytest.raises(ValueError, match="Trial 0 has ended already"):
            tell(teller, number, 2.0)
        with pytest.raises(ValueError, match="has ended already"):
            teller.end(number, FAILED, reason="diverged")
    assert values(ledger) == values(other) == [1.0]
    with pytest.raises(ValueError, match="has 1 trials, but none is 7"):
        tell(ledger, 7, 1.0)
    claim = ledger.claim()
    with pytest.raises(ValueError, match="point of trial 1 is still being chosen"):
        tell(ledger, claim.number, 1.0)


@pytest.fixture
def reissued(another):
    """A ledger whose trial 0 was taken for dead, and one that has it now."""
    late = as_owner(another(), pid=dead())
    chosen(late, 0.5)
    now = another()
    assert now.claim().trial.attempt == 2
    return late, now


def test_a_late_result_is_kept_as_a_trial_of_its_own(reissued):
    late, now = reissued
    tell(now, 0, 1.0)
    for _ in range(2):
        tell(late, 0, 1.5)
        tell(late, 0, 1.0)
        late.end(0, FAILED, reason="its pool broke")
    assert values(now) == [1.0, 1.5]
    kept = now.trial(1)
    assert (kept.origin, kept.params, kept.seen) == ("late", {"x": 0.5}, None)


def test_a_late_result_that_is_quicker_counts_and_so_does_the_second(reissued):
    late, now = reissued
    tell(late, 0, 1.5)
    tell(now, 0, 1.0)
    assert values(now) == [1.5, 1.0]


def test_a_late_result_of_a_trial_that_was_given_up_is_kept(another):
    late = as_owner(another(max_attempts=1), pid=dead())
    chosen(late, 0.5)
    now = another(max_attempts=1)
    assert now.claim().number == 1
    tell(late, 0, 1.5)
    now.refresh()
    assert [trial.value for trial in now.trials] == [None, 1.5]
    assert now.trial(0).state is FAILED


def test_a_point_that_was_given_out_before_stays_with_its_number(reissued, another):
    late, now = reissued
    now.give_back(0)
    tell(late, 0, 1.5)
    assert values(now) == [1.5]
    assert now.claim().number == 1


# ---- points that are chosen


def test_a_point_that_another_has_taken_meanwhile_is_not_taken_twice(another):
    one, other = another(), another()
    tell(one, chosen(one, 0.1).number, 1.0)
    claim = one.claim()
    assert other.take({"x": 0.5}).number == 2
    assert chosen(one, 0.5, claim=claim) is None
    again = one.claim()
    assert again.number == claim.number and len(again.known) == 2
    assert chosen(one, 0.5, distinct=False, claim=again).number == 1


def test_a_commit_keeps_what_was_seen(another):
    ledger = another()
    chosen(ledger, 0.1)
    claim = ledger.claim()
    trial = chosen(ledger, 0.2, claim=claim)
    assert trial.seen == claim.seen == Seen(2, (0,), ())
    assert another().trial(1) == trial and another().trial(1).state is RUNNING
    assert chosen(ledger, 0.2, claim=claim) == trial


def test_a_number_that_another_has_by_now_is_not_committed(another):
    gone = as_owner(another(), pid=dead())
    claim = gone.claim()
    other = another()
    assert other.claim().number == claim.number
    assert chosen(gone, 0.5, claim=claim) is None
    assert other.trials == []


def test_what_is_given_back_is_up_for_the_next_and_a_given_point_with_it(another):
    ledger, other = another(), another()
    numbers = [ledger.take({"x": 0.1}).number, chosen(ledger, 0.2).number, ledger.claim().number]
    other.give_back(1)
    other.refresh()
    assert len(other.trials) == 2
    for number in numbers:
        ledger.give_back(number)
    claim = other.claim()
    assert (claim.number, claim.trial.params, claim.trial.attempt) == (0, {"x": 0.1}, 1)
    assert chosen(other, 0.3).number == 1 and chosen(other, 0.4).number == 2


def test_a_claim_of_ours_that_was_interrupted_is_taken_up_again(another):
    ledger = another()
    assert ledger.claim().number == ledger.claim().number == 0
    assert ledger.claim([{"x": 1}]).trial.number == 0
    assert ledger.claim().number == 1


def test_who_chooses_waits_for_smaller_numbers(file):
    one, other = file(), file()
    first = one.claim()
    claims = []
    thread = threading.Thread(target=lambda: claims.append(other.claim()))
    thread.start()
    time.sleep(0.15)
    assert claims == []
    chosen(one, 0.5, claim=first)
    thread.join()
    assert [trial.params for trial in claims[0].known] == [{"x": 0.5}]
    assert claims[0].seen == Seen(2, (0,), ())


def test_nobody_waits_for_one_who_is_gone(file):
    as_owner(file(), pid=dead()).claim()
    keeper = file()
    keeper.store.write(lambda draft: trial_rules._put(draft, keeper._us, 1, None))
    assert file().claim().number == 0


# ---- trials from elsewhere


def result(value):
    return {"state": COMPLETE, "evaluation": Evaluation(value)}


def test_what_is_added_once_is_counted(another):
    ledger = another()
    points, results = [{"x": 1}, {"x": 1}, {"x": 2}], [result(5.0), result(5.0), result(6.0)]
    ledger.add(points, results, once=True)
    ledger.add(points, results, once=True)
    another().add([{"x": 1}] * 3, [result(5.0)] * 3, once=True)
    ledger.add([{"x": 2}], [result(6.5)], once=True)
    assert values(ledger) == [5.0, 5.0, 6.0, 5.0, 6.5]
    ledger.add(points[:1], results[:1], once=False)
    assert values(ledger)[5:] == [5.0] and {trial.origin for trial in ledger.trials} == {"added"}
    with pytest.raises(ValueError):
        ledger.add(points, results[:1], once=True)


def test_a_copy_is_filled(another):
    ledger = another()
    ledger.fill([Trial(0, {"x": 1}, **result(5.0)), Trial(2, {"x": 2})])
    assert [trial.number for trial in ledger.trials] == [0, 2] and ledger.n_ended == 1
    assert ledger.claim().trial == Trial(2, {"x": 2})
    assert ledger.claim().number == 1


# ---- results that cannot be saved


def break_store(ledger, error=None):
    def write(change, durable=True):
        raise error or StorageError("the disk is full.")

    patch = pytest.MonkeyPatch()
    patch.setattr(ledger.store, "write", write)
    return patch.undo


def test_results_that_cannot_be_saved_are_kept_and_saved_first(another):
    ledger = another()
    numbers = [ledger.take({"x": x}).number for x in range(3)]
    mend = break_store(ledger)
    with pytest.raises(StorageError, match=r"full.*trial 0 \(the value 7.0\).*study.save\(\)"):
        tell(ledger, 0, 7.0)
    with pytest.raises(StorageError, match=r"trial 1 \(failed: diverged\)"):
        ledger.end(1, FAILED, reason="diverged")
    with pytest.raises(StorageError, match="trial 0"):
        tell(ledger, 0, 7.0)
    with pytest.raises(ValueError, match="has ended already"):
        tell(ledger, 0, 8.0)
    assert ledger.n_ended == 2 and [t.value for t in ledger.trials] == [7.0, None, None]
    for refused in (ledger.claim, ledger.save, lambda: ledger.take({"x": 9})):
        with pytest.raises(StorageError):
            refused()
    mend()
    assert another().n_ended == 0
    tell(ledger, numbers[2], 9.0)
    assert values(another()) == [7.0, None, 9.0] and ledger.n_ended == 3
    assert another().trial(1).reason == "diverged"


def test_a_kept_result_that_was_told_elsewhere_otherwise_stops_nothing(another):
    ledger = another()
    ledger.take({"x": 0})
    mend = break_store(ledger)
    with pytest.raises(StorageError):
        tell(ledger, 0, 7.0)
    mend()
    other = another()
    tell(other, 0, 8.0)
    ledger.refresh()
    assert ledger.n_ended == 1
    ledger.save()
    assert values(ledger) == values(other) == [8.0, 7.0]
    assert ledger.take({"x": 1}).number == 2


def test_a_late_result_that_cannot_be_saved_is_kept(reissued):
    late, now = reissued
    tell(now, 0, 1.0)
    late.refresh()
    mend = break_store(late)
    with pytest.raises(StorageError, match="kept in memory"):
        tell(late, 0, 1.5)
    mend()
    late.save()
    assert values(now) == [1.0, 1.5]


def test_a_result_is_kept_when_the_wait_for_the_storage_is_interrupted(another):
    ledger = another()
    ledger.take({"x": 0})
    mend = break_store(ledger, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        tell(ledger, 0, 7.0)
    mend()
    ledger.save()
    assert values(another()) == [7.0]


class NoAnswer(Exception):
    pass


@pytest.fixture(params=["sqlite", on_postgres])
def losing(request, tmp_path, monkeypatch):
    """A ledger each of whose commits goes through without an answer, the first time."""
    where = tmp_path / "runs.db"
    if request.param == "postgres":
        where = request.getfixturevalue("postgres_url")
    store = Database(where, "s", {})
    dialect, calls = store._engine.dialect, []
    commit = dialect.do_commit

    def lost(connection):
        commit(connection)
        calls.append(connection)
        if len(calls) % 2:
            raise OperationalError("COMMIT", {}, NoAnswer("the server is gone"))

    monkeypatch.setattr(engine, "_NO_ANSWER", ("NoAnswer",))
    monkeypatch.setattr(dialect, "do_commit", lost)
    return Ledger(store)


def test_nothing_is_doubled_when_an_answer_is_lost(losing):
    ledger = losing
    assert ledger.take({"x": 0}).number == 0
    claim = ledger.claim()
    assert claim.number == 1
    assert chosen(ledger, 0.5, claim=claim).number == 1
    assert ledger.claim([{"x": 0}, {"x": 3}]).number == 2
    ledger.give_back(2)
    tell(ledger, 0, 1.0)
    ledger.end(1, FAILED, reason="diverged")
    ledger.add([{"x": 4}, {"x": 4}], [result(4.0)] * 2, once=False)
    ledger.refresh()
    states = [(t.number, t.state, t.value) for t in ledger.trials]
    assert states == [
        (0, COMPLETE, 1.0),
        (1, FAILED, None),
        (2, RUNNING, None),
        (3, COMPLETE, 4.0),
        (4, COMPLETE, 4.0),
    ]
    assert ledger.claim().number == 2
