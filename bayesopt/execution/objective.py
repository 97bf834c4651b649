"""One call of the user's function: what it returned, or why it failed."""

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cloudpickle
import numpy as np

from bayesopt.space import Space
from bayesopt.trial import Evaluation
from bayesopt.user_function import check_takes_point

Objective = Callable[..., Any]

_N_ALIKE = 5  # so many failures alike, with nothing else before them, end a search


class AllEvaluationsFailed(RuntimeError):
    """Nothing but failures: the search was stopped, raised from the original error."""


@dataclass(frozen=True)
class Failure:
    """Why an evaluation gave nothing.

    It can always be pickled: an exception that cannot be is left out on the way.

    Parameters
    ----------
    kind
        What makes two failures alike: the type of the error, "result", "killed" or "timeout".
    reason
        One line for the user.
    traceback
        Where it failed in the user's code, as Python prints it.
    error
        The exception.
    """

    kind: str
    reason: str
    traceback: str | None = None
    error: BaseException | None = None

    @classmethod
    def of(cls, error: BaseException, traceback: str | None = None) -> "Failure":
        """The failure of a function that raised."""
        kind = type(error).__name__
        try:
            text = str(error)
        except Exception:  # an exception of the user's can do anything
            text = "<its text cannot be shown>"
        return cls(kind, f"raised {kind}: {text}", traceback, error)

    def __reduce__(self) -> tuple[Any, ...]:
        try:
            error = None if self.error is None else cloudpickle.dumps(self.error)
        except Exception:
            error = None
        return _unpickled_failure, (self.kind, self.reason, self.traceback, error)


def _unpickled_failure(
    kind: str, reason: str, traceback: str | None, pickled: bytes | None
) -> Failure:
    try:
        error = None if pickled is None else cloudpickle.loads(pickled)
    except Exception:  # many exceptions are pickled but cannot be built from their message
        error = None
    return Failure(kind, reason, traceback, error)


Outcome = Evaluation | Failure


@dataclass(frozen=True)
class Calling:
    """How the user's function is called and read; a worker need not have a Space.

    Parameters
    ----------
    vector_of
        Names in the order of the vector, when the function takes one; None for keywords.
    n_values
        Number of objectives: so many values it returns.
    """

    vector_of: tuple[str, ...] | None = None
    n_values: int = 1

    @classmethod
    def of(cls, space: Space, n_values: int = 1) -> "Calling":
        """How a function on a space is called."""
        return cls(tuple(space.names) if space.takes_vector else None, n_values)


@dataclass(frozen=True)
class Finished:
    """One evaluation that ended.

    Parameters
    ----------
    key
        What it was started with.
    outcome
        What it gave.
    seconds
        Time in the function; where it never returned, since it was started.
    """

    key: int
    outcome: Outcome
    seconds: float


def check_signature(fun: Objective, space: Space) -> None:
    """Raise TypeError when `fun` cannot be called with a point of `space`."""
    if not callable(fun):
        raise TypeError(f"The function to optimise must be callable, but got {fun!r}.")
    check_takes_point(fun, space)


def call(fun: Objective, calling: Calling, params: Mapping[str, Any]) -> Outcome:
    """Call the function at one point; an exception or an unusable result becomes a Failure."""
    try:
        if calling.vector_of is None:
            returned = fun(**params)
        else:
            returned = fun(np.array([params[name] for name in calling.vector_of]))
    except Exception as error:
        return Failure.of(error, _printed(error))
    try:
        return Evaluation.of(returned, calling.n_values)
    except Exception as error:  # whatever the object does when it is looked at
        return unusable(error)


def unusable(error: Exception) -> Failure:
    """The failure of a function that returned what cannot be used."""
    return Failure("result", f"returned an unusable result: {error}", error=error)


def timed_call(
    fun: Objective, calling: Calling, params: Mapping[str, Any]
) -> tuple[Outcome, float]:
    """`call` in a worker, and its seconds: who wants to leave there leaves only the trial."""
    start = time.perf_counter()
    try:
        outcome = call(fun, calling, params)
    except BaseException as error:
        outcome = Failure.of(error)
    return outcome, time.perf_counter() - start


def _printed(error: Exception) -> str:
    """The traceback without our own frame, which is the first."""
    frames = None if error.__traceback__ is None else error.__traceback__.tb_next
    return "".join(traceback.format_exception(type(error), error, frames))


def stop_if_hopeless(outcomes: Sequence[Outcome]) -> None:
    """Raise AllEvaluationsFailed when the first ones of a run all failed alike."""
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    if len(failures) == len(outcomes) == _N_ALIKE and len({one.kind for one in failures}) == 1:
        last = failures[-1]
        end = AllEvaluationsFailed(
            f"The first {_N_ALIKE} evaluations all failed alike; the last one {last.reason}"
        )
        if last.traceback is not None and getattr(last.error, "__traceback__", None) is None:
            end.add_note(f"In the worker:\n{last.traceback}")
        raise end from last.error
