"""Entropy that a normal variable loses when a correlated one is known to be positive.

Notation
--------
y, d        jointly normal; what is told is d >= 0
gamma       mean of d over its standard deviation
q           squared correlation of y and d,    c = sqrt(1 - q)
phi, Phi    density and distribution function of the standard normal law
r(gamma)    phi / Phi, the inverse Mills ratio
w(t)        Phi(t) log Phi(t) / phi(t),    w' = log Phi + 1 + t w

Given d >= 0 the standardised y has the density phi(u) Phi(t(u)) / Phi(gamma) with
t = (gamma + sqrt(q) u) / c (an extended skew normal law). Hence

    H(y) - H(y | d >= 0) = q gamma r / 2 - log Phi(gamma) + E[log Phi(t) | d >= 0]
                         = r(gamma) B(gamma, q)
    B(gamma, q)          = q gamma / 2 - w(gamma) + c E[w(c gamma + sqrt(q) Z)],    Z ~ N(0, 1)

The last step rotates (u, t) so that phi(u) phi(t) = phi(gamma) phi(z). What remains below the
integral is all but linear, and a few Gauss-Hermite nodes are exact to 1e-9. With q = 1 it is
Wang & Jegelka (2017), Section 3; in general what Takeno et al. (2020) integrate over y.

No law of the variance 1 - q r (gamma + r), which that of u is, has more entropy than the normal
one. Hence B >= q (gamma + r) / 2, its first term in q: rounding leaves nothing true below it.
"""

import math

import numpy as np
from scipy.special import erfcx, log_ndtr, ndtr

from bayesopt.acquisition.normal_quadrature import gauss_hermite
from bayesopt.acquisition.normal_tail import inverse_mills, log_inverse_mills
from bayesopt.parameter import Array

_SQRT_HALF = math.sqrt(0.5)
_SQRT_HALF_PI = math.sqrt(0.5 * math.pi)
_LOWEST = -1e3  # of gamma: left of it the terms cancel, and nothing that happens is told
_SMALL_SHARE = 1e-6  # below it B is its first term in q
_SMALLEST = 1e-300
_NODES, _WEIGHTS = gauss_hermite(12)


def log_entropy_lost(gamma: Array, q: Array) -> tuple[Array, Array, Array]:
    """Logarithm of H(y) - H(y | d >= 0), and its derivatives in gamma and in q.

    Parameters
    ----------
    gamma
        Mean of d over its standard deviation, any shape.
    q
        Squared correlation, above 0 and at most 1, of the same shape.
    """
    inside = gamma > _LOWEST
    gamma = np.maximum(gamma, _LOWEST)
    log_r, sum_of = log_inverse_mills(gamma), gamma + inverse_mills(gamma)
    w, w_slope = _w(gamma)
    c2 = 1.0 - q
    c, root = np.sqrt(c2), np.sqrt(q)
    B, by_gamma, by_q = 0.5 * q * gamma - w, 0.5 * q - w_slope, 0.5 * gamma
    if (c2 > 0.0).any():
        mean, slope, slope_z = _averages(c * gamma, root)
        by_c = -0.5 / np.maximum(c, 1e-8)
        B, by_gamma = B + c * mean, by_gamma + c2 * slope
        by_q = by_q + by_c * mean + c * slope * gamma * by_c + 0.5 * c * slope_z / root
    least = 0.5 * q * sum_of
    small = (q < _SMALL_SHARE) | (B < least)
    B = np.where(small, least, B)
    by_gamma = np.where(small, 0.5 * q * (1.0 - np.exp(log_r) * sum_of), by_gamma)
    by_q = np.where(small, 0.5 * sum_of, by_q)
    return log_r + np.log(B), np.where(inside, by_gamma / B - sum_of, 0.0), by_q / B


def _w(t: Array) -> tuple[Array, Array]:
    """w and its derivative."""
    log_Phi = log_ndtr(t)
    mills = _SQRT_HALF_PI * erfcx(np.abs(t) * _SQRT_HALF)
    p = ndtr(-np.abs(t))
    # log Phi(t) = log(1 - p) on the right, and p / phi is Mills' ratio there.
    right = (1.0 - p) * mills * np.where(p > 0.0, log_Phi / np.maximum(p, _SMALLEST), -1.0)
    w = np.where(t < 0.0, mills * log_Phi, right)
    return w, log_Phi + 1.0 + t * w


def _averages(centre: Array, spread: Array) -> tuple[Array, Array, Array]:
    """E[w(t)], E[w'(t)] and E[w'(t) Z] for t = centre + spread Z."""
    w, slope = _w(centre[..., None] + spread[..., None] * _NODES)
    return w @ _WEIGHTS, slope @ _WEIGHTS, slope @ (_WEIGHTS * _NODES)
