"""Design points: where a limit state is zero nearest to the origin, found by its gradients (FORM).

Notation
--------
x           (d,) inputs, x = inputs.from_normal(z)
z           (d,) independent standard normal variables
y, L        scores y = L z with the correlation L L' of the inputs
g           limit state, fails where g < 0
a           dg/dz = L' (dx/dy dg/dx),    dx_k/dy_k = phi(y_k) / f_k(x_k)
p           step of Hasofer & Lind (1974) and Rackwitz & Fiessler (1978)
m, c, t     merit, its weight, share of the step that is gone
u, beta     design point, reliability index

    p    = (a.z - g) a / |a|^2 - z                      to the zero nearest to 0 of g's tangent
    m(z) = |z|^2 / 2 + c |g(z)|                         Zhang & Der Kiureghian (1995), Eq. (8)
    c    = 2 max(|z|, |z + p|) / |a|                    p descends for every c > |z| / |a|
    m(z + t p) <= m(z) + t ALPHA (z.p - c |g|)          rule of Armijo, dm/dt = z.p - c |g| at 0
    beta = (g - a.z) / |a|                              |u| with a sign, below 0 where g(0) < 0

The weight of Zhang & Der Kiureghian has |z + p|^2 / (2 |g|) in it, which grows near the surface and
forbids to walk along a curved one; that of ours takes a whole step on any linear limit state, too.

The limit state may run elsewhere: a search is a generator that yields the points to be evaluated.
Slopes of the inputs are known and take no runs. A run that failed makes the step shorter.
"""

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesopt.arguments import real_numbers, whole_number
from uq.inputs import Inputs, Seed, checked_points

Array = NDArray[np.float64]
Answer = tuple[ArrayLike, ArrayLike]

_LOG_ROOT_2PI = 0.5 * math.log(2.0 * math.pi)
_TOLERANCE = 1e-3  # distance from the design point; its square is the error of beta
_ALPHA = 0.1
_LEAST_SHARE = 2.0**-8
_LONGEST = 10.0  # no tangent is believed farther
_MOVES = (0.5, 0.5, 1.0, 1.0, 1.5, 1.5)  # from a start without a slope, in units of sqrt(d)
_FARTHER = 1.5  # a start is as many times as far as the nearest design point
_SAME = 0.3  # design points nearer to each other are one


@dataclass(frozen=True, eq=False)
class DesignPoint:
    """A point of the limit surface nearest to the origin of standard normal space.

    Parameters
    ----------
    z
        (d,) the last point that was evaluated and accepted.
    value
        Limit state there; NaN where no run succeeded.
    gradient_z
        (d,) its gradient in z; zeros or NaN where no run with a slope was found.
    beta
        Reliability index: distance of the origin from the tangent at z where that is zero,
        negative when the origin fails; NaN where there is no slope.
    converged
        Whether z lies on the surface, and straight above the origin, within 0.001.
    n_runs
        Runs of its search.
    """

    z: Array
    value: float
    gradient_z: Array
    beta: float
    converged: bool
    n_runs: int


class _Run(NamedTuple):
    """A point with the limit state and its gradient in z."""

    z: Array
    value: float
    gradient: Array

    @property
    def slope(self) -> float:
        """|a|."""
        return float(np.linalg.norm(self.gradient))

    @property
    def is_usable(self) -> bool:
        """Whether the run succeeded and shows where the surface may lie."""
        is_finite = math.isfinite(self.value) and bool(np.isfinite(self.gradient).all())
        return is_finite and self.slope > 1e-100 + 1e-9 * abs(self.value)

    @property
    def distance(self) -> float:
        """|g| / |a|, how far the surface is by the tangent."""
        return abs(self.value) / self.slope

    @property
    def is_design_point(self) -> bool:
        """Whether it is on the surface, and nearest to the origin."""
        normal = self.gradient / self.slope
        aside = float(np.linalg.norm(self.z - (self.z @ normal) * normal))
        return max(self.distance, aside) <= _TOLERANCE

    def ended(self, converged: bool, n_runs: int) -> DesignPoint:
        """The design point, if this run is the last one."""
        beta = math.nan
        if self.is_usable:
            beta = (self.value - float(self.gradient @ self.z)) / self.slope
        return DesignPoint(self.z, self.value, self.gradient, beta, converged, n_runs)


