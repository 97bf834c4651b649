"""Laws of one variable whose normal scores are shifted and stretched.

Notation
--------
X, F, f     the base law, its distribution function and its density
y           normal score of x, Phi(y) = F(x);      y ~ N(0, 1) under the base law
m, s        shift and factor of the scores

    X_ms   = F^-1(Phi(m + s Z)),   Z ~ N(0, 1)                                               (1)
    z(x)   = (y(x) - m) / s                                 the score under the new law      (2)
    f_ms(x) = f(x) phi(z) / (s phi(y))                                                       (3)

Every law can be perturbed so, its support stays, and the density ratio is known. A normal law
N(mu, sigma) becomes N(mu + m sigma, s sigma), a lognormal one is that in its logarithm.

The one-law-at-a-time analysis is that of Lemaitre, Sergienko, Arnaud, Bousquet, Gamboa & Iooss
(2015), who take the law nearest in Kullback-Leibler divergence among those of a given mean or
variance: for a normal law the same one. Gauchy, Stenger, Sueur & Iooss (2022) perturb along the
Fisher distance instead.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uq.marginals import LogNormalMarginal, Marginal, NormalMarginal

Array = NDArray[np.float64]

_LAST = 37.0  # scores of the quadrature: beyond, a tail has no floating-point probability
_STEP = 1 / 128
_AGREE = 1e-6  # of two step lengths, in standard deviations
_TAIL = 1e-9  # share of an integral that the last scores may have


def perturbed(base: Marginal, shift: float = 0.0, factor: float = 1.0) -> Marginal:
    """The law whose scores under `base` are N(shift, factor^2), Eq. (1).

    Parameters
    ----------
    base
        The law.
    shift, factor
        m, finite, and s, finite and positive.

    Returns
    -------
    Marginal
        `base` itself where nothing changes, a normal or lognormal law where `base` is one, else a
        `PerturbedMarginal`.

    Raises
    ------
    ValueError
        For a shift or factor that is none.
    """
    if not (math.isfinite(shift) and math.isfinite(factor) and factor > 0.0):
        raise ValueError(
            "Scores are perturbed by a finite `shift` and a positive `factor`, but got "
            f"{shift!r} and {factor!r}."
        )
    if shift == 0.0 and factor == 1.0:
        return base
    if isinstance(base, NormalMarginal):
        return NormalMarginal(base.mean + shift * base.sd, factor * base.sd)
    if isinstance(base, LogNormalMarginal):
        return LogNormalMarginal(base.mu + shift * base.sigma, factor * base.sigma, base.loc)
    if isinstance(base, PerturbedMarginal):
        return perturbed(base.base, base.shift + base.factor * shift, base.factor * factor)
    return PerturbedMarginal(base, shift, factor)


@dataclass(frozen=True)
class PerturbedMarginal(Marginal):
    """Law of F^-1(Phi(shift + factor Z)).

    Parameters
    ----------
    base
        The law of F.
    shift, factor
        m and s > 0.
    """

    base: Marginal
    shift: float
    factor: float

    @property
    def support(self) -> tuple[float, float]:  # type: ignore[override]
        """That of the base law."""
        return self.base.support

    @property
    def mean(self) -> float:  # type: ignore[override]
        """Mean by quadrature; NaN where it does not exist or is not known to six digits."""
        return self._moments[0]

    @property
    def sd(self) -> float:  # type: ignore[override]
        """Standard deviation by quadrature; NaN as for the mean."""
        return self._moments[1]

    def to_score(self, x: ArrayLike) -> Array:
        """Eq. (2)."""
        return (self.base.to_score(x) - self.shift) / self.factor

    def from_score(self, z: ArrayLike) -> Array:
        """Eq. (1)."""
        return self.base.from_score(self.shift + self.factor * np.asarray(z, dtype=np.float64))

    def log_density(self, x: ArrayLike) -> Array:
        """Logarithm of Eq. (3); -inf at the ends of the support, where scores are infinite."""
        y = self.base.to_score(x)
        inner = np.isfinite(y)
        y = np.where(inner, y, 0.0)
        z = (y - self.shift) / self.factor
        ratio = 0.5 * (y - z) * (y + z) - math.log(self.factor)  # (3)
        return np.where(inner, self.base.log_density(x) + ratio, -np.inf)

    @cached_property
    def _moments(self) -> tuple[float, float]:
        """Mean and standard deviation by the trapezoidal rule over the scores of the base law."""
        y = np.arange(-_LAST, _LAST + _STEP / 2, _STEP)
        z = (y - self.shift) / self.factor
        weights = np.exp(-0.5 * z * z)
        with np.errstate(all="ignore"):
            x = self.base.from_score(y)
            fine, coarse = _mean_and_sd(x, weights), _mean_and_sd(x[::2], weights[::2])
            size = np.abs(x - fine[0]) ** np.array([[1], [2]]) * weights  # of both integrands
            ends = np.maximum(size[:, 0], size[:, -1]) / _STEP
            heavy = ~(ends <= _TAIL * size.sum(axis=1))
        settled = abs(fine[0] - coarse[0]) <= _AGREE * fine[1] or not math.isfinite(fine[1])
        mean = fine[0] if settled and not heavy[0] else math.nan
        known = settled and abs(fine[1] - coarse[1]) <= _AGREE * fine[1] and not heavy.any()
        return mean, fine[1] if known else math.nan


def _mean_and_sd(x: Array, weights: Array) -> tuple[float, float]:
    share = weights / weights.sum()
    centre = x[len(x) // 2]
    mean = centre + float(share @ (x - centre))
    return float(mean), math.sqrt(float(share @ (x - mean) ** 2))
