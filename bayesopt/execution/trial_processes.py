"""One process per trial: what it does to itself hurts no other trial, and it can be stopped."""

import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from time import monotonic, sleep
from typing import Any

from bayesopt.execution.fresh_process import FreshProcess
from bayesopt.execution.objective import Calling, Failure, Finished, Objective
from bayesopt.execution.process_start import start
from bayesopt.execution.remote import pickled, unpickled
from bayesopt.execution.trial_process import Task, run

_PAUSES = (0.05, 0.2, 0.5)  # seconds between attempts to start a process
GRACE = 2.0
"""Seconds for a process to leave, after SIGTERM or its result, before it is killed."""


class ProcessPerTrial:
    """A fresh process for every evaluation.

    Parameters
    ----------
    fun
        The function; it travels by cloudpickle.
    calling
        How it is called and read.
    capacity
        How many run at once.
    trial_timeout
        Seconds after which one is stopped, counted from the start of its process; None: never.

    Raises
    ------
    TypeError
        If the function cannot be pickled.
    """

    def __init__(
        self, fun: Objective, calling: Calling, capacity: int, trial_timeout: float | None
    ) -> None:
        self.capacity = capacity
        self._fun, self._calling = pickled(fun), calling
        self._trial_timeout = trial_timeout
        self._trials: dict[int, _TrialProcess] = {}
        self._leaving: list[_TrialProcess] = []

    @property
    def running(self) -> set[int]:
        """Keys of what was started and has not been given back by `finished`."""
        return set(self._trials)

    def start(self, key: int, params: Mapping[str, Any]) -> None:
        """Begin one evaluation."""
        task = Task(self._fun, self._calling, params, dict(os.environ))
        for pause in _PAUSES:
            try:
                self._trials[key] = _TrialProcess(key, task, self._trial_timeout)
                return
            except OSError:  # the fork server may have died just now: then another is made
                sleep(pause)
        self._trials[key] = _TrialProcess(key, task, self._trial_timeout)

    def finished(self, timeout: float | None) -> list[Finished]:
        """What ended; waits until something has, or so many seconds."""
        deadline = None if timeout is None else monotonic() + timeout
        while True:
            done = self.ended()
            now = monotonic()
            if done or not self._trials or (deadline is not None and now >= deadline):
                return done
            trials = [*self._trials.values(), *self._leaving]
            due = [trial.due for trial in trials if trial.due is not None]
            until = min(due if deadline is None else [*due, deadline], default=None)
            sources = [source for trial in trials for source in trial.sources()]
            wait(sources, None if until is None else max(until - now, 0.0))

    def ended(self) -> list[Finished]:
        """What has ended already."""
        done = []
        for key, trial in list(self._trials.items()):
            ended = trial.ended()
            if ended is not None:
                done.append(ended)
                self._leaving.append(self._trials.pop(key))
        for trial in [*self._trials.values(), *self._leaving]:
            trial.press()  # after the results: one that waited for us was not late
        self._leaving = [trial for trial in self._leaving if not trial.gone()]
        return done

    def close(self) -> None:
        """Kill what runs."""
        trials = [*self._trials.values(), *self._leaving]
        for trial in self._trials.values():
            trial.kill()
        self._trials, self._leaving = {}, []
        for trial in trials:
            trial.wait_until_gone()


class _TrialProcess:
    """One process, from its start until it is gone.

    `due` is when it is pressed next: asked to end after its time, killed after the grace.
    """

    def __init__(self, key: int, task: Task, trial_timeout: float | None) -> None:
        self._key, self._trial_timeout = key, trial_timeout
        self._results: Connection[Any, Any] | None
        self._results, sending = Pipe(duplex=False)
        try:
            self._process: FreshProcess = start(f"trial {key}", run, (task, sending))
        except BaseException:
            self._results.close()
            raise
        finally:
            sending.close()
        self._started = monotonic()
        self.due = None if trial_timeout is None else self._started + trial_timeout
        self._late = self._finished = False

    def sources(self) -> list[Any]:
        """What becomes ready when something happens here."""
        awaited = self._results is not None and not (self._finished or self._late)
        return [self._process.sentinel, *([self._results] if awaited else [])]

    def press(self) -> None:
        """Send the signal that is due."""
        if self.due is None or monotonic() < self.due:
            return
        if self._finished or self._late:
            self.due = None
            self.kill()
        else:
            self._late = True
            self.due = monotonic() + GRACE
            _send(self._process, signal.SIGTERM)

    def ended(self) -> Finished | None:
        """What the trial gave, if it has."""
        is_gone = bool(wait([self._process.sentinel], 0))  # before the results, which come first
        returned = None if self._late else self._received()
        if returned is None and not is_gone:
            return None
        if returned is None:
            failure = self._failure()
            self.kill()  # what it has started lives on otherwise
            return Finished(self._key, failure, monotonic() - self._started)
        self._finished = True
        self.due = monotonic() + GRACE  # threads of the user's may keep it from leaving
        try:
            return Finished(self._key, *unpickled(returned))
        except Exception as error:
            failure = Failure(type(error).__name__, f"its result cannot be read: {error}")
            return Finished(self._key, failure, monotonic() - self._started)

    def _received(self) -> bytes | None:
        if self._results is None or not self._results.poll():
            return None
        try:
            return self._results.recv_bytes()
        except (EOFError, OSError):  # closed: its end follows, unless the function closed it
            self._results.close()
            self._results = None
            return None

    def _failure(self) -> Failure:
        if self._late:
            return Failure(
                "timeout", f"took longer than the trial_timeout of {self._trial_timeout:g} s"
            )
        code = self._exit_code()
        if code is None or code >= 0:
            return Failure("killed", f"its process ended with exit code {code} before it returned")
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = "unknown"
        why = ", perhaps for want of memory" if name == "SIGKILL" else ""
        return Failure("killed", f"its process died by signal {-code} ({name}){why}")

    def _exit_code(self) -> int | None:
        """A spawned process closes its sentinel a moment before it can be waited for."""
        until = monotonic() + GRACE
        while self._process.exitcode is None and monotonic() < until:
            sleep(0.001)
        return self._process.exitcode

    def kill(self) -> None:
        """End the process and, unless it has returned, all that it has started."""
        if self._finished:
            self._process.kill()
        else:
            _send(self._process, getattr(signal, "SIGKILL", signal.SIGTERM))

    def gone(self) -> bool:
        """Whether the process has ended; its resources are given back then."""
        if self._process.exitcode is None:
            return False
        if self._results is not None:
            self._results.close()
            self._results = None
        self._process.close()
        return True

    def wait_until_gone(self) -> None:
        """`gone`, if need be by force."""
        self._process.join(GRACE)
        self.kill()
        self._process.join(GRACE)
        self.gone()


def _send(process: FreshProcess, number: int) -> None:
    """To the process and all that it has started."""
    if process.pid is None:
        return
    if sys.platform == "win32":
        process.terminate()
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
    if process.exitcode is None:  # it may not have a group yet
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process.pid, number)
