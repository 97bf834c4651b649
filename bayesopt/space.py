"""The search space: named parameters, and the map from their values to the unit cube.

Notation
--------
d       number of parameters, one column each
U       (..., d) points of the unit cube, anywhere in it
X       (..., d) points of the unit cube that stand for a value: U after `Space.snap`
index   position 0 .. size-1 of a value of an integer or a categorical parameter

Every model and every acquisition sees X. An integer or a category is only ever looked at
on its own lattice, so nothing has to be rounded after a search.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Choice = str | int | float | bool | None
Params = dict[str, Any]

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


@dataclass(frozen=True)
class Float:
    """A real parameter between `low` and `high`, both included.

    Parameters
    ----------
    low, high
        Finite bounds in the user's units, ``low < high``.
    log
        Search on the logarithmic scale; needs ``low > 0``.

    Raises
    ------
    ValueError
        If the bounds are not finite, not in order, or not positive where `log` asks for it.
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

    def from_unit(self, unit: float) -> float:
        """Map a coordinate in [0, 1] to the value it stands for."""
        low, high = self._warp(self.low), self._warp(self.high)
        value = (1.0 - unit) * low + unit * high
        return min(max(math.exp(value) if self.log else value, self.low), self.high)

    def snap(self, unit: Array) -> Array:
        """Return `unit`: every coordinate stands for a value."""
        return unit

    def _warp(self, value: float) -> float:
        return math.log(value) if self.log else value


