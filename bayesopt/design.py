"""Points without a model: the space-filling start, and which points may still be asked for.

Notation
--------
d       number of columns
X       (m, d) points of the unit cube that stand for a value
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch.quasirandom import SobolEngine

from bayesopt.parameter import Array
from bayesopt.space import Params, Space

_N_DRAWS = 1000
_LARGEST_GRID = 100_000
_SAME = 1e-7  # closer in every real column, two points are one: rounding is all that differs


class SpaceExhausted(Exception):
    """Every point of a finite space has been evaluated, and repeating one shows nothing new."""


@dataclass(frozen=True)
class Taken:
    """Points that may not be asked for again.

    Parameters
    ----------
    space
        The space.
    X
        (m, d) the points.
    """

    space: Space
    X: Array

    def all_of_the_space(self) -> bool:
        """Whether a finite space has no free point left."""
        return self.space.size is not None and len(np.unique(self.X, axis=0)) >= self.space.size

    def holds(self, x: Array) -> bool:
        """Whether x (d,) is one of them: the same on every lattice, and in real columns closer
        than 1e-7 of the range."""
        apart = np.zeros(len(self.space))
        apart[self.space.columns("float")] = _SAME
        return bool((np.abs(self.X - x) <= apart).all(axis=1).any())

    def first_free(self, X: Array, rng: np.random.Generator) -> Params:
        """The first row of X (k, d) that is not taken, else any free point.

        Raises
        ------
        SpaceExhausted
            If there is none.
        """
        finite = self.space.size is not None and self.space.size <= _LARGEST_GRID
        for candidates in (
            X,
            rng.permutation(self.space.grid() if finite else uniform(self.space, rng)),
        ):
            for x in candidates:
                params = self.space.from_unit(x)
                if not self.holds(self.space.to_unit(params)):
                    return params
        raise SpaceExhausted(f"No point was found that is not among the {len(self.X)} taken ones.")


def space_filling(space: Space, seed: int, number: int) -> Array:
    """Scrambled Sobol' points (k, d), from the one with this number on."""
    engine = SobolEngine(len(space), scramble=True, seed=seed)  # type: ignore[no-untyped-call]
    U: Array = engine.draw(number + _N_DRAWS, dtype=torch.float64)[number:].numpy()
    return space.snap(U)


def uniform(space: Space, rng: np.random.Generator) -> Array:
    """Uniformly random points (k, d)."""
    return space.snap(rng.random((_N_DRAWS, len(space))))