_Runs = Generator[Array, Answer, _Run]
Search = Generator[Array, Answer, DesignPoint]


def normal_gradients(inputs: Inputs, z: ArrayLike, gradients: ArrayLike) -> Array:
    """Gradients in standard normal space.

    Parameters
    ----------
    inputs
        Law of the inputs.
    z
        (m, d) points in standard normal space.
    gradients
        (m, d) gradients of a function of the inputs x at ``inputs.from_normal(z)``.

    Returns
    -------
    (m, d) gradients in z. An input at the end of its support has no slope left.
    """
    points = checked_points(z, inputs.dimension, "z")
    given = checked_points(gradients, inputs.dimension, "gradients")
    root = None if inputs.is_independent else np.linalg.cholesky(inputs.correlation)
    y = points if root is None else points @ root.T
    x = inputs.from_scores(y)
    slopes = np.empty_like(y)
    with np.errstate(all="ignore"):
        for k, law in enumerate(inputs.marginals):
            log_slope = -0.5 * y[:, k] ** 2 - _LOG_ROOT_2PI - law.log_density(x[:, k])
            slopes[:, k] = np.exp(log_slope)
        slopes[~np.isfinite(slopes)] = 0.0
        in_scores = slopes * given
        in_z: Array = in_scores if root is None else in_scores @ root
    return in_z


def design_point_search(inputs: Inputs, start: ArrayLike, max_runs: int) -> Search:
    """Search one design point, downhill from a start.

    Parameters
    ----------
    inputs
        Law of the inputs.
    start
        (d,) first point in standard normal space. It is moved when the limit state failed or is
        flat there.
    max_runs
        Most points that are yielded.

    Yields
    ------
    (1, d) points z at which the limit state is wanted. What is sent back is a pair: values (1,) and
    gradients (1, d), the latter in the inputs ``x = inputs.from_normal(z)``. NaN is a failed run.

    Returns
    -------
    The design point, or the best point so far with ``converged=False``.

    Raises
    ------
    TypeError, ValueError
        When an argument is wrong; from `send`, when what was sent has a wrong type or shape.
    """
    first = real_numbers(start, "start")
    if first.shape != (inputs.dimension,) or not np.isfinite(first).all():
        raise ValueError(
            f"`start` must be {inputs.dimension} finite numbers, one for each input, but got the "
            f"shape {first.shape} and {first}."
        )
    max_runs = whole_number(max_runs, "max_runs", 1)
    return _search(inputs, first, max_runs, np.empty((0, inputs.dimension)))


def design_points(
    inputs: Inputs, max_runs: int, n_starts: int = 8, rng: Seed = None
) -> Generator[Array, Answer, tuple[DesignPoint, ...]]:
    """Search several design points, one after another.

    The first search starts at the origin, the second one opposite to what was found, the others in
    pairs of opposite random directions that are orthogonal to all design points so far, half as far
    again as the nearest one. A search that comes upon a known point ends there, mostly after one
    run. None of this shows that there are no others: a part of the limit state that is nowhere the
    lowest one where the searches start stays unseen.

    Parameters
    ----------
    inputs
        Law of the inputs.
    max_runs
        Most points that are yielded, in all searches. What a search leaves goes to the later ones.
    n_starts
        Most searches.
    rng
        Seed or NumPy generator of the directions.

    Yields
    ------
    (1, d) points, as `design_point_search`.

    Returns
    -------
    Design points that converged, at least 0.3 apart, the nearest to the origin first; of a surface
    crossed twice only the side that faces the origin. Empty when none was found.

    Raises
    ------
    TypeError, ValueError
        As `design_point_search`.
    """
    max_runs, n_starts = (
        whole_number(max_runs, "max_runs", 1),
        whole_number(n_starts, "n_starts", 1),
    )
    return _several(inputs, max_runs, n_starts, np.random.default_rng(rng))


