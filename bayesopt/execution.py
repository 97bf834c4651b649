"""Run the user's function: what it returned or why it failed, and a line of progress.

Nothing here knows a study.
"""

import inspect
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

from bayesopt.space import Space
from bayesopt.trial import Evaluation

Objective = Callable[..., Any]

N_ALIKE = 5
"""So many failures alike, with nothing else before them, end a search."""


class AllEvaluationsFailed(RuntimeError):
    """Nothing but failures: the search was stopped, raised from the original error."""


@dataclass(frozen=True)
class Failure:
    """Why an evaluation gave nothing.

    Parameters
    ----------
    kind
        What makes two failures alike: the type of the error.
    reason
        One line for the user.
    error
        The exception.
    """

    kind: str
    reason: str
    error: Exception


def check_signature(fun: Objective, space: Space) -> None:
    """Raise TypeError when `fun` cannot be called with a point of `space`."""
    if not callable(fun):
        raise TypeError(f"The function to optimise must be callable, but got {fun!r}.")
    try:
        signature = inspect.signature(fun)
    except (TypeError, ValueError):  # some functions written in C do not tell
        return
    try:
        if space.takes_vector:
            signature.bind(None)
        else:
            signature.bind(**dict.fromkeys(space.names))
    except TypeError as error:
        how = "one vector" if space.takes_vector else f"the keywords {', '.join(space.names)}"
        name = getattr(fun, "__name__", repr(fun))
        raise TypeError(
            f"{name}{signature} does not fit the space: it is called with {how} ({error})."
        ) from None


def evaluate(fun: Objective, space: Space, params: Mapping[str, Any]) -> Evaluation | Failure:
    """Call the function at one point; an exception or an unusable result becomes a Failure."""
    try:
        if space.takes_vector:
            returned = fun(np.array([params[name] for name in space.names]))
        else:
            returned = fun(**params)
    except Exception as error:
        return Failure(type(error).__name__, f"raised {type(error).__name__}: {error}", error)
    try:
        return Evaluation.of(returned)
    except (TypeError, ValueError) as error:
        return Failure("result", f"returned an unusable result: {error}", error)


def stop_if_hopeless(outcomes: Sequence[Evaluation | Failure]) -> None:
    """Raise AllEvaluationsFailed when the first ones of a run all failed alike."""
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    if len(failures) == len(outcomes) == N_ALIKE and len({one.kind for one in failures}) == 1:
        raise AllEvaluationsFailed(
            f"The first {N_ALIKE} evaluations all failed alike; the last one {failures[-1].reason}"
        ) from failures[-1].error


class Progress:
    """One line: evaluations, best so far, seconds in the function and in the optimiser.

    Parameters
    ----------
    total
        Number of evaluations that are planned.
    done
        Number of those that are behind us.
    show
        True, False, or "auto": only when the error stream is a terminal.
    """

    def __init__(self, total: int, done: int, show: bool | Literal["auto"]) -> None:
        hidden = (sys.stderr is None or not sys.stderr.isatty()) if show == "auto" else not show
        self._bar = tqdm(
            total=total,
            initial=done,
            disable=hidden,
            unit="eval",
            bar_format="{desc}{n_fmt}/{total_fmt} |{bar:20}| {postfix}",
            file=sys.stderr,
        )
        self._start = time.perf_counter()
        self.seconds_in_function = 0.0

    def call(self, fun: Objective, space: Space, params: Mapping[str, Any]) -> Evaluation | Failure:
        """`evaluate`, with the time it takes on the function's account."""
        start = time.perf_counter()
        try:
            return evaluate(fun, space, params)
        finally:
            self.seconds_in_function += time.perf_counter() - start

    def advance(self, best: float | None) -> None:
        """Count one evaluation and show the best value so far."""
        optimiser = time.perf_counter() - self._start - self.seconds_in_function
        self._bar.set_postfix_str(
            f"best {'none yet' if best is None else f'{best:.6g}'}, "
            f"function {self.seconds_in_function:.1f} s, optimiser {optimiser:.1f} s",
            refresh=False,
        )
        self._bar.update(1)

    def close(self) -> None:
        """Leave the line as it is."""
        self._bar.close()
