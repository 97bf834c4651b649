"""A study in a storage: opened again, gone on with, copied, shared, replayed."""

import logging
import os
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from problems import MIXED, SQUARE, bowl, mixed_bowl
from scipy.optimize import LinearConstraint, NonlinearConstraint

import bayesopt as bo
from bayesopt import search_loop
from bayesopt.trial import TrialState

RANDOM = bo.Policy(acquisition="random")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs.db"


def mixed(**params):
    return mixed_bowl(**params)


@pytest.mark.parametrize("noise", [False, "auto"])
@pytest.mark.parametrize("stops", [[1], [5, 6], [9]])
def test_a_resumed_search_is_the_undisturbed_one_bit_for_bit(path, noise, stops):
    whole = bo.minimize(mixed, MIXED, 14, noise=noise, seed=3)
    for n in [*stops, 14]:
        parts = bo.minimize(mixed, MIXED, n, noise=noise, seed=3, storage=path)
    assert parts.study.trials == whole.study.trials
    assert parts.x == whole.x and parts.fun == whole.fun and parts.nfev == 14


def test_an_uncommitted_ask_is_asked_again_alike(path):
    first = bo.Study(SQUARE, noise=False, seed=0, storage=path)
    asked = [first.ask() for _ in range(3)]
    del first
    again = bo.Study.load(storage=path)
    for trial in asked:
        taken = again.ask()
        assert (taken.number, taken.params, taken.attempt) == (trial.number, trial.params, 2)
    assert again.ask().number == 3


def test_a_trial_is_told_by_its_number_in_another_process(path):
    number = bo.Study(SQUARE, seed=0, storage=path).ask().number
    bo.Study(SQUARE, seed=0, storage=path).tell(number, 0.25)
    assert [trial.value for trial in bo.Study.load(storage=path).trials] == [0.25]


def test_a_seed_that_was_drawn_is_kept(path):
    seed = bo.Study(SQUARE, storage=path).seed
    assert bo.Study(SQUARE, storage=path).seed == seed == bo.Study.load(storage=path).seed


def test_what_is_left_open_is_taken_from_the_storage(path):
    made = bo.Study(SQUARE, n_initial=4, policy=RANDOM, seed=5, storage=path)
    again = bo.Study(SQUARE, storage=path)
    assert (again.n_initial, again.policy, again.seed) == (4, RANDOM, 5)
    assert bo.Study(SQUARE, policy=bo.Policy("rbf"), storage=path).policy == bo.Policy("rbf")
    assert made.policy == RANDOM


@pytest.mark.parametrize(
    ("other", "text"),
    [
        ({"space": [(0, 1), (0, 2)]}, r"'x1' was Float\(0.0, 1.0\), now Float\(0.0, 2.0\)"),
        ({"space": bo.Space(x0=bo.Float(0, 1), x1=bo.Float(0, 1))}, "keywords, from a Space"),
        ({"noise": False}, "noise: was 'auto', now False"),
        ({"direction": "maximize"}, "direction: was 'minimize', now 'maximize'"),
        ({"seed": 8}, "seed: was 0, now 8"),
        ({"n_initial": 9}, "n_initial: was 3, now 9"),
        ({"constraints": LinearConstraint([1, 1], -np.inf, 1)}, "constraints: was"),
    ],
)
def test_another_study_under_the_same_name_is_refused(path, other, text):
    bo.Study([(0, 1), (0, 1)], n_initial=3, seed=0, storage=path)
    arguments = {"space": [(0, 1), (0, 1)], "n_initial": 3, "seed": 0, **other}
    with pytest.raises(ValueError, match=f"'study' in .*runs.db.*{text}.*another `name`"):
        bo.Study(storage=path, **arguments)
    bo.Study(storage=path, name="another", **arguments)