@dataclass(frozen=True)
class Int:
    """A whole-number parameter between `low` and `high`, both included.

    Parameters
    ----------
    low, high
        Whole bounds, ``low < high``, at most 2**53 in size.
    log
        Search on the logarithmic scale; needs ``low >= 1``.

    Raises
    ------
    ValueError
        If the bounds are not whole, not in order, or not positive where `log` asks for it.
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
        return float(self.unit_of(np.array([value - self.low]))[0])

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


@dataclass(frozen=True)
class Categorical:
    """A parameter that takes one of several values without an order.

    Parameters
    ----------
    choices
        Different values: strings, numbers, booleans or None.

    Raises
    ------
    ValueError
        If there is no choice, or one stands twice.
    TypeError
        If a choice is not a string, a number, a boolean or None.
    """

    choices: Sequence[Choice]

    kind: ClassVar[str] = "categorical"

    def __post_init__(self) -> None:
        if isinstance(self.choices, (str, bytes)):
            raise TypeError(f"Categorical needs a list of choices, but got {self.choices!r}.")
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
        return float(self.unit_of(np.array([self.choices.index(value)]))[0])

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


Parameter = Float | Int | Categorical
_KINDS: dict[str, type[Parameter]] = {p.kind: p for p in (Float, Int, Categorical)}


class Space:
    """Named parameters in a fixed order.

    Parameters
    ----------
    **parameters
        ``name=Float(...)``, ``Int(...)`` or ``Categorical(...)``.

    Raises
    ------
    ValueError
        If there is no parameter.
    TypeError
        If something else than a parameter is given.

    Examples
    --------
    >>> space = Space(C=Float(1e-3, 1e3, log=True), kernel=Categorical(["rbf", "poly"]))
    >>> space.from_unit([0.5, 1.0])
    {'C': 1.0, 'kernel': 'poly'}
    """

    def __init__(self, /, **parameters: Parameter) -> None:
        if not parameters:
            raise ValueError("A space needs at least one parameter, but got none.")
        for name, parameter in parameters.items():
            if not isinstance(parameter, Float | Int | Categorical):
                raise TypeError(
                    f"Parameter '{name}' must be a Float, an Int or a Categorical, "
                    f"but got {parameter!r}."
                )
        self.parameters: dict[str, Parameter] = parameters
        self.names: tuple[str, ...] = tuple(parameters)
        self.takes_vector = False
        """True when the space came from plain bounds, so that a function takes one vector."""

    @classmethod
    def of(cls, space: object) -> "Space":
        """Accept a Space, a list of (low, high) pairs, or `scipy.optimize.Bounds`.

        Raises
        ------
        TypeError, ValueError
            If it is none of them, empty, or a pair is not one.
        """
        if isinstance(space, Space):
            return space
        if isinstance(space, Mapping):
            raise TypeError("A dict of parameters is given as Space(**parameters).")
        if hasattr(space, "lb") and hasattr(space, "ub"):
            low, high = np.broadcast_arrays(np.atleast_1d(space.lb), np.atleast_1d(space.ub))
            space = list(zip(low.tolist(), high.tolist(), strict=True))
        if isinstance(space, str | bytes) or not isinstance(space, Sequence | np.ndarray):
            raise TypeError(
                "`space` must be a Space, a list of (low, high) pairs or scipy.optimize.Bounds, "
                f"but got {type(space).__name__}."
            )
        return cls._from_bounds(space)

    @classmethod
    def _from_bounds(cls, bounds: Sequence[Any] | NDArray[Any]) -> "Space":
        parameters: dict[str, Parameter] = {}
        for column, pair in enumerate(bounds):
            try:
                low, high = pair
            except (TypeError, ValueError) as error:
                raise ValueError(f"Bounds must be (low, high) pairs, but got {pair!r}.") from error
            parameters[f"x{column}"] = Float(low, high)
        space = cls(**parameters)
        space.takes_vector = True
        return space

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __getitem__(self, name: str) -> Parameter:
        return self.parameters[name]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(tuple(self.parameters.items()))

    def __repr__(self) -> str:
        return f"Space({', '.join(f'{name}={p!r}' for name, p in self.parameters.items())})"

    @property
    def size(self) -> int | None:
        """Number of points, or None when a parameter is real."""
        sizes = [parameter.size for parameter in self.parameters.values()]
        return None if None in sizes else math.prod(size for size in sizes if size is not None)

    def columns(self, *kinds: str) -> list[int]:
        """Columns of the parameters of these kinds: "float", "int", "categorical"."""
        return [j for j, p in enumerate(self.parameters.values()) if p.kind in kinds]

    @property
    def categories(self) -> tuple[tuple[int, int], ...]:
        """(column, number of choices) of every categorical parameter."""
        return tuple(
            (j, p.size)
            for j, p in enumerate(self.parameters.values())
            if isinstance(p, Categorical)
        )

    def check(self, point: Mapping[str, Any] | Sequence[Any] | NDArray[Any]) -> Params:
        """Return `point`, a dict or a vector in the order of the space, as checked parameters.

        Raises
        ------
        ValueError, TypeError
            If a parameter is missing, unknown, of the wrong type or out of its range.
        """
        if isinstance(point, str | bytes) or not isinstance(
            point, Mapping | Sequence | np.ndarray
        ):
            raise TypeError(f"A point must be a dict or a vector, but got {point!r}.")
        if not isinstance(point, Mapping):
            values = list(point)
            if len(values) != len(self):
                raise ValueError(f"A point needs {len(self)} values, but got {len(values)}.")
            point = dict(zip(self.names, values, strict=True))
        missing = [name for name in self.names if name not in point]
        unknown = [name for name in point if name not in self.parameters]
        if missing or unknown:
            raise ValueError(
                f"A point must give {list(self.names)}; missing {missing}, unknown {unknown}."
            )
        params: Params = {}
        for name, parameter in self.parameters.items():
            try:
                params[name] = parameter.check(point[name])
            except (TypeError, ValueError) as error:
                raise type(error)(f"Parameter '{name}': {error}") from None
        return params

    def contains(self, point: Mapping[str, Any] | Sequence[Any] | NDArray[Any]) -> bool:
        """Whether `point` is a point of this space."""
        try:
            self.check(point)
        except (TypeError, ValueError):
            return False
        return True

    def to_unit(self, params: Mapping[str, Any]) -> Array:
        """Map checked parameters to their point of the unit cube, shape (d,)."""
        return np.array([p.to_unit(params[name]) for name, p in self.parameters.items()])

    def from_unit(self, unit: ArrayLike) -> Params:
        """Map a point of the unit cube, shape (d,), to parameters."""
        coordinates = np.asarray(unit, dtype=np.float64).tolist()
        return {
            name: parameter.from_unit(coordinate)
            for (name, parameter), coordinate in zip(
                self.parameters.items(), coordinates, strict=True
            )
        }

    def snap(self, U: Array) -> Array:
        """Move points (..., d) of the cube to points that stand for a value."""
        X = np.array(U, dtype=np.float64)
        for column, parameter in enumerate(self.parameters.values()):
            if parameter.kind != "float":
                X[..., column] = parameter.snap(X[..., column])
        return X

    def grid(self) -> Array:
        """All points (size, d) of a finite space.

        Raises
        ------
        ValueError
            If a parameter is real.
        """
        if self.size is None:
            raise ValueError("A space with a Float has no grid.")
        axes = [
            parameter.unit_of(np.arange(parameter.size))
            for parameter in self.parameters.values()
            if not isinstance(parameter, Float)
        ]
        return np.array(list(product(*axes)))

    def to_json(self) -> dict[str, Any]:
        """Plain dict that `from_json` turns back into an equal space."""
        described = [
            {"name": name, "kind": p.kind}
            | ({"choices": list(p.choices)} if isinstance(p, Categorical) else vars(p))
            for name, p in self.parameters.items()
        ]
        return {"parameters": described, "takes_vector": self.takes_vector}

    @classmethod
    def from_json(cls, described: Mapping[str, Any]) -> "Space":
        """Inverse of `to_json`."""
        parameters: dict[str, Parameter] = {}
        for entry in described["parameters"]:
            fields = {key: value for key, value in entry.items() if key not in ("name", "kind")}
            parameters[entry["name"]] = _KINDS[entry["kind"]](**fields)
        space = cls(**parameters)
        space.takes_vector = bool(described["takes_vector"])
        return space


def _check_bounds(low: float, high: float, what: str) -> None:
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"{what}: the bounds must be finite numbers.")
    if low >= high:
        raise ValueError(f"{what}: `low` must be smaller than `high`.")
