"""Executors of the user's: threads, pools that break, Dask, MPI and Slurm by their shape."""

import multiprocessing
import os
import pickle
import threading
import time
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from concurrent.futures import ThreadPoolExecutor as Threads

import pytest

from bayesopt.execution import executors
from bayesopt.execution.executors import OnExecutor
from bayesopt.execution.objective import Calling
from bayesopt.execution.trial_processes import ProcessPerTrial
from bayesopt.execution.workers import Here, workers_for
from bayesopt.space import Space
from bayesopt.trial import Evaluation

LINE = Calling.of(Space.of([(0, 1)]))


def finish(workers, points):
    """Start all points (n,) at once; what they gave, in their order."""
    for key, x in enumerate(points):
        workers.start(key, {"x0": x})
    assert workers.running == set(range(len(points)))
    given = {}
    while workers.running:
        given.update((one.key, one.outcome) for one in workers.finished(None))
    return [given[key] for key in range(len(points))]


def outcomes(fun, points, executor, capacity=4):
    workers = OnExecutor(fun, LINE, capacity, executor)
    try:
        return finish(workers, points)
    finally:
        workers.close()


def squares(points):
    return [Evaluation(x**2) for x in points]


def test_threads_call_the_function_itself():
    lock, names = threading.Lock(), set()

    def fun(x):
        with lock:
            names.add(threading.current_thread().name)
        return x[0] ** 2

    with Threads(2, thread_name_prefix="mine") as executor:
        assert outcomes(fun, [0.1, 0.2, 0.3], executor) == squares([0.1, 0.2, 0.3])
    assert names and all(name.startswith("mine") for name in names)


def test_leaving_a_thread_leaves_the_trial():
    def fun(x):
        raise SystemExit(3)

    with Threads(1) as executor:
        assert outcomes(fun, [0.1], executor)[0].reason == "raised SystemExit: 3"


def test_waiting_ends_after_its_time_and_closing_waits_for_nothing():
    release = threading.Event()
    with Threads(1) as executor:
        workers = OnExecutor(lambda x: release.wait(20) and 1.0, LINE, 2, executor)
        assert workers.finished(None) == []
        workers.start(0, {"x0": 0.1})
        workers.start(1, {"x0": 0.2})
        assert workers.finished(0.01) == [] and workers.running == {0, 1}
        workers.close()
        assert workers.running == set() and executor._work_queue.qsize() <= 1
        release.set()
    assert workers.finished(None) == []


@pytest.fixture
def pool():
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("forkserver")) as executor:
        yield executor


def test_a_pool_takes_lambdas(pool):
    scale = 3.0
    assert outcomes(lambda x: scale * x[0], [0.5, 1.0], pool) == [Evaluation(1.5), Evaluation(3.0)]
    failure = outcomes(lambda x: 1 / 0, [0.5], pool)[0]
    assert failure.kind == "ZeroDivisionError" and "in <lambda>" in failure.traceback


def test_a_broken_pool_is_rebuilt_and_the_innocent_are_retried(pool, tmp_path):
    def fun(x):
        with open(tmp_path / f"{x[0]}", "a") as file:
            file.write("x")
        time.sleep(0.05)
        if x[0] in (0.2, 0.4):
            os._exit(1)
        return x[0] ** 2

    workers = OnExecutor(fun, LINE, 5, pool)
    points = [0.1, 0.2, 0.3, 0.4, 0.5]
    given = finish(workers, points)
    assert [one.kind for one in (given[1], given[3])] == ["killed"] * 2
    assert [given[0], given[2], given[4]] == squares([0.1, 0.3, 0.5])
    again = finish(workers, [0.6, 0.7])
    workers.close()
    assert again == squares([0.6, 0.7])
    for x in (0.2, 0.4):  # once in company, once alone
        assert len((tmp_path / f"{x}").read_text()) <= 2
    with pytest.raises(BrokenExecutor):
        pool.submit(int)


def test_one_that_breaks_a_pool_alone_is_not_tried_again(pool, tmp_path):
    def fun(x):
        with open(tmp_path / "calls", "a") as file:
            file.write("x")
        os._exit(1)

    (failure,) = outcomes(fun, [0.1], pool)
    assert failure.kind == "killed" and (tmp_path / "calls").read_text() == "x"


def test_a_pool_that_was_broken_before_is_rebuilt_like_it(pool):
    with pytest.raises(BrokenExecutor):
        pool.submit(os._exit, 1).result()
    workers = OnExecutor(lambda x: x[0] ** 2, LINE, 2, pool)
    assert finish(workers, [0.1, 0.2]) == squares([0.1, 0.2])
    ours = workers._pool._executor
    assert ours is not pool and ours._max_workers == 2
    assert ours._mp_context.get_start_method() == "forkserver"
    workers.close()
    with pytest.raises(RuntimeError, match="after shutdown"):
        ours.submit(int)


class Broken(Executor):
    def submit(self, fun, /, *args):
        raise BrokenExecutor("no nodes left")


def test_another_broken_executor_must_be_replaced_by_the_user():
    workers = OnExecutor(lambda x: 1.0, LINE, 2, Broken())
    with pytest.raises(RuntimeError, match="Broken is broken .no nodes left.*pass a new one"):
        workers.start(0, {"x0": 0.1})
        workers.finished(None)
    workers.close()


