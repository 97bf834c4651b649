"""What travels through the house: one trial, and what its evaluation gave."""

import math
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bayesopt.arguments import real_numbers


class TrialState(StrEnum):
    """Where a trial stands."""

    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"


class NotFinite(ValueError):
    """An observed value is NaN or infinite."""


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation gave, in the user's units.

    Parameters
    ----------
    value
        The observed value, a finite number.
    sd
        Standard error of `value`, or None when it is not known.
    gradient
        Partial derivatives of the function in its parameters, in the user's units: a dict by name
        of all or some of them, or an array in the order of the space. One that is NaN, infinite or
        None is absent. A study keeps a dict of those that are there.
    gradient_sd
        Their standard errors: one for all, or as `gradient`. None or NaN: not known; then they are
        exact where the study is told that there is no noise, and their noise is inferred else.

    Raises
    ------
    TypeError
        If something is not a number.
    ValueError
        If `value` is NaN or infinite (`NotFinite`), a standard error is negative or infinite, an
        array is not flat, or there is a `gradient_sd` and no `gradient`.

    Examples
    --------
    >>> Evaluation(2.0, gradient={"x": 0.5, "y": None}).gradient
    {'x': 0.5, 'y': nan}
    """

    value: float
    sd: float | None = None
    gradient: Mapping[str, float] | ArrayLike | None = field(default=None, hash=False)
    gradient_sd: Mapping[str, float] | ArrayLike | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        value = _number(self.value, "The value")
        if not math.isfinite(value):
            raise NotFinite(f"The value must be finite, but it is {value}.")
        object.__setattr__(self, "value", value)
        if self.sd is not None:
            sd = _number(self.sd, "The standard error `sd`")
            if not (math.isfinite(sd) and sd >= 0):
                raise ValueError(f"The standard error `sd` must be finite and >= 0, but is {sd}.")
            object.__setattr__(self, "sd", sd)
        self._read_gradient()

    def _read_gradient(self) -> None:
        if self.gradient is None:
            if self.gradient_sd is not None:
                raise ValueError("There is a `gradient_sd`, but no `gradient`.")
            return
        object.__setattr__(self, "gradient", _partials(self.gradient, "gradient"))
        if self.gradient_sd is not None:
            sd = _standard_errors(self.gradient_sd)
            object.__setattr__(self, "gradient_sd", sd)

    @classmethod
    def of(cls, returned: object) -> "Evaluation":
        """Read what a function returned: a number, a ``(mean, sd)`` tuple, or an Evaluation.

        Raises
        ------
        TypeError, ValueError
            If it is none of them; the text says what came.
        """
        if isinstance(returned, Evaluation):
            return returned
        if isinstance(returned, tuple):
            if len(returned) != 2:
                raise TypeError(
                    f"A tuple must be (mean, sd), but one of {len(returned)} values came."
                )
            return cls(*returned)
        return cls(returned)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Seen:
    """Which trials were known when a point was chosen; with them it can be chosen again.

    Parameters
    ----------
    n
        All numbers below it, but for the trial itself, `absent` and `pending`, had ended.
    pending
        Numbers of the trials that were running.
    absent
        Numbers whose points were still being chosen by others.
    """

    n: int
    pending: tuple[int, ...] = ()
    absent: tuple[int, ...] = ()


@dataclass(frozen=True)
class Trial:
    """One point that was asked for or added, and what became of it.

    Parameters
    ----------
    number
        Position in the study, from 0.
    params
        Parameter values by name.
    state
        RUNNING, COMPLETE or FAILED.
    evaluation
        What was observed, once complete.
    reason
        Why it failed, once failed.
    origin
        "initial" (space-filling), "acquisition", "random", "given" (the user chose the point),
        "added" (the user brought the result along) or "late" (a result that came after another
        attempt at its trial had ended it).
    hyperparameters
        Logarithms of the model's hyperparameters when the point was chosen; the next fit starts
        from them. They are kept here so that asking depends on nothing but the trials.
    traceback
        Where it failed in the user's code, as Python prints it.
    seen
        What was known when the point was chosen; None where the user chose it.
    attempt
        How often it was given out, from 1; more than once after its process died.
    started, ended
        When the attempt began and when its result came, in seconds since 1970. They do not count
        when trials are compared.
    """

    number: int
    params: Mapping[str, Any]
    state: TrialState = TrialState.RUNNING
    evaluation: Evaluation | None = None
    reason: str | None = None
    origin: str = "given"
    hyperparameters: tuple[float, ...] | None = None
    traceback: str | None = None
    seen: Seen | None = None
    attempt: int = 1
    started: float | None = field(default=None, compare=False)
    ended: float | None = field(default=None, compare=False)

    @property
    def value(self) -> float | None:
        """The observed value, or None while there is none."""
        return None if self.evaluation is None else self.evaluation.value

    def to_json(self) -> dict[str, Any]:
        """Plain dict that `from_json` turns back into an equal trial; defaults are left out."""
        described: dict[str, Any] = {"number": self.number, "params": dict(self.params)}
        for name, default in _DEFAULTS.items():
            value = getattr(self, name)
            if value != default:
                described[name] = value
        described["state"] = self.state.value
        for name, kind in (("evaluation", Evaluation), ("seen", Seen)):
            if name in described:
                described[name] = [getattr(described[name], f.name) for f in fields(kind)]
        if self.evaluation is not None and self.evaluation.gradient is None:
            described["evaluation"] = described["evaluation"][:2]
        return described

    @classmethod
    def from_json(cls, described: Mapping[str, Any]) -> "Trial":
        """Inverse of `to_json`; raises KeyError, TypeError or ValueError if it cannot be."""
        given = dict(described)
        given["state"] = TrialState(given["state"])
        if "evaluation" in given:
            given["evaluation"] = Evaluation(*given["evaluation"])
        if "seen" in given:
            n, pending, absent = given["seen"]
            given["seen"] = Seen(n, tuple(pending), tuple(absent))
        if "hyperparameters" in given:
            given["hyperparameters"] = tuple(given["hyperparameters"])
        return cls(**given)


_DEFAULTS = {f.name: f.default for f in fields(Trial) if f.name not in ("number", "params")}


def given_results(
    n: int, y: ArrayLike, sd: ArrayLike | None, gradient: Any = None, gradient_sd: Any = None
) -> list[dict[str, Any]]:
    """How n trials ended whose values are known already, as fields of Trial.

    Parameters
    ----------
    n
        Number of points.
    y
        (n,) values; NaN and infinite ones are failures.
    sd
        Standard errors, a scalar or (n,); None or NaN where one is not known.
    gradient
        n dicts or arrays as `Evaluation` takes them, such as the rows of an array (n, d).
    gradient_sd
        One standard error for all partial derivatives, or n as `gradient`.

    Raises
    ------
    ValueError, TypeError
        If shapes differ or something is not a number.
    """
    values = real_numbers(y, "y")
    if values.shape != (n,):
        raise ValueError(f"{n} points need as many values, but y is {values.shape}.")
    sds: Sequence[float | None] = [None] * n
    if sd is not None:
        errors = real_numbers(sd, "sd")
        if errors.shape not in ((), values.shape):
            raise ValueError(f"{n} points need one `sd` or as many, not {errors.shape}.")
        sds = np.broadcast_to(errors, values.shape).tolist()
    slopes = [None] * n if gradient is None else _each(gradient, n, "gradient")
    if gradient is None and gradient_sd is not None:
        raise ValueError("There is a `gradient_sd`, but no `gradient`.")
    is_one = _is_one(gradient_sd)
    slope_sds = [gradient_sd] * n if is_one else _each(gradient_sd, n, "gradient_sd")
    ended: list[dict[str, Any]] = []
    for value, error, slope, of_slope in zip(values.tolist(), sds, slopes, slope_sds, strict=True):
        known = None if error is None or math.isnan(error) else error
        try:
            evaluation = Evaluation(value, known, slope, None if slope is None else of_slope)
            ended.append({"state": TrialState.COMPLETE, "evaluation": evaluation})
        except NotFinite as failure:
            ended.append({"state": TrialState.FAILED, "reason": str(failure)})
    return ended


def _each(given: Any, n: int, what: str) -> list[Any]:
    """One gradient for each of n points."""
    if isinstance(given, Mapping) or not hasattr(given, "__len__") or len(given) != n:
        came = f"{len(given)} came" if hasattr(given, "__len__") else reprlib.repr(given)
        raise ValueError(f"{n} points need as many rows or dicts of `{what}`, but {came}.")
    return list(given)


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
            name: math.nan if number is None else _number(number, f"{name!r} of `{what}`")
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


def _standard_errors(given: Any) -> float | dict[str, float] | tuple[float, ...] | None:
    """One number for all partial derivatives, or as they are; None where that one is NaN."""
    if _is_one(given):
        sd: Any = _number(given, "The standard error `gradient_sd`")
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


def _number(value: object, what: str) -> float:
    """Turn one real number of Python, NumPy or torch, 0-d arrays included, into a float."""
    came = f"{type(value).__name__} {reprlib.repr(value)} came"
    if isinstance(value, bool | np.bool_ | str | bytes | complex | np.complexfloating | None):
        raise TypeError(f"{what} must be a number, but {came}.")
    if isinstance(value, np.ndarray) and value.dtype.kind not in "iufO":
        raise TypeError(f"{what} must be a number, but {came}.")
    shape = getattr(value, "shape", ())
    if len(shape) > 0:
        raise TypeError(f"{what} must be one number, but an array of shape {tuple(shape)} came.")
    if hasattr(value, "detach"):  # torch warns when a tensor that carries a graph becomes a float
        value = value.detach()
    try:
        return float(value)  # type: ignore[arg-type]
    except OverflowError as error:
        raise ValueError(f"{what} is beyond the range of a float64.") from error
    except Exception as error:  # whatever the object does when it is asked for a float
        raise TypeError(f"{what} must be a number, but {came}.") from error
