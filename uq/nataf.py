"""Correlation of two variables as the correlation of their normal scores, by Nataf.

Notation
--------
x_i         variable, with mean m_i and standard deviation s_i
y_i         its normal score; (y_1, y_2) standard normal with correlation rho
h_i(y)      (x_i(y) - m_i) / s_i
He_k        Hermite polynomials, orthogonal under the normal law, E[He_k^2] = k!
c_ik        E[h_i(y) He_k(y)] / sqrt(k!)

    r(rho) = E[h_1(y_1) h_2(y_2)] = sum_{k >= 1} c_1k c_2k rho^k           Mehler's formula
    normal, lognormal:      r = rho sigma / sqrt(exp(sigma^2) - 1)
    lognormal, lognormal:   r = (exp(rho sigma_1 sigma_2) - 1)
                                / sqrt((exp(sigma_1^2) - 1) (exp(sigma_2^2) - 1))

The model is that of Nataf (1962), its use that of Der Kiureghian & Liu (1986), who list r for pairs
of laws.
r rises with rho, so its ends r(-1) and r(1) are all that a pair of laws can reach.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from uq.marginals import LogNormalMarginal, Marginal, NormalMarginal

Array = NDArray[np.float64]

_TERMS = 128
_END, _NODES = 16.0, 3201


@lru_cache(maxsize=1)
def _hermite() -> tuple[Array, Array, Array]:
    """Nodes (m,), weights (m,) of E over N(0, 1) and He_k / sqrt(k!) at the nodes (128, m).

    The trapezoidal rule: it converges as fast as Gauss-Hermite quadrature for smooth h, and far
    faster for a quantile with a corner, or one of two modes.
    """
    nodes = np.linspace(-_END, _END, _NODES)
    weights = np.exp(-0.5 * nodes**2)
    basis = np.ones((_TERMS, len(nodes)))
    basis[1] = nodes
    for k in range(1, _TERMS - 1):
        basis[k + 1] = (nodes * basis[k] - math.sqrt(k) * basis[k - 1]) / math.sqrt(k + 1)
    return nodes, weights / weights.sum(), basis


@lru_cache(maxsize=128)
def _standardised(marginal: Marginal) -> Array:
    """h at the nodes (m,)."""
    nodes, weights, _ = _hermite()
    x = marginal.from_score(nodes)
    centred = x - weights @ x
    h: Array = centred / math.sqrt(weights @ centred**2)
    return h


def hermite_coefficients(marginal: Marginal) -> Array:
    """Coefficients c_k (128,) of the standardised variable; c_0 = 0."""
    _, weights, basis = _hermite()
    coefficients: Array = basis @ (weights * _standardised(marginal))
    coefficients[0] = 0.0
    return coefficients


def _series(one: Marginal, other: Marginal) -> Array:
    """Coefficients (130,) of r in powers of rho.

    What is left of the two ends, known by quadrature, is given to the last two powers.
    """
    _, weights, _ = _hermite()
    h, g = _standardised(one), _standardised(other)
    terms = hermite_coefficients(one) * hermite_coefficients(other)
    left_at_one = weights @ (h * g) - terms.sum()
    left_at_minus_one = weights @ (h * g[::-1]) - (terms[::2].sum() - terms[1::2].sum())
    even, odd = left_at_one + left_at_minus_one, left_at_one - left_at_minus_one
    return np.concatenate([terms, [0.5 * even, 0.5 * odd]])


def value_correlation(one: Marginal, other: Marginal, rho: float) -> float:
    """r(rho): correlation of the values whose normal scores have the correlation `rho`."""
    if isinstance(one, NormalMarginal) and isinstance(other, NormalMarginal):
        return rho
    if isinstance(one, LogNormalMarginal) and isinstance(other, LogNormalMarginal):
        scale = math.sqrt(math.expm1(one.sigma**2) * math.expm1(other.sigma**2))
        return math.expm1(rho * one.sigma * other.sigma) / scale
    if isinstance(one, LogNormalMarginal) and isinstance(other, NormalMarginal):
        one, other = other, one
    if isinstance(one, NormalMarginal) and isinstance(other, LogNormalMarginal):
        return rho * other.sigma / math.sqrt(math.expm1(other.sigma**2))
    return float(np.polynomial.polynomial.polyval(rho, _series(one, other)))


def score_correlation(one: Marginal, other: Marginal, value: float) -> float:
    """Correlation of the normal scores that gives the values the correlation `value`.

    Parameters
    ----------
    one, other
        Laws of the two variables.
    value
        Correlation (Pearson) of the variables themselves.

    Raises
    ------
    ValueError
        When no correlation of the scores gives `value`, with the range that can be reached; or
        when a law has no finite variance.
    """
    if value == 0.0:
        return 0.0
    for marginal in (one, other):
        if not math.isfinite(marginal.sd):
            raise ValueError(
                "a law without a finite variance has no correlation of its values; give the "
                "correlation of the normal scores"
            )
    low, high = (value_correlation(one, other, end) for end in (-1.0, 1.0))
    if not low <= value <= high:
        raise ValueError(f"these laws can reach correlations from {low:.4g} to {high:.4g}")
    if value in (low, high):
        return -1.0 if value == low else 1.0
    if isinstance(one, LogNormalMarginal) and isinstance(other, LogNormalMarginal):
        scale = math.sqrt(math.expm1(one.sigma**2) * math.expm1(other.sigma**2))
        return math.log1p(value * scale) / (one.sigma * other.sigma)
    slope = value_correlation(one, other, 1.0)
    normal = isinstance(one, NormalMarginal) or isinstance(other, NormalMarginal)
    if normal:  # h_1 is linear: only k = 1 is left of the series
        return value / slope
    terms = _series(one, other)
    return float(
        brentq(
            lambda rho: np.polynomial.polynomial.polyval(rho, terms) - value, -1.0, 1.0, xtol=1e-14
        )
    )
