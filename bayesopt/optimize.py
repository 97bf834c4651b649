"""Maximise any acquisition over any space: real, integer, categorical, mixed and constrained.

Notation
--------
d       columns of the unit cube
U, X    points anywhere in the cube, points that stand for a value (see `bayesopt.space`)
v       values of the acquisition, to be maximised

A finite small space is looked at point by point. Else many points are scored at once, the best
ones of them start a quasi-Newton search in the real columns, and the integer and categorical
columns are searched on their own lattices, neighbour by neighbour, until nothing gets better.
Under constraints all of these points lie inside, and the real columns are searched by sequential
quadratic programming, which slides along active constraints.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from bayesopt.lattice import neighbours
from bayesopt.parameter import Array
from bayesopt.quasi_newton import minimize_from
from bayesopt.region import Region
from bayesopt.sampling import sobol, steps_from
from bayesopt.space import Space

Acquisition = Callable[[Tensor], Tensor]

_LARGEST_GRID = 2048
_CHUNK = 4096
_MAX_ROUNDS = 20


@dataclass(frozen=True)
class Effort:
    """How hard to search.

    Parameters
    ----------
    n_global
        Points scored all over the cube, a power of two.
    n_local
        Points scored around the incumbents.
    n_starts
        Points that a local search starts from.
    max_calls
        Largest number of gradients in one quasi-Newton search.
    """

    n_global: int = 512
    n_local: int = 256
    n_starts: int = 4
    max_calls: int = 30


def maximize(
    acquisition: Acquisition,
    space: Space | Region,
    incumbents: Array,
    rng: np.random.Generator,
    *,
    effort: Effort | None = None,
) -> tuple[Array, Array]:
    """Find the points where an acquisition is largest.

    Parameters
    ----------
    acquisition
        Maps (b, 1, d) to (b,), differentiable. If it has a method ``value_and_gradient``, (b, d)
        to (b,) and (b, d), that is called instead of automatic differentiation.
    space
        Where to look: a space, or a region of one.
    incumbents
        (m, d) good points so far; the search looks around them too. They may lie outside a region.
    rng
        Source of the starting points.
    effort
        How hard to search.

    Returns
    -------
    X, v
        (k, d) points that stand for a value, best first, and (k,) their values. The first one is
        the maximiser; the others serve when that one may not be asked for.
    """
    effort = effort or Effort()
    region = space if isinstance(space, Region) else Region(space)
    if region.size is not None and region.size <= _LARGEST_GRID:
        X = region.grid()
        return _best_first(X, values(acquisition, X))
    X = candidates(region, incumbents, effort, rng)
    v = values(acquisition, X)
    start = spread_out(X, v, effort.n_starts)
    X_found, v_found = _climb(acquisition, region, X[start], v[start], effort.max_calls)
    return _best_first(np.concatenate((X_found, X)), np.concatenate((v_found, v)))


def candidates(
    region: Region, incumbents: Array, effort: Effort, rng: np.random.Generator
) -> Array:
    """Points (k, d) all over a region and around incumbents (m, d)."""
    if region.constrained:
        spread = region.draw(effort.n_global, rng)
        return np.concatenate((spread, region.around(incumbents, effort.n_local, rng)))
    space = region.space
    return space.snap(
        np.concatenate(
            (
                sobol(effort.n_global, len(space), rng),
                _around(incumbents, effort.n_local, rng),
            )
        )
    )


def value_and_gradient(acquisition: Acquisition, X: Tensor) -> tuple[Tensor, Tensor]:
    """Values (b,) and gradients (b, d) at points (b, d), in closed form where there is one."""
    closed_form = getattr(acquisition, "value_and_gradient", None)
    if closed_form is None:
        return by_autograd(acquisition, X)
    found: tuple[Tensor, Tensor] = closed_form(X)
    return found


def by_autograd(acquisition: Acquisition, X: Tensor) -> tuple[Tensor, Tensor]:
    """Values (b,) of an acquisition and their gradients (b, d) at points (b, d)."""
    with torch.enable_grad():
        variable = X.detach().requires_grad_(True)
        value = acquisition(variable.unsqueeze(-2))
        (gradient,) = torch.autograd.grad(value.sum(), variable)
    return value.detach(), gradient


def _best_first(X: Array, v: Array) -> tuple[Array, Array]:
    order = np.argsort(-v, kind="stable")
    return X[order], v[order]


def _around(incumbents: Array, n: int, rng: np.random.Generator) -> Array:
    """Points (n, d) near the incumbents (m, d)."""
    centre, step = steps_from(incumbents, n, rng)
    moved: Array = np.clip(centre + step, 0.0, 1.0)
    return moved


def values(acquisition: Acquisition, X: Array) -> Array:
    """Values (n,) at points (n, d), without gradients; what is not a number counts as worst."""
    with torch.no_grad():
        chunks = torch.split(torch.from_numpy(X), _CHUNK)
        v = torch.cat([acquisition(chunk.unsqueeze(-2)) for chunk in chunks]).numpy()
    known: Array = np.where(np.isnan(v), -np.inf, v)
    return known


def spread_out(X: Array, v: Array, n: int) -> list[int]:
    """Rows of the n best points that are not next to a better one."""
    order = np.argsort(-v, kind="stable")[: 50 * n]
    order = order[np.isfinite(v[order])]
    chosen: list[int] = []
    apart = 0.05 * np.sqrt(X.shape[1])
    while len(order) > 0 and len(chosen) < n:
        chosen.append(int(order[0]))
        distance = np.linalg.norm(X[order] - X[order[0]], axis=1)
        order = order[distance > apart]
    return chosen


def _climb(
    acquisition: Acquisition,
    region: Region,
    X: Array,
    v: Array,
    max_calls: int,
) -> tuple[Array, Array]:
    """Local search from every start (s, d), alternating between real and lattice columns."""
    space = region.space
    real, lattice = space.columns("float"), space.columns("int", "categorical")
    beside = region.neighbours if region.constrained else partial(neighbours, space)
    if len(X) == 0:
        return X, v
    for _ in range(_MAX_ROUNDS):
        if real and region.constrained:
            X, v = _climb_inside(acquisition, region, X, v, max_calls)
        elif real:
            X, v = _climb_real(acquisition, X, real, max_calls)
        if not lattice:
            break
        before = v
        X, v = _climb_lattice(acquisition, beside, X, v)
        with np.errstate(invalid="ignore"):
            better = v > before + 1e-6 * np.maximum(1.0, np.abs(before))
        if not (real and better.any()):
            break
        X, v = X[better | (v == v.max())], v[better | (v == v.max())]
    return X, v


def _climb_real(
    acquisition: Acquisition, X: Array, real: list[int], max_calls: int
) -> tuple[Array, Array]:
    """Quasi-Newton search in the real columns; the others stay, as bounds without room."""
    lower, upper = X.copy(), X.copy()
    lower[:, real], upper[:, real] = 0.0, 1.0

    def negative(x: Array) -> tuple[Array, Array]:
        value, gradient = value_and_gradient(acquisition, torch.from_numpy(x))
        return -value.numpy(), -gradient.numpy()

    x, f = minimize_from(
        negative, X, lower, upper, max_calls=max_calls, value_tolerance=1e-3, first_step=0.05
    )
    return x, -f


def _climb_inside(
    acquisition: Acquisition, region: Region, X: Array, v: Array, max_calls: int
) -> tuple[Array, Array]:
    """Search in the real columns under constraints, one start after the other."""

    def negative(x: Array) -> tuple[float, Array]:
        value, gradient = value_and_gradient(acquisition, torch.from_numpy(x[None]))
        return -float(value[0]), -gradient[0].numpy()

    found = np.array([region.climb(negative, x, max_calls) for x in X])
    value = values(acquisition, found)
    better = value > v
    return np.where(better[:, None], found, X), np.where(better, value, v)


def _climb_lattice(
    acquisition: Acquisition, beside: Callable[[Array], Array], X: Array, v: Array
) -> tuple[Array, Array]:
    """Move every start (s, d) to its best neighbour until none has a better one."""
    X, v = X.copy(), v.copy()
    moving = np.arange(len(X))
    for _ in range(_MAX_ROUNDS):
        around = [beside(x) for x in X[moving]]
        count = [len(rows) for rows in around]
        if sum(count) == 0:
            break
        everything = values(acquisition, np.concatenate(around))
        improved = []
        of_each = np.split(everything, np.cumsum(count)[:-1])
        for start, rows, value in zip(moving, around, of_each, strict=True):
            if len(value) > 0 and value.max() > v[start]:
                X[start], v[start] = rows[int(np.argmax(value))], value.max()
                improved.append(start)
        if not improved:
            break
        moving = np.array(improved)
    return X, v
