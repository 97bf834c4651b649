"""Prior laws of one positive hyperparameter, as functions of its logarithm.

Notation
--------
eta     a hyperparameter: a length-scale, a variance, nu or p
theta   log eta, what is searched and sampled
q       log density that maximum a posteriori adds to the log likelihood, a function of theta

    LogNormal           q = log N(theta; mean, sd^2)
    Normal              q = log N(eta; mean, sd^2)                        for eta > 0
    Uniform             q = -log(high - low)                              for low <= eta <= high
    TruncatedNormal     q = log N(eta; mean, sd^2) - log P(low <= N <= high)    likewise
    (the four of Frazier 2018, Section 3.2)

The mode of a density depends on what it is a density of. A LogNormal counts as a normal density of
theta, and its mode is taken there. The other three are densities of eta itself, without a Jacobian,
so that a flat prior gives back maximum likelihood. A sample does not depend on such a choice: the
density of theta is exp(q) for a LogNormal, and exp(q) d eta / d theta = exp(q + theta) for the
others, and that is what `log_jacobian` adds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from scipy.special import log_ndtr

from bayesopt.arguments import finite_number
from bayesopt.parameter import Array

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)


@dataclass(frozen=True)
class LogNormal:
    """The logarithm is normal.

    Parameters
    ----------
    mean, sd
        Mean and standard deviation of the logarithm.

    Raises
    ------
    TypeError, ValueError
        If one of them is no finite number, or `sd` is not positive.
    """

    mean: float
    sd: float

    def __post_init__(self) -> None:
        _check_numbers(self)

    @property
    def limits(self) -> tuple[float, float]:
        """Smallest and largest eta."""
        return 0.0, math.inf

    @property
    def centre(self) -> float:
        """A theta in the middle, where a search may start."""
        return self.mean

    def log_density(self, theta: Array) -> tuple[Array, Array]:
        """q and dq / d theta."""
        standard = (theta - self.mean) / self.sd
        value = -0.5 * standard**2 - math.log(self.sd) - _LOG_SQRT_2PI
        return value, -standard / self.sd

    def log_jacobian(self, theta: Array) -> Array:
        """What the log density of theta has beside q: nothing."""
        return np.zeros_like(theta)


@dataclass(frozen=True)
class Normal:
    """A normal law, of which the part above 0 counts.

    Parameters
    ----------
    mean, sd
        Mean and standard deviation.

    Raises
    ------
    TypeError, ValueError
        If one of them is no finite number, or `sd` is not positive.
    """

    mean: float
    sd: float

    def __post_init__(self) -> None:
        _check_numbers(self)

    @property
    def limits(self) -> tuple[float, float]:
        """Smallest and largest eta."""
        return 0.0, math.inf

    @property
    def centre(self) -> float:
        """A theta in the middle, where a search may start."""
        return math.log(max(self.mean, 0.1 * self.sd))

    def log_density(self, theta: Array) -> tuple[Array, Array]:
        """q and dq / d theta."""
        return _normal_of_eta(theta, self.mean, self.sd)

    def log_jacobian(self, theta: Array) -> Array:
        """What the log density of theta has beside q."""
        return theta


@dataclass(frozen=True)
class Uniform:
    """Flat between two limits: a range, and maximum likelihood inside it.

    Parameters
    ----------
    low, high
        0 <= low < high.

    Raises
    ------
    TypeError, ValueError
        If one of them is no finite number, or they are not in this order.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_numbers(self)

    @property
    def limits(self) -> tuple[float, float]:
        """Smallest and largest eta."""
        return self.low, self.high

    @property
    def centre(self) -> float:
        """A theta in the middle, where a search may start."""
        return math.log(math.sqrt(self.low) * math.sqrt(self.high) or 0.5 * self.high)

    def log_density(self, theta: Array) -> tuple[Array, Array]:
        """q and dq / d theta."""
        value = np.full_like(theta, -math.log(self.high - self.low))
        return _inside(self.limits, theta, value), np.zeros_like(theta)

    def log_jacobian(self, theta: Array) -> Array:
        """What the log density of theta has beside q."""
        return theta


