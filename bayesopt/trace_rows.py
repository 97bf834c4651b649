"""Rows that the traces of evaluations add: values of the same designs at other fidelities.

Notation
--------
n, t, d     complete trials, rows of their traces, parameters
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float as Shaped
from jaxtyping import Int as Whole
from numpy.typing import NDArray

from bayesopt.parameter import Array
from bayesopt.space import Space
from bayesopt.trial import Trial

MOST_OF_ONE = 8
"""Rows of one trace: a long curve hardly tells more, and the models would become slow."""


@dataclass(frozen=True)
class TraceRows:
    """What the traces of complete trials say.

    Parameters
    ----------
    X
        (t, d) points of the unit cube.
    value
        (t,) what was observed there, in the user's units.
    trial
        (t,) of which of the trials.
    """

    X: Shaped[Array, "t d"]
    value: Shaped[Array, " t"]
    trial: Whole[NDArray[np.int64], " t"]


def trace_rows(space: Space, done: Sequence[Trial]) -> TraceRows:
    """The traces of complete trials, without what stands at the fidelity of its trial.

    Parameters
    ----------
    space
        Its role is a fidelity, where a trial has a trace.
    done
        The trials.
    """
    X, value, trial = [np.empty((0, len(space)))], [np.empty(0)], [np.empty(0, dtype=np.int64)]
    for row, one in enumerate(done):
        trace = None if one.evaluation is None else one.evaluation.trace
        if trace is None:
            continue
        found, values = _rows(space, one, dict(trace))
        X.append(found)
        value.append(values)
        trial.append(np.full(len(found), row))
    return TraceRows(np.concatenate(X), np.concatenate(value), np.concatenate(trial))


def _rows(space: Space, trial: Trial, trace: dict[float, float]) -> tuple[Array, Array]:
    (column,) = space.role_columns
    name = space.names[column]
    points = [{**trial.params, name: space[name].check(s)} for s in trace]
    X, value = space.to_units(points), np.array(list(trace.values()))
    other = np.flatnonzero(X[:, column] != space.to_unit(trial.params)[column])
    kept = other[spread(X[other, column], MOST_OF_ONE)]
    return X[kept], value[kept]


def spread(u: Shaped[Array, " k"], most: int) -> Whole[NDArray[np.int64], " m"]:
    """Which of some coordinates are spread evenly from the lowest to the highest, at most so many.

    They need not be in order.
    """
    if len(u) <= most:
        return np.arange(len(u))
    wanted = np.linspace(u.min(), u.max(), most)
    nearest = np.abs(u - wanted[:, None]).argmin(axis=1)
    return np.unique(nearest).astype(np.int64)
