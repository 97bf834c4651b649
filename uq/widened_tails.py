"""Normal scores drawn a little more often from the tails than the law has them.

Notation
--------
z           a standard normal score of an unbounded input
q           the density it is drawn from,  w = phi / q its weight
e, s, c     share, width and reach of the wider part

    q(z) = (1 - e) phi(z) + e phi(z / s) / (s P),  |z| <= c,    P = P(|s Z| <= c)
         = (1 - e) phi(z)                          beyond
    w    <= 1 / (1 - e)

What a polynomial misses of a model grows with the distance from the middle, and what n draws from
phi show of it ends near sqrt(2 log n): there its error would go unseen. A share of the points looks
farther; beyond c nothing is drawn that the law itself would not draw, so that no model is run where
it was never meant to be.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Array = NDArray[np.float64]

SHARE, WIDTH, REACH = 0.15, 1.5, 5.0
_INSIDE = math.erf(REACH / WIDTH / math.sqrt(2.0))  # P
_NODES = np.linspace(-REACH, 0.0, 2001)
_ROOT_2PI = math.sqrt(2.0 * math.pi)


def from_uniform(u: Array) -> Array:
    """Scores whose law has the density q, of numbers inside (0, 1)."""
    tail = np.minimum(u, 1.0 - u)
    z = np.interp(tail, _LEVELS, _NODES)
    for _ in range(4):  # Newton's steps from a table: exact to rounding
        z = np.clip(z - (_distribution(z) - tail) / _density(z), -REACH, 0.0)
    z = np.where(tail < _LEVELS[0], ndtri(np.minimum(tail, _LEVELS[0]) / (1.0 - SHARE)), z)
    return np.where(u < 0.5, z, -z)


def log_weight(z: Array) -> Array:
    """Logarithm of w at scores."""
    wider = np.exp(np.minimum(z * z, REACH**2) * (0.5 - 0.5 / WIDTH**2)) / (WIDTH * _INSIDE)
    log_weight: Array = -np.log((1.0 - SHARE) + SHARE * np.where(np.abs(z) <= REACH, wider, 0.0))
    return log_weight


def _distribution(z: Array) -> Array:
    """P(score <= z) for -c <= z <= 0."""
    inside = (ndtr(z / WIDTH) - ndtr(-REACH / WIDTH)) / _INSIDE
    distribution: Array = (1.0 - SHARE) * ndtr(z) + SHARE * inside
    return distribution


def _density(z: Array) -> Array:
    wider = np.exp(-0.5 * (z / WIDTH) ** 2) / (WIDTH * _INSIDE)
    density: Array = ((1.0 - SHARE) * np.exp(-0.5 * z * z) + SHARE * wider) / _ROOT_2PI
    return density


_LEVELS = _distribution(_NODES)