def test_studies_of_one_file_are_apart(path):
    for name, n in (("one", 2), ("two", 3)):
        bo.minimize(bowl, SQUARE, n, storage=path, name=name, policy=RANDOM, seed=n)
    assert [len(bo.Study.load(storage=path, name=name).trials) for name in ("one", "two")] == [2, 3]
    with pytest.raises(bo.StorageError, match=r"no study 'three'; it has \['one', 'two'\]"):
        bo.Study.load(storage=path, name="three")


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"name": "x"}, ValueError, "there is no storage"),
        ({"storage": 3}, TypeError, "`storage` is the path of a file or the URL"),
        ({"storage": "runs.db", "name": ""}, ValueError, "`name` must have 1 to 255"),
        ({"storage": "runs.db", "name": "a\0b"}, ValueError, "printable characters"),
        ({"storage": "runs.db", "name": 4}, TypeError, "`name` must be a string"),
        ({"storage": "sqlite://"}, bo.StorageError, "leave `storage` out"),
        (
            {"storage": "no-such-database://host/x"},
            bo.StorageError,
            "no-such-database://.*cannot be",
        ),
        ({"max_attempts": 0}, ValueError, "`max_attempts` must be at least 1"),
    ],
)
def test_bad_arguments_leave_nothing_behind(tmp_path, monkeypatch, arguments, error, text):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=text):
        bo.Study(SQUARE, **arguments)
    assert os.listdir(tmp_path) == []


def test_load_needs_one_place():
    for arguments in ({}, {"path": "a", "storage": "b"}):
        with pytest.raises(TypeError, match="a `path` or a `storage`"):
            bo.Study.load(**arguments)


def test_functions_are_asked_for_again(path, tmp_path):
    def inside(x):
        return x[0] + x[1]

    constraint = NonlinearConstraint(inside, 0.2, 1.0)
    study = bo.Study(SQUARE, constraints=constraint, policy=RANDOM, seed=0, storage=path)
    study.tell(study.ask(), 1.0)
    study.export(tmp_path / "study.json")
    for source in ({"storage": path}, {"path": tmp_path / "study.json"}):
        with pytest.raises(ValueError, match=r"pass `constraints=` \(with .*inside"):
            bo.Study.load(**source)
        loaded = bo.Study.load(**source, constraints=constraint)
        assert loaded.trials == study.trials and loaded.region.constrained


def test_points_to_start_with_are_not_evaluated_twice(path):
    calls = []

    def fun(x):
        calls.append(tuple(x))
        return bowl(x)

    given = [[0.1, 0.2], [0.3, 0.4], [0.1, 0.2]]
    for n in (2, 4, 6):
        result = bo.minimize(
            fun, SQUARE, n, x0=given, storage=path, policy=RANDOM, noise=0.1, seed=0
        )
    assert len(calls) == 6 and sorted(calls[:3]) == sorted(map(tuple, given))
    assert [trial.origin for trial in result.study.trials] == ["given"] * 3 + ["random"] * 3


def test_known_values_are_added_once(path):
    for n in (4, 6):
        result = bo.minimize(
            bowl, SQUARE, n, x0=[[0.1, 0.2], [0.3, 0.4]], y0=[1.0, np.nan], storage=path, seed=0
        )
    assert [trial.origin for trial in result.study.trials].count("added") == 2
    assert result.nfev == 6 and result.n_failed == 1


def test_a_given_point_that_was_interrupted_is_given_again(path):
    calls = []

    def fun(x):
        calls.append(tuple(x))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return bowl(x)

    given = [[0.1, 0.2], [0.3, 0.4]]
    stopped = bo.minimize(fun, SQUARE, 4, x0=given, storage=path, policy=RANDOM, seed=0)
    assert stopped.success is False and stopped.nfev == 1
    bo.minimize(fun, SQUARE, 4, storage=path, seed=0)
    assert calls[1] == calls[2] == (0.3, 0.4)