@dataclass(frozen=True)
class TruncatedNormal:
    """A normal law between two limits.

    Parameters
    ----------
    mean, sd
        Mean and standard deviation of the normal law before it is cut.
    low, high
        0 <= low < high.

    Raises
    ------
    TypeError, ValueError
        If one of them is no finite number, `sd` is not positive, or the limits are not in this
        order.
    """

    mean: float
    sd: float
    low: float
    high: float

    def __post_init__(self) -> None:
        _check_numbers(self)

    @property
    def limits(self) -> tuple[float, float]:
        """Smallest and largest eta."""
        return self.low, self.high

    @property
    def centre(self) -> float:
        """A theta in the middle, where a search may start."""
        return math.log(min(max(self.mean, self.low, 0.1 * min(self.sd, self.high)), self.high))

    def log_density(self, theta: Array) -> tuple[Array, Array]:
        """q and dq / d theta."""
        value, slope = _normal_of_eta(theta, self.mean, self.sd)
        return _inside(self.limits, theta, value - self._log_mass()), slope

    def log_jacobian(self, theta: Array) -> Array:
        """What the log density of theta has beside q."""
        return theta

    def _log_mass(self) -> float:
        """Logarithm of the share of the normal law between the limits, safe far in its tails."""
        low, high = ((limit - self.mean) / self.sd for limit in self.limits)
        if low > 0.0:
            low, high = -high, -low
        larger, smaller = float(log_ndtr(high)), float(log_ndtr(low))
        return larger + math.log(max(-math.expm1(smaller - larger), 1e-300))


Prior = Uniform | Normal | LogNormal | TruncatedNormal


class JointPrior:
    """Independent priors of all entries of theta.

    Parameters
    ----------
    priors
        One for each of the p entries.
    """

    def __init__(self, priors: Sequence[Prior]) -> None:
        self.priors = tuple(priors)
        self.centre = np.array([prior.centre for prior in priors])
        # The usual ones take no loop.
        normal = [isinstance(prior, LogNormal) for prior in priors]
        self._others = np.flatnonzero(np.logical_not(normal)).tolist()
        self._log_normal = slice(None) if all(normal) else np.flatnonzero(normal)
        moments = [(p.mean, p.sd) for p in priors if isinstance(p, LogNormal)]
        self._mean, self._sd = np.array(moments).reshape(-1, 2).T
        self._normaliser = np.log(self._sd).sum() + len(moments) * _LOG_SQRT_2PI

    @property
    def is_log_normal(self) -> bool:
        """Whether every prior is a LogNormal."""
        return not self._others

    def negative_log_density(self, theta: Array) -> tuple[Array, Array]:
        """Minus the sum of the q (S,) and its gradient (S, p), at theta (S, p)."""
        standard = (theta[:, self._log_normal] - self._mean) / self._sd
        value = 0.5 * (standard**2).sum(axis=1) + self._normaliser
        if self.is_log_normal:
            return value, standard / self._sd
        gradient = np.zeros_like(theta)
        gradient[:, self._log_normal] = standard / self._sd
        for j in self._others:
            q, slope = self.priors[j].log_density(theta[:, j])
            value, gradient[:, j] = value - q, -slope
        return value, gradient

    def log_density_of_theta(self, theta: Array) -> Array:
        """Log density (S,) of theta (S, p) itself, Jacobians included."""
        value = -self.negative_log_density(theta)[0]
        for j in self._others:
            value = value + self.priors[j].log_jacobian(theta[:, j])
        return value


def _normal_of_eta(theta: Array, mean: float, sd: float) -> tuple[Array, Array]:
    eta = np.exp(theta)
    standard = (eta - mean) / sd
    value = -0.5 * standard**2 - math.log(sd) - _LOG_SQRT_2PI
    return value, -standard / sd * eta


def _inside(limits: tuple[float, float], theta: Array, value: Array) -> Array:
    """The value between the limits, minus infinity outside of them."""
    low, high = (math.log(limit) if limit > 0.0 else -math.inf for limit in limits)
    inside: Array = np.where((theta >= low) & (theta <= high), value, -np.inf)
    return inside


def _check_numbers(prior: Prior) -> None:
    name = type(prior).__name__
    for field in fields(prior):
        number = finite_number(getattr(prior, field.name), f"`{field.name}` of {name}")
        object.__setattr__(prior, field.name, number)
    if not isinstance(prior, Uniform) and prior.sd <= 0.0:
        raise ValueError(f"`sd` of {name} must be positive, but got {prior.sd!r}.")
    if isinstance(prior, Uniform | TruncatedNormal) and not 0.0 <= prior.low < prior.high:
        raise ValueError(
            f"Limits of {name} must be 0 <= low < high, since hyperparameters are positive, "
            f"but got low={prior.low!r} and high={prior.high!r}."
        )
