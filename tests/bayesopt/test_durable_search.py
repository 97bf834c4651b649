"""Searches in real processes that are killed, interrupted, or work on one study at once."""

import itertools
import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from multiprocessing import forkserver, get_context

import psutil
import pytest
from searches import GRID, SQUARE, Bowl, Crashing, Hanging, Search, Stuck, read

import bayesopt as bo
from bayesopt.optimize import Effort
from bayesopt.policy import Search as HowHard

QUICK = bo.Policy(search=HowHard(effort=Effort(n_global=64, n_local=32, n_starts=1, max_calls=5)))
OPTIONS = {"n_initial": 5, "max_attempts": 1000, "policy": QUICK}
RANDOM = {"policy": bo.Policy(acquisition="random")}
PATIENCE = 120


@pytest.fixture(scope="module")
def fork_server():
    """Where processes begin that have imported everything already: that takes seconds."""
    context = get_context("forkserver")
    forkserver._forkserver._stop()  # one that another test has started has imported nothing
    needed = ["bayesopt.study", "bayesopt.storage.database", "sqlalchemy.dialects.sqlite"]
    context.set_forkserver_preload(needed)
    first = context.Process()
    first.start()
    first.join()
    yield context
    forkserver._forkserver._stop()
    context.set_forkserver_preload(["__main__"])


@pytest.fixture
def start(fork_server):
    """Start a search in a process."""
    started = []

    def start(search, barrier=None):
        process = fork_server.Process(target=search.run, args=(barrier,))
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.join()


@pytest.fixture
def start_together(fork_server, start):
    barriers = []  # a barrier goes with its last reference here, whoever is still to come to it

    def start_together(searches):
        barriers.append(fork_server.Barrier(len(searches)))
        return [start(search, barriers[-1]) for search in searches]

    return start_together


def finish(search, *processes):
    """How they ended, which is well."""
    for process in processes:
        process.join(PATIENCE)
        assert process.exitcode == 0, "a search process failed or hangs"
    return [search.outcome(process) for process in processes]


def wait_until(holds):
    give_up = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < give_up, "it never came"
        time.sleep(0.01)


def kill(process):
    """Kill -9; whether it still ran. Its workers must not survive it."""
    with suppress(psutil.NoSuchProcess):
        workers = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.join()
        _, alive = psutil.wait_procs(workers, timeout=PATIENCE)
        for worker in alive:
            worker.kill()
        assert not alive
    process.join()
    return process.exitcode == -signal.SIGKILL


def assert_nothing_lost_or_doubled(search):
    told = dict(search.told)
    assert len(told) == len(search.told)
    assert told.items() <= {(trial.number, trial.value) for trial in search.trials}


def assert_replayed(search, trials):
    study = bo.Study.load(storage=search.storage)
    assert [study.replay(trial) for trial in trials] == [trial.params for trial in trials]
    study._ledger.store.close()


def first_attempts(trials):
    return [replace(trial, attempt=1) for trial in trials]


def kill_again_and_again(start, folders, search, n_kills, seconds):
    """Kill searches at random instants until each has finished; what was found in them.

    Yields the search, the trials that ran when a process of it was killed, and what it was doing
    then.
    """
    rng = random.Random(0)
    while n_kills > 0:
        search = search.at(next(folders))
        running, phases = [], []
        while True:
            process = start(search)
            process.join(rng.uniform(0.0, seconds) if n_kills > 0 else PATIENCE)
            if not kill(process):
                break
            assert n_kills > 0, "it hangs"
            n_kills -= 1
            phases.append(search.phase(process))
            if rng.random() < 0.5:  # else the next process is the first to open what is left
                assert_nothing_lost_or_doubled(search)
                running += [t for t in search.trials if t.state is bo.TrialState.RUNNING]
        assert process.exitcode == 0
        assert_nothing_lost_or_doubled(search)
        yield search, running, phases


@pytest.fixture
def folders(tmp_path):
    def fresh():
        for number in itertools.count():
            folder = tmp_path / str(number)
            folder.mkdir()
            yield folder

    return fresh()


@pytest.mark.parametrize(
    ("n_kills", "n_evals"), [(10, 12), pytest.param(200, 30, marks=pytest.mark.slow)]
)
def test_a_search_that_is_killed_again_and_again_ends_as_if_it_had_not_been(
    start, folders, n_kills, n_evals
):
    folder = next(folders)
    search = Search(folder, Bowl(folder, 0.02), n_evals, OPTIONS)
    began = time.monotonic()
    finish(search, start(search))
    seconds = time.monotonic() - began
    undisturbed = search.trials
    assert len(undisturbed) == n_evals
    found = Counter()
    for killed, _, phases in kill_again_and_again(start, folders, search, n_kills, seconds / 4):
        assert first_attempts(killed.trials) == undisturbed
        assert len(killed.evaluated) <= n_evals + len(phases)
        found.update(phases, studies=1)
    print(found)


