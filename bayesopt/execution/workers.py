"""Who evaluates: this process, a process per trial, or an executor."""

import time
from collections.abc import Mapping
from typing import Any, Protocol

from bayesopt.execution.executors import OnExecutor
from bayesopt.execution.objective import Calling, Finished, Objective, call
from bayesopt.execution.trial_processes import ProcessPerTrial


class Workers(Protocol):
    """What evaluates; nothing that the function does is raised here.

    Attributes
    ----------
    capacity
        How many evaluations may be started before one has finished.
    """

    capacity: int

    @property
    def running(self) -> set[int]:
        """Keys of what was started and has not been given back by `finished`."""
        ...

    def start(self, key: int, params: Mapping[str, Any]) -> None:
        """Begin one evaluation."""
        ...

    def finished(self, timeout: float | None) -> list[Finished]:
        """What ended; waits until something has, or so many seconds. Empty if nothing runs."""
        ...

    def ended(self) -> list[Finished]:
        """What has ended already, without waiting and without evaluating."""
        ...

    def close(self) -> None:
        """Stop what runs, and give everything back."""
        ...


class Here:
    """Evaluations in the thread that calls `finished`; KeyboardInterrupt and SystemExit go through.

    Parameters
    ----------
    fun
        The function.
    calling
        How it is called and read.
    """

    capacity = 1

    def __init__(self, fun: Objective, calling: Calling) -> None:
        self._fun, self._calling = fun, calling
        self._started: dict[int, Mapping[str, Any]] = {}

    @property
    def running(self) -> set[int]:
        """Keys of what was started and has not been given back by `finished`."""
        return set(self._started)

    def start(self, key: int, params: Mapping[str, Any]) -> None:
        """Begin one evaluation."""
        self._started[key] = params

    def finished(self, timeout: float | None) -> list[Finished]:
        """Evaluate what was started; nothing here can end it after `timeout`."""
        done = []
        for key, params in list(self._started.items()):
            start = time.perf_counter()
            outcome = call(self._fun, self._calling, params)
            done.append(Finished(key, outcome, time.perf_counter() - start))
            del self._started[key]
        return done

    def ended(self) -> list[Finished]:
        """Nothing: evaluations end within `finished`."""
        return []

    def close(self) -> None:
        """Forget what was started."""
        self._started = {}


def workers_for(
    fun: Objective,
    calling: Calling,
    n_parallel: int,
    executor: object | None,
    trial_timeout: float | None,
) -> Workers:
    """Workers, as the arguments of a search ask for them.

    Parameters
    ----------
    fun
        The function.
    calling
        How it is called and read.
    n_parallel
        How many evaluations run at once.
    executor
        None: here, or in a process per trial when there are several or a `trial_timeout`;
        "process": in a process per trial; or anything with ``submit(fun, *args)``.
    trial_timeout
        Seconds after which one evaluation is stopped, or None.

    Raises
    ------
    TypeError
        If the executor is none of these, or the function cannot be pickled.
    ValueError
        If there is a `trial_timeout` and an executor, which cannot stop what it runs.
    """
    if executor is None and n_parallel == 1 and trial_timeout is None:
        return Here(fun, calling)
    if executor is None or (isinstance(executor, str) and executor == "process"):
        return ProcessPerTrial(fun, calling, n_parallel, trial_timeout)
    if not callable(getattr(executor, "submit", None)) or isinstance(executor, type):
        raise TypeError(
            f"`executor` must be None, 'process' or an object with `submit`, like an executor of "
            f"concurrent.futures or a Client of dask.distributed, but got {executor!r}."
        )
    if trial_timeout is not None:
        raise ValueError(
            f"`trial_timeout` is {trial_timeout!r}, but only executor=None, one process per trial, "
            f"can stop an evaluation; {type(executor).__name__} cannot."
        )
    return OnExecutor(fun, calling, n_parallel, executor)
