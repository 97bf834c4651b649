"""One process per trial: crashes, time limits, output, threads; nothing is left behind."""

import ctypes
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import psutil
import pytest

from bayesopt.execution import process_start, trial_processes
from bayesopt.execution.objective import Calling, Failure
from bayesopt.execution.remote import THREADS
from bayesopt.execution.trial_processes import ProcessPerTrial
from bayesopt.parameter import Categorical, Float
from bayesopt.space import Space
from bayesopt.trial import Evaluation

LINE = Calling.of(Space.of([(0, 1)]))


def outcomes(fun, points, capacity=2, trial_timeout=None):
    """What the points (n,) gave, in their order."""
    workers = ProcessPerTrial(fun, LINE, capacity, trial_timeout)
    waiting, given = list(enumerate(points)), {}
    try:
        while waiting or workers.running:
            while waiting and len(workers.running) < capacity:
                key, x = waiting.pop(0)
                workers.start(key, {"x0": x})
            given.update((one.key, one.outcome) for one in workers.finished(None))
    finally:
        workers.close()
    return [given[key] for key in range(len(points))]


def outcome(fun, x=0.5, trial_timeout=None):
    return outcomes(fun, [x], trial_timeout=trial_timeout)[0]


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_closure_is_evaluated_in_a_process_each():
    scale = 2.0
    given = outcomes(lambda x: (scale * x[0], os.getpid()), [0.5, 0.25, 1.0])
    assert [one.value for one in given] == [1.0, 0.5, 2.0]
    assert len({one.sd for one in given} | {os.getpid()}) == 4


def test_names_are_passed_as_keywords():
    calling = Calling.of(Space(x=Float(0, 1), kind=Categorical(["a", "b"])))
    workers = ProcessPerTrial(lambda x, kind: x if kind == "b" else -1.0, calling, 1, None)
    workers.start(5, {"x": 0.25, "kind": "b"})
    (done,) = workers.finished(None)
    assert (done.key, done.outcome) == (5, Evaluation(0.25))
    workers.close()


def crash(x):
    ctypes.string_at(0)


@pytest.mark.parametrize(
    ("fun", "reason"),
    [
        (crash, "its process died by signal 11 (SIGSEGV)"),
        (lambda x: os._exit(3), "its process ended with exit code 3 before it returned"),
        (lambda x: os._exit(0), "its process ended with exit code 0 before it returned"),
        (lambda x: os.kill(os.getpid(), 9), "its process died by signal 9 (SIGKILL)"),
    ],
)
def test_a_crash_hurts_one_trial_only(fun, reason):
    given = outcomes(lambda x: fun(x) if x[0] == 0.5 else x[0], [0.0, 0.5, 1.0])
    assert given[1].kind == "killed" and given[1].reason.startswith(reason)
    assert (given[0], given[2]) == (Evaluation(0.0), Evaluation(1.0))


def test_an_exception_comes_back_with_its_traceback():
    class Diverged(RuntimeError):
        pass

    def fun(x):
        raise Diverged("step size")

    failure = outcome(fun)
    assert failure.reason == "raised Diverged: step size"
    assert isinstance(failure.error, Diverged)
    assert "in fun" in failure.traceback and "objective.py" not in failure.traceback


def test_an_exception_that_cannot_be_pickled_comes_back_as_text():
    def fun(x):
        error = ValueError("holds a lock")
        error.lock = threading.Lock()
        raise error

    failure = outcome(fun)
    assert (failure.kind, failure.error) == ("ValueError", None)
    assert "holds a lock" in failure.traceback


def test_results_are_checked_in_the_process():
    failure = outcome(lambda x: threading.Lock())
    assert failure.reason.startswith("returned an unusable result: The value must be a number")


def test_leaving_leaves_the_trial():
    assert outcome(lambda x: sys.exit("enough")).reason == "raised SystemExit: enough"


def test_a_result_of_many_megabytes_does_not_block():
    def fun(x):
        raise ValueError("m" * 20_000_000)

    assert [len(one.reason) for one in outcomes(fun, [0.1, 0.2])] == [20_000_019] * 2


def test_a_function_that_cannot_be_loaded_is_a_failure():
    class Stubborn:
        def __reduce__(self):
            return eval, ("1 / 0",)

        def __call__(self, x):
            return 0.0

    assert outcome(Stubborn()).reason.startswith("could not be loaded in the worker: ZeroDiv")


def test_a_function_that_cannot_be_sent_is_refused_before_anything_runs():
    lock = threading.Lock()
    with pytest.raises(TypeError, match="n_parallel=1.*ThreadPoolExecutor"):
        ProcessPerTrial(lambda x: lock.locked(), LINE, 2, None)


@pytest.fixture
def short_grace(monkeypatch):
    monkeypatch.setattr(trial_processes, "GRACE", 0.3)


