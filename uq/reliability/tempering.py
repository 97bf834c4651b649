"""Points of a rare event, by tempering a limit state that costs nothing.

Notation
--------
z, d        points (n, d), standard normal under the inputs' law phi
h(z)        cheap limit state, it fails where h < 0
s_k         softness, falling from step to step down to the one that is asked for
rho         correlation of a proposal with the point it starts from
z', h'      a proposal and the limit state there

    pi_k(z) is proportional to phi(z) Phi(-h(z) / s_k)        Papaioannou, Papadimitriou & Straub
                                                              (2016), sequential importance sampling
    weights pi_k / pi_{k-1} with half of the points effective decide s_k
    z' = rho z + sqrt(1 - rho^2) N(0, I), accepted with min(1, Phi(-h'/s_k) / Phi(-h/s_k))

The proposal keeps phi whatever the dimension (Cotter, Roberts, Stuart & White 2013). Several
separate regions keep their shares as long as they hold more than a few points.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

Array = NDArray[np.float64]

_EFFECTIVE = 0.5  # share of the points that a step leaves
_STEPS = 30  # at most
_MOVES, _DIMENSIONS_PER_MOVE = 4, 8  # one move more for every eight dimensions
_FIRST_CORRELATION = 0.6
_ACCEPTED = (0.2, 0.5)  # share of the proposals that is neither too small nor too large
_HALVINGS = 40


class Particles(NamedTuple):
    """Points that follow the tempered law of the last step.

    Parameters
    ----------
    z, h
        (n, d) points and (n,) values of the cheap limit state there.
    reached
        Whether the softness asked for was reached, and the event met: a limit state that never
        fails is followed to where it is least.
    """

    z: Array
    h: Array
    reached: bool


def tempered(
    h: Callable[[Array], Array], dimension: int, n: int, softness: float, rng: np.random.Generator
) -> Particles:
    """Points of phi(z) Phi(-h(z) / softness).

    Parameters
    ----------
    h
        (n, d) to (n,) finite values.
    dimension
        d.
    n
        Number of points.
    softness
        s > 0 to end with.
    rng
        Source of random numbers.
    """
    z = rng.standard_normal((n, dimension))
    values = h(z)
    s, rho = math.inf, _FIRST_CORRELATION
    moves = _MOVES + dimension // _DIMENSIONS_PER_MOVE
    for _ in range(_STEPS):
        following = _next_softness(values, s, softness)
        weights = np.exp(_log_ratio(values, following, s))
        z, values = _resampled(z, values, weights, rng)
        s = following
        for _ in range(moves if s > softness else 2 * moves):
            z, values, share = _moved(h, z, values, s, rho, rng)
            rho = _adapted(rho, share)
        if s <= softness:
            return Particles(z, values, bool((values < 0.0).any()))
    return Particles(z, values, False)


def _log_tempered(values: Array, s: float) -> Array:
    """log Phi(-h/s), up to a constant where s is infinite."""
    log_chance: Array = log_ndtr(-values / s)
    return log_chance


def _log_ratio(values: Array, s: float, before: float) -> Array:
    """log pi_k / pi_{k-1} (n,), up to a constant: the largest is 0."""
    ratio = _log_tempered(values, s) - _log_tempered(values, before)
    centred: Array = ratio - ratio.max()
    return centred


def _next_softness(values: Array, before: float, least: float) -> float:
    """The smallest softness that leaves half of the points effective."""

    def effective(s: float) -> float:
        w = np.exp(_log_ratio(values, s, before))
        return float(w.sum() ** 2 / np.square(w).sum()) / len(w)

    if effective(least) >= _EFFECTIVE:
        return least
    low, high = math.log(least), math.log(min(before, 1e3 * float(np.abs(values).max()) + least))
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if effective(math.exp(middle)) < _EFFECTIVE else (low, middle)
    return math.exp(high)


def _resampled(
    z: Array, values: Array, weights: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Systematic resampling."""
    cumulated = np.cumsum(weights)
    ladder = (rng.random() + np.arange(len(z))) / len(z) * cumulated[-1]
    kept = np.minimum(np.searchsorted(cumulated, ladder), len(z) - 1)
    return z[kept], values[kept]


def _moved(
    h: Callable[[Array], Array],
    z: Array,
    values: Array,
    s: float,
    rho: float,
    rng: np.random.Generator,
) -> tuple[Array, Array, float]:
    """Points and values after one move of each, and the share of the moves that were accepted."""
    proposed = rho * z + math.sqrt(1.0 - rho * rho) * rng.standard_normal(z.shape)
    there = h(proposed)
    log_chance = _log_tempered(there, s) - _log_tempered(values, s)
    accepted = np.log(rng.random(len(z))) < log_chance
    z = np.where(accepted[:, None], proposed, z)
    return z, np.where(accepted, there, values), float(accepted.mean())


def _adapted(rho: float, accepted: float) -> float:
    """Shorter moves where few were accepted, longer ones where many were."""
    low, high = _ACCEPTED
    if accepted < low:
        return min(rho + 0.3 * (1.0 - rho), 0.995)
    return 0.7 * rho if accepted > high else rho
