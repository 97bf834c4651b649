"""Random points of a constrained set: thrown at it, walking through it, or around some of them.

Notation
--------
X       (n, d) points of the set, all of them walking at once
D       (n, d) directions
t       (n,) step lengths

Thrown points are Sobol' points of which those outside are dropped; the columns of a Simplex get
uniform shares, from exponential variables. Where too few are left, points walk.

Hit-and-run (Smith 1984): a random direction, then a uniform point of the chord, found by
shrinking an interval toward the point itself (Neal 2003) where a constraint is curved. Half of the
directions are differences of two other walkers, which know the shape of a thin set (ter Braak
2006). Whole numbers and categories take their own turn, whole numbers also several at once.
"""

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch.quasirandom import SobolEngine

from bayesopt.constraints import Linear
from bayesopt.feasible_set import FeasibleSet
from bayesopt.lattice import moved
from bayesopt.parameter import Array, Int
from bayesopt.space import Space

_MAX_SHRINKS = 12
_MAX_HALVINGS = 6


def thrown(inside: FeasibleSet, n: int, rng: np.random.Generator) -> Array:
    """Those of n Sobol' points, shifted at random, that lie in the set."""
    U = sobol(n, len(inside.space), rng)
    for simplex in inside.simplices:
        _make_shares(inside.space, simplex, U)
    X = inside.space.snap(U)
    kept: Array = X[inside.holds(X)]
    return kept


def sobol(n: int, d: int, rng: np.random.Generator) -> Array:
    """Sobol' points (n, d), shifted at random modulo 1."""
    shifted: Array = (_sobol_base(2 ** (n - 1).bit_length(), d)[:n] + rng.random(d)) % 1.0
    return shifted


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


def walked(
    inside: FeasibleSet, X: Array, moves: Array, rng: np.random.Generator, n_steps: int
) -> Array:
    """Points (n, d) after some steps from X (n, d), all in the set.

    Parameters
    ----------
    inside
        The set.
    X
        (n, d) points of it.
    moves
        (k, d) steps of several whole numbers at once (see `bayesopt.lattice.coupled_moves`).
    rng, n_steps
        Source of the steps, and how many.
    """
    lattice = inside.space.columns("int", "categorical")
    X = X.copy()
    for _ in range(n_steps):
        if inside.real:
            _hit_and_run(inside, X, rng)
        if lattice:
            _change_lattice(inside, X, moves, rng)
    return X


def _hit_and_run(inside: FeasibleSet, X: Array, rng: np.random.Generator) -> None:
    n, real = len(X), np.array(inside.real, dtype=np.int64)
    D = np.zeros_like(X)
    D[:, inside.real] = rng.normal(size=(n, len(inside.real)))
    partner, other = rng.permutation(n), rng.permutation(n)
    between = (X[partner] - X[other])[:, inside.real]
    guided = (rng.random(n) < 0.5) & (np.abs(between).max(axis=1) > 1e-12)
    D[np.ix_(np.flatnonzero(guided), real)] = between[guided]
    D = inside.tangent(X, D)
    size = np.abs(D).max(axis=1, keepdims=True)
    D = np.where(size > 1e-12, D / np.maximum(size, 1e-300), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        to_zero, to_one = -X / D, (1.0 - X) / D
    moving = np.abs(D) > 1e-12
    low = np.where(moving, np.minimum(to_zero, to_one), -np.inf).max(axis=1)
    high = np.where(moving, np.maximum(to_zero, to_one), np.inf).min(axis=1)
    low, high = inside.chord(X, D, low, high)
    todo = np.flatnonzero(moving.any(axis=1) & (low < high))
    for _ in range(_MAX_SHRINKS):
        if len(todo) == 0:
            break
        t = low[todo] + (high - low)[todo] * rng.random(len(todo))
        Y = np.clip(X[todo] + t[:, None] * D[todo], 0.0, 1.0)
        Y = inside.repair(Y, equalities_only=True)
        ok = inside.holds(Y)
        X[todo[ok]] = Y[ok]
        todo, t = todo[~ok], t[~ok]
        low[todo], high[todo] = np.where(t < 0, t, low[todo]), np.where(t < 0, high[todo], t)


def _change_lattice(inside: FeasibleSet, X: Array, moves: Array, rng: np.random.Generator) -> None:
    """One random change of every walker's whole numbers or category, where it stays inside."""
    Y, allowed = _other_lattice_point(inside, X, moves, rng)
    Y = inside.repair(Y, equalities_only=True)
    ok = np.flatnonzero(allowed)
    ok = ok[inside.holds(Y[ok])]
    X[ok] = Y[ok]


def _other_lattice_point(
    inside: FeasibleSet, X: Array, moves: Array, rng: np.random.Generator
) -> tuple[Array, NDArray[np.bool_]]:
    space, n = inside.space, len(X)
    lattice = space.columns("int", "categorical")
    parameters = list(space.parameters.values())
    kind = rng.integers(3, size=n)  # several whole numbers, one of them by a step, any one anew
    column, step = rng.choice(lattice, size=n), np.zeros_like(X)
    sizes = [p.size for p in parameters if isinstance(p, Int)]
    if sizes:
        times = 2.0 ** rng.integers(int(max(sizes) - 1).bit_length(), size=n)
        times *= rng.choice([-1.0, 1.0], size=n)
        single = (kind == 1) & np.isin(column, space.columns("int"))
        step[single, column[single]] = times[single]
        if len(moves) > 0:
            several = times[:, None] * moves[rng.integers(len(moves), size=n)]
            step[kind == 0] = several[kind == 0]
    Y, allowed = moved(space, X, step)
    fresh = space.snap(rng.random(X.shape))
    anew = ~step.any(axis=1)
    for j in lattice:
        rows = anew & (column == j)
        Y[rows, j] = fresh[rows, j]
    return Y, allowed


def steps_from(centres: Array, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Centres (n, d), each of (m, d) in its turn, and steps (n, d) of 1e-4 to 0.3 from them.

    A step goes along some of the columns only: often a few parameters are all that has to change.
    """
    d = centres.shape[1]
    size = 10.0 ** rng.uniform(-4.0, -0.5, (n, 1))
    which = rng.random((n, d)) < max(0.5, 1.0 / d)
    which[np.arange(n), rng.integers(d, size=n)] = True
    return centres[np.arange(n) % len(centres)], which * size * rng.normal(size=(n, d))


def around(
    inside: FeasibleSet, centres: Array, moves: Array, n: int, rng: np.random.Generator
) -> Array:
    """At most n points of the set near the centres (m, d), at distances from 1e-4 to 0.3.

    A step that leaves the set is brought back to its linear bounds, else halved.
    """
    space = inside.space
    lattice = np.array(space.columns("int", "categorical"), dtype=np.int64)
    centre, D = steps_from(centres, n, rng)
    real = np.zeros_like(D)
    real[:, inside.real] = D[:, inside.real]
    D[:, inside.real] = inside.tangent(centre, real)[:, inside.real]
    base = centre
    if len(lattice) > 0 and len(moves) > 0:
        together, allowed = _other_lattice_point(inside, centre, moves, rng)
        swap = allowed & (rng.random(n) < 0.5)
        base = np.where(swap[:, None], together, centre)
        D[np.ix_(np.flatnonzero(swap), lattice)] = 0.0
    found = []
    for _ in range(_MAX_HALVINGS):
        Y = inside.repair(space.snap(np.clip(base + D, 0.0, 1.0)))
        ok = inside.holds(Y)
        found.append(Y[ok])
        base, D = base[~ok], 0.5 * D[~ok]
        if len(base) == 0:
            break
    return np.concatenate(found)
