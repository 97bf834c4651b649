"""Evaluate on an executor of the user's: threads, processes, Dask, MPI, Slurm jobs."""

import queue
import uuid
from collections import deque
from collections.abc import Mapping
from concurrent.futures import (
    BrokenExecutor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from contextlib import suppress
from time import monotonic
from typing import Any

from bayesopt.execution.objective import (
    Calling,
    Failure,
    Finished,
    Objective,
    Outcome,
    timed_call,
)
from bayesopt.execution.remote import evaluate_pickled, pickled, unpickled

_POLL = 0.1  # seconds between two looks at futures that do not call back
_WATCH = 1.0  # seconds between two looks whether a pool still answers
_GRACE = 2.0  # seconds for a broken pool to say so of each future


class OnExecutor:
    """Evaluations on anything with ``submit(fun, *args)`` that returns futures.

    When a trial breaks a pool of processes, nobody knows which one it was: all that were in flight
    are retried one at a time on a new pool.

    Parameters
    ----------
    fun
        The function; it travels by cloudpickle, unless the executor has threads.
    calling
        How it is called and read.
    capacity
        How many are submitted at once.
    executor
        The executor; it stays the user's to shut down.

    Raises
    ------
    TypeError
        If the function cannot be pickled.
    """

    def __init__(self, fun: Objective, calling: Calling, capacity: int, executor: Any) -> None:
        self.capacity = capacity
        self.running: set[int] = set()
        self._calling = calling
        self._in_threads = isinstance(executor, ThreadPoolExecutor)
        self._fun: Any = fun if self._in_threads else pickled(fun)
        self._one_thread = isinstance(executor, ProcessPoolExecutor)  # others see to it themselves
        self._pool = _Pool(executor)
        self._params: dict[int, Mapping[str, Any]] = {}
        self._waiting: deque[int] = deque()
        self._suspects: deque[int] = deque()
        self._alone: int | None = None  # the suspect that runs by itself now
        self._futures: dict[int, Any] = {}
        self._submitted: dict[int, float] = {}
        self._ended: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()

    def start(self, key: int, params: Mapping[str, Any]) -> None:
        """Begin one evaluation."""
        self.running.add(key)
        self._params[key] = params
        self._waiting.append(key)
        try:
            self._submit_what_may_run()
        except BaseException:
            self._forget(key)
            raise

    def finished(self, timeout: float | None) -> list[Finished]:
        """What ended; waits until something has, or so many seconds.

        Raises
        ------
        RuntimeError
            If the executor is broken and cannot be built anew.
        """
        deadline = None if timeout is None else monotonic() + timeout
        while self.running:
            self._submit_what_may_run()
            left = None if deadline is None else max(deadline - monotonic(), 0.0)
            arrived = [self._settled(*one) for one in self._arrived(left)]
            done = [one for one in arrived if one is not None]
            if done or left == 0.0:
                return done
        return []

    def ended(self) -> list[Finished]:
        """What has ended already."""
        settled = [self._settled(*one) for one in self._arrived(0.0)]
        return [one for one in settled if one is not None]

    def close(self) -> None:
        """Cancel what has not started; what runs is not waited for."""
        for future in self._futures.values():
            with suppress(Exception):
                future.cancel()
        for key in list(self.running):
            self._forget(key)
        self._pool.close()

    def _submit_what_may_run(self) -> None:
        """While there are suspects, one of them and nothing else; otherwise all that wait."""
        if self._pool.broken:
            if self._futures:  # all of them come back broken before long
                return
            self._pool.rebuild()
        if self._suspects:
            if not self._futures:
                self._alone = self._suspects[0]
                self._submit(self._suspects)
            return
        if self._alone in self._futures:
            return
        while self._waiting and not self._pool.broken:
            self._submit(self._waiting)

    def _submit(self, line: deque[int]) -> None:
        """Submit the first of a line; it stays there when the executor turns out to be broken."""
        key = line[0]
        call: tuple[Any, ...]
        if self._in_threads:
            call = (timed_call, self._fun, self._calling, self._params[key])
        else:
            arguments = (self._fun, self._calling, dict(self._params[key]), self._one_thread)
            call = (evaluate_pickled, *arguments, uuid.uuid4().hex)
        try:
            future = self._pool.submit(*call)
        except BrokenExecutor as error:
            self._pool.broken = error
            return
        line.popleft()
        self._futures[key] = future
        self._submitted[key] = monotonic()
        if hasattr(future, "add_done_callback"):
            future.add_done_callback(lambda _: self._ended.put((key, future)))

    def _arrived(self, seconds: float | None) -> list[tuple[int, Any]]:
        """What ended, from those that call back and those that must be asked."""
        asked = {k: f for k, f in self._futures.items() if not hasattr(f, "add_done_callback")}
        until = None if seconds is None else monotonic() + seconds
        while True:
            arrived = [(key, future) for key, future in asked.items() if future.done()]
            left = None if until is None else max(until - monotonic(), 0.0)
            if arrived:
                left = 0.0
            most = _POLL if asked else _WATCH
            with suppress(queue.Empty):
                arrived.append(self._ended.get(timeout=most if left is None else min(left, most)))
                while True:
                    arrived.append(self._ended.get_nowait())
            if not arrived and self._pool.gives_nothing_more():
                arrived = [(key, _lost()) for key, f in self._futures.items() if not f.done()]
            if arrived or left == 0.0:
                return arrived

    def _settled(self, key: int, future: Any) -> Finished | None:
        """What a future gave; None when it is forgotten or will be retried."""
        if key not in self._futures:
            return None
        del self._futures[key]
        seconds = monotonic() - self._submitted[key]
        outcome: Outcome
        try:
            returned = future.result()
            outcome, seconds = returned if self._in_threads else unpickled(returned)
        except BrokenExecutor as error:
            self._pool.broken = error
            others = self._futures or self._suspects or isinstance(error, _Forgotten)
            if self._futures or (others and key != self._alone):
                self._suspects.append(key)
                return None
            outcome = Failure("killed", "its process died and broke the pool of processes")
        except Exception as error:
            kind = type(error).__name__
            outcome = Failure(kind, f"was lost by its executor: {kind}: {error}", error=error)
        self._forget(key)
        return Finished(key, outcome, seconds)

    def _forget(self, key: int) -> None:
        self.running.discard(key)
        for line in (self._waiting, self._suspects):
            with suppress(ValueError):
                line.remove(key)
        known: dict[int, Any]
        for known in (self._params, self._futures, self._submitted):
            known.pop(key, None)


class _Forgotten(BrokenExecutor):
    """A pool broke, and this call may not even have begun."""


def _lost() -> Future[Any]:
    """The future of a call that a broken pool has forgotten."""
    future: Future[Any] = Future()
    future.set_exception(_Forgotten("The pool of processes broke, and never said so."))
    return future


class _Pool:
    """An executor, and the one that replaces it when it breaks.

    A ProcessPoolExecutor that breaks just while something is submitted raises what comes, or
    forgets the call: in Python 3.11 nothing keeps its threads apart then.
    """

    def __init__(self, executor: Any) -> None:
        self._executor, self._is_ours = executor, False
        self.broken: BrokenExecutor | None = None
        self._dead_since: float | None = None

    def submit(self, *call: Any) -> Any:
        try:
            return self._executor.submit(*call)
        except Exception as error:
            if self._is_dead():
                raise BrokenExecutor(f"The pool of processes broke: {error}") from error
            raise

    def _is_dead(self) -> bool:
        if not isinstance(self._executor, ProcessPoolExecutor):
            return False
        thread = getattr(self._executor, "_executor_manager_thread", None)
        has_ended = thread is not None and not thread.is_alive()
        return has_ended or bool(getattr(self._executor, "_broken", False))

    def gives_nothing_more(self) -> bool:
        """Whether it has been broken for so long that no future of it will end."""
        if not self._is_dead():
            self._dead_since = None
            return False
        self._dead_since = self._dead_since or monotonic()
        return monotonic() - self._dead_since > _GRACE

    def rebuild(self) -> None:
        """One like it; raises RuntimeError when that cannot be."""
        old = self._executor
        if type(old) is not ProcessPoolExecutor:
            raise RuntimeError(
                f"The {type(old).__name__} is broken ({self.broken}), and only a "
                "ProcessPoolExecutor can be built anew: pass a new one and go on."
            ) from self.broken
        self._kill_what_is_left()
        self.close()
        like: Any = old
        self._executor = ProcessPoolExecutor(
            max_workers=like._max_workers,
            mp_context=like._mp_context,
            initializer=like._initializer,
            initargs=like._initargs,
            max_tasks_per_child=like._max_tasks_per_child,
        )
        self._is_ours, self.broken, self._dead_since = True, None, None

    def _kill_what_is_left(self) -> None:
        """Workers that a broken pool started too late to end them; it waits for them forever."""
        workers: dict[int, Any] = getattr(self._executor, "_processes", None) or {}
        for worker in list(workers.values()):
            with suppress(Exception):
                worker.kill()

    def close(self) -> None:
        """Shut down what is ours."""
        if self._is_dead():
            self._kill_what_is_left()
        if self._is_ours:
            self._executor.shutdown(wait=False, cancel_futures=True)
