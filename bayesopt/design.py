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
from bayesopt.region import Region
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
    region
        The space and its constraints: what is handed out satisfies them.
    X
        (m, d) the points.
    """

    region: Region
    X: Array

    def all_of_the_space(self) -> bool:
        """Whether a finite region has no free point left."""
        if self.region.size is None:
            return False
        inside = self.X[self.region.holds(self.X)]
        return len(np.unique(inside, axis=0)) >= self.region.size

    def holds(self, x: Array) -> bool:
        """Whether x (d,) is one of them: the same on every lattice, and in real columns closer
        than 1e-7 of the range."""
        space = self.region.space
        apart = np.zeros(len(space))
        apart[space.columns("float")] = _SAME
        return bool((np.abs(self.X - x) <= apart).all(axis=1).any())

    def first_free(self, X: Array, rng: np.random.Generator) -> Params:
        """The first row of X (k, d) that is not taken, else any free point.

        Raises
        ------
        SpaceExhausted
            If there is none.
        """
        space, size = self.region.space, self.region.size
        finite = size is not None and size <= _LARGEST_GRID
        for any_point in (False, True):
            if any_point:
                X = rng.permutation(self.region.grid() if finite else uniform(self.region, rng))
            for x in X:
                params = space.from_unit(x)
                if not self.holds(space.to_unit(params)):
                    return self.region.must_hold(params)
        raise SpaceExhausted(f"No point was found that is not among the {len(self.X)} taken ones.")


def start(region: Region, known: Array, seed: int, number: int) -> Array:
    """Points (k, d) to choose the first trials from, in order of preference.

    Without constraints a Sobol' sequence, else the points of the region that are farthest from
    the known ones (m, d).
    """
    if region.constrained:
        return region.design(known, np.random.default_rng([seed, number]))
    return space_filling(region.space, seed, number)


def space_filling(space: Space, seed: int, number: int) -> Array:
    """Scrambled Sobol' points (k, d), from the one with this number on."""
    engine = SobolEngine(len(space), scramble=True, seed=seed)  # type: ignore[no-untyped-call]
    U: Array = engine.draw(number + _N_DRAWS, dtype=torch.float64)[number:].numpy()
    return space.snap(U)


def uniform(region: Region, rng: np.random.Generator) -> Array:
    """Random points (k, d): uniform, also over a region that is a fair share of its space."""
    if region.constrained:
        return region.draw(_N_DRAWS, rng)
    return region.space.snap(rng.random((_N_DRAWS, len(region.space))))
