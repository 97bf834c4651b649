"""What one evaluation gave: one value or several, with what else came along, read and checked."""

import math
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesopt.arguments import real_number, real_numbers


class NotFinite(ValueError):
    """An observed value is NaN or infinite."""


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation gave, in the user's units.

    Parameters
    ----------
    value
        The observed value, a finite number. For several objectives a sequence of at least two, in
        the order of the study's `direction`; it is kept as a tuple.
    sd
        Standard error of `value`, or None when it is not known. For several objectives one for
        all, or a sequence, in which None and NaN stand for those that are not known.
    gradient
        Partial derivatives of the function in its parameters, in the user's units: a dict by name
        of all or some of them, or an array in the order of the space. One that is NaN, infinite or
        None is absent. A study keeps a dict of those that are there. Only for one objective.
    gradient_sd
        Their standard errors: one for all, or as `gradient`. None or NaN: not known; then they are
        exact where the study is told that there is no noise, and their noise is inferred else.
    constraints
        The observed values of the study's `outcome_constraints`, by their names: numbers, or
        (number, standard error) pairs. Kept as a dict of the numbers.
    constraint_sd
        Standard errors of those whose are known, by their names.

    Raises
    ------
    TypeError
        If something is not a number, or not by name where it has to be.
    ValueError
        If a value or a constraint is NaN or infinite (`NotFinite`), a standard error is negative
        or infinite, an array is not flat, there are partial derivatives of several objectives, or
        there are standard errors of what is not there.

    Examples
    --------
    >>> Evaluation(2.0, gradient={"x": 0.5, "y": None}).gradient
    {'x': 0.5, 'y': nan}
    >>> Evaluation([2, 3], sd=[0.1, None], constraints={"latency": (4.5, 0.2)})
    ... # doctest: +NORMALIZE_WHITESPACE
    Evaluation(value=(2.0, 3.0), sd=(0.1, None), gradient=None, gradient_sd=None,
               constraints={'latency': 4.5}, constraint_sd={'latency': 0.2})
    """

    value: float | Sequence[float] | NDArray[Any]
    sd: float | Sequence[float | None] | NDArray[Any] | None = None
    gradient: Mapping[str, float] | ArrayLike | None = field(default=None, hash=False)
    gradient_sd: Mapping[str, float] | ArrayLike | None = field(default=None, hash=False)
    constraints: Mapping[str, Any] | None = field(default=None, hash=False)
    constraint_sd: Mapping[str, float] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        several = _entries(self.value)
        if several is None:
            value = _finite(self.value, "The value")
            sd = None if self.sd is None else _standard_error(self.sd, "The standard error `sd`")
            self._keep(value=value, sd=sd)
        else:
            numbers = tuple(_finite(x, f"`value[{i}]`") for i, x in enumerate(several))
            self._keep(value=numbers, sd=_standard_errors(self.sd, len(numbers)))
        self._read_gradient()
        constraints, errors = _constraints(self.constraints, self.constraint_sd)
        self._keep(constraints=constraints, constraint_sd=errors)

    def _keep(self, **kept: Any) -> None:
        for name, value in kept.items():
            object.__setattr__(self, name, value)

    def _read_gradient(self) -> None:
        if self.gradient is None:
            if self.gradient_sd is not None:
                raise ValueError("There is a `gradient_sd`, but no `gradient`.")
            return
        if not self.is_one:
            raise ValueError(
                f"A `gradient` is that of one objective, but {len(self.values)} values came; leave "
                "it out."
            )
        self._keep(gradient=_partials(self.gradient, "gradient"))
        if self.gradient_sd is not None:
            self._keep(gradient_sd=_gradient_sd(self.gradient_sd))

    @property
    def is_one(self) -> bool:
        """Whether the value is that of one objective."""
        return isinstance(self.value, float)

    @property
    def values(self) -> tuple[float, ...]:
        """The values, one for each objective, also where there is only one."""
        kept = cast(float | tuple[float, ...], self.value)
        return (kept,) if isinstance(kept, float) else kept

    @property
    def sds(self) -> tuple[float | None, ...]:
        """Their standard errors; None for one that is not known."""
        kept = cast(float | tuple[float | None, ...] | None, self.sd)
        return kept if isinstance(kept, tuple) else (kept,) * len(self.values)

    @classmethod
    def of(cls, returned: object, n_values: int = 1) -> "Evaluation":
        """Read what a function returned.

        Parameters
        ----------
        returned
            An Evaluation; or a number or a ``(mean, sd)`` tuple for one objective, and a sequence
            with a number for each of several.
        n_values
            Number of objectives.

        Raises
        ------
        TypeError, ValueError
            If it is none of them; the text says what came.
        """
        if isinstance(returned, Mapping):
            raise TypeError(
                f"The value must be a number, but {type(returned).__name__} "
                f"{reprlib.repr(returned)} came; return bayesopt.Evaluation(value, "
                "constraints={...}) to give more than the value."
            )
        if not isinstance(returned, Evaluation):
            returned = cls._of_one(returned) if n_values == 1 else cls(returned)  # type: ignore[arg-type]
        check_n_values(len(returned.values), n_values)
        return returned

    @classmethod
    def _of_one(cls, returned: object) -> "Evaluation":
        if isinstance(returned, tuple):
            if len(returned) != 2:
                raise TypeError(
                    f"A tuple must be (mean, sd), but one of {len(returned)} values came. A study "
                    "of several objectives needs a `direction` for each."
                )
            mean, sd = returned
            return cls(real_number(mean, "The value"), sd)
        if (entries := _entries(returned)) is not None:
            shape = getattr(returned, "shape", None)
            came = reprlib.repr(entries) if shape is None else f"an array of shape {tuple(shape)}"
            raise TypeError(
                f"The value must be one number, but {came} came. A study of several objectives "
                "needs a `direction` for each."
            )
        return cls(real_number(returned, "The value"))

    def to_json(self) -> list[Any]:
        """Plain list for `from_json`: value, sd and what else there is; it ends with the last."""
        kept = [getattr(self, f.name) for f in fields(self)]
        while len(kept) > 2 and kept[-1] is None:
            kept.pop()
        return kept

    @classmethod
    def from_json(cls, described: Sequence[Any]) -> "Evaluation":
        """Inverse of `to_json`; raises TypeError or ValueError if it cannot be."""
        return cls(*described)


def check_n_values(n: int, n_values: int) -> None:
    """Raise ValueError unless as many values came as the study has objectives."""
    if n != n_values:
        objectives = "1 objective" if n_values == 1 else f"{n_values} objectives"
        raise ValueError(
            f"This study has {objectives}, but {n} value{'s' * (n != 1)} came; it needs a "
            "`direction` for each value."
        )


def _entries(value: Any) -> list[Any] | None:
    """The entries of a sequence of two or more; None where it is to be read as one number."""
    if isinstance(value, list | tuple):
        return list(value) if len(value) > 1 else None
    shape: tuple[int, ...] = getattr(value, "shape", ())
    return list(value.tolist()) if len(shape) == 1 and shape[0] > 1 else None


def _finite(value: object, what: str) -> float:
    number = real_number(value, what)
    if not math.isfinite(number):
        raise NotFinite(f"{what} must be finite, but it is {number}.")
    return number


def _standard_error(given: object, what: str) -> float:
    sd = real_number(given, what)
    if not (math.isfinite(sd) and sd >= 0):
        raise ValueError(f"{what} must be finite and >= 0, but is {sd}.")
    return sd


def _known(given: object, what: str) -> float | None:
    """A standard error; None where it is not known."""
    if given is None or math.isnan(real_number(given, what)):
        return None
    return _standard_error(given, what)


def _standard_errors(given: Any, n: int) -> tuple[float | None, ...] | None:
    """Those of n values, of one number for all or of n; None where not one is known."""
    if given is None:
        return None
    if _is_one(given):
        return (_standard_error(given, "The standard error `sd`"),) * n
    entries = list(given.tolist() if hasattr(given, "tolist") else given)
    if len(entries) != n:
        raise ValueError(f"{n} values need one `sd` or as many, but {len(entries)} came.")
    sds = tuple(_known(sd, f"The standard error `sd[{i}]`") for i, sd in enumerate(entries))
    return None if all(sd is None for sd in sds) else sds


def _constraints(
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
        values[name] = _finite(came, f"The constraint {name!r}")
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


def _partials(
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


def _gradient_sd(given: Any) -> float | dict[str, float] | tuple[float, ...] | None:
    """One number for all partial derivatives, or as they are; None where that one is NaN."""
    if _is_one(given):
        sd: Any = real_number(given, "The standard error `gradient_sd`")
        numbers = [sd]
        sd = None if math.isnan(sd) else sd
    else:
        sd = _partials(given, "gradient_sd", infinite=None)
        numbers = list(sd.values() if isinstance(sd, dict) else sd)
    if any(number < 0 or math.isinf(number) for number in numbers):
        raise ValueError(f"Standard errors `gradient_sd` must be finite and >= 0, but got {sd}.")
    return sd  # type: ignore[no-any-return]


def _is_one(given: Any) -> bool:
    """Whether it is no collection, but perhaps a 0-d array."""
    return not isinstance(given, Mapping | list | tuple) and np.ndim(given) == 0
