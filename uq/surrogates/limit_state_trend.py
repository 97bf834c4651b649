"""A polynomial of a limit state that is met best where it nearly fails.

Notation
--------
z, g        (n, d) points in standard normal space, (n,) values of the limit state
t           thresholds: it fails where g < t
c           scale on which g is looked at near the thresholds
w(g)        warped values: g itself from the least threshold less c to the largest plus c, and
            beyond that no more than the logarithm of the distance
p(z)        polynomial of degree 3 at most, fitted with weights 1 / (1 + distance^2)
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

EXACT = 1e-9
"""Of c: what leaves less is the limit state itself."""
TERMS_PER_RUN = 0.6
"""A trend has no more terms than that."""
_LEAST_NEAR, _NEAR_SHARE = 40, 0.1  # of the runs: those that count as near the thresholds
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
        """How far g is outside the range of the thresholds, in units of c; 0 inside."""
        away: Array = np.abs(g - np.clip(g, self.low, self.high)) / self.scale
        return away


@dataclass(frozen=True, eq=False)
class Trend:
    """p(z) = constant + linear z + z' products z + cubes z^3.

    Parameters
    ----------
    constant
        A number.
    linear
        (d,).
    products
        (d, d), symmetric, squares on the diagonal; None where the trend is linear.
    cubes
        (d,), or None.
    """

    constant: float
    linear: Array
    products: Array | None
    cubes: Array | None

    @staticmethod
    def of_coefficients(d: int, coefficients: Array) -> "Trend":
        """From the coefficients of the leading columns of `_columns`."""
        full = np.zeros(3 * d + 1 + d * (d - 1) // 2)
        full[: len(coefficients)] = coefficients
        constant, linear, squares = full[0], full[1 : d + 1].copy(), full[d + 1 : 2 * d + 1]
        first, second = np.triu_indices(d, 1)
        pairs, cubes = np.split(full[2 * d + 1 :], [len(first)])
        if not pairs.any() and not squares.any() and not cubes.any():
            return Trend(float(constant), linear, None, None)
        products = np.diag(squares)
        products[first, second] = products[second, first] = pairs / 2.0
        linear -= 3.0 * cubes
        constant -= squares.sum()
        return Trend(float(constant), linear, products, cubes.copy() if cubes.any() else None)

    def __call__(self, z: Array) -> Array:
        """(n,) values."""
        values: Array = self.constant + z @ self.linear
        if self.products is not None:
            values += np.einsum("na,na->n", z @ self.products, z)
        if self.cubes is not None:
            values += z**3 @ self.cubes
        return values

    @property
    def cost(self) -> int:
        """About how many numbers one point costs."""
        return 8 * len(self.linear)


def _columns(z: Array, size: int) -> Array:
    """(n, size) leading columns of 1, z, z^2 - 1, products of two columns, z^3 - 3 z."""
    n, d = z.shape
    parts = [np.ones((n, 1)), z]
    if size > d + 1:
        parts.append(np.square(z) - 1.0)
    if size > 2 * d + 1:
        first, second = np.triu_indices(d, 1)
        parts += [z[:, first] * z[:, second], z**3 - 3.0 * z]
    return np.concatenate(parts, axis=1)[:, :size]


def fit_trend(z: Array, g: Array, warp: Warp) -> Trend:
    """Weighted least squares; as many terms as points left out ask for.

    Constant, linear, with squares, with products and with cubes are tried in turn.

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
    offered = sorted({size for size in sizes if size == 1 or size <= TERMS_PER_RUN * n})
    q, triangle = np.linalg.qr(_columns(z, offered[-1]) * root[:, None])
    projected = q.T @ (root * g)
    best, chosen = np.inf, np.array([np.mean(g)])
    for size in offered:
        leverage = np.minimum(np.square(q[:, :size]).sum(axis=1), 1.0 - 1e-6)
        left = (root * g - q[:, :size] @ projected[:size]) / (1.0 - leverage)
        missed = root * (warp(g) - warp(g - left / root))
        error = float(np.square(missed).mean())
        if error < _SIMPLER * best:
            lead = triangle[:size, :size]
            coefficients = np.linalg.lstsq(lead, projected[:size], rcond=1e-12)[0]
            best, chosen = error, coefficients
    return Trend.of_coefficients(d, chosen)


def error_near(off: Array, g: Array, warp: Warp) -> float:
    """Root mean square of what a fit is off by, over the runs nearest to a threshold.

    Parameters
    ----------
    off
        (n,) warped values less those of the fit.
    g
        (n,) values.
    warp
        Says what is near.
    """
    n_near = max(_LEAST_NEAR, int(_NEAR_SHARE * len(g)))
    near = np.argsort(warp.distance(g), kind="stable")[:n_near]
    return float(np.sqrt(np.square(off[near]).mean()))


def pieces(n: int, rows: int = _ROWS) -> list[slice]:
    """Slices of at most so many rows: memory is bounded by them."""
    return [slice(first, first + rows) for first in range(0, n, rows)]
