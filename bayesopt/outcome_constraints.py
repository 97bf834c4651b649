"""Bounds on what evaluations give besides their value, such as a latency of at most 5.

Notation
--------
n, c    number of evaluations, of constraints
g       (n, c) observed values of the constraints, in the user's units
low     (c,) lower bounds, -inf where there is none
high    (c,) upper bounds, inf where there is none

    met where  low <= g <= high
"""

import difflib
import math
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesopt.arguments import real_number
from bayesopt.evaluation import Evaluation

Array = NDArray[np.float64]

_HOW = "write a (low, high) pair, with None for a bound that is not there"


@dataclass(frozen=True)
class OutcomeConstraints:
    """What must hold for the outcomes of an evaluation, by names.

    Parameters
    ----------
    bounds
        (name, low, high) of each constraint, in its own units; -inf or inf where there is no
        bound. `of` makes them from what users write.
    """

    bounds: tuple[tuple[str, float, float], ...] = ()

    @classmethod
    def of(cls, given: object) -> "OutcomeConstraints":
        """Read what a user writes.

        Parameters
        ----------
        given
            ``{"latency": (None, 5.0), "power": (1.0, None)}``, None for no constraints, or
            OutcomeConstraints.

        Raises
        ------
        TypeError, ValueError
            If it is no dict of bounds by name, a constraint has no bound at all, or its bounds are
            equal or the wrong way round; the text says how to mend it.

        Examples
        --------
        >>> OutcomeConstraints.of({"latency": (None, 5)}).bounds
        (('latency', -inf, 5.0),)
        """
        if given is None or isinstance(given, OutcomeConstraints):
            return given or cls()
        if not isinstance(given, Mapping):
            raise TypeError(
                "`outcome_constraints` must be a dict of bounds by name, like "
                f"{{'latency': (None, 5.0)}}, but got {reprlib.repr(given)}."
            )
        bounds = [(_name(name), *_bounds(name, pair)) for name, pair in given.items()]
        return cls(tuple(sorted(bounds)))

    def __bool__(self) -> bool:
        return bool(self.bounds)

    def __len__(self) -> int:
        return len(self.bounds)

    @property
    def names(self) -> tuple[str, ...]:
        """Names (c,), sorted: what is chosen does not depend on the order of a dict."""
        return tuple(name for name, _, _ in self.bounds)

    @property
    def low(self) -> Array:
        """Lower bounds (c,)."""
        return np.array([low for _, low, _ in self.bounds], dtype=np.float64)

    @property
    def high(self) -> Array:
        """Upper bounds (c,)."""
        return np.array([high for _, _, high in self.bounds], dtype=np.float64)

    def observed(self, evaluations: Iterable[Evaluation]) -> Array:
        """Values (n, c) of n evaluations that have been checked."""
        rows = [[(e.constraints or {})[name] for name in self.names] for e in evaluations]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(self))

    def violations(self, values: ArrayLike) -> Array:
        """By how much values (n, c) are beyond their bounds (n, c), 0 within them."""
        g = np.asarray(values, dtype=np.float64)
        return np.maximum(np.maximum(self.low - g, g - self.high), 0.0)

    def holds(self, values: ArrayLike) -> NDArray[np.bool_]:
        """Which rows of values (n, c) meet all constraints (n,)."""
        g = np.asarray(values, dtype=np.float64)
        met: NDArray[np.bool_] = np.all((self.low <= g) & (g <= self.high), axis=-1)
        return met

    def check(self, evaluation: Evaluation) -> None:
        """Raise ValueError unless an evaluation has a value for each constraint and no other."""
        came = evaluation.constraints or {}
        missing = [name for name in self.names if name not in came]
        unknown = [name for name in came if name not in self.names]
        if not (missing or unknown):
            return
        if not self:
            raise ValueError(
                f"The evaluation has values of the constraints {unknown}, but this study has no "
                "`outcome_constraints`: declare them there, or leave them out."
            )
        said = []
        if missing:
            values = ", ".join(f"{name!r}: ..." for name in self.names)
            said.append(
                f"The evaluation has no value of the constraint{'s' * (len(missing) > 1)} "
                f"{', '.join(map(repr, missing))}; return "
                f"bayesopt.Evaluation(value, constraints={{{values}}})."
            )
        for name in unknown:
            near = difflib.get_close_matches(name, self.names, 1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            said.append(
                f"The evaluation has a value of {name!r}, but the `outcome_constraints` are "
                f"{list(self.names)}{hint}"
            )
        raise ValueError(" ".join(said))

    def to_json(self) -> dict[str, list[float | None]]:
        """Plain dict for `from_json`: bounds by name, None where there is none."""
        return {
            name: [bound if math.isfinite(bound) else None for bound in pair]
            for name, *pair in self.bounds
        }

    @classmethod
    def from_json(cls, described: Mapping[str, Any]) -> "OutcomeConstraints":
        """Inverse of `to_json`; raises TypeError or ValueError if it cannot be."""
        return cls.of(described)


OutcomeBounds = Mapping[str, tuple[float | None, float | None]] | OutcomeConstraints
"""What users write."""


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"Names of `outcome_constraints` must be strings, but got {name!r}.")
    if not name:
        raise ValueError("A name in `outcome_constraints` is empty.")
    return name


def _bounds(name: object, pair: Any) -> tuple[float, float]:
    what = f"`outcome_constraints[{name!r}]`"
    if isinstance(pair, str | bytes | Mapping) or not hasattr(pair, "__len__") or len(pair) != 2:
        raise TypeError(f"{what} must be two bounds, but got {reprlib.repr(pair)}: {_HOW}.")
    low, high = (_bound(end, what) for end in pair)
    low, high = (-math.inf if low is None else low, math.inf if high is None else high)
    if low == -math.inf and high == math.inf:
        raise ValueError(f"{what} has no bound at all: give at least one, or leave {name!r} out.")
    if low == math.inf or high == -math.inf:
        raise ValueError(f"{what} can never be met between {low:g} and {high:g}: {_HOW}.")
    if low > high:
        raise ValueError(
            f"{what} has its bounds the wrong way round, {low:g} > {high:g}: did you mean "
            f"({_shown(high)}, {_shown(low)})?"
        )
    if low == high:
        raise ValueError(
            f"{what} asks for exactly {low:g}, which no measured value meets: allow a range, like "
            f"({low:g} - tolerance, {low:g} + tolerance)."
        )
    return low, high


def _bound(end: Any, what: str) -> float | None:
    if end is None:
        return None
    number = real_number(end, f"A bound of {what}")
    if math.isnan(number):
        raise ValueError(f"A bound of {what} is NaN: {_HOW}.")
    return number


def _shown(bound: float) -> str:
    return f"{bound:g}" if math.isfinite(bound) else "None"