def test_a_study_in_a_storage_can_be_pickled_and_used_elsewhere(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = bo.Study(SQUARE, policy=RANDOM, seed=0, storage="runs.db")
    copied = pickle.dumps(study)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    copy = pickle.loads(copied)
    copy.tell(copy.ask(), 1.0)
    study.tell(study.ask(), 2.0)
    assert [trial.value for trial in study.trials] == [1.0, 2.0]
    assert study.trials == copy.trials


def test_two_studies_of_one_file_share_what_is_told(path):
    first = bo.Study(SQUARE, policy=RANDOM, noise=False, seed=0, storage=path)
    second = bo.Study(SQUARE, policy=RANDOM, noise=False, seed=0, storage=path)
    trials = [study.ask() for study in (first, second) * 3]
    assert [trial.number for trial in trials] == list(range(6))
    for trial in trials:
        second.tell(trial, bowl([trial.params["x0"], trial.params["x1"]]))
    assert first.trials == second.trials
    assert all(trial.state is TrialState.COMPLETE for trial in first.trials)


@pytest.mark.parametrize("executor", [None, ThreadPoolExecutor])
def test_a_parallel_search_replays_from_what_each_trial_saw(path, executor):
    def slow(x):
        time.sleep(0.02 + 0.05 * x[0])
        return (x[0] - 0.3) ** 2 + (x[1] - 0.6) ** 2

    pool = None if executor is None else executor(3)
    result = bo.minimize(
        slow, SQUARE, 15, noise=False, seed=0, storage=path, n_parallel=3, executor=pool
    )
    study = bo.Study.load(storage=path)
    trials = study.trials
    assert len(trials) == 15 and any(trial.seen.pending for trial in trials)
    for trial in trials:
        assert study.replay(trial) == trial.params == study.replay(trial.number)
    assert len({tuple(trial.params.values()) for trial in trials}) == 15
    assert result.study.trials == trials


def test_what_the_user_chose_cannot_be_replayed():
    study = bo.Study(SQUARE, seed=0)
    trial = study.ask(params=[0.5, 0.5])
    with pytest.raises(ValueError, match="trial 0 was given, not chosen"):
        study.replay(trial)


def test_a_copy_in_a_file_asks_alike_and_keeps_everything(tmp_path):
    study = bo.Study(MIXED, noise=False, seed=1)
    study.run(lambda **p: mixed_bowl(**p) if p["kind"] != "c" else 1 / 0, 9)
    running = study.ask()
    study.export(tmp_path / "study.json")
    copy = bo.Study.load(tmp_path / "study.json")
    assert copy.trials == study.trials
    assert any("ZeroDivisionError" in (trial.traceback or "") for trial in copy.trials)
    again = copy.ask()  # nobody works on it in the copy
    assert (again.number, again.params) == (running.number, running.params)
    assert copy.ask().params == study.ask().params


def test_trials_come_back_from_their_table(tmp_path):
    study = bo.Study(MIXED, noise=False, seed=1, policy=RANDOM)
    study.run(lambda **p: (mixed_bowl(**p), 0.1), 6)
    study.fail(study.ask(), "the oven broke")
    table = study.to_dataframe()
    assert list(table.index) == list(range(7)) and table["state"].iloc[6] == "failed"
    table.to_csv(tmp_path / "trials.csv")
    other = bo.Study(MIXED, noise=False, seed=9)
    for _ in range(2):
        other.add_csv(tmp_path / "trials.csv")
    assert [t.params for t in other.trials] == [t.params for t in study.trials]
    assert [t.evaluation for t in other.trials] == [t.evaluation for t in study.trials]
    assert other.trials[6].reason == "the oven broke"


def test_results_of_another_study_object_come_into_a_running_search(path):
    other = bo.Study(SQUARE, policy=RANDOM, seed=0, storage=path)

    def fun(x):
        if len(other.trials) == 2:
            other.add([[0.5, 0.5]], [0.0])
        return bowl(x)

    result = bo.minimize(fun, SQUARE, 6, storage=path, seed=0)
    assert result.nfev == 6
    assert [trial.origin for trial in result.study.trials].count("added") == 1


def test_a_search_waits_for_the_trials_of_others(path):
    other = bo.Study(SQUARE, policy=RANDOM, seed=0, storage=path)
    trial = other.ask()

    def callback(study, ended):
        if ended.number == 3:
            other.tell(trial, 0.5)

    result = bo.minimize(bowl, SQUARE, 4, storage=path, seed=0, callback=callback)
    assert result.nfev == 4 and [t.number for t in result.study.trials] == [0, 1, 2, 3]


def test_a_timeout_ends_the_waiting(path):
    other = bo.Study(SQUARE, policy=RANDOM, seed=0, storage=path)
    other.ask()
    result = bo.minimize(bowl, SQUARE, 4, storage=path, seed=0, timeout=0.5)
    assert result.nfev == 3 and "timeout" in result.message


def test_a_trial_asked_by_hand_does_not_hold_up_a_search_here():
    study = bo.Study(SQUARE, policy=RANDOM, seed=0)
    by_hand = study.ask()
    study.run(bowl, 4)
    assert study.trials[by_hand.number].state is TrialState.RUNNING
    assert len(study.trials) == 5


def test_failures_are_counted_and_have_their_traceback():
    def fun(x):
        if x[0] > 0.5:
            raise ValueError("too hot")
        return bowl(x)

    result = bo.minimize(fun, SQUARE, 12, policy=RANDOM, noise=False, seed=0)
    assert 0 < result.n_failed < 12
    assert result.failures == {"raised ValueError: too hot": result.n_failed}
    assert f"{result.n_failed} of 12 evaluations failed." in result.message
    failed = [trial for trial in result.study.trials if trial.state is TrialState.FAILED]
    for trial in failed:
        assert 'raise ValueError("too hot")' in trial.traceback
        assert trial.started <= trial.ended


def test_a_callback_that_has_enough_stops_what_runs(path, tmp_path):
    def fun(x):  # the first point is a quick one, the second one is slow
        if x[0] < 0.7:
            while not (tmp_path / "begun").exists():
                time.sleep(0.01)
            return 1.0
        (tmp_path / "begun").touch()
        time.sleep(60.0)
        return 1.0

    def callback(study, trial):
        raise StopIteration

    result = bo.minimize(
        fun,
        [(0, 1)],
        8,
        policy=RANDOM,
        seed=0,
        n_parallel=2,
        callback=callback,
        storage=path,
    )
    assert result.nfev == 1 and "callback" in result.message
    assert [trial.state for trial in result.study.trials] == [TrialState.COMPLETE]


def test_what_happens_is_logged(caplog):
    with caplog.at_level(logging.INFO, logger="bayesopt"):
        bo.minimize(lambda x: bowl(x) if x[0] < 0.5 else 1 / 0, SQUARE, 6, policy=RANDOM, seed=0)
    assert len(caplog.records) == 6
    assert {record.trial for record in caplog.records} == set(range(6))
    assert any("failed: raised ZeroDivisionError" in record.message for record in caplog.records)
    assert any("complete: 0." in record.message for record in caplog.records)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"y0": [1.0]}, ValueError, "`x0` was not given"),
        ({"x0": [3.0, 0.5]}, ValueError, "outside"),
        ({"fun": lambda x, y: 0.0}, TypeError, "does not fit the space"),
    ],
)
def test_what_does_not_fit_the_space_makes_no_study(path, arguments, error, text):
    with pytest.raises(error, match=text):
        bo.minimize(**{"fun": bowl, "space": SQUARE, "n_evals": 3, "storage": path, **arguments})
    assert not path.exists()