class LikeMPI(Executor):
    """As `mpi4py.futures.MPIPoolExecutor`: plain pickle, futures of the standard library."""

    def __init__(self):
        self.sent = []

    def submit(self, fun, /, *args):
        future = Future()
        self.sent.append(pickle.dumps((fun, args)))
        called, given = pickle.loads(self.sent[-1])
        returned = pickle.loads(pickle.dumps(called(*given)))
        threading.Timer(0.01, future.set_result, [returned]).start()
        return future


def test_an_executor_like_that_of_mpi_evaluates_equal_points_apart():
    executor = LikeMPI()
    assert outcomes(lambda x: x[0] ** 2, [0.5, 0.5], executor) == squares([0.5, 0.5])
    assert executor.sent[0] != executor.sent[1]  # an executor that merges equal calls sees two


class Job:
    """As a job of submitit: it is asked whether it is done."""

    def __init__(self, call):
        self._call, self._looks, self.cancelled = call, 0, False

    def done(self, force_check=False):
        self._looks += 1
        return self._looks > 2

    def result(self):
        fun, args = self._call
        if isinstance(args[2], dict) and args[2]["x0"] > 0.8:
            raise RuntimeError("Job 17 was preempted")
        return fun(*args)

    def cancel(self, check=True):
        self.cancelled = True


class LikeSubmitit:
    def __init__(self):
        self.jobs = []

    def submit(self, fun, *args, **kwargs):
        self.jobs.append(Job((fun, args)))
        return self.jobs[-1]


def test_jobs_like_those_of_submitit_give_results_and_failures():
    executor = LikeSubmitit()
    good, lost = outcomes(lambda x: x[0] ** 2, [0.5, 0.9], executor)
    assert good == Evaluation(0.25)
    assert lost.kind == "RuntimeError"
    assert lost.reason == "was lost by its executor: RuntimeError: Job 17 was preempted"


def test_closing_cancels_jobs():
    executor = LikeSubmitit()
    workers = OnExecutor(lambda x: 1.0, LINE, 2, executor)
    workers.start(0, {"x0": 0.5})
    workers.close()
    assert workers.running == set() and executor.jobs[0].cancelled


def test_a_cancelled_future_is_a_failure():
    class Cancels(Executor):
        def submit(self, fun, /, *args):
            future = Future()
            future.cancel()
            future.set_running_or_notify_cancel()
            return future

    (failure,) = outcomes(lambda x: 1.0, [0.5], Cancels())
    assert failure.reason.startswith("was lost by its executor: CancelledError")


@pytest.fixture(scope="module")
def dask():
    import distributed

    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"
    ) as cluster:
        with distributed.Client(cluster) as client:
            yield client


def test_dask_evaluates_equal_points_anew(dask, tmp_path):
    def fun(x):
        (tmp_path / f"{time.time_ns()}-{os.getpid()}").touch()
        return x[0] ** 2

    assert outcomes(fun, [0.5, 0.5, 0.25], dask) == squares([0.5, 0.5, 0.25])
    assert len(list(tmp_path.iterdir())) == 3


def test_dask_gives_back_failures(dask):
    def fun(x):
        raise ValueError(f"no {x[0]}")

    (failure,) = outcomes(fun, [0.5], dask)
    assert failure.reason == "raised ValueError: no 0.5" and "in fun" in failure.traceback


def test_the_arguments_say_who_evaluates():
    fun = lambda x: 1.0  # noqa: E731
    assert isinstance(workers_for(fun, LINE, 1, None, None), Here)
    for n_parallel, executor, timeout in [(3, None, None), (1, None, 5.0), (1, "process", None)]:
        workers = workers_for(fun, LINE, n_parallel, executor, timeout)
        assert isinstance(workers, ProcessPerTrial) and workers.capacity == n_parallel
    with Threads(1) as executor:
        workers = workers_for(fun, LINE, 3, executor, None)
        assert isinstance(workers, OnExecutor) and workers.capacity == 3
        with pytest.raises(ValueError, match="`trial_timeout` is 5.0.*ThreadPoolExecutor cannot"):
            workers_for(fun, LINE, 3, executor, 5.0)


@pytest.mark.parametrize("executor", ["processes", 3, Threads, multiprocessing, b"process"])
def test_what_is_no_executor_is_refused(executor):
    with pytest.raises(TypeError, match="must be None, 'process' or an object with `submit`"):
        workers_for(lambda x: 1.0, LINE, 2, executor, None)


def test_a_function_that_cannot_be_sent_is_refused(pool):
    lock = threading.Lock()
    with pytest.raises(TypeError, match="cannot be sent to another process"):
        OnExecutor(lambda x: lock.locked(), LINE, 2, pool)


def test_a_pool_that_breaks_without_a_word_is_noticed(monkeypatch):
    """Python 3.11 may forget what is submitted while it marks the calls of a broken pool."""
    monkeypatch.setattr(executors, "_WATCH", 0.05)
    monkeypatch.setattr(executors, "_GRACE", 0.1)
    with ProcessPoolExecutor(1) as pool:
        real, forgotten = pool.submit, []

        def submit(*call):
            if not forgotten:
                pool._broken = "a process died"
                forgotten.append(Future())
                return forgotten[0]
            return real(*call)

        pool.submit = submit
        workers = OnExecutor(lambda x: x[0], LINE, 2, pool)
        workers.start(0, {"x0": 0.25})
        workers.start(1, {"x0": 0.75})
        done = {}
        while len(done) < 2:
            done |= {one.key: one.outcome for one in workers.finished(None)}
        workers.close()
        pool._broken = False
    assert done == {0: Evaluation(0.25), 1: Evaluation(0.75)}
