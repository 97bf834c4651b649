"""The design point: where a limit state is zero nearest to the origin, found by gradients (FORM).

Notation
--------
z, x        (d,) point in standard normal space, and of the inputs, x = inputs.from_normal(z)
g, a        limit state and its gradient dg/dz; it fails where g < 0
p           step of Hasofer & Lind (1974) and Rackwitz & Fiessler (1978)
m, c, t     merit, its weight, share of the step that is gone
u, beta     design point, reliability index

    p    = (a.z - g) a / |a|^2 - z                  to the zero of the tangent nearest to the origin
    m(z) = |z|^2 / 2 + c |g(z)|                     Zhang & Der Kiureghian (1995), improved HL-RF
    c    = 2 max(|z|, |z + p|) / |a|                p descends for every c > |z| / |a|
    m(z + t p) <= m(z) + t ALPHA (z.p - c |g|)      rule of Armijo: z.p - c |g| is the slope of m
    beta = (g - a.z) / |a|                          |u| with a sign, below 0 where g(0) < 0

The weight of Zhang & Der Kiureghian holds |z + p|^2 / (2 |g|), which grows near the surface and
forbids to walk along a curved one; c above lets a whole step pass on every linear limit state, too.

Where several parts meet in a corner no tangent leads on. Failing sets that are intersections have
their design point in one: it is the point nearest to the origin below the tangents met so far, to
which the tangent there is added until that point lies on the surface (Kelley's cutting planes).
"""

import math
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesopt.arguments import real_numbers, whole_number
from uq.inputs import Inputs
from uq.reliability.gradient_runs import Answer, Run, run_at
from uq.reliability.least_distance import nearest_to_origin

Array = NDArray[np.float64]

_TOLERANCE = 1e-3  # distance from the design point; its square is the error of beta
_ALPHA = 0.1
_LEAST_SHARE = 2.0**-8  # of the first share that is tried; near a saddle it takes such short ones
_LONGEST = 10.0  # no tangent is believed farther
_MOVES = (0.5, 0.5, 1.0, 1.0, 1.5, 1.5)  # from a start without a slope, in units of sqrt(d)
SAME = 0.3
"""Design points nearer to each other are one."""


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
        Reliability index: distance from the origin to the zero of the tangent at z, negative when
        the origin fails; in a corner |z|; NaN where there is no slope.
    converged
        Whether z lies on the surface and nothing of it nearby is nearer, within 0.001.
    n_runs
        Runs of its search.
    """

    z: Array
    value: float
    gradient_z: Array
    beta: float
    converged: bool
    n_runs: int


Search = Generator[Array, Answer, DesignPoint]


def design_point_search(inputs: Inputs, start: ArrayLike, max_runs: int) -> Search:
    """Search one design point, downhill from a start.

    The limit state may run elsewhere: this is a generator that yields the points to be evaluated. A
    run that failed makes the step shorter.

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
    return search_from(inputs, first, max_runs, np.empty((0, inputs.dimension)))


def search_from(inputs: Inputs, start: Array, max_runs: int, known: Array) -> Search:
    """One design point from a start; ends where it comes upon one of the `known` (K, d)."""
    first = yield from run_at(inputs, start)
    return (yield from descent(inputs, first, max_runs, known))


def descent(inputs: Inputs, first: Run, max_runs: int, known: Array) -> Search:
    """The same from a first run, which counts as one of `max_runs`."""
    here, n_runs = first, 1
    for z in _moved(first.z):
        if here.is_usable or n_runs >= max_runs:
            break
        here = yield from run_at(inputs, z)
        n_runs += 1
    if not here.is_usable:
        return _ended(here, False, n_runs)
    while not _is_design_point(here):
        p = _step(here)
        share = min(1.0, _LONGEST / float(np.linalg.norm(p)))
        least_share = _LEAST_SHARE * share
        rejected: list[Run] = []
        while share >= least_share:
            z = here.z + share * p
            if n_runs >= max_runs or is_near(z, known):
                return _ended(here, False, n_runs)
            there = yield from run_at(inputs, z)
            n_runs += 1
            if there.is_usable and _is_lower(here, there, p, share):
                here = there
                break
            rejected.append(there)
            share *= 0.5
        else:
            met = [here, *(run for run in rejected if run.is_usable)]
            corner, n_cuts = yield from _corner(inputs, met, max_runs - n_runs, known)
            if corner is not None:
                return _ended(corner, True, n_runs + n_cuts, float(np.linalg.norm(corner.z)))
            return _ended(here, False, n_runs + n_cuts)
    return _ended(here, True, n_runs)


def is_near(z: Array, known: Array) -> bool:
    """Whether z (d,) is the same design point as one of the known (K, d)."""
    return bool((np.linalg.norm(known - z, axis=1) < SAME).any())


def _ended(run: Run, converged: bool, n_runs: int, beta: float | None = None) -> DesignPoint:
    if beta is None:
        beta = -run.tangent[1] if run.is_usable else math.nan
    return DesignPoint(run.z, run.value, run.gradient, beta, converged, n_runs)


def _is_design_point(run: Run) -> bool:
    """Whether it is on the surface, and straight above the origin."""
    normal, _ = run.tangent
    aside = float(np.linalg.norm(run.z - (run.z @ normal) * normal))
    return max(run.distance, aside) <= _TOLERANCE


def _moved(start: Array) -> list[Array]:
    """Points around a start, always the same ones."""
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((len(_MOVES), len(start)))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return list(start + math.sqrt(len(start)) * np.array(_MOVES)[:, None] * directions)


def _step(here: Run) -> Array:
    normal, offset = here.tangent
    p: Array = offset * normal - here.z
    return p


def _is_lower(here: Run, there: Run, p: Array, share: float) -> bool:
    """Whether the merit is lower by enough after a share of the step p."""
    longest = max(float(np.linalg.norm(here.z)), float(np.linalg.norm(here.z + p)))
    c = 2.0 * longest / here.slope
    descent = float(here.z @ p) - c * abs(here.value)
    before = 0.5 * float(here.z @ here.z) + c * abs(here.value)
    after = 0.5 * float(there.z @ there.z) + c * abs(there.value)
    return after <= before + share * _ALPHA * descent


def _corner(
    inputs: Inputs, met: list[Run], max_runs: int, known: Array
) -> Generator[Array, Answer, tuple[Run | None, int]]:
    """A corner that is a design point, if there is one, and the runs that it took."""
    tangents = [run.tangent for run in met]
    for n_runs in range(max_runs):
        A, b = np.stack([normal for normal, _ in tangents]), np.array([b for _, b in tangents])
        z = nearest_to_origin(A, b)
        if z is None or float(np.linalg.norm(z)) <= _TOLERANCE or is_near(z, known):
            return None, n_runs
        there = yield from run_at(inputs, z)
        if not there.is_usable:
            return None, n_runs + 1
        if there.distance <= _TOLERANCE:
            return there, n_runs + 1
        if there.value < 0.0:  # the failing set is no intersection: the tangents cut off too much
            return None, n_runs + 1
        tangents.append(there.tangent)
    return None, max_runs