def test_a_number_of_points_and_a_point_are_two_questions():
    with pytest.raises(TypeError, match="`n` or `params`, not both"):
        bo.Study(SQUARE, seed=0).ask(2, params=[0.5, 0.5])


@pytest.mark.postgres
def test_no_password_in_what_is_said_of_another_study(postgres_url):
    url = postgres_url.replace("postgres@", "postgres:open-sesame@")
    bo.Study(SQUARE, seed=0, storage=url)
    with pytest.raises(ValueError, match="is another one") as refused:
        bo.Study(SQUARE, seed=1, storage=url)
    assert "open-sesame" not in str(refused.value) and "***" in str(refused.value)


def test_a_trial_that_another_has_ended_does_not_end_the_search(path):
    other = bo.Study(SQUARE, policy=RANDOM, seed=0, storage=path)

    def fun(x):
        running = [t for t in other.trials if t.state is TrialState.RUNNING]
        if running and running[0].number == 1:
            other.fail(running[0], "looked hung")
        return bowl(x)

    result = bo.minimize(fun, SQUARE, 5, storage=path, seed=0)
    trials = result.study.trials
    assert trials[1].reason == "looked hung"
    late = [trial for trial in trials if trial.origin == "late"]
    assert [trial.params for trial in late] == [trials[1].params]


@pytest.mark.parametrize("error", [StopIteration, RuntimeError("my plot failed")])
def test_what_has_ended_is_kept_when_a_callback_ends_the_search(error):
    study = bo.Study(SQUARE, policy=RANDOM, seed=0)
    begun = []

    def callback(study, trial):
        while len(begun) < 3:
            time.sleep(0.01)
        time.sleep(0.3)  # the others end meanwhile
        raise error

    def fun(x):
        begun.append(x)
        return bowl(x)

    with ThreadPoolExecutor(3) as pool:
        try:
            study.run(fun, 9, n_parallel=3, executor=pool, callback=callback)
        except RuntimeError:
            pass
    assert len(begun) == 3
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 3