def _several(
    inputs: Inputs, max_runs: int, n_starts: int, rng: np.random.Generator
) -> Generator[Array, Answer, tuple[DesignPoint, ...]]:
    origin = yield from _run(inputs, np.zeros(inputs.dimension))
    found: list[DesignPoint] = []
    directions: list[Array] = []
    n_left = max_runs - 1
    for k in range(n_starts):
        known = np.reshape([point.z for point in found], (-1, inputs.dimension))
        share = -(-n_left // (n_starts - k))
        if k == 0:
            point = yield from _descent(inputs, origin, 1 + share, known)
            n_left += 1
        elif share == 0:
            break
        else:
            if k == 1 and found:
                directions = [-known[0]]
            elif not directions:
                directions = _opposite_pair(known, rng)
            point = yield from _search(inputs, directions.pop(0), share, known)
        n_left -= point.n_runs
        is_behind = origin.value * point.beta < 0.0
        if point.converged and not is_behind and not _is_near(point.z, known):
            found.append(point)
    return tuple(sorted(found, key=lambda point: abs(point.beta)))


def _opposite_pair(known: Array, rng: np.random.Generator) -> list[Array]:
    """Two opposite starts, orthogonal to the known points where these leave room."""
    direction = rng.standard_normal(known.shape[1])
    radius = math.sqrt(known.shape[1])
    if len(known) > 0:
        _, lengths, axes = np.linalg.svd(known, full_matrices=False)
        spanned = axes[lengths > 0.1 * lengths[0]]
        if len(spanned) < known.shape[1]:
            direction -= spanned.T @ (spanned @ direction)
        radius = max(_FARTHER * float(np.linalg.norm(known, axis=1).min()), 1.0)
    start: Array = direction * (radius / float(np.linalg.norm(direction)))
    return [start, -start]


def _search(inputs: Inputs, start: Array, max_runs: int, known: Array) -> Search:
    here = yield from _run(inputs, start)
    return (yield from _descent(inputs, here, max_runs, known))


def _descent(inputs: Inputs, here: _Run, max_runs: int, known: Array) -> Search:
    """One design point, from a first run; ends where it comes upon one of the known (K, d)."""
    n_runs = 1
    for z in _moved(here.z):
        if here.is_usable or n_runs >= max_runs:
            break
        here = yield from _run(inputs, z)
        n_runs += 1
    if not here.is_usable:
        return here.ended(False, n_runs)
    share = 1.0
    while not here.is_design_point and share >= _LEAST_SHARE:
        p = _step(here)
        share = min(1.0, _LONGEST / float(np.linalg.norm(p)))
        while share >= _LEAST_SHARE:
            z = here.z + share * p
            if n_runs >= max_runs or _is_near(z, known):
                return here.ended(False, n_runs)
            there = yield from _run(inputs, z)
            n_runs += 1
            if there.is_usable and _is_lower(here, there, p, share):
                here = there
                break
            share *= 0.5
    return here.ended(here.is_design_point, n_runs)


def _moved(start: Array) -> list[Array]:
    """Points around a start, always the same ones."""
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((len(_MOVES), len(start)))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return list(start + math.sqrt(len(start)) * np.array(_MOVES)[:, None] * directions)


def _step(here: _Run) -> Array:
    a = here.gradient / here.slope
    p: Array = (float(a @ here.z) - here.value / here.slope) * a - here.z
    return p


def _is_lower(here: _Run, there: _Run, p: Array, share: float) -> bool:
    """Whether the merit is lower by enough after a share of the step p."""
    longest = max(float(np.linalg.norm(here.z)), float(np.linalg.norm(here.z + p)))
    c = 2.0 * longest / here.slope
    descent = float(here.z @ p) - c * abs(here.value)
    before = 0.5 * float(here.z @ here.z) + c * abs(here.value)
    after = 0.5 * float(there.z @ there.z) + c * abs(there.value)
    return after <= before + share * _ALPHA * descent


def _is_near(z: Array, known: Array) -> bool:
    return bool((np.linalg.norm(known - z, axis=1) < _SAME).any())


def _run(inputs: Inputs, z: Array) -> _Runs:
    answer = yield z[None, :].copy()
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise TypeError(
            "Send a pair (values, gradients) for the points that were yielded, but got "
            f"{type(answer).__name__}."
        )
    values = real_numbers(answer[0], "values")
    gradients = real_numbers(answer[1], "gradients")
    d = inputs.dimension
    if values.shape != (1,):
        raise ValueError(
            f"`values` sent for 1 point must have the shape (1,), but has {values.shape}."
        )
    if gradients.shape != (1, d):
        raise ValueError(
            f"`gradients` sent for 1 point must have the shape (1, {d}), one column for each "
            f"input, but has {gradients.shape}."
        )
    return _Run(z, float(values[0]), normal_gradients(inputs, z[None, :], gradients)[0])
