"""Charts: an interval of numbers as the whole line.

Notation
--------
x           number on (a, b), either end may be infinite
t           its chart value:    t = x                             on (-inf, inf)
                                t = log(x - a)                    on (a, inf)
                                t = -log(b - x)                   on (-inf, b)
                                t = Phi^-1((x - a) / (b - a))     on (a, b)
F           distribution function of a reference marginal:    t = Phi^-1(F(x))
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from uq.marginals import LogNormalMarginal, Marginal, NormalMarginal, UniformMarginal
from uq.perturbed_marginals import PerturbedMarginal

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
        if isinstance(marginal, PerturbedMarginal):
            return _perturbed(self.gaussian(marginal.base), marginal)
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


_REFERENCES = 8  # at most so many marginals are tried as the reference
_SCORES = np.linspace(-8.0, 8.0, 321)


@dataclass(frozen=True)
class ScoreChart:
    """Map of one column onto the line by the normal scores of one of its marginals.

    Tails that no chart of the support makes normal are so in the scores of a marginal that has
    them: no Gaussian then has lighter tails than the laws.

    Parameters
    ----------
    reference
        The marginal.
    """

    reference: Marginal
    kind: Literal["scores"] = "scores"

    def to_line(self, x: Array) -> Array:
        """Normal scores of x."""
        return self.reference.to_score(x)

    def from_line(self, t: Array) -> Array:
        """Inverse of `to_line`."""
        return self.reference.from_score(t)

    def log_slope(self, t: Array) -> Array:
        """log|dx/dt|."""
        slope: Array = -0.5 * t * t - _LOG_ROOT_2PI - self.reference.log_density(self.from_line(t))
        return slope

    def gaussian(self, marginal: Marginal) -> tuple[float, float] | None:
        """Standard normal for the reference itself, (m, s) where its scores are N(m, s^2)."""
        if isinstance(marginal, PerturbedMarginal):
            return _perturbed(self.gaussian(marginal.base), marginal)
        return (0.0, 1.0) if marginal is self.reference else None


def _perturbed(
    base: tuple[float, float] | None, marginal: PerturbedMarginal
) -> tuple[float, float] | None:
    if base is None:
        return None
    return base[0] + base[1] * marginal.shift, base[1] * marginal.factor


def chart_of(column: Sequence[Marginal]) -> Chart | ScoreChart:
    """The chart of one column under several laws.

    The chart of the union of their supports, where that makes all of them normal; the scores of
    the one law that all are, or of which they are perturbed ones; the chart of the union where it
    is bounded; else the scores of the marginal under which the ratios of the others' densities to
    its own have the smallest mean square.
    """
    low = min(marginal.support[0] for marginal in column)
    high = max(marginal.support[1] for marginal in column)
    chart = Chart.on(low, high)
    if all(chart.gaussian(one) is not None for one in column):
        return chart
    base = _base(column[0])
    if all(_base(one) is base for one in column):
        return ScoreChart(base)
    if chart.kind == "interval":
        return chart
    wide = [one for one in column if tuple(one.support) == (low, high)]
    wide = sorted(wide, key=lambda one: one.sd, reverse=True)[:_REFERENCES]
    if not wide:
        return chart
    costs = [max(_mean_square(other, one) for other in column) for one in wide]
    return ScoreChart(wide[int(np.argmin(costs))])


def _base(marginal: Marginal) -> Marginal:
    """The law of which it is a perturbed one, or itself."""
    return marginal.base if isinstance(marginal, PerturbedMarginal) else marginal


def _mean_square(law: Marginal, reference: Marginal) -> float:
    """E[(f / f_ref)^2] under the reference, by its scores."""
    x = reference.from_score(_SCORES)
    with np.errstate(over="ignore", invalid="ignore"):
        ratio = np.exp(2.0 * (law.log_density(x) - reference.log_density(x)))
        total = float(np.nansum(ratio * np.exp(-0.5 * _SCORES**2)))
    return total