def test_a_late_trial_is_stopped_with_all_that_it_started(tmp_path, short_grace):
    outcome(lambda x: 1.0)  # the server runs by now

    def fun(x):
        if x[0] > 0.5:
            return x[0]
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        ignores = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"
        sleeper = subprocess.Popen([sys.executable, "-c", ignores])
        (tmp_path / "pid").write_text(str(sleeper.pid))
        while True:
            time.sleep(1)

    started = time.monotonic()
    late, quick = outcomes(fun, [0.1, 0.9], trial_timeout=1.0)
    assert late == Failure("timeout", "took longer than the trial_timeout of 1 s")
    assert quick == Evaluation(0.9)
    assert time.monotonic() - started > 1.25  # the time and the grace
    wait_for(lambda: is_gone(int((tmp_path / "pid").read_text())))


def test_a_result_that_waited_for_the_search_is_not_late():
    outcome(lambda x: 1.0)  # the server runs by now
    workers = ProcessPerTrial(lambda x: x[0], LINE, 1, 0.5)
    workers.start(0, {"x0": 0.25})
    time.sleep(0.6)
    assert workers.finished(None)[0].outcome == Evaluation(0.25)
    workers.close()


def test_a_late_trial_may_clean_up(tmp_path):
    def fun(x):
        def clean(number, frame):
            (tmp_path / "cleaned").touch()
            sys.exit()

        signal.signal(signal.SIGTERM, clean)
        time.sleep(60)

    assert outcome(fun, trial_timeout=0.5).kind == "timeout"
    assert (tmp_path / "cleaned").exists()


def test_a_crash_ends_what_the_trial_had_started(tmp_path):
    def fun(x):
        (tmp_path / "pid").write_text(str(subprocess.Popen(["sleep", "60"]).pid))
        os.abort()

    assert outcome(fun).reason == "its process died by signal 6 (SIGABRT)"
    wait_for(lambda: is_gone(int((tmp_path / "pid").read_text())))


def test_waiting_ends_after_its_time_and_closing_ends_what_runs(tmp_path):
    def fun(x):
        (tmp_path / str(os.getpid())).touch()
        time.sleep(60)

    workers = ProcessPerTrial(fun, LINE, 2, None)
    assert workers.finished(None) == []
    for key in range(2):
        workers.start(key, {"x0": 0.5})
    wait_for(lambda: len(list(tmp_path.iterdir())) == 2)
    assert workers.finished(0.05) == [] and workers.running == {0, 1}
    workers.close()
    assert workers.running == set()
    assert all(is_gone(int(path.name)) for path in tmp_path.iterdir())


def test_a_thread_that_does_not_end_keeps_nobody_waiting(short_grace):
    def fun(x):
        threading.Thread(target=time.sleep, args=(60,)).start()
        return os.getpid()

    started = time.monotonic()
    pid = int(outcome(fun).value)
    assert is_gone(pid) and time.monotonic() - started < 30


def test_the_function_may_start_processes_of_its_own():
    def fun(x):
        from multiprocessing import get_context

        with get_context("fork").Pool(2) as pool:
            return sum(pool.map(abs, [-1, -2]))

    assert outcome(fun) == Evaluation(3.0)


def test_output_goes_where_ours_goes_today(capfd):
    with capfd.disabled():
        outcome(lambda x: 1.0)  # the server runs by now
    outcome(lambda x: print("to the output", x[0]) or print("to errors", file=sys.stderr) or 1.0)
    assert capfd.readouterr() == ("to the output 0.5\n", "to errors\n")


def test_the_environment_and_the_folder_are_those_of_today(monkeypatch, tmp_path):
    outcome(lambda x: 1.0)  # the server runs by now
    monkeypatch.setenv("OF_TODAY", "7")
    monkeypatch.delenv("HOME")
    monkeypatch.chdir(tmp_path)
    here = str(tmp_path)
    assert outcome(
        lambda x: int(os.environ["OF_TODAY"]) + ("HOME" in os.environ) + 10 * (os.getcwd() == here)
    ) == Evaluation(17.0)


def threads_of_numpy(x):
    import threadpoolctl

    _ = np.ones((2, 2)) @ np.ones((2, 2))
    return max(pool["num_threads"] for pool in threadpoolctl.threadpool_info())


@pytest.mark.parametrize("has_fork_server", [True, False])
@pytest.mark.parametrize(("setting", "threads"), [(None, 1), ("2", 2)])
def test_one_thread_unless_the_environment_says_otherwise(
    monkeypatch, setting, threads, has_fork_server
):
    monkeypatch.setattr(process_start, "HAS_FORK_SERVER", has_fork_server)
    for name in THREADS:
        monkeypatch.delenv(name, raising=False)
    if setting is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", setting)
    assert outcome(lambda x: threads_of_numpy(x)).value == threads


def test_trials_draw_different_numbers():
    given = outcomes(lambda x: (np.random.uniform(), random.random()), [0.5] * 3)
    assert len({one.value for one in given}) == len({one.sd for one in given}) == 3


