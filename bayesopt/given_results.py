"""Results that are known already, many at once: arrays to the fields of trials that have ended."""

import math
import reprlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bayesopt.arguments import real_numbers
from bayesopt.evaluation import Evaluation, NotFinite
from bayesopt.trial import TrialState


def given_results(
    n: int,
    y: ArrayLike | Sequence[Evaluation],
    sd: ArrayLike | None = None,
    gradient: Any = None,
    gradient_sd: Any = None,
    *,
    n_values: int = 1,
    constraints: Any = None,
    constraint_sd: Any = None,
) -> list[dict[str, Any]]:
    """How n trials ended whose values are known already, as fields of Trial.

    Parameters
    ----------
    n
        Number of points.
    y
        (n,) values, (n, m) those of m objectives; a row with one that is NaN or infinite is a
        failure. Or n Evaluations, which bring all that follows themselves.
    sd
        Standard errors, a scalar or of the shape of y; None or NaN where one is not known.
    gradient
        n dicts or arrays as `Evaluation` takes them, such as the rows of an array (n, d).
    gradient_sd
        One standard error for all partial derivatives, or n as `gradient`.
    n_values
        Number m of objectives.
    constraints
        Values of outcome constraints: (n,) by names, or n dicts. NaN, None and infinite ones make
        a row a failure.
    constraint_sd
        Their standard errors, likewise, or a scalar by name.

    Raises
    ------
    ValueError, TypeError
        If shapes differ or something is not a number.
    """
    if isinstance(y, Sequence) and any(isinstance(one, Evaluation) for one in y):
        beside = [sd, gradient, gradient_sd, constraints, constraint_sd]
        if any(given is not None for given in beside):
            raise ValueError("An Evaluation brings its standard error and all the rest itself.")
        return [_ended(partial(Evaluation.of, one, n_values)) for one in _each(y, n, "y")]
    values = _values(y, n, n_values)
    sds = np.full(values.shape, np.nan)
    if sd is not None:
        errors = real_numbers(sd, "sd")
        if errors.shape not in ((), values.shape):
            raise ValueError(
                f"{_points(n, n_values)} need one `sd` or as many as values, not {errors.shape}."
            )
        sds[...] = errors
    if gradient is None and gradient_sd is not None:
        raise ValueError("There is a `gradient_sd`, but no `gradient`.")
    slopes = [None] * n if gradient is None else _each(gradient, n, "gradient")
    is_one = not isinstance(gradient_sd, Mapping | list | tuple) and np.ndim(gradient_sd) == 0
    slope_sds = [gradient_sd] * n if is_one else _each(gradient_sd, n, "gradient_sd")
    rows = zip(
        values.tolist(),
        [_known(row) for row in sds.tolist()],
        slopes,
        [None if g is None else s for g, s in zip(slopes, slope_sds, strict=True)],
        _by_names(constraints, n, "constraints"),
        _by_names(constraint_sd, n, "constraint_sd"),
        strict=True,
    )
    return [_ended(partial(Evaluation, *row)) for row in rows]


def _ended(read: Callable[[], Evaluation]) -> dict[str, Any]:
    try:
        return {"state": TrialState.COMPLETE, "evaluation": read()}
    except NotFinite as failure:
        return {"state": TrialState.FAILED, "reason": str(failure)}


def _values(y: Any, n: int, n_values: int) -> Any:
    values = real_numbers(y, "y")
    shape = (n,) if n_values == 1 else (n, n_values)
    if values.shape != shape:
        raise ValueError(
            f"{_points(n, n_values)} need {'as many' if n_values == 1 else shape} values, but y is "
            f"{values.shape}."
        )
    return values


def _points(n: int, n_values: int) -> str:
    return f"{n} points" if n_values == 1 else f"{n} points and {n_values} objectives"


def _known(sd: Any) -> Any:
    """None where a standard error is not known; of several each by itself."""
    if isinstance(sd, list):
        return [_known(one) for one in sd]
    return None if math.isnan(sd) else sd


def _by_names(given: Any, n: int, what: str) -> list[Any]:
    """A dict for each of n points, from columns by names or from n dicts; None where none came."""
    if given is None:
        return [None] * n
    if not isinstance(given, Mapping):
        return _each(given, n, what)
    columns = {}
    for name, column in given.items():
        numbers = real_numbers(column, f"{what}[{name!r}]")
        if numbers.shape != (n,) and not (numbers.shape == () and what == "constraint_sd"):
            raise ValueError(
                f"{n} points need as many numbers in `{what}[{name!r}]`, but {numbers.shape} came."
            )
        columns[name] = np.broadcast_to(numbers, (n,)).tolist()
    return [{name: column[i] for name, column in columns.items()} for i in range(n)]


def _each(given: Any, n: int, what: str) -> list[Any]:
    """One entry for each of n points."""
    if isinstance(given, Mapping) or not hasattr(given, "__len__") or len(given) != n:
        came = f"{len(given)} came" if hasattr(given, "__len__") else reprlib.repr(given)
        raise ValueError(f"{n} points need as many rows or dicts of `{what}`, but {came}.")
    return list(given)
