"""Parts of what one evaluation gave, read and checked: values, errors, slopes, outcomes."""

import math
import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesopt.arguments import real_number, real_numbers


class NotFinite(ValueError):
    """An observed value is NaN or infinite."""


def entries_of(value: Any) -> list[Any] | None:
    """The entries of a sequence of two or more; None where it is to be read as one number."""
    if isinstance(value, list | tuple):
        return list(value) if len(value) > 1 else None
    shape: tuple[int, ...] = getattr(value, "shape", ())
    return list(value.tolist()) if len(shape) == 1 and shape[0] > 1 else None


def finite_value(value: object, what: str) -> float:
    """A finite number; raises NotFinite or TypeError."""
    number = real_number(value, what)
    if not math.isfinite(number):
        raise NotFinite(f"{what} must be finite, but it is {number}.")
    return number


def standard_error(given: object, what: str) -> float:
    """A standard error; raises ValueError or TypeError."""
    sd = real_number(given, what)
    if not (math.isfinite(sd) and sd >= 0):
        raise ValueError(f"{what} must be finite and >= 0, but is {sd}.")
    return sd


def _known(given: object, what: str) -> float | None:
    """A standard error; None where it is not known."""
    if given is None or math.isnan(real_number(given, what)):
        return None
    return standard_error(given, what)


def standard_errors(given: Any, n: int) -> tuple[float | None, ...] | None:
    """Those of n values, of one number for all or of n; None where not one is known."""
    if given is None:
        return None
    if _is_one(given):
        return (standard_error(given, "The standard error `sd`"),) * n
    entries = list(given.tolist() if hasattr(given, "tolist") else given)
    if len(entries) != n:
        raise ValueError(f"{n} values need one `sd` or as many, but {len(entries)} came.")
    sds = tuple(_known(sd, f"The standard error `sd[{i}]`") for i, sd in enumerate(entries))
    return None if all(sd is None for sd in sds) else sds


def outcomes_by_name(
    given: Any, errors: Any
) -> tuple[dict[str, float] | None, dict[str, float] | None]:
    """Values and known standard errors of outcome constraints, by their names."""
    values: dict[str, float] = {}
    sds: dict[str, float | None] = {}
    for name, came in _by_name({} if given is None else given, "constraints"):
        if isinstance(came, list | tuple):
            if len(came) != 2:
                raise TypeError(
                    f"The constraint {name!r} must be a number or (number, standard error), but "
                    f"{reprlib.repr(came)} came."
                )
            came, sds[name] = came[0], _known(came[1], f"The standard error of {name!r}")
        values[name] = finite_value(came, f"The constraint {name!r}")
    for name, sd in _by_name({} if errors is None else errors, "constraint_sd"):
        if name not in values:
            raise ValueError(
                f"`constraint_sd` has {name!r}, but the `constraints` are {list(values)}."
            )
        if sds.get(name) is not None:
            raise ValueError(f"The standard error of the constraint {name!r} came twice.")
        sds[name] = _known(sd, f"The standard error of {name!r}")
    known = {name: sd for name in values if (sd := sds.get(name)) is not None}
    return values or None, known or None


def _by_name(given: Any, what: str) -> list[tuple[str, Any]]:
    if not isinstance(given, Mapping):
        raise TypeError(
            f"`{what}` must be a dict of numbers by the names of the constraints, but "
            f"{reprlib.repr(given)} came."
        )
    if not all(isinstance(name, str) and name for name in given):
        raise TypeError(f"`{what}` has names that are no strings: {reprlib.repr(given)}.")
    return list(given.items())


def partial_derivatives(
    given: Any, what: str, *, infinite: float | None = math.nan
) -> dict[str, float] | tuple[float, ...]:
    """Numbers by name, or a flat array of them; those that are infinite as said, or as they are."""

    def read(number: float) -> float:
        return infinite if math.isinf(number) and infinite is not None else number

    if isinstance(given, Mapping):
        if not all(isinstance(name, str) for name in given):
            raise TypeError(f"`{what}` has names that are no strings: {reprlib.repr(given)}.")
        numbers_of = {
            name: math.nan if number is None else real_number(number, f"{name!r} of `{what}`")
            for name, number in given.items()
        }
        return {name: read(x) for name, x in numbers_of.items()}
    numbers = real_numbers(given, what)
    if numbers.ndim != 1:
        raise ValueError(
            f"`{what}` must be a dict, or a flat array with a number for each parameter, but an "
            f"array of shape {numbers.shape} came."
        )
    return tuple(read(x) for x in numbers.tolist())


def gradient_errors(given: Any) -> float | dict[str, float] | tuple[float, ...] | None:
    """One number for all partial derivatives, or as they are; None where that one is NaN."""
    if _is_one(given):
        sd: Any = real_number(given, "The standard error `gradient_sd`")
        numbers = [sd]
        sd = None if math.isnan(sd) else sd
    else:
        sd = partial_derivatives(given, "gradient_sd", infinite=None)
        numbers = list(sd.values() if isinstance(sd, dict) else sd)
    if any(number < 0 or math.isinf(number) for number in numbers):
        raise ValueError(f"Standard errors `gradient_sd` must be finite and >= 0, but got {sd}.")
    return sd  # type: ignore[no-any-return]


def positive_cost(given: object) -> float:
    """What an evaluation has cost."""
    cost = real_number(given, "The cost of an evaluation")
    if not (math.isfinite(cost) and cost > 0):
        raise ValueError(f"The cost of an evaluation must be positive and finite, but is {cost}.")
    return cost


def trace_pairs(given: Any) -> tuple[tuple[float, float], ...]:
    """Fidelities and the values there, in the order of the fidelities; finite values alone."""
    pairs: Any = list(given.items()) if isinstance(given, Mapping) else given
    if isinstance(pairs, str | bytes) or not hasattr(pairs, "__len__"):
        raise TypeError(f"`trace` must be (fidelity, value) pairs, but {reprlib.repr(given)} came.")
    values: dict[float, float] = {}
    for pair in pairs:
        if isinstance(pair, str | bytes) or not hasattr(pair, "__len__") or len(pair) != 2:
            raise TypeError(
                f"`trace` must be (fidelity, value) pairs, but {reprlib.repr(pair)} came in it."
            )
        fidelity = real_number(pair[0], "A fidelity in `trace`")
        if not math.isfinite(fidelity):
            raise ValueError(f"A fidelity in `trace` must be finite, but is {fidelity}.")
        if fidelity in values:
            raise ValueError(f"The fidelity {fidelity} stands twice in `trace`.")
        values[fidelity] = math.nan if pair[1] is None else real_number(pair[1], "A `trace` value")
    return tuple((s, y) for s, y in sorted(values.items()) if math.isfinite(y))


def _is_one(given: Any) -> bool:
    """Whether it is no collection, but perhaps a 0-d array."""
    return not isinstance(given, Mapping | list | tuple) and np.ndim(given) == 0
