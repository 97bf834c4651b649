"""Several design points of one limit state, searched from several starts.

Notation
--------
z, d        point in standard normal space (d,), dimension
K           design points found so far
beta        reliability index of one, see `design_point_search`

A search goes downhill, so it sees the parts of the limit state that are lowest where it starts. The
later ones start opposite to what was found and orthogonal to it, a little farther out: there other
parts are the lowest ones.
"""

import math
from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

from bayesopt.arguments import whole_number
from uq.inputs import Inputs, Seed
from uq.reliability.design_point_search import DesignPoint, descent, is_near, search_from
from uq.reliability.gradient_runs import Answer, run_at

Array = NDArray[np.float64]
SeveralSearches = Generator[Array, Answer, tuple[DesignPoint, ...]]

_FARTHER = 1.5  # a start is as many times as far as the nearest design point


def design_points(
    inputs: Inputs, max_runs: int, n_starts: int = 8, rng: Seed = None
) -> SeveralSearches:
    """Search several design points, one after another.

    The first search starts at the origin, the second one opposite to what was found, the others in
    pairs of opposite random directions, orthogonal to all design points so far as long as such
    directions are new. A search that comes upon a known point ends there, mostly after one run.
    None of this shows that there are no others: a part of the limit state that is not the lowest
    one where any search starts stays unseen.

    Parameters
    ----------
    inputs
        Law of the inputs.
    max_runs
        Most points that are yielded, in all searches. A search gets half of what is left
        until the first point is found, then an equal share.
    n_starts
        Most searches.
    rng
        Seed or NumPy generator of the directions.

    Yields
    ------
    (1, d) points, answered as those of `design_point_search`.

    Returns
    -------
    Design points that converged, at least 0.3 apart, the nearest to the origin first; of a failing
    layer only the side that faces the origin. Empty when none was found.

    Raises
    ------
    TypeError, ValueError
        As `design_point_search`.
    """
    max_runs = whole_number(max_runs, "max_runs", 1)
    n_starts = whole_number(n_starts, "n_starts", 1)
    return _searches(inputs, max_runs, n_starts, np.random.default_rng(rng))


def _searches(
    inputs: Inputs, max_runs: int, n_starts: int, rng: np.random.Generator
) -> SeveralSearches:
    d = inputs.dimension
    origin = yield from run_at(inputs, np.zeros(d))
    found: list[DesignPoint] = []
    starts: list[Array] = []
    n_left, n_pairs = max_runs - 1, 0
    for k in range(n_starts):
        known = np.reshape([point.z for point in found], (-1, d))
        share = -(-n_left // (n_starts - k if found else 2))
        if k == 0:
            point = yield from descent(inputs, origin, 1 + share, known)
            n_left += 1  # the origin was counted already
        elif share == 0:
            break
        else:
            if k == 1 and found:
                starts = [-known[0]]
            elif not starts:
                starts = _opposite_pair(known, n_pairs, rng)
                n_pairs += 1
            point = yield from search_from(inputs, starts.pop(), share, known)
        n_left -= point.n_runs
        # The far side of a failing layer: from there the origin seems to be on the other side.
        is_behind = origin.value * point.beta < 0.0
        if point.converged and not is_behind and not is_near(point.z, known):
            found.append(point)
    return tuple(sorted(found, key=lambda point: abs(point.beta)))


def _opposite_pair(known: Array, n_pairs: int, rng: np.random.Generator) -> list[Array]:
    """Two opposite starts, orthogonal to the known points where these leave a new direction."""
    d = known.shape[1]
    direction: Array = rng.standard_normal((d,))
    radius = math.sqrt(d)
    if len(known) > 0:
        _, lengths, axes = np.linalg.svd(known, full_matrices=False)
        spanned = axes[lengths > 0.1 * lengths[0]]
        if n_pairs < d - len(spanned):
            direction -= spanned.T @ (spanned @ direction)
        radius = max(_FARTHER * float(np.linalg.norm(known, axis=1).min()), 1.0)
    direction *= radius / float(np.linalg.norm(direction))
    return [direction, -direction]
