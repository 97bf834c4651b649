"""What happens in the process of one trial."""

import os
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from typing import Any

import threadpoolctl

from bayesopt.execution.objective import Calling
from bayesopt.execution.remote import evaluate_pickled


@dataclass(frozen=True)
class Task:
    """What the process is given.

    Parameters
    ----------
    fun
        The function, pickled.
    calling
        How it is called and read.
    params
        The point.
    environment
        Environment variables of the process that runs the search.
    """

    fun: bytes
    calling: Calling
    params: Mapping[str, Any]
    environment: Mapping[str, str]


def run(task: Task, results: "Connection[Any, Any]") -> None:
    """Evaluate and send what came of it."""
    _stand_alone()
    _take_over(task.environment)
    if "numpy.random" in sys.modules:  # each would draw what the fork server would have drawn
        sys.modules["numpy.random"].seed()
    returned = evaluate_pickled(task.fun, task.calling, task.params, one_thread=True)
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # closed by the function, or none
            stream.flush()
    results.send_bytes(returned)
    results.close()


def _stand_alone() -> None:
    """Begin a session of our own.

    Ctrl-C in the terminal does not come here, and whoever kills the group kills what the function
    has started, too.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform != "win32":
        os.setsid()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # forgets a Ctrl-C that was held back so far
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """Wait for the end of the search, then end this process and all that it has started."""
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    if sys.platform != "win32":
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _take_over(environment: Mapping[str, str]) -> None:
    """Variables of today, not of the time when the fork server started."""
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)
    # A library's own variable counts more than that of OpenMP.
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        wanted = environment.get(name, "")
        if wanted.isdecimal() and int(wanted) > 1:  # the server's BLAS was loaded with one
            threadpoolctl.threadpool_limits(int(wanted), user_api="blas")
            return
