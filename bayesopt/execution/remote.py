"""What runs where the function was sent to; a worker imports nothing heavier than NumPy."""

import os
import sys
from collections.abc import Mapping
from typing import Any

import cloudpickle
import threadpoolctl

from bayesopt.execution.objective import Calling, Failure, Objective, Outcome, timed_call

# Also in `preload`, which must set them before it imports anything.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def pickled(fun: Objective) -> bytes:
    """The function as bytes for another process, lambdas and notebook cells included.

    Raises
    ------
    TypeError
        If it cannot be pickled.
    """
    try:
        function: bytes = cloudpickle.dumps(fun)
    except Exception as error:
        name = getattr(fun, "__name__", repr(fun))
        raise TypeError(
            f"{name} cannot be sent to another process ({error}). Let it open locks, files and "
            "connections itself when it is called; or evaluate in this process: with n_parallel=1 "
            "and executor=None, or with executor=concurrent.futures.ThreadPoolExecutor(...)."
        ) from error
    return function


def evaluate_pickled(
    fun: bytes,
    calling: Calling,
    params: Mapping[str, Any],
    one_thread: bool,
    token: str = "",
) -> bytes:
    """Call a pickled function and pickle what came of it.

    Parameters
    ----------
    fun
        From `pickled`.
    calling
        How it is called and read.
    params
        The point.
    one_thread
        Whether BLAS, OpenMP and torch are held to one thread.
    token
        Makes two calls at the same point different to executors that merge equal ones.

    Returns
    -------
    bytes
        For `unpickled`.
    """
    if one_thread:
        hold_to_one_thread()
    try:
        loaded = cloudpickle.loads(fun)
    except Exception as error:
        kind = type(error).__name__
        failure = Failure(kind, f"could not be loaded in the worker: {kind}: {error}", error=error)
        returned: bytes = cloudpickle.dumps((failure, 0.0))
    else:
        returned = cloudpickle.dumps(timed_call(loaded, calling, params))
    return returned


def unpickled(returned: bytes) -> tuple[Outcome, float]:
    """What `evaluate_pickled` returned: the outcome and the seconds in the function."""
    outcome, seconds = cloudpickle.loads(returned)
    return outcome, seconds


def hold_to_one_thread() -> None:
    """One thread for BLAS, OpenMP and torch, so that workers do not fight over cores.

    An environment that sets any number of threads is left as it is.
    """
    if any(name in os.environ for name in THREADS):
        return
    os.environ.update(dict.fromkeys(THREADS, "1"))  # for what is loaded later
    threadpoolctl.threadpool_limits(1)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
