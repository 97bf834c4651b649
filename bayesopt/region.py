"""The space and its known constraints: which points may be asked for, and how to spread over them.

Notation
--------
d       number of columns
X       (n, d) points of the unit cube that stand for a value

Where the region is a fair share of the cube, points are thrown at it, else they walk through it
from a pool that is made on first use (see `bayesopt.sampling`). Without constraints nothing of
this happens.
"""

from functools import cached_property

import numpy as np

from bayesopt.constraints import Constraint, checked_constraints
from bayesopt.feasibility import seeds_of, why_empty
from bayesopt.feasible_set import Mask, ValueAndGradient
from bayesopt.lattice import coupled_moves, coupled_neighbours, neighbours
from bayesopt.parameter import Array
from bayesopt.sampling import around, thrown, walked
from bayesopt.space import Params, Space
from bayesopt.user_values import values_of

_POOL = {False: (512, 100, 2), True: (96, 24, 8)}  # walkers, steps, states kept of each
_N_FRESH_STEPS = {False: 3, True: 1}  # without and with nonlinear constraints, which cost more
_N_CANDIDATES = 128  # for one point of the initial design
_MOST_THROWN = 16_384


class Region:
    """Space and constraints; cheap when there are none.

    Parameters
    ----------
    space
        The space.
    constraints
        One constraint or a sequence, as users write them (see `bayesopt.constraints`).

    Raises
    ------
    TypeError, ValueError
        If a constraint is wrong, or no point satisfies all of them; the text says which ones
        contradict each other.
    """

    def __init__(self, space: Space, constraints: object = ()) -> None:
        self.space, self._given = space, constraints
        self.constraints: tuple[Constraint, ...] = checked_constraints(space, constraints)
        if not self.constraints:
            return
        seeds = seeds_of(space, self.constraints)
        if len(seeds.X) == 0:
            raise ValueError(why_empty(space, self.constraints))
        self._set, self._seeds = seeds.inside, seeds.X
        self._grid, self._share = seeds.grid, seeds.share
        self._curved = bool(self._set.nonlinear)
        self._moves = coupled_moves(space, self._set.A, self._set.equal)

    @cached_property
    def at_target(self) -> "Region":
        """Where designs are reported: the same with parameters that have a role at their target."""
        if self.space.role is None:
            return self
        return Region(self.space.at_target(), self._given)

    @property
    def constrained(self) -> bool:
        """Whether there is any constraint."""
        return bool(self.constraints)

    @property
    def size(self) -> int | None:
        """Number of points where they can be counted, else None."""
        if not self.constrained:
            return self.space.size
        return None if self._grid is None else len(self._grid)

    def grid(self) -> Array:
        """All points (size, d) of a finite region.

        Raises
        ------
        ValueError
            If they were not counted.
        """
        if not self.constrained:
            return self.space.grid()
        if self._grid is None:
            raise ValueError("This region has too many points for a grid.")
        return self._grid

    def holds(self, X: Array) -> Mask:
        """Which rows of X (n, d) lie in the region."""
        return self._set.holds(X) if self.constrained else np.ones(len(X), dtype=np.bool_)

    def check(self, params: Params) -> Params:
        """Return checked parameters if they satisfy the constraints, up to rounding.

        Raises
        ------
        ValueError
            If not; the text says which constraint is missed by how much.
        """
        missed = []
        for constraint, violations in self._violations(params):
            beyond = violations[violations > constraint.forgiven]
            if len(beyond) > 0:
                missed.append(f"{constraint.label} by {beyond.max():.6g}")
        if missed:
            raise ValueError(f"The point {params} violates {'; '.join(missed)}.")
        return params

    def must_hold(self, params: Params) -> Params:
        """Return a suggestion; an AssertionError says that this library broke its promise."""
        for constraint, violations in self._violations(params):
            if (violations > constraint.promised).any():
                raise AssertionError(
                    f"Internal error: the suggestion {params} violates {constraint.label} by "
                    f"{violations.max():.3g}. Unless its function gives different values at one "
                    "point, please report it."
                )
        return params

    def _violations(self, params: Params) -> list[tuple[Constraint, Array]]:
        if not self.constrained:
            return []
        z = values_of(self.space, params)
        return [(c, c.violations(z, params)) for c in self.constraints]

    # -- spreading points --------------------------------------------------------------------------

    def draw(self, n: int, rng: np.random.Generator) -> Array:
        """At most n points, spread over the region at random."""
        if self._grid is not None:
            some: Array = self._grid[rng.permutation(len(self._grid))[:n]]
            return some
        if self._share > 0.0:
            enough = min(int(1.2 * n / self._share) + 16, _MOST_THROWN)
            X = thrown(self._set, enough, rng)
            few: Array = np.concatenate((X, self._seeds))[:n]
            return few
        X = self._pool[rng.integers(len(self._pool), size=n)]
        return walked(self._set, X, self._moves, rng, _N_FRESH_STEPS[self._curved])

    def around(self, incumbents: Array, n: int, rng: np.random.Generator) -> Array:
        """At most n points of the region near incumbents (m, d), which may lie outside."""
        centres = incumbents[self.holds(incumbents)]
        if len(centres) < len(incumbents):
            repaired = self._set.repair(incumbents)
            centres = np.concatenate((centres, repaired[self.holds(repaired)]))
        if len(centres) == 0:
            return np.empty((0, len(self.space)))
        return around(self._set, centres, self._moves, n, rng)

    def neighbours(self, x: Array) -> Array:
        """Points (k, d) of the region one step from x on the lattices; reals give way."""
        beside = (neighbours(self.space, x), coupled_neighbours(self.space, x, self._moves))
        rows = self._set.repair(np.concatenate(beside))
        inside: Array = rows[self.holds(rows)]
        return inside

    def design(self, known: Array, rng: np.random.Generator) -> Array:
        """Points (k, d) to start with: those first that lie far from all known ones (m, d).

        The farthest of many random points is next (Mitchell 1991), by the distance in the unit
        cube where two categories are one apart.
        """
        X = self.draw(_N_CANDIDATES, rng)
        if len(known) == 0:
            return X
        apart = np.abs(X[:, None, :] - known[None, :, :])
        columns = self.space.columns("categorical")
        apart[:, :, columns] = apart[:, :, columns] > 0
        nearest = np.sqrt((apart**2).sum(axis=2)).min(axis=1)
        return X[np.argsort(-nearest, kind="stable")]

    def climb(
        self, value_and_gradient: ValueAndGradient, x: Array, max_iterations: int = 30
    ) -> Array:
        """Minimise a function of the real columns from x (d,), a point of the region.

        Parameters
        ----------
        value_and_gradient
            Maps x (d,) to a value and its gradient (d,).
        x
            Start, which is also what is returned when nothing else is found inside.
        max_iterations
            Largest number of steps.
        """
        ended = self._set.search(value_and_gradient, x, max_iterations)
        found = self._set.pulled_inside(ended, x)
        return x if found is None else found

    @cached_property
    def _pool(self) -> Array:
        """Points spread over a thin region, the same ones for every study."""
        rng = np.random.default_rng(1)
        n_chains, n_steps, n_kept = _POOL[self._curved]
        X = self._first_walkers(n_chains, rng)
        kept = []
        for step in range(n_steps):
            X = walked(self._set, X, self._moves, rng, 1)
            if step >= n_steps - n_kept:
                kept.append(X)
        return np.concatenate(kept)

    def _first_walkers(self, n: int, rng: np.random.Generator) -> Array:
        """Points (n, d): seeds, or in a real space averages of seeds, which lie deeper inside."""
        X = self._seeds[np.arange(n) % len(self._seeds)]
        if self._set.nonlinear or len(self._set.real) < len(self.space):
            return X
        weights = rng.dirichlet(np.ones(len(self._seeds)), size=n)
        averages = self._set.repair(weights @ self._seeds)
        return np.where(self.holds(averages)[:, None], averages, X)