def test_a_fork_server_that_dies_is_replaced(tmp_path):
    def fun(x):
        if x[0] > 0.5:
            return x[0]
        (tmp_path / "pid").write_text(f"{os.getpid()}\n")
        time.sleep(60)

    workers = ProcessPerTrial(fun, LINE, 1, None)
    workers.start(0, {"x0": 0.5})
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()[-1:] == "\n")
    pid = int((tmp_path / "pid").read_text())
    psutil.Process(pid).parent().kill()
    (done,) = workers.finished(None)
    assert done.outcome.kind == "killed"
    wait_for(lambda: is_gone(pid))
    workers.start(1, {"x0": 0.75})
    assert workers.finished(None)[0].outcome == Evaluation(0.75)
    workers.close()


def test_a_trial_loads_neither_torch_nor_scipy():
    assert outcome(lambda x: len({"torch", "scipy"} & set(sys.modules))) == Evaluation(0.0)


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def test_nothing_is_left_behind():
    def fun(x):
        if x[0] < 0.3:
            os._exit(1)
        return x[0]

    outcomes(fun, [0.1, 0.9])
    open_before, children = descriptors(), len(psutil.Process().children(recursive=True))
    outcomes(fun, list(np.linspace(0, 1, 40)))
    assert descriptors() == open_before
    assert len(psutil.Process().children(recursive=True)) == children


def test_without_a_fork_server_processes_are_spawned(monkeypatch):
    monkeypatch.setattr(process_start, "HAS_FORK_SERVER", False)
    given = outcomes(lambda x: os._exit(4) if x[0] > 0.5 else x[0], [0.5, 0.75])
    assert given[0] == Evaluation(0.5)
    assert given[1].reason == "its process ended with exit code 4 before it returned"


SEARCH = """
    from bayesopt.execution.workers import ProcessPerTrial
    from bayesopt.execution.objective import Calling
    from bayesopt.space import Space
    print("the script runs", flush=True)
    workers = ProcessPerTrial({function}, Calling.of(Space.of([(0, 1)])), 2, None)
    workers.start(0, {{"x0": 0.5}})
    done = workers.finished(None)
    workers.close()
    print(done[0].outcome.value)
"""


def script(function):
    return textwrap.dedent(SEARCH).format(function=function)


@pytest.mark.parametrize("spawn", [False, True])
@pytest.mark.parametrize("as_file", [True, False])
def test_a_script_without_a_guard_runs_once_and_prints_nothing_else(tmp_path, as_file, spawn):
    code = script("lambda x: offset + x[0]").replace("workers =", "offset = 1.0\nworkers =")
    if spawn:
        code = "import bayesopt.execution.process_start as p; p.HAS_FORK_SERVER = False\n" + code
    path = tmp_path / "script.py"
    path.write_text(code)
    done = subprocess.run(
        [sys.executable, *([path] if as_file else ["-"])],
        input=None if as_file else code,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert (done.stdout, done.stderr) == ("the script runs\n1.5\n", "")


def test_the_start_method_is_still_the_users_to_set():
    code = script("lambda x: 1.0") + "import multiprocessing\n"
    code += "multiprocessing.set_start_method('spawn')\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def started_script(function, before=""):
    """A script in a session of its own, past its imports."""
    running = subprocess.Popen(
        [sys.executable, "-c", before + script(function)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert running.stdout.readline() == "the script runs\n"
    return running


def sleeping_script(tmp_path):
    """A script whose trial sleeps, and the pid of the trial."""
    path = tmp_path / "pid"
    function = "lambda x: print(os.getpid(), file=open(path, 'w')) or time.sleep(60)"
    running = started_script(function, f"import os, time; path = {str(path)!r}\n")
    wait_for(lambda: path.exists() and path.read_text().endswith("\n"))
    return running, int(path.read_text())


def test_kill_minus_nine_of_the_search_ends_its_trials(tmp_path):
    running, pid = sleeping_script(tmp_path)
    family = psutil.Process(running.pid).children(recursive=True)
    assert pid in [one.pid for one in family]
    running.kill()
    assert running.communicate()[1] == ""
    wait_for(lambda: is_gone(pid) and all(is_gone(one.pid) for one in family))


def test_ctrl_c_in_the_terminal_reaches_only_the_search():
    handles = "import signal, time; signal.signal(signal.SIGINT, lambda number, frame: None)\n"
    running = started_script("lambda x: time.sleep(0.5) or 3.0", handles)
    for _ in range(40):  # while the server and the trial start, too
        os.killpg(running.pid, signal.SIGINT)
        time.sleep(0.01)
    assert running.communicate() == ("3.0\n", "")


def test_ctrl_c_ends_a_search_with_one_traceback(tmp_path):
    running, pid = sleeping_script(tmp_path)
    os.killpg(running.pid, signal.SIGINT)
    errors = running.communicate()[1]
    assert errors.count("Traceback") == 1 and errors.endswith("KeyboardInterrupt\n")
    wait_for(lambda: is_gone(pid))