@pytest.mark.parametrize("n_kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_evaluations_of_a_killed_process_are_given_out_again(start, folders, n_kills):
    folder = next(folders)
    search = Search(folder, Bowl(folder, 0.1), 10, {**OPTIONS, "n_parallel": 2})
    for killed, running, phases in kill_again_and_again(start, folders, search, n_kills, 1.3):
        trials = killed.trials
        assert [trial.number for trial in trials] == list(range(10))
        for before in running:
            assert trials[before.number].params == before.params
            assert trials[before.number].attempt > before.attempt
        assert len(killed.evaluated) <= 10 + 2 * len(phases)
        assert_replayed(killed, trials)
        print(Counter(phases), len(running))


def test_workers_end_with_the_process_that_is_killed(start, tmp_path):
    search = Search(tmp_path, Bowl(tmp_path, 3600.0), 4, {**RANDOM, "n_parallel": 2})
    process = start(search)
    wait_until(lambda: len(search.evaluated) == 2)
    assert kill(process)
    lost = search.evaluated
    quicker = search.quicker()
    finish(quicker, start(quicker))
    assert sorted(search.evaluated[2:4]) == sorted(lost)
    assert [trial.attempt for trial in search.trials] == [2, 2, 1, 1]
    assert_nothing_lost_or_doubled(search)


EIGHT = [(40, GRID, RANDOM), pytest.param(200, SQUARE, {}, marks=pytest.mark.slow)]


def assert_shared(search, outcomes):
    """The trials of several processes are as many as were wanted, and all saw the same end."""
    trials = search.trials
    assert [trial.number for trial in trials] == list(range(search.n_evals))
    assert all(trial.state is bo.TrialState.COMPLETE for trial in trials)
    assert len({tuple(trial.params.values()) for trial in trials}) == search.n_evals
    assert len(search.told) == search.n_evals
    assert_nothing_lost_or_doubled(search)
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert outcomes[0]["nfev"] == search.n_evals
    assert_replayed(search, trials[:: search.n_evals // 20])


@pytest.mark.parametrize(("n_evals", "space", "options"), EIGHT)
def test_eight_processes_on_a_fresh_file(start_together, tmp_path, n_evals, space, options):
    search = Search(tmp_path, Bowl(tmp_path), n_evals, options, space=space)
    assert_shared(search, finish(search, *start_together([search] * 8)))
    assert len(search.evaluated) == n_evals


@pytest.mark.postgres
@pytest.mark.parametrize(("n_evals", "space", "options"), EIGHT)
def test_eight_processes_on_a_fresh_database(
    start_together, tmp_path, postgres_url, n_evals, space, options
):
    search = Search(tmp_path, Bowl(tmp_path), n_evals, options, postgres_url, space)
    assert_shared(search, finish(search, *start_together([search] * 8)))
    assert len(search.evaluated) == n_evals


def test_one_of_eight_is_killed(start_together, tmp_path):
    search = Search(tmp_path, Bowl(tmp_path, 0.02), 40, RANDOM)
    one = replace(search, fun=Hanging(tmp_path, 0.02))
    victim, *others = start_together([one] + [search] * 7)
    wait_until((tmp_path / "hanging").exists)
    assert kill(victim)
    assert_shared(search, finish(search, *others))
    again = [trial for trial in search.trials if trial.attempt > 1]
    assert [trial.attempt for trial in again] == [2]
    (point,) = [tuple(trial.params.values()) for trial in again]
    counted = Counter(search.evaluated)
    assert counted.pop(point) == 2 and set(counted.values()) == {1}


@pytest.mark.postgres
def test_the_server_is_restarted(start_together, tmp_path, restart_postgres, postgres_url):
    search = Search(tmp_path, Bowl(tmp_path, 0.05), 60, RANDOM, postgres_url)
    processes = start_together([search] * 4)
    wait_until(lambda: len(search.told) > 12)
    restart_postgres()
    assert len(search.told) < 50
    assert_shared(search, finish(search, *processes))
    assert len(search.evaluated) == 60


@pytest.mark.parametrize("executor", ["process", "pool"])
@pytest.mark.parametrize(
    ("how", "reason"), [("segfault", "died by signal 11 (SIGSEGV)"), ("exit", "exit code 3")]
)
def test_workers_that_crash(start, tmp_path, executor, how, reason):
    options = {**RANDOM, "n_parallel": 2, "executor": executor}
    search = Search(tmp_path, Crashing(tmp_path, how=how), 12, options)
    (outcome,) = finish(search, start(search))
    large = [trial for trial in search.trials if trial.params["x"] > 0.6]
    assert len(large) > 1
    assert [trial for trial in search.trials if trial.state is bo.TrialState.FAILED] == large
    ((told, count),) = outcome["failures"].items()
    assert count == len(large)
    assert (reason if executor == "process" else "broke the pool") in told
    assert outcome["nfev"] == 12 and outcome["success"]


SIGNALS = {
    signal.SIGINT: "Interrupted by the user.",
    signal.SIGTERM: "Stopped by SIGTERM.",
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    search = Search(folder, Bowl(folder), 10, OPTIONS)
    search.minimize()
    return search.trials


@pytest.mark.parametrize("n_parallel", [1, 3])
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_a_search_and_it_can_go_on(start, tmp_path, undisturbed, number, n_parallel):
    search = Search(tmp_path, Stuck(tmp_path), 10, {**OPTIONS, "n_parallel": n_parallel})
    process = start(search)
    wait_until(lambda: len(read(tmp_path / "stuck")) == n_parallel)
    workers = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, number)
    (outcome,) = finish(search, process)
    _, alive = psutil.wait_procs(workers, timeout=PATIENCE)
    assert not alive
    assert not outcome["success"] and outcome["message"].startswith(SIGNALS[number])
    values = [value for _, value in search.told]
    assert outcome["nfev"] == len(values) and outcome["fun"] == min(values)
    last = max(number for number, _ in search.told)
    assert all(number < last for number in outcome["running"])  # later numbers are given back
    quicker = search.quicker()
    finish(quicker, start(quicker))
    assert_nothing_lost_or_doubled(search)
    if n_parallel == 1:
        assert search.trials == undisturbed
    else:
        assert first_attempts(search.trials) == search.trials and len(search.trials) == 10
