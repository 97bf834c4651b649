"""Charts: an interval of numbers as the whole line.

Notation
--------
x           number on (a, b), either end may be infinite
t           its chart value:    t = x                             on (-inf, inf)
                                t = log(x - a)                    on (a, inf)
                                t = -log(b - x)                   on (-inf, b)
                                t = Phi^-1((x - a) / (b - a))     on (a, b)
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from uq.marginals import LogNormalMarginal, Marginal, NormalMarginal, UniformMarginal

Array = NDArray[np.float64]

_LOG_ROOT_2PI = 0.5 * math.log(2.0 * math.pi)


@dataclass(frozen=True)
class Chart:
    """Map of one column onto the line.

    Parameters
    ----------
    kind
        "identity", "lower" (log of the distance from `low`), "upper" (minus the log of the
        distance from `high`) or "interval".
    low, high
        Ends of the support, infinite where there is none.
    """

    kind: Literal["identity", "lower", "upper", "interval"]
    low: float
    high: float

    @classmethod
    def on(cls, low: float, high: float) -> "Chart":
        """Chart of the support (low, high)."""
        if math.isfinite(low):
            return cls("interval" if math.isfinite(high) else "lower", low, high)
        return cls("upper" if math.isfinite(high) else "identity", low, high)

    def to_line(self, x: Array) -> Array:
        """Chart values; points at an end or beyond are moved just inside."""
        if self.kind == "identity":
            return x
        x = self._inside(x)
        if self.kind == "lower":
            return np.log(x - self.low)
        if self.kind == "upper":
            return -np.log(self.high - x)
        width = self.high - self.low
        below, above = (x - self.low) / width, (self.high - x) / width
        nearer: Array = ndtri(np.maximum(np.minimum(below, above), math.ulp(0.0)))
        return np.where(below <= above, nearer, -nearer)

    def from_line(self, t: Array) -> Array:
        """Inverse of `to_line`, strictly inside the support."""
        if self.kind == "identity":
            return t
        with np.errstate(over="ignore", under="ignore"):
            if self.kind == "lower":
                x = self.low + np.exp(t)
            elif self.kind == "upper":
                x = self.high - np.exp(-t)
            else:
                part = (self.high - self.low) * ndtr(-np.abs(t))
                x = np.where(t < 0.0, self.low + part, self.high - part)
        return self._inside(x)

    def log_slope(self, t: Array) -> Array:
        """log|dx/dt|."""
        if self.kind == "identity":
            return np.zeros_like(t)
        if self.kind == "interval":
            value: Array = math.log(self.high - self.low) - 0.5 * t * t - _LOG_ROOT_2PI
            return value
        return t if self.kind == "lower" else -t

    def gaussian(self, marginal: Marginal) -> tuple[float, float] | None:
        """Mean and standard deviation of t when it is normal under `marginal`, else None."""
        if self.kind == "identity" and isinstance(marginal, NormalMarginal):
            return marginal.mean, marginal.sd
        if self.kind == "lower" and isinstance(marginal, LogNormalMarginal):
            return (marginal.mu, marginal.sigma) if marginal.loc == self.low else None
        if self.kind == "interval" and isinstance(marginal, UniformMarginal):
            return (0.0, 1.0) if marginal.support == (self.low, self.high) else None
        return None

    def _inside(self, x: Array) -> Array:
        least, greatest = np.nextafter(self.low, np.inf), np.nextafter(self.high, -np.inf)
        clipped: Array = np.clip(x, least, greatest)
        return clipped
