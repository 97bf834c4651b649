"""One parameter of a space: its values, and their coordinates in [0, 1].

Notation
--------
unit    coordinate in [0, 1]
index   position 0 .. size-1 of a value of an integer or a categorical parameter

An integer or a category lives on its own lattice of coordinates; `snap` moves any coordinate
there, so that nothing has to be rounded after a search.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bayesopt.fixed_value import Fixed as Fixed
from bayesopt.roles import Choice as Choice
from bayesopt.roles import WithRole

Array = NDArray[np.float64]

_LARGEST_INT = 2**53  # beyond it a float64 column cannot tell two neighbours apart


def _real(value: object, what: str) -> float:
    if isinstance(value, bool | np.bool_ | str | bytes | np.complexfloating | None):
        raise TypeError(f"{what} must be a number, but got {value!r}.")
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"{what} must be a number, but got {value!r}.") from error


def _whole(value: object, what: str) -> int:
    number = _real(value, what)
    if not math.isfinite(number) or number != math.floor(number):
        raise ValueError(f"{what} must be a whole number, but got {value!r}.")
    return int(value)  # type: ignore[call-overload, no-any-return]


@dataclass(frozen=True, repr=False)
class Float(WithRole):
    """A real parameter between `low` and `high`, both included.

    Parameters
    ----------
    low, high
        Finite bounds in the user's units, ``low < high``.
    log
        Search on the logarithmic scale; needs ``low > 0``.
    role
        "fidelity": how exact an evaluation is, where a less exact one is cheaper;
        "environment": what nobody will control when the best point is used. None: searched for
        its best value.
    target
        The fidelity for which the best point is sought.

    Raises
    ------
    ValueError
        If the bounds are not finite, not in order, or not positive where `log` asks for it; if the
        role is not one of these, a fidelity has no target, or a target is not a value.
    """

    low: float
    high: float
    log: bool = False

    kind: ClassVar[str] = "float"
    size: ClassVar[None] = None

    def __post_init__(self) -> None:
        low, high = _real(self.low, "`low`"), _real(self.high, "`high`")
        _check_bounds(low, high, f"Float({self.low!r}, {self.high!r})")
        if self.log and low <= 0:
            raise ValueError(f"Float with log=True needs low > 0, but got low={self.low!r}.")
        if not math.isfinite(high - low):
            raise ValueError(f"Float({low}, {high}) is wider than a float64 can hold; scale it.")
        if self.log and math.log(low) == math.log(high):
            raise ValueError(f"Float({low}, {high}) is too narrow for log=True; leave it out.")
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)
        self._check_role(self.check)

    def check(self, value: object) -> float:
        """Return `value` as a float of this range; raises ValueError or TypeError."""
        number = _real(value, "A float parameter")
        if not self.low <= number <= self.high:
            raise ValueError(f"{value!r} is outside [{self.low}, {self.high}].")
        return number

    def to_unit(self, value: float) -> float:
        """Map a value of this parameter to [0, 1]."""
        low, high, value = self._warp(self.low), self._warp(self.high), self._warp(value)
        return min(max((value - low) / (high - low), 0.0), 1.0)

    def to_units(self, values: Sequence[float]) -> Array:
        """`to_unit` of many values at once, bit for bit the same."""
        low, high = self._warp(self.low), self._warp(self.high)
        warped = np.array([math.log(v) for v in values] if self.log else values, dtype=np.float64)
        clipped: Array = np.clip((warped - low) / (high - low), 0.0, 1.0)
        return clipped

    def from_unit(self, unit: float) -> float:
        """Map a coordinate in [0, 1] to the value it stands for."""
        low, high = self._warp(self.low), self._warp(self.high)
        value = (1.0 - unit) * low + unit * high
        return min(max(math.exp(value) if self.log else value, self.low), self.high)

    def slope(self, value: float) -> float:
        """Derivative of the value in its coordinate."""
        if self.log:
            return value * (math.log(self.high) - math.log(self.low))
        return self.high - self.low

    def snap(self, unit: Array) -> Array:
        """Return `unit`: every coordinate stands for a value."""
        return unit

    def _warp(self, value: float) -> float:
        return math.log(value) if self.log else value


@dataclass(frozen=True, repr=False)
class Int(WithRole):
    """A whole-number parameter between `low` and `high`, both included.

    Parameters
    ----------
    low, high
        Whole bounds, ``low < high``, at most 2**53 in size.
    log
        Search on the logarithmic scale; needs ``low >= 1``.
    role, target
        As of a `Float`.

    Raises
    ------
    ValueError
        If the bounds are not whole, not in order, or not positive where `log` asks for it, or role
        and target are not what they are for a `Float`.
    """

    low: int
    high: int
    log: bool = False

    kind: ClassVar[str] = "int"

    def __post_init__(self) -> None:
        what = f"Int({self.low!r}, {self.high!r})"
        _check_bounds(_real(self.low, "`low`"), _real(self.high, "`high`"), what)
        low, high = _whole(self.low, "`low` of an Int"), _whole(self.high, "`high` of an Int")
        if max(abs(low), abs(high)) > _LARGEST_INT:
            raise ValueError(f"{what} goes beyond 2**53; use a Float.")
        if self.log and low < 1:
            raise ValueError(f"Int with log=True needs low >= 1, but got low={self.low!r}.")
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)
        self._check_role(self.check)

    @property
    def size(self) -> int:
        """Number of values."""
        return self.high - self.low + 1

    def check(self, value: object) -> int:
        """Return `value` as an int of this range; raises ValueError or TypeError."""
        number = _whole(value, "An integer parameter")
        if not self.low <= number <= self.high:
            raise ValueError(f"{value!r} is outside [{self.low}, {self.high}].")
        return number

    def to_unit(self, value: int) -> float:
        """Map a value of this parameter to its coordinate in [0, 1]."""
        return float(self.to_units([value])[0])

    def to_units(self, values: Sequence[int]) -> Array:
        """`to_unit` of many values at once."""
        return self.unit_of(np.array(values, dtype=np.int64) - self.low)

    def from_unit(self, unit: float) -> int:
        """Map a coordinate in [0, 1] to the value nearest to it."""
        return self.low + int(self.index_of(np.array([unit]))[0])

    def unit_of(self, index: NDArray[Any]) -> Array:
        """Coordinates in [0, 1] of the values at `index`."""
        if not self.log:
            return np.asarray(index / (self.size - 1), dtype=np.float64)
        low, high = math.log(self.low), math.log(self.high)
        return np.asarray((np.log(self.low + index) - low) / (high - low), dtype=np.float64)

    def index_of(self, unit: Array) -> NDArray[np.int64]:
        """Index of the value whose coordinate is nearest to `unit`."""
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            index = np.rint(np.exp(low + unit * (high - low))) - self.low
        else:
            index = np.rint(unit * (self.size - 1))
        clipped: NDArray[np.int64] = np.clip(index, 0, self.size - 1).astype(np.int64)
        return clipped

    def snap(self, unit: Array) -> Array:
        """Move uniform coordinates to the lattice so that every value gets its equal share.

        With `log` the share of v is that of the interval from v to v + 1. Either way the share
        of a value holds its own coordinate: what is on the lattice stays where it is.
        """
        if self.log:
            low, high = math.log(self.low), math.log(self.high + 1)
            index = np.floor(np.exp(low + unit * (high - low))) - self.low
        else:
            index = np.floor(unit * self.size)
        return self.unit_of(np.clip(index, 0, self.size - 1))


@dataclass(frozen=True, repr=False)
class Categorical(WithRole):
    """A parameter that takes one of several values without an order.

    Parameters
    ----------
    choices
        Different values: strings, numbers, booleans or None.
    role
        "source": which of several models, simulators or machines evaluates; "task": which of
        several related problems is evaluated; "environment": what nobody will control when the
        best point is used. None: searched for its best value.
    target
        The source, or the task, for which the best point is sought. With it no other task is ever
        asked for: the others bring earlier results. Tasks without it: the best point for their
        mean is sought.

    Raises
    ------
    ValueError
        If there is no choice, or one stands twice, or the role is not one of these, a source has
        no target, or a target is not a choice.
    TypeError
        If a choice is not a string, a number, a boolean or None.
    """

    choices: Sequence[Choice]

    kind: ClassVar[str] = "categorical"

    def __post_init__(self) -> None:
        if isinstance(self.choices, str | bytes) or not isinstance(
            self.choices, Sequence | np.ndarray
        ):
            raise TypeError(
                f"Categorical needs a list of choices, in an order that stays, but got "
                f"{self.choices!r}."
            )
        choices = tuple(c.item() if isinstance(c, np.generic) else c for c in self.choices)
        if not choices:
            raise ValueError("Categorical needs at least one choice, but got none.")
        for position, choice in enumerate(choices):
            if not (choice is None or isinstance(choice, (str, int, float))):
                raise TypeError(
                    f"A choice must be a string, a number, a boolean or None, but got {choice!r}; "
                    "name your objects and look them up inside your function."
                )
            if choice != choice:
                raise ValueError("A choice is NaN, which equals nothing, not even itself.")
            if choice in choices[:position]:
                raise ValueError(f"The choice {choice!r} stands twice in {list(choices)!r}.")
        object.__setattr__(self, "choices", choices)
        self._check_role(self.check)

    @property
    def size(self) -> int:
        """Number of values."""
        return len(self.choices)

    def check(self, value: object) -> Choice:
        """Return the choice that equals `value`; raises ValueError."""
        for choice in self.choices:
            if choice == value:
                return choice
        raise ValueError(f"{value!r} is not one of {list(self.choices)!r}.")

    def to_unit(self, value: Choice) -> float:
        """Map a choice to its coordinate in [0, 1]; the order means nothing to a model."""
        return float(self.to_units([value])[0])

    def to_units(self, values: Sequence[Choice]) -> Array:
        """`to_unit` of many choices at once."""
        index_of = {choice: index for index, choice in enumerate(self.choices)}
        return self.unit_of(np.array([index_of[value] for value in values], dtype=np.int64))

    def from_unit(self, unit: float) -> Choice:
        """Map a coordinate in [0, 1] to the choice nearest to it."""
        return self.choices[int(self.index_of(np.array([unit]))[0])]

    def unit_of(self, index: NDArray[Any]) -> Array:
        """Coordinates in [0, 1] of the choices at `index`."""
        return np.asarray(index / max(self.size - 1, 1), dtype=np.float64)

    def index_of(self, unit: Array) -> NDArray[np.int64]:
        """Index of the choice whose coordinate is nearest to `unit`."""
        return np.rint(unit * (self.size - 1)).astype(np.int64)

    def snap(self, unit: Array) -> Array:
        """Move uniform coordinates to the choices, an equal share for each."""
        return self.unit_of(np.clip(np.floor(unit * self.size), 0, self.size - 1))


Parameter = Float | Int | Categorical | Fixed
KINDS: dict[str, type[Float | Int | Categorical]] = {p.kind: p for p in (Float, Int, Categorical)}


def is_number(parameter: Parameter) -> bool:
    """Whether its values are numbers, which can be added up."""
    return not isinstance(whose_values(parameter), Categorical)


def numeric_range(parameter: Parameter) -> tuple[float, float]:
    """Smallest and largest value in the user's units; 0 and 0 where values are no numbers."""
    if isinstance(parameter, Float | Int):
        return float(parameter.low), float(parameter.high)
    if isinstance(parameter, Fixed) and is_number(parameter):
        return float(parameter.value), float(parameter.value)
    return 0.0, 0.0