def test_a_broken_policy_lets_the_running_evaluations_end():
    asked = []

    def acquisition(model, data, X_pending):
        asked.append(len(data.X))
        raise RuntimeError("no acquisition")

    study = bo.Study(SQUARE, policy=bo.Policy(acquisition=acquisition), n_initial=3, seed=0)
    slow = iter([0.0, 0.4, 0.4])

    def fun(x):
        time.sleep(next(slow))
        return bowl(x)

    with ThreadPoolExecutor(3) as pool, pytest.raises(RuntimeError, match="no acquisition"):
        study.run(fun, 9, n_parallel=3, executor=pool)
    assert asked and [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 3


def test_replay_after_an_interrupt_in_parallel():
    study = bo.Study(SQUARE, noise=False, seed=0)
    count = iter(range(100))

    def fun(x):
        if next(count) == 1:
            time.sleep(0.5)
        return bowl(x)

    def enough(study, trial):
        if trial.number == 5:
            raise StopIteration

    with ThreadPoolExecutor(2) as pool:
        study.run(fun, 12, n_parallel=2, executor=pool, callback=enough)
        given_back = [t.number for t in study.trials if t.state is TrialState.RUNNING]
        study.run(fun, 9, n_parallel=2, executor=pool)
    assert given_back == [1]
    for trial in study.trials:
        assert study.replay(trial) == trial.params


def test_what_was_read_is_there_when_the_file_is_not(path, tmp_path):
    study = bo.Study(SQUARE, policy=RANDOM, seed=0, storage=path)
    study.run(bowl, 3)
    trials, running = study.trials, study.ask()
    path.unlink()
    with pytest.raises(bo.StorageError, match="was removed.*kept in memory"):
        study.tell(running, 0.5)
    assert study.trials[:3] == trials and study.trials[3].value == 0.5
    study.export(tmp_path / "study.json")
    assert len(bo.Study.load(tmp_path / "study.json").trials) == 4


def test_a_copy_does_not_take_the_place_of_another_file(path):
    study = bo.Study(SQUARE, policy=RANDOM, seed=0, storage=path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="runs.db' is no copy of a study"):
        study.export(path)
    assert path.read_bytes() == before


def test_whom_a_search_waits_for_is_said(path, monkeypatch, caplog):
    monkeypatch.setattr(search_loop, "_SECONDS_OF_SILENCE", 0.3)
    other = bo.Study(SQUARE, policy=RANDOM, seed=0, storage=path)
    other.ask()
    bo.minimize(bowl, SQUARE, 3, storage=path, seed=0, timeout=1.5)
    said = [record.message for record in caplog.records if "waiting" in record.message]
    assert len(said) == 1 and f"trial 0 (process {os.getpid()} on " in said[0]


def test_threads_that_run_one_study_do_not_exceed_the_number():
    study = bo.Study(SQUARE, policy=RANDOM, seed=0)
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(study.run, bowl, 30) for _ in range(4)]:
            done.result()
    assert [trial.number for trial in study.trials] == list(range(30))


def test_an_exhausted_space_is_waited_for_until_others_have_ended(path):
    space = bo.Space(n=bo.Int(0, 3))
    other = bo.Study(space, noise=False, policy=RANDOM, seed=0, storage=path)
    trial = other.ask()
    with ThreadPoolExecutor(1) as pool:
        search = pool.submit(bo.minimize, float_of, space, 9, noise=False, seed=0, storage=path)
        while len(other.trials) < 4:
            time.sleep(0.02)
        time.sleep(0.3)
        assert not search.done()
        other.tell(trial, 0.5)
        assert search.result().nfev == 4


def float_of(n):
    return float(n)


def test_many_that_fail_alike_at_once_stop_the_search():
    together = threading.Barrier(8)
    calls = []

    def fun(x):
        calls.append(x)
        together.wait(30)
        raise ValueError("no licence")

    study = bo.Study(SQUARE, policy=RANDOM, seed=0)

    def slow_asking(number, known):
        time.sleep(0.1)  # several end while the next point is chosen
        return choose(number, known)

    choose, study._choose = study._choose, slow_asking
    with ThreadPoolExecutor(8) as pool, pytest.raises(bo.AllEvaluationsFailed, match="no licence"):
        try:
            study.run(fun, 24, n_parallel=8, executor=pool)
        finally:
            together.abort()
    assert len(calls) <= 16
