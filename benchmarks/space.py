"""A search space in neutral words, so that each solver can say it in its own library's words.

A space is a tuple of parameters. A point is a dict from parameter name to value. The unit cube
has one axis per parameter, whatever its kind.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, floor, log
from typing import Literal, TypeAlias

from scipy.stats import qmc

Value: TypeAlias = float | int | str
Params: TypeAlias = dict[str, Value]


@dataclass(frozen=True)
class Parameter:
    """One axis of a search space: a float or an int between two bounds, or one of the choices."""

    name: str
    kind: Literal["float", "int", "categorical"]
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    choices: tuple[str, ...] = ()

    def from_unit(self, u: float) -> Value:
        """The value at position ``u`` in [0, 1] of the axis."""
        if self.kind == "categorical":
            return self.choices[min(floor(u * len(self.choices)), len(self.choices) - 1)]
        low, high = (self.low, self.high) if self.kind == "float" else (self.low, self.high + 1)
        x = exp(log(low) + u * (log(high) - log(low))) if self.log else low + u * (high - low)
        x = min(max(x, self.low), self.high)
        return x if self.kind == "float" else floor(x)

    def to_unit(self, x: Value) -> float:
        """The position on its axis of a value of a float."""
        x = float(x)
        if self.log:
            return (log(x) - log(self.low)) / (log(self.high) - log(self.low))
        return (x - self.low) / (self.high - self.low)


Space: TypeAlias = tuple[Parameter, ...]


def box(bounds: Sequence[tuple[float, float]]) -> Space:
    """A space of floats named x0, x1, ... between the given bounds."""
    return tuple(
        Parameter(f"x{i}", "float", float(low), float(high)) for i, (low, high) in enumerate(bounds)
    )


def from_unit(space: Space, u: Sequence[float]) -> Params:
    """The point of the space at a point of the unit cube."""
    return {p.name: p.from_unit(v) for p, v in zip(space, u, strict=True)}


def numbers(space: Space, params: Params) -> list[float]:
    """The values of a point whose parameters are all numbers, in the order of the space."""
    return [float(params[p.name]) for p in space]


def starting_points(space: Space, seed: int, n: int | None = None) -> list[Params]:
    """The first ``n`` (by default 2 (d + 1)) scrambled Sobol' points, the same for every solver."""
    n = 2 * (len(space) + 1) if n is None else n
    sobol = qmc.Sobol(len(space), scramble=True, rng=seed)
    cube = sobol.random_base2(max(n - 1, 1).bit_length())[:n]
    return [from_unit(space, u) for u in cube.tolist()]