def whose_values(parameter: Parameter) -> Float | Int | Categorical:
    """The parameter whose value is fixed, or the one that came."""
    return parameter.parameter if isinstance(parameter, Fixed) else parameter  # type: ignore[return-value]


def _check_bounds(low: float, high: float, what: str) -> None:
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"{what}: the bounds must be finite numbers.")
    if low >= high:
        raise ValueError(f"{what}: `low` must be smaller than `high`.")


def to_json(parameter: Parameter) -> dict[str, Any]:
    """Plain dict for `from_json`; role and target are left out where there is none."""
    if isinstance(parameter, Fixed):
        raise TypeError(f"A fixed parameter is no part of a study: {parameter!r}.")
    described: dict[str, Any] = {"kind": parameter.kind}
    if isinstance(parameter, Categorical):
        described["choices"] = list(parameter.choices)
    else:
        described |= {"low": parameter.low, "high": parameter.high, "log": parameter.log}
    of_role = {"role": parameter.role, "target": parameter.target}
    return described | {key: value for key, value in of_role.items() if value is not None}


def from_json(described: Mapping[str, Any]) -> Parameter:
    """Inverse of `to_json`; other entries than a name are refused."""
    given = {key: value for key, value in described.items() if key not in ("name", "kind")}
    return KINDS[described["kind"]](**given)
