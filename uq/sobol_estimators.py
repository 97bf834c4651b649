"""Sobol' indices from the moments of pairs: the estimators by name.

Notation
--------
y, y'       outputs of two blocks that share some factors and are independent otherwise
p           mean of y y'
m, m'       means;      s, s'   mean squares
a, b        outputs of the blocks A and B, which share nothing
c_F, c_V    what a surrogate knows of the part and of the variance, see `variance_parts`; y and the
            others are then residuals, and their parts add to these. Without a surrogate 0.

    part of the variance        N = Cov(y, y'), the closed index times V
    its complement              V - N, the total index of the other factors times V
    index                       (c_F + N) / (c_V + D)   or   (c_F + V - N) / (c_V + D)

    name             N                      complement            D
    janon_monod      p - ((m + m')/2)^2     (s + s')/2 - p        (s + s')/2 - ((m + m')/2)^2
    martinez         p - m m'               D - N                 sqrt((s - m^2)(s' - m'^2))
    saltelli_2010    p - mean(a b)          (s + s')/2 - p        variance of a and b together
    jansen           D - ((s + s')/2 - p)   (s + s')/2 - p        variance of a and b together

Janon et al. (2014) and Martinez (2011) take the variance from the same pair as the part, which is
asymptotically efficient; Saltelli et al. (2010); Jansen (1999).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

MOMENTS = 12
"""Of every target: p, m, m', s, s' of its pair, those of A and B, c_F and c_V."""


def _janon_monod(M: Array, total: Mask) -> tuple[Array, Array]:
    p, m, m2, s, s2 = (M[..., i] for i in range(5))
    mean, square = (m + m2) / 2, (s + s2) / 2
    return np.where(total, square - p, p - mean**2), square - mean**2


def _martinez(M: Array, total: Mask) -> tuple[Array, Array]:
    p, m, m2, s, s2 = (M[..., i] for i in range(5))
    N, D = p - m * m2, np.sqrt((s - m**2) * (s2 - m2**2))
    return np.where(total, D - N, N), D


def _saltelli_2010(M: Array, total: Mask) -> tuple[Array, Array]:
    p, s, s2 = M[..., 0], M[..., 3], M[..., 4]
    return np.where(total, (s + s2) / 2 - p, p - M[..., 5]), _variance_of_both(M)


def _jansen(M: Array, total: Mask) -> tuple[Array, Array]:
    p, s, s2 = M[..., 0], M[..., 3], M[..., 4]
    D, complement = _variance_of_both(M), (s + s2) / 2 - p
    return np.where(total, complement, D - complement), D


def _variance_of_both(M: Array) -> Array:
    variance: Array = (M[..., 8] + M[..., 9]) / 2 - ((M[..., 6] + M[..., 7]) / 2) ** 2
    return variance


ESTIMATORS: dict[str, Callable[[Array, Mask], tuple[Array, Array]]] = {
    "janon_monod": _janon_monod,
    "martinez": _martinez,
    "saltelli_2010": _saltelli_2010,
    "jansen": _jansen,
}


def indices(M: Array, total: Mask, estimator: str) -> Array:
    """Indices (..., T) of moments (..., T, 12); 0 where there is no variance.

    Parameters
    ----------
    M
        Moments, real or complex.
    total
        (T,) whether the complement is wanted.
    estimator
        One of `ESTIMATORS`.
    """
    N, D = ESTIMATORS[estimator](M, total)
    variance = M[..., 11] + D
    positive = variance.real > 0.0
    index: Array = np.where(positive, M[..., 10] + N, 0.0) / np.where(positive, variance, 1.0)
    return index


def gradient(M: Array, total: Mask, estimator: str) -> Array:
    """(T, 12) derivatives of the indices (T,) by their moments (T, 12), exact to rounding.

    By complex steps: every formula above is analytic in its moments.
    """
    step = 1e-200
    columns = []
    for k in range(MOMENTS):
        moved = M.astype(np.complex128)
        moved[..., k] += 1j * step
        columns.append(indices(moved, total, estimator).imag / step)  # type: ignore[arg-type]
    return np.stack(columns, axis=-1)
