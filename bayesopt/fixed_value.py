"""A parameter that stays at one value: a lattice of one point inside the range of another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from bayesopt.roles import Choice

Array = NDArray[np.float64]


class _Values(Protocol):
    """The parameter whose value it is."""

    def check(self, value: object) -> Choice: ...

    def to_unit(self, value: Any) -> float: ...


@dataclass(frozen=True)
class Fixed:
    """One value of another parameter: a lattice of one point, which no search moves.

    It is how a space is looked at for one value of a parameter with a role; no user makes one.

    Parameters
    ----------
    parameter
        The other one, whose coordinates these are.
    value
        A checked value of it.
    """

    parameter: _Values
    value: Any

    kind: ClassVar[str] = "fixed"
    size: ClassVar[int] = 1
    role: ClassVar[None] = None
    target: ClassVar[None] = None

    @property
    def unit(self) -> float:
        """The coordinate of the value."""
        return self.parameter.to_unit(self.value)

    def check(self, value: object) -> Choice:
        """Return the value; raises ValueError or TypeError for any other."""
        if self.parameter.check(value) != self.value:
            raise ValueError(f"{value!r} is not {self.value!r}, which is the only value here.")
        return self.value  # type: ignore[no-any-return]

    def to_unit(self, value: object) -> float:
        """The coordinate of the value, whatever comes."""
        return self.unit

    def to_units(self, values: Sequence[object]) -> Array:
        """`to_unit` of many values at once."""
        return np.full(len(values), self.unit)

    def from_unit(self, unit: float) -> Choice:
        """The value, whatever the coordinate."""
        return self.value  # type: ignore[no-any-return]

    def unit_of(self, index: NDArray[Any]) -> Array:
        """Coordinates of the values at `index`, of which there is one."""
        return np.full(np.shape(index), self.unit)

    def index_of(self, unit: Array) -> NDArray[np.int64]:
        """Index of the only value."""
        return np.zeros(np.shape(unit), dtype=np.int64)

    def snap(self, unit: Array) -> Array:
        """Move all coordinates to that of the value."""
        return np.full(np.shape(unit), self.unit)
