"""The space and its known constraints: which points may be asked for, and how to spread over them.

Notation
--------
d       number of columns
X       (n, d) points of the unit cube that stand for a value

Where the region is a fair share of the cube, Sobol' points are thrown and those outside dropped
(columns of a Simplex: exact uniform shares, from exponentials). A thin region is walked instead:
start points come from mixed-integer programs (linear constraints) and from nonlinear programs
nearest to Sobol' points; from there `bayesopt.walk` spreads them out. Without constraints nothing
of this happens.
"""

import math
from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from torch.quasirandom import SobolEngine

from bayesopt.constraints import (
    Constraint,
    Linear,
    Nonlinear,
    checked_constraints,
    user_values,
    values_of,
)
from bayesopt.feasible_set import FeasibleSet, ValueAndGradient
from bayesopt.lattice import coupled_moves, coupled_neighbours, neighbours
from bayesopt.parameter import Array, Categorical, Float, Int
from bayesopt.polytope import Polytope
from bayesopt.space import Params, Space
from bayesopt.walk import around, walked

_LARGEST_GRID = {"linear": 100_000, "nonlinear": 10_000}  # points that are looked at one by one
_N_THROWN = 1024
_FAIR_SHARE = {"linear": 0.05, "nonlinear": 0.3}  # of the cube; below it a region is walked
_N_SEEDS = 16
_N_TARGETS = 64  # before a nonlinear region is believed to be empty
_POOL = {"linear": (512, 100, 2), "nonlinear": (96, 24, 8)}  # chains, steps, states kept of each
_N_FRESH_STEPS = {"linear": 3, "nonlinear": 1}
_N_CANDIDATES = 128  # of a point of the initial design


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
        self.space = space
        self.constraints: tuple[Constraint, ...] = checked_constraints(space, constraints)
        if not self.constraints:
            return
        self._set = FeasibleSet(space, self.constraints)
        self._cost = "nonlinear" if self._set.nonlinear else "linear"
        self._share = 0.0
        self._grid: Array | None = None
        self._seeds = self._found()
        if len(self._seeds) == 0:
            raise ValueError(self._why_empty())
        self._moves = coupled_moves(space, self._set.A, self._set.equal)

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

    def holds(self, X: Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
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
        for constraint, violation in self._violations(params):
            if not constraint.forgives(violation):
                missed.append(f"{constraint.label} by {violation:.6g}")
        if missed:
            raise ValueError(f"The point {dict(params)} violates {'; '.join(missed)}.")
        return params

    def must_hold(self, params: Params) -> Params:
        """Return a suggestion; an AssertionError says that this library broke its promise."""
        for constraint, violation in self._violations(params):
            allowed = 2.0 * constraint.tolerance.max() if isinstance(constraint, Linear) else 0.0
            if not violation <= allowed:
                raise AssertionError(
                    f"Internal error: the suggestion {params} violates {constraint.label} by "
                    f"{violation:.3g}. Please report it."
                )
        return params

    def _violations(self, params: Mapping[str, Any]) -> list[tuple[Constraint, float]]:
        if not self.constrained:
            return []
        z = values_of(self.space, dict(params))
        return [(c, c.violation(z, dict(params))) for c in self.constraints]

    # -- spreading points --------------------------------------------------------------------------

    def draw(self, n: int, rng: np.random.Generator) -> Array:
        """At most n points, spread over the region at random."""
        if self._grid is not None:
            some: Array = self._grid[rng.permutation(len(self._grid))[:n]]
            return some
        if self._share > 0.0:
            X = self._thrown(min(1.2 * n / self._share + 16, 16_384), rng)
            few: Array = np.concatenate((X, self._seeds))[:n]
            return few
        X = self._pool[rng.integers(len(self._pool), size=n)]
        return walked(self._set, X, self._moves, rng, _N_FRESH_STEPS[self._cost])

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

    def _thrown(self, n: float, rng: np.random.Generator) -> Array:
        """Those of n Sobol' points that lie in the region."""
        n, d = int(n), len(self.space)
        U = (_sobol_base(2 ** (n - 1).bit_length(), d)[:n] + rng.random(d)) % 1.0
        for constraint in self.constraints:
            if isinstance(constraint, Linear) and constraint.parts:
                _make_shares(self.space, constraint, U)
        X = self.space.snap(U)
        inside: Array = X[self.holds(X)]
        return inside

    @cached_property
    def _pool(self) -> Array:
        """Points spread over a thin region, the same ones for every study."""
        rng = np.random.default_rng(1)
        n_chains, n_steps, n_kept = _POOL[self._cost]
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

    # -- is there a point at all -------------------------------------------------------------------

    def _found(self) -> Array:
        """Some points (k, d) of the region, none when it is empty; says how it is drawn from."""
        space, feasible = self.space, self._set
        if space.size is not None and space.size <= _LARGEST_GRID[self._cost]:
            X = space.grid()
            self._grid = X[self.holds(X)]
            return self._grid
        polytope = self._polytope()
        if polytope is not None and polytope.nearest() is None:
            return np.empty((0, len(space)))
        rng = np.random.default_rng(0)
        X = self._thrown(_N_THROWN, rng)
        if len(X) >= _FAIR_SHARE[self._cost] * _N_THROWN:
            self._share = len(X) / _N_THROWN
            return X[:_N_SEEDS]
        if polytope is not None and len(X) == 0:
            feasible.holds_equal(*polytope.never_slack())
        return np.concatenate((X[:_N_SEEDS], self._near_targets(polytope, rng)))

    def _polytope(self) -> Polytope | None:
        feasible = self._set
        if len(feasible.A) == 0:
            return None
        return Polytope.of(self.space, feasible.A, feasible.lower, feasible.upper)

    def _near_targets(self, polytope: Polytope | None, rng: np.random.Generator) -> Array:
        """Points of the region nearest to points of the cube."""
        space, found = self.space, []
        U = _sobol_base(_N_TARGETS, len(space)) + rng.random(len(space))
        for target in space.snap(U % 1.0):
            x = target[None]
            if polytope is not None:
                x = _projected(space, polytope, x)
                x = self._set.repair(x)
            if self._set.nonlinear and not self.holds(x)[0]:
                x = self._approached(x[0])[None]
            if self.holds(x)[0]:
                found.append(x[0])
            if len(found) == _N_SEEDS:
                break
        return np.array(found).reshape(-1, len(space))

    def _approached(self, x: Array) -> Array:
        """From x (d,) toward the region: nearest in the real columns, downhill on the lattices."""
        for _ in range(8):
            if self._set.real:
                start = x

                def squared_distance(u: Array, start: Array = start) -> tuple[float, Array]:
                    return 0.5 * float((u - start) @ (u - start)), u - start

                x = self._set.repair(self._set.search(squared_distance, x, 60)[None])[0]
            if self.holds(x[None])[0]:
                break
            here = self._set.excess(x)
            beside = self._set.repair(neighbours(self.space, x))
            excess = np.array([self._set.excess(row) for row in beside])
            if len(excess) == 0 or excess.min() >= here:
                break
            x = beside[int(np.argmin(excess))]
        return x

    def _why_empty(self) -> str:
        """Which constraints contradict each other: no fewer of them do."""
        culprits = list(self.constraints)
        for constraint in self.constraints:
            others = [one for one in culprits if one is not constraint]
            if others and _is_empty(self.space, tuple(others)):
                culprits = others
        names = " and ".join(constraint.label for constraint in culprits)
        alone = (
            "leaves no point of the space"
            if len(culprits) == 1
            else (
                "contradict each other: each can be satisfied without the others, but not together"
            )
        )
        proof = (
            f"No point was found among {_N_THROWN} thrown at the space, nor by a search from "
            f"{_N_TARGETS} of them."
            if any(isinstance(constraint, Nonlinear) for constraint in culprits)
            and self._grid is None
            else "That is certain."
        )
        return f"{names} {alone}. {proof} Nothing was evaluated."


def _is_empty(space: Space, constraints: tuple[Constraint, ...]) -> bool:
    region = Region(space)
    region.constraints = constraints
    region._set = FeasibleSet(space, constraints)
    region._cost = "nonlinear" if region._set.nonlinear else "linear"
    region._share, region._grid = 0.0, None
    return len(region._found()) == 0


def _projected(space: Space, polytope: Polytope, x: Array) -> Array:
    """The point of a polytope nearest to x (1, d), by the sum of distances."""
    unit, target = np.ones(len(space)), user_values(space, x)[0]
    for j, parameter in enumerate(space.parameters.values()):
        if not isinstance(parameter, Categorical):
            width = float(parameter.high) - float(parameter.low)
            unit[j] = abs(target[j]) if parameter.log else width
    z = polytope.nearest(target, unit)
    if z is None:
        return x
    projected = x.copy()
    for j, parameter in enumerate(space.parameters.values()):
        if isinstance(parameter, Float):
            projected[0, j] = parameter.to_unit(float(z[j]))
        elif isinstance(parameter, Int):
            projected[0, j] = parameter.to_unit(int(z[j]))
    return projected


def _make_shares(space: Space, simplex: Linear, U: Array) -> None:
    """Turn uniform columns into uniform points of a simplex above the lower bounds, in place.

    Exponential variables divided by their sum are uniform on the simplex (Devroye 1986, Ch. V).
    """
    columns = list(simplex.parts)
    low, high = (
        np.array([getattr(space[space.names[j]], end) for j in columns]) for end in ("low", "high")
    )
    width = high - low
    waiting = -np.log1p(-U[:, columns] * (1.0 - 2.0**-53))
    shares = waiting / np.maximum(waiting.sum(axis=1, keepdims=True), 1e-300)
    parts = (simplex.upper[0] - math.fsum(low)) * shares
    inside = (parts <= width).all(axis=1)
    U[:, columns] = np.where(inside[:, None], parts / width, U[:, columns])


@lru_cache(maxsize=32)
def _sobol_base(n: int, d: int) -> Array:
    base: Array = SobolEngine(d, scramble=True, seed=0).draw(n, dtype=torch.float64).numpy()  # type: ignore[no-untyped-call]
    return base
