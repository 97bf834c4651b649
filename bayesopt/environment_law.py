"""The law of one random condition, or of several together: read, checked and described.

A law is finite (values and their weights) or a frozen one of scipy.stats in one variable. This
room does not load scipy.stats: whoever gives such a law has loaded it.
"""

import math
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesopt.arguments import real_number
from bayesopt.parameter import Choice, Float, Int, Parameter

_LARGEST_LOSS = 1e-3  # mass that may lie outside of the range of a parameter
_TAIL = 2e-4  # mass on either side that the bounds which are proposed leave out

_HOW = (
    "a law is a frozen one of scipy.stats in one variable, like scipy.stats.norm(0.5, 0.1), or "
    "{value: weight}"
)


@dataclass(frozen=True)
class FiniteLaw:
    """Values and their weights.

    Parameters
    ----------
    values
        (K,) rows, each with one value for each parameter.
    weights
        (K,) not negative; they are scaled so that they sum to 1.
    """

    values: tuple[tuple[Choice, ...], ...]
    weights: tuple[float, ...]

    def check(self, names: tuple[str, ...], parameters: tuple[Parameter, ...]) -> None:
        """Raise ValueError or TypeError unless all the values are values of the parameters."""
        self.on(names, parameters)

    def on(self, names: tuple[str, ...], parameters: tuple[Parameter, ...]) -> "FiniteLaw":
        """The same law with the values as the parameters have them."""
        rows = []
        for row in self.values:
            checked = []
            for name, parameter, value in zip(names, parameters, row, strict=True):
                try:
                    checked.append(parameter.check(value))
                except (TypeError, ValueError) as error:
                    raise type(error)(
                        f"The law of '{name}' in `environment` has a value that the parameter has "
                        f"not: {error}"
                    ) from None
            rows.append(tuple(checked))
        return FiniteLaw(tuple(rows), self.weights)

    def to_json(self) -> dict[str, Any]:
        """Plain dict."""
        return {"values": [list(row) for row in self.values], "weights": list(self.weights)}

    def __repr__(self) -> str:
        keys = [row[0] if len(row) == 1 else row for row in self.values]
        return reprlib.repr(dict(zip(keys, self.weights, strict=True)))


