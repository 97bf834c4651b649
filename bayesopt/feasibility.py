"""Is there any point that satisfies all constraints, and which ones contradict each other if not.

Notation
--------
d       number of columns
X       (n, d) points of the unit cube that stand for a value

A small finite space is looked at point by point. Linear constraints are decided by mixed-integer
programs. For nonlinear ones points are thrown at the space, and from some of them the nearest point
of the set is searched: by a nonlinear program in the real columns, downhill on the lattices.
"""

from dataclasses import dataclass

import numpy as np

from bayesopt.constraints import Constraint, Nonlinear
from bayesopt.feasible_set import FeasibleSet
from bayesopt.lattice import neighbours
from bayesopt.parameter import Array, Float, Int
from bayesopt.polytope import Polytope
from bayesopt.sampling import sobol, thrown
from bayesopt.space import Space
from bayesopt.user_values import user_values

_LARGEST_GRID = {False: 100_000, True: 10_000}  # without and with nonlinear constraints
_FAIR_SHARE = {False: 0.05, True: 0.3}  # of the cube; where less is inside, points walk
_N_THROWN = 1024
_N_TARGETS = 64
_N_SEEDS = 16
_MAX_ROUNDS = 8
_MAX_ITERATIONS = 60


@dataclass(frozen=True)
class Seeds:
    """First points of a constrained set.

    Parameters
    ----------
    inside
        The set.
    X
        (k, d) some of its points; none when it is empty.
    grid
        All of them, where the space is finite and small.
    share
        Share of the cube that is inside, 0 where it is too small to throw points at.
    """

    inside: FeasibleSet
    X: Array
    grid: Array | None = None
    share: float = 0.0


def seeds_of(space: Space, constraints: tuple[Constraint, ...]) -> Seeds:
    """Find first points, always the same ones."""
    inside = FeasibleSet(space, constraints)
    curved = bool(inside.nonlinear)
    if space.size is not None and space.size <= _LARGEST_GRID[curved]:
        X = space.grid()
        X = X[inside.holds(X)]
        return Seeds(inside, X, grid=X)
    polytope = None
    if len(inside.A) > 0:
        polytope = Polytope.of(space, inside.A, inside.lower, inside.upper)
        if polytope.nearest() is None:
            return Seeds(inside, np.empty((0, len(space))))
    rng = np.random.default_rng(0)
    X = thrown(inside, _N_THROWN, rng)
    if len(X) >= _FAIR_SHARE[curved] * _N_THROWN:
        return Seeds(inside, X[:_N_SEEDS], share=len(X) / _N_THROWN)
    if polytope is not None and len(X) == 0:
        inside.treat_as_equal(*polytope.never_slack())
    return Seeds(inside, np.concatenate((X[:_N_SEEDS], _near_targets(inside, polytope, rng))))


def why_empty(space: Space, constraints: tuple[Constraint, ...]) -> str:
    """Which constraints contradict each other: no fewer of them do."""
    culprits = list(constraints)
    for constraint in constraints:
        others = tuple(one for one in culprits if one is not constraint)
        if others and len(seeds_of(space, others).X) == 0:
            culprits = list(others)
    names = " and ".join(constraint.label for constraint in culprits)
    what = (
        "leaves no point of the space"
        if len(culprits) == 1
        else "contradict each other: each can be satisfied without the others, but not together"
    )
    curved = any(isinstance(constraint, Nonlinear) for constraint in culprits)
    searched = curved and (space.size is None or space.size > _LARGEST_GRID[curved])
    proof = (
        f"No point was found among {_N_THROWN} thrown at the space, nor by a search from "
        f"{_N_TARGETS} of them."
        if searched
        else "That is certain, up to rounding."
    )
    return f"{names} {what}. {proof} Nothing was evaluated."


def _near_targets(
    inside: FeasibleSet, polytope: Polytope | None, rng: np.random.Generator
) -> Array:
    """Points (k, d) of the set nearest to points of the cube."""
    space, found = inside.space, []
    for target in space.snap(sobol(_N_TARGETS, len(space), rng)):
        x = target
        if polytope is not None:
            x = inside.repair(_projected(space, polytope, x)[None])[0]
        if inside.nonlinear and not inside.holds(x[None])[0]:
            x = _approached(inside, x)
        if inside.holds(x[None])[0]:
            found.append(x)
        if len(found) == _N_SEEDS:
            break
    return np.array(found).reshape(-1, len(space))


def _projected(space: Space, polytope: Polytope, x: Array) -> Array:
    """The point of a polytope nearest to x (d,), by the sum of distances."""
    unit, target = np.ones(len(space)), user_values(space, x[None])[0]
    for j, parameter in enumerate(space.parameters.values()):
        if isinstance(parameter, Float | Int):
            width = float(parameter.high) - float(parameter.low)
            unit[j] = abs(target[j]) if parameter.log else width
    z = polytope.nearest(target, unit)
    if z is None:
        return x
    projected = x.copy()
    for j, parameter in enumerate(space.parameters.values()):
        if isinstance(parameter, Float):
            projected[j] = parameter.to_unit(float(z[j]))
        elif isinstance(parameter, Int):
            projected[j] = parameter.to_unit(int(z[j]))
    return projected


def _approached(inside: FeasibleSet, x: Array) -> Array:
    """From x (d,) toward the set: nearest in the real columns, downhill on the lattices."""
    for _ in range(_MAX_ROUNDS):
        if inside.real:
            x = _nearest_in_reals(inside, x)
        if inside.holds(x[None])[0]:
            break
        beside = inside.repair(neighbours(inside.space, x))
        excess = np.array([inside.excess(row) for row in beside])
        if len(excess) == 0 or excess.min() >= inside.excess(x):
            break
        x = beside[int(np.argmin(excess))]
    return x


def _nearest_in_reals(inside: FeasibleSet, x: Array) -> Array:
    def squared_distance(u: Array) -> tuple[float, Array]:
        return 0.5 * float((u - x) @ (u - x)), u - x

    found: Array = inside.repair(inside.search(squared_distance, x, _MAX_ITERATIONS)[None])[0]
    return found
