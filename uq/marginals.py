"""One-dimensional laws of one face, whichever library they come from.

Notation
--------
X, F, f     a continuous random variable on (low, high), its distribution function and its density
z           normal score of x:      Phi(z) = F(x),     z ~ N(0, 1) when x ~ F
mu, sigma   mean and standard deviation, of X for a normal law, of log(X - loc) for a lognormal one

    z = Phi^-1(F(x))            where F(x) <= 1/2
      = -Phi^-1(1 - F(x))       above; each on the logarithm of its tail
    dz/dx = f(x) / phi(z)

A score keeps its digits far beyond 8 sigma, as far as the law knows the logarithm of either tail.
Normal, lognormal and uniform laws are known by their formulas; others by the functions of their
library.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri, ndtri_exp

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

_LOG_ROOT_2PI = 0.5 * math.log(2.0 * math.pi)
_LOG_HALF = math.log(0.5)
_LAST = 37.5  # beyond this score the probability of a tail is no normal floating-point number
_FAR = 6.0  # beyond this score quantiles are checked
_UNDERFLOW = float(ndtri_exp(-745.0))  # score of the smallest positive number


class Marginal(ABC):
    """Continuous law of one variable.

    Attributes
    ----------
    support
        (low, high), the ends may be infinite.
    mean, sd
        Mean and standard deviation; NaN or infinite where the law has none.
    gaussian
        (mean, sd) when the law is normal, else None.
    log_gaussian
        (mu, sigma) when log X is normal, else None.
    """

    support: tuple[float, float]
    mean: float
    sd: float
    gaussian: tuple[float, float] | None = None
    log_gaussian: tuple[float, float] | None = None

    @property
    def bounded(self) -> bool:
        """Whether both ends of the support are finite."""
        return math.isfinite(self.support[0]) and math.isfinite(self.support[1])

    @abstractmethod
    def to_score(self, x: ArrayLike) -> Array:
        """Normal scores of `x`; -inf at the lower end and below, inf at the upper and above."""

    @abstractmethod
    def from_score(self, z: ArrayLike) -> Array:
        """Values whose normal scores are `z`; strictly inside the support for finite scores."""

    @abstractmethod
    def log_density(self, x: ArrayLike) -> Array:
        """Logarithm of the density at `x`; -inf outside the support, never NaN."""


@dataclass(frozen=True)
class NormalMarginal(Marginal):
    """Normal law by its mean and standard deviation."""

    mean: float
    sd: float

    @property
    def support(self) -> tuple[float, float]:  # type: ignore[override]
        """The whole line."""
        return -math.inf, math.inf

    @property
    def gaussian(self) -> tuple[float, float]:  # type: ignore[override]
        """(mean, sd)."""
        return self.mean, self.sd

    def to_score(self, x: ArrayLike) -> Array:
        """(x - mean) / sd."""
        return (np.asarray(x, dtype=np.float64) - self.mean) / self.sd

    def from_score(self, z: ArrayLike) -> Array:
        """Mean + sd z."""
        return self.mean + self.sd * np.asarray(z, dtype=np.float64)

    def log_density(self, x: ArrayLike) -> Array:
        """Logarithm of the normal density."""
        z = self.to_score(x)
        with np.errstate(over="ignore"):
            value = -0.5 * z * z - (_LOG_ROOT_2PI + math.log(self.sd))
        return np.where(np.isnan(value), -np.inf, value)


@dataclass(frozen=True)
class LogNormalMarginal(Marginal):
    """Law of loc + exp(mu + sigma Z)."""

    mu: float
    sigma: float
    loc: float = 0.0

    @property
    def support(self) -> tuple[float, float]:  # type: ignore[override]
        """From `loc` upwards."""
        return self.loc, math.inf

    @property
    def log_gaussian(self) -> tuple[float, float] | None:  # type: ignore[override]
        """(mu, sigma), None where `loc` is not zero."""
        return (self.mu, self.sigma) if self.loc == 0.0 else None

    @property
    def mean(self) -> float:  # type: ignore[override]
        """Mean loc + exp(mu + sigma^2 / 2)."""
        with np.errstate(over="ignore"):
            return self.loc + float(np.exp(self.mu + 0.5 * self.sigma**2))

    @property
    def sd(self) -> float:  # type: ignore[override]
        """Standard deviation."""
        with np.errstate(over="ignore"):
            spread = np.sqrt(np.expm1(self.sigma**2))
            return float(np.exp(self.mu + 0.5 * self.sigma**2) * spread)

    def _log_distance(self, x: ArrayLike) -> Array:
        distance = np.asarray(x, dtype=np.float64) - self.loc
        with np.errstate(divide="ignore"):
            return np.log(np.maximum(distance, 0.0))

    def to_score(self, x: ArrayLike) -> Array:
        """(log(x - loc) - mu) / sigma."""
        return (self._log_distance(x) - self.mu) / self.sigma

    def from_score(self, z: ArrayLike) -> Array:
        """Loc + exp(mu + sigma z)."""
        scores = np.asarray(z, dtype=np.float64)
        with np.errstate(over="ignore", under="ignore"):
            return _inside(self.loc + np.exp(self.mu + self.sigma * scores), scores, self.support)

    def log_density(self, x: ArrayLike) -> Array:
        """Logarithm of the lognormal density."""
        log_distance = self._log_distance(x)
        with np.errstate(invalid="ignore", over="ignore"):
            z = (log_distance - self.mu) / self.sigma
            value = -0.5 * z * z - log_distance - (_LOG_ROOT_2PI + math.log(self.sigma))
        return np.where(np.isfinite(log_distance), value, -np.inf)


@dataclass(frozen=True)
class UniformMarginal(Marginal):
    """Uniform law between two ends."""

    low: float
    high: float

    @property
    def support(self) -> tuple[float, float]:  # type: ignore[override]
        """(low, high)."""
        return self.low, self.high

    @property
    def mean(self) -> float:  # type: ignore[override]
        """Middle of the interval."""
        return 0.5 * (self.low + self.high)

    @property
    def sd(self) -> float:  # type: ignore[override]
        """Width / sqrt(12)."""
        return (self.high - self.low) / math.sqrt(12.0)

    def to_score(self, x: ArrayLike) -> Array:
        """Normal score of the share of the interval on the nearer side."""
        values = np.asarray(x, dtype=np.float64)
        width = self.high - self.low
        below, above = (values - self.low) / width, (self.high - values) / width
        nearer: Array = ndtri(np.clip(np.minimum(below, above), math.ulp(0.0), 0.5))
        score = np.where(below <= above, nearer, -nearer)
        return np.where(values <= self.low, -np.inf, np.where(values >= self.high, np.inf, score))

    def from_score(self, z: ArrayLike) -> Array:
        """Value from the nearer end."""
        scores = np.asarray(z, dtype=np.float64)
        part: Array = (self.high - self.low) * ndtr(-np.abs(scores))
        x = np.where(scores < 0.0, self.low + part, self.high - part)
        return _inside(x, scores, self.support)

    def log_density(self, x: ArrayLike) -> Array:
        """-log(width) inside."""
        values = np.asarray(x, dtype=np.float64)
        inside = (values >= self.low) & (values <= self.high)
        return np.where(inside, -math.log(self.high - self.low), -np.inf)


@dataclass(frozen=True)
class GeneralMarginal(Marginal):
    """Law by the functions of its library.

    Parameters
    ----------
    log_cdf, log_sf
        Logarithms of F and of 1 - F.
    quantile, upper_quantile
        Inverses of F and of 1 - F.
    log_pdf
        Logarithm of the density inside the support.
    support, mean, sd
        As in `Marginal`.
    """

    log_cdf: Function
    log_sf: Function
    quantile: Function
    upper_quantile: Function
    log_pdf: Function
    support: tuple[float, float]
    mean: float
    sd: float

    def to_score(self, x: ArrayLike) -> Array:
        """Normal scores by the logarithm of the smaller tail.

        Inside the support, where the library says that a tail is empty, the score is that of the
        smallest positive probability, 38.5.
        """
        values = np.atleast_1d(np.asarray(x, dtype=np.float64))
        low, high = self.support
        score = np.where(values <= low, -np.inf, np.where(values >= high, np.inf, np.nan))
        inside = (values > low) & (values < high)
        if inside.any():
            score[inside] = self._inner_score(values[inside])
        return score.reshape(np.shape(x))

    def _inner_score(self, x: Array) -> Array:
        with np.errstate(all="ignore"):
            log_below = np.asarray(self.log_cdf(x), dtype=np.float64)
            score = np.asarray(ndtri_exp(np.minimum(log_below, _LOG_HALF)), dtype=np.float64)
            score[np.isneginf(log_below)] = _UNDERFLOW
            upper = log_below > _LOG_HALF
            if upper.any():
                log_above = np.asarray(self.log_sf(x[upper]), dtype=np.float64)
                above = -np.asarray(ndtri_exp(np.minimum(log_above, _LOG_HALF)))
                score[upper] = np.where(np.isneginf(log_above), -_UNDERFLOW, above)
        return score

    def from_score(self, z: ArrayLike) -> Array:
        """Values by the quantile of the smaller tail, far out improved by Newton's method.

        Scores beyond 37.5 are taken as 37.5 where the library does not know the logarithm of
        that tail.
        """
        scores = np.atleast_1d(np.asarray(z, dtype=np.float64))
        with np.errstate(all="ignore"):
            aims = scores
            if (np.isfinite(scores) & (np.abs(scores) > _LAST)).any():
                aims = np.clip(scores, -self._reach(-1.0), self._reach(1.0))
            x = self._by_quantile(np.clip(aims, -_LAST, _LAST))
            far = (np.abs(aims) > _FAR) & np.isfinite(aims)
            if far.any():
                x[far] = self._improved(x[far], aims[far])
        return _inside(x, scores, self.support).reshape(np.shape(z))

    def _reach(self, side: float) -> float:
        """Largest score on this side that has a value; tried at one far out."""
        aim = np.array([1.6 * _LAST * side])
        x = self._improved(self._by_quantile(np.array([_LAST * side])), aim)
        return math.inf if abs(float((self.to_score(x) - aim)[0])) < 1e-6 else _LAST

    def _by_quantile(self, z: Array) -> Array:
        tail = ndtr(-np.abs(z))
        x = np.empty_like(z)
        upper = z > 0.0
        for side, inverse in ((~upper, self.quantile), (upper, self.upper_quantile)):
            if side.any():
                x[side] = inverse(tail[side])
        return x

    def _improved(self, x: Array, z: Array) -> Array:
        """Newton's method on the score; a step that does not come nearer is halved."""
        low, high = self.support
        start = self._by_quantile(np.clip(z, -_FAR, _FAR))
        x = np.where(np.isfinite(x), np.clip(x, *_inner_ends(self.support)), start)
        score = self.to_score(x)
        share = np.ones(len(x))
        for _ in range(60):
            i = np.flatnonzero((np.abs(score - z) > 1e-13 * np.abs(z)) & (share > 1e-3))
            if len(i) == 0:
                break
            log_slope = self.log_density(x[i]) + 0.5 * score[i] ** 2 + _LOG_ROOT_2PI
            there = x[i] - share[i] * (score[i] - z[i]) * np.exp(-log_slope)
            there = np.where((there > low) & (there < high), there, x[i])
            score_there = self.to_score(there)
            nearer = np.abs(score_there - z[i]) < np.abs(score[i] - z[i])
            x[i] = np.where(nearer, there, x[i])
            score[i] = np.where(nearer, score_there, score[i])
            share[i] = np.where(nearer, np.minimum(1.0, 2.0 * share[i]), 0.5 * share[i])
        return x

    def log_density(self, x: ArrayLike) -> Array:
        """Logarithm of the density by the library, guarded outside the support."""
        values = np.atleast_1d(np.asarray(x, dtype=np.float64))
        inside = (values >= self.support[0]) & (values <= self.support[1])
        result = np.full(values.shape, -np.inf)
        if inside.any():
            with np.errstate(all="ignore"):
                result[inside] = self.log_pdf(values[inside])
        return np.where(np.isnan(result), -np.inf, result).reshape(np.shape(x))


def _inside(x: Array, z: Array, support: tuple[float, float]) -> Array:
    """Values of finite scores strictly between the ends, those of infinite scores at an end."""
    low, high = support
    x = np.clip(x, *_inner_ends(support))
    return np.where(np.isfinite(z), x, np.where(np.isnan(z), np.nan, np.where(z > 0.0, high, low)))


def _inner_ends(support: tuple[float, float]) -> tuple[float, float]:
    """Smallest and largest number strictly inside the support."""
    return math.nextafter(support[0], math.inf), math.nextafter(support[1], -math.inf)