@dataclass(frozen=True, eq=False)
class ScipyLaw:
    """A frozen law of scipy.stats in one variable.

    Parameters
    ----------
    frozen
        What scipy.stats made.
    """

    frozen: Any

    @property
    def is_discrete(self) -> bool:
        """Whether it has atoms and no density."""
        return hasattr(self.frozen, "pmf")

    @property
    def name(self) -> str:
        """Its name in scipy.stats."""
        return str(self.frozen.dist.name)

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters that it was frozen with, by name."""
        shapes = self.frozen.dist.shapes
        names = shapes.split(", ") if shapes else []
        names += ["loc"] if self.is_discrete else ["loc", "scale"]
        given = dict(zip(names, self.frozen.args, strict=False)) | self.frozen.kwds
        usual = {"loc": 0.0, "scale": 1.0}
        return {name: given.get(name, usual.get(name)) for name in names}

    def check(self, names: tuple[str, ...], parameters: tuple[Parameter, ...]) -> None:
        """Raise ValueError or TypeError unless a parameter can have this law."""
        (name,), (parameter,) = names, parameters
        what = f"The law of '{name}' in `environment`"
        if not isinstance(parameter, Float | Int):
            raise TypeError(
                f"{what} is {self!r}, which gives numbers, but '{name}' is {parameter!r}: give "
                "{choice: weight}."
            )
        if isinstance(parameter, Int) and not self.is_discrete:
            raise TypeError(
                f"{what} is {self!r}, a continuous law, but '{name}' is {parameter!r}: give a "
                "discrete law of scipy.stats, or {value: weight}."
            )
        if isinstance(parameter, Int) and self.frozen.ppf(0.5) % 1.0 != 0.0:
            raise ValueError(f"{what} is {self!r}, whose values are not whole, but '{name}' is.")
        below, above = self.outside(parameter)
        if not below + above <= _LARGEST_LOSS:
            raise ValueError(
                f"{what} is {self!r}, which has {100.0 * (below + above):.3g} % of its mass "
                f"outside of [{parameter.low:g}, {parameter.high:g}], and at most "
                f"{100 * _LARGEST_LOSS:g} % may be cut off: "
                f"{self._advice(parameter, below, above)}."
            )

    def outside(self, parameter: Float | Int) -> tuple[float, float]:
        """The mass below and the mass above the range of a parameter."""
        low = np.nextafter(parameter.low, -math.inf) if self.is_discrete else parameter.low
        return float(self.frozen.cdf(low)), float(self.frozen.sf(parameter.high))

    def atoms(self, parameter: Float | Int, most: int) -> FiniteLaw | None:
        """A discrete law in the range of a parameter; None if it has more than `most` atoms there.

        Atoms that weigh less than 1e-12 together on either side are left out.
        """
        origin = float(self.frozen.ppf(0.5))  # an atom, whatever `loc` is
        first = max(float(self.frozen.ppf(1e-12)), parameter.low)
        last = min(float(self.frozen.isf(1e-12)), parameter.high)
        steps = np.arange(math.ceil(first - origin), math.floor(last - origin) + 1)
        if len(steps) > most:
            return None
        values = origin + steps
        weights = self.frozen.pmf(values)
        return finite_law([(float(v),) for v in values], weights.tolist(), "The law")

    def to_json(self) -> dict[str, Any]:
        """Plain dict; raises TypeError when a name and parameters do not describe the law."""
        from scipy import stats  # loaded already by whoever made the law

        dist = self.frozen.dist
        if type(getattr(stats, self.name, None)) is not type(dist):
            raise TypeError(
                f"An environment law {self!r} is not one of scipy.stats by its name, and cannot be "
                "stored with a study: give {value: weight}, or a named law."
            )
        try:
            plain = {name: _plain(value) for name, value in self.parameters.items()}
        except (TypeError, ValueError) as error:
            raise TypeError(f"An environment law {self!r} cannot be stored: {error}") from None
        return {"law": self.name, "parameters": plain}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ScipyLaw):
            return False
        if type(self.frozen.dist) is not type(other.frozen.dist) or self.name != other.name:
            return False
        try:
            return self.to_json() == other.to_json()
        except TypeError:
            return self.frozen is other.frozen

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.parameters.items())
        return f"scipy.stats.{self.name}({inside})"

    def _advice(self, parameter: Float | Int, below: float, above: float) -> str:
        low, high = float(parameter.low), float(parameter.high)
        if below > _TAIL:
            low = min(low, float(self.frozen.ppf(_TAIL)))
        if above > _TAIL:
            high = max(high, float(self.frozen.isf(_TAIL)))
        step = 1.0 if isinstance(parameter, Int) else 10.0 ** math.floor(math.log10(high - low) - 2)
        low = low if low == parameter.low else math.floor(low / step) * step
        high = high if high == parameter.high else math.ceil(high / step) * step
        if parameter.log and low <= 0.0:
            return f"it needs bounds [{low:.6g}, {high:.6g}], without log=True"
        kind = "Int" if isinstance(parameter, Int) else "Float"
        return f"{kind}({low:.6g}, {high:.6g}) is wide enough"


Law = FiniteLaw | ScipyLaw


def law_of(names: tuple[str, ...], given: Any) -> Law:
    """Read the law of one or several parameters.

    Raises
    ------
    TypeError, ValueError
        If it is none, of the wrong dimension, or its weights are none.
    """
    what = f"The law of {', '.join(map(repr, names))} in `environment`"
    if isinstance(given, FiniteLaw):
        for row in given.values:
            _row(row, names, what)
        return given
    if isinstance(given, ScipyLaw):
        given = given.frozen
    if isinstance(given, Mapping) and len(names) == 1:
        given = {(value,): weight for value, weight in given.items()}
    if isinstance(given, Mapping):
        rows = [_row(value, names, what) for value in given]
        return finite_law(rows, given.values(), what)
    return _scipy_law(names, given, what)


def law_from_json(described: Mapping[str, Any]) -> Law:
    """Inverse of `to_json`; raises KeyError, TypeError or ValueError if it cannot be."""
    if "law" not in described:
        rows = [tuple(row) for row in described["values"]]
        return FiniteLaw(tuple(rows), tuple(float(weight) for weight in described["weights"]))
    from scipy import stats  # only for those who have such laws: it takes its time

    dist = getattr(stats, described["law"], None)
    if not isinstance(dist, stats.rv_continuous | stats.rv_discrete):
        raise ValueError(f"scipy.stats has no law {described['law']!r}.")
    return ScipyLaw(dist(**described["parameters"]))


def finite_law(
    rows: Iterable[tuple[Choice, ...]], weights: Iterable[object], what: str
) -> FiniteLaw:
    """A finite law with weights of any positive sum; raises TypeError or ValueError."""
    rows = tuple(rows)
    if not rows:
        raise ValueError(f"{what} has no value: give {{value: weight}}.")
    numbers = [real_number(weight, f"{what}: a weight") for weight in weights]
    for row, number in zip(rows, numbers, strict=True):
        if not (math.isfinite(number) and number >= 0.0):
            shown = row[0] if len(row) == 1 else row
            raise ValueError(
                f"{what}: weights must be finite and not negative, but that of {shown!r} is "
                f"{number!r}."
            )
    largest = max(numbers)
    if largest == 0.0:
        raise ValueError(f"{what}: at least one weight must be positive, but all of them are 0.")
    scaled = [number / largest for number in numbers]  # their sum cannot overflow
    total = math.fsum(scaled)
    return FiniteLaw(rows, tuple(number / total for number in scaled))


def _row(value: Any, names: tuple[str, ...], what: str) -> tuple[Choice, ...]:
    """One value for each name."""
    if isinstance(value, str | bytes) or not isinstance(value, tuple) or len(value) != len(names):
        raise ValueError(
            f"{what} is of the wrong dimension: its values are tuples of {len(names)}, like "
            f"{{({', '.join('...' for _ in names)}): weight}}, but {value!r} came."
        )
    if any(isinstance(part, tuple) for part in value):
        raise ValueError(
            f"{what} is of the wrong dimension: {value[0]!r} came for one parameter. Name several "
            "together, like {('a', 'b'): {(1.0, 2.0): weight, ...}}."
        )
    return tuple(part.item() if isinstance(part, np.generic) else part for part in value)


def _scipy_law(names: tuple[str, ...], given: Any, what: str) -> ScipyLaw:
    if hasattr(given, "rvs") and hasattr(given, "name") and hasattr(given, "shapes"):
        raise TypeError(
            f"{what} has no parameters yet: call it, like scipy.stats.{given.name}(...)."
        )
    if hasattr(given, "rvs") and not hasattr(given, "dist"):
        raise ValueError(
            f"{what} is of the wrong dimension: {type(given).__name__} is no law of one variable; "
            f"{_HOW}, or {{('a', 'b'): {{(value, value): weight}}}} for several parameters."
        )
    frozen = all(hasattr(given, name) for name in ("dist", "args", "kwds", "ppf"))
    if not frozen:
        raise TypeError(f"{what} must be a law, but got {reprlib.repr(given)}: {_HOW}.")
    shapes = [np.shape(value) for value in (*given.args, *given.kwds.values())]
    if any(shapes):
        raise ValueError(
            f"{what} is of the wrong dimension: its parameters are arrays of the shapes {shapes}, "
            f"so that it stands for several laws; {_HOW}."
        )
    if len(names) > 1:
        raise ValueError(
            f"{what} is of the wrong dimension: a law of scipy.stats is that of one parameter. "
            "Give {(value, value): weight}, or independent laws by single names."
        )
    law = ScipyLaw(given)
    with np.errstate(all="ignore"):
        median = float(given.ppf(0.5))
    if not math.isfinite(median):
        raise ValueError(f"{what} is {law!r}, which is no law: its parameters are not allowed.")
    return law


def _plain(value: Any) -> float | int:
    if isinstance(value, bool | np.bool_) or not isinstance(
        value, int | float | np.integer | np.floating
    ):
        raise TypeError(f"its parameter {value!r} is no number.")
    if not math.isfinite(value):
        raise ValueError(f"its parameter {value!r} is not finite.")
    return float(value)
