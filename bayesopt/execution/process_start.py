"""Start a fresh process in the way that the system offers."""

import multiprocessing
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import spawn
from multiprocessing.process import BaseProcess
from typing import Any

from bayesopt.execution.fresh_process import FreshProcess, preparation

HAS_FORK_SERVER = "forkserver" in multiprocessing.get_all_start_methods()
_one_at_a_time = threading.Lock()


class SpawnedProcess(FreshProcess):
    """A fresh process where there is no fork server: a new interpreter."""

    @staticmethod
    def _Popen(started: BaseProcess) -> Any:
        if sys.platform == "win32":
            from multiprocessing.popen_spawn_win32 import Popen
        else:
            from multiprocessing.popen_spawn_posix import Popen
        usual = spawn.get_preparation_data
        spawn.get_preparation_data = preparation
        try:
            return Popen(started)
        finally:
            spawn.get_preparation_data = usual


def start(name: str, target: Callable[..., None], args: tuple[Any, ...]) -> FreshProcess:
    """Start a process that runs ``target(*args)``; the caller joins and closes it."""
    # Were it no daemon, a script that ends in the middle would wait for it.
    started = _kind()(name=name, target=target, args=args, daemon=True)
    with _one_at_a_time, _signals_held():
        started.start()
    return started


def _kind() -> type[FreshProcess]:
    if not HAS_FORK_SERVER:
        return SpawnedProcess
    from bayesopt.execution.fork_server import ForkedProcess

    return ForkedProcess


@contextmanager
def _signals_held() -> Iterator[None]:
    """Children start with SIGINT and SIGTERM held back: a Ctrl-C kills none half-way."""
    if sys.platform == "win32":
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # would otherwise let them through when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
