"""A polynomial of a limit state that is met best where it nearly fails.

Notation
--------
z, g        (n, d) points in standard normal space, (n,) values of the limit state
t           thresholds: it fails where g < t
c           scale on which g is looked at near the thresholds
w(g)        warped values: g itself from the least threshold less c to the largest plus c, and
            beyond that no more than the logarithm of the distance
p(z)        polynomial in Hermite products, fitted with weights 1 / (1 + distance^2)
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uq.polynomials import basis, index_set

Array = NDArray[np.float64]

_TERMS_PER_RUN = 0.6
_SIMPLER = 0.8  # a larger trend must bring the error below this share
_ROWS = 2048


@dataclass(frozen=True)
class Warp:
    """Values as far as they matter to failure at given thresholds.

    Parameters
    ----------
    low, high
        Least and largest threshold.
    scale
        c > 0.
    """

    low: float
    high: float
    scale: float

    def __call__(self, g: Array) -> Array:
        """w(g), which is increasing, and g itself at the thresholds."""
        inside = np.clip(g, self.low, self.high)
        far = (g - inside) / self.scale
        size = np.abs(far)
        tamed = np.where(size <= 1.0, size, 1.0 + np.log(np.maximum(size, 1.0)))
        warped: Array = inside + self.scale * np.sign(far) * tamed
        return warped

    def distance(self, g: Array) -> Array:
        """|g - the nearest threshold of the range|, in units of c."""
        away: Array = np.abs(g - np.clip(g, self.low, self.high)) / self.scale
        return away


@dataclass(frozen=True, eq=False)
class Trend:
    """p(z): a polynomial in orthonormal Hermite products.

    Parameters
    ----------
    indices
        (k, d) multi-indices.
    coefficients
        (k,).
    """

    indices: NDArray[np.int64]
    coefficients: Array

    def __call__(self, z: Array) -> Array:
        """(n,) values."""
        unbounded = np.zeros(z.shape[1], dtype=bool)
        values = np.empty(len(z))
        for rows in pieces(len(z)):
            values[rows] = basis(z[rows], self.indices, unbounded) @ self.coefficients
        return values


def fit_trend(z: Array, g: Array, warp: Warp) -> Trend:
    """Weighted least squares; as many terms as points left out ask for.

    Constant, linear, with squares, with products, and with cubes.

    Parameters
    ----------
    z, g
        (n, d) points and (n,) finite values.
    warp
        Rows count by 1 / (1 + distance^2): what is far from failing need not be met.
    """
    n, d = z.shape
    root = 1.0 / np.sqrt(1.0 + np.square(warp.distance(g)))
    sizes = (1, d + 1, 2 * d + 1, 2 * d + 1 + d * (d - 1) // 2, 3 * d + 1 + d * (d - 1) // 2)
    offered = sorted({size for size in sizes if size == 1 or size <= _TERMS_PER_RUN * n})
    indices = index_set(d, offered[-1], 3)
    psi = basis(z, indices, np.zeros(d, dtype=bool)) * root[:, None]
    q, triangle = np.linalg.qr(psi)
    projected = q.T @ (root * g)
    best, chosen = np.inf, Trend(indices[:1], np.array([np.mean(g)]))
    for size in offered:
        leverage = np.minimum(np.square(q[:, :size]).sum(axis=1), 1.0 - 1e-6)
        left = (root * g - q[:, :size] @ projected[:size]) / (1.0 - leverage)
        missed = root * (warp(g) - warp(g - left / root))
        error = float(np.square(missed).mean())
        if error < _SIMPLER * best:
            lead = triangle[:size, :size]
            coefficients = np.linalg.lstsq(lead, projected[:size], rcond=1e-12)[0]
            best, chosen = error, Trend(indices[:size], coefficients)
    return chosen


def pieces(n: int, rows: int = _ROWS) -> list[slice]:
    """Slices of at most so many rows: memory is bounded by them."""
    return [slice(first, first + rows) for first in range(0, n, rows)]
