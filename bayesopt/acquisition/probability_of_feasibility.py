"""Probability that outcome constraints are met, and its logarithm, safe far from their bounds.

Notation
--------
g           a constraint's outcome, g(x) ~ N(mean, sd^2), wanted between low and high
a, b        (low - mean) / sd, (high - mean) / sd; either may be infinite
phi, Phi    density and distribution function of the standard normal law
m_k         E[Z^k | a < Z < b], moments of the truncated law

    log P      = log(Phi(b) - Phi(a)) = log Phi(b) + log(1 - Phi(a) / Phi(b))
                                                       Schonlau et al. (1998), Gardner et al. (2014)
    d / d mean = m_1 / sd,              m_1     = (phi(a) - phi(b)) / P
    d / d sd^2 = (m_2 - 1) / (2 sd^2),  m_2 - 1 = (a phi(a) - b phi(b)) / P

An interval that lies to the right of the mean is mirrored, where Phi has all its digits. In an
interval so narrow that the differences cancel, the integrals are taken by Gauss and Legendre.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from botorch.acquisition import AcquisitionFunction
from botorch.models.model import Model
from jaxtyping import Float as Shaped
from scipy.special import log_ndtr
from torch import Tensor

from bayesopt.acquisition.given_samples import GivenSamples
from bayesopt.acquisition.normal_tail import Array, inverse_mills
from bayesopt.acquisition.observed import check_one_candidate, with_partials

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)
_FARTHEST = 1e50  # an infinite bound, in standard deviations
_NARROW = 0.5
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(10)


@dataclass(frozen=True)
class Bounded:
    """An outcome and the interval that it has to lie in.

    Parameters
    ----------
    model
        A botorch Model with one output: the scores of the outcome.
    low, high
        The interval in scores; -inf and inf where there is no bound.

    Raises
    ------
    ValueError
        If low is not below high.
    """

    model: Model
    low: float
    high: float

    def __post_init__(self) -> None:
        check_interval(self.low, self.high)


def check_interval(low: float, high: float) -> None:
    """Raise ValueError where no interval is left between two bounds."""
    if not low < high:
        raise ValueError(
            f"A constraint must have a lower bound below its upper one, but got {low} and {high}."
        )


def log_probability_and_partials(
    mean: Tensor, variance: Tensor, low: float, high: float
) -> tuple[Tensor, Tensor, Tensor]:
    """log P(low <= g <= high), and its derivatives in mean and variance, of their common shape.

    A variance of zero makes it 0 or -inf, without slope.
    """
    m, v = np.broadcast_arrays(mean.numpy(), variance.numpy())
    certain = v <= 0.0
    sd = np.sqrt(np.where(certain, 1.0, v))
    a = np.clip((low - m) / sd, -_FARTHEST, _FARTHEST)
    b = np.clip((high - m) / sd, -_FARTHEST, _FARTHEST)
    # Of a narrow interval b - a has lost its digits.
    width = np.minimum((high - low) / sd, 2.0 * _FARTHEST)
    value, m1, m2_less_1 = _log_interval_and_moments(a, b, width)
    if certain.any():
        value = np.where(certain, np.where((low <= m) & (m <= high), 0.0, -np.inf), value)
        m1, m2_less_1 = np.where(certain, 0.0, m1), np.where(certain, 0.0, m2_less_1)
    by_variance = m2_less_1 / (2.0 * sd * sd)
    return torch.from_numpy(value), torch.from_numpy(m1 / sd), torch.from_numpy(by_variance)


def _log_interval_and_moments(a: Array, b: Array, width: Array) -> tuple[Array, Array, Array]:
    """log(Phi(b) - Phi(a)), m_1 and m_2 - 1, for a <= b and width = b - a."""
    turned = a + b > 0.0
    a, b = np.where(turned, -b, a), np.where(turned, -a, b)
    at_b, fall = inverse_mills(b), np.exp(0.5 * width * (b + a))  # phi(a) / phi(b)
    share = fall * at_b / inverse_mills(a)  # Phi(a) / Phi(b)
    narrow = width * np.maximum(1.0, -a) < _NARROW
    rest = np.where(narrow, 1.0, 1.0 - share)
    at_b = at_b / rest
    at_a = at_b * fall
    value, m1, m2_less_1 = log_ndtr(b) + np.log(rest), at_a - at_b, a * at_a - b * at_b
    if narrow.any():
        for whole, part in zip(
            (value, m1, m2_less_1),
            _by_quadrature(0.5 * (a + b)[narrow], width[narrow]),
            strict=True,
        ):
            whole[narrow] = part
    return value, np.where(turned, -m1, m1), m2_less_1


def _by_quadrature(middle: Array, width: Array) -> tuple[Array, Array, Array]:
    """The same for narrow intervals, with phi taken relative to that of their middles."""
    c, half = middle[:, None], 0.5 * width[:, None]
    t = half * _NODES
    weight = _WEIGHTS * np.exp(-t * (c + 0.5 * t))
    total = weight.sum(axis=1)
    m1 = (weight * (c + t)).sum(axis=1) / total
    m2 = (weight * (c + t) ** 2).sum(axis=1) / total
    value = np.log(half[:, 0] * total) - 0.5 * middle * middle - _LOG_SQRT_2PI
    return value, m1, m2 - 1.0


class ProbabilityOfFeasibility(AcquisitionFunction):  # type: ignore[misc]
    """Probability that independent outcome constraints are all met at a candidate.

    Parameters
    ----------
    constraints
        At least one.
    log
        Return the logarithm, which has the same maximiser and a usable gradient everywhere.

    Raises
    ------
    ValueError
        If there is no constraint.
    """

    def __init__(self, constraints: Sequence[Bounded], log: bool = True) -> None:
        if not constraints:
            raise ValueError("A probability of feasibility needs at least one constraint.")
        super().__init__(constraints[0].model)
        self.constraints, self.log = tuple(constraints), log
        self._outcomes = [GivenSamples(each.model, torch.empty(0, 0)) for each in constraints]

    def log_probability(self, X: Shaped[Tensor, "*b d"]) -> Shaped[Tensor, "*b"]:
        """Its logarithm, differentiable: a factor of other acquisitions."""
        value = X.new_zeros(X.shape[:-1])
        for each, outcome in zip(self.constraints, self._outcomes, strict=True):
            means, variance = outcome.moments(X.unsqueeze(-2))
            of = partial(log_probability_and_partials, low=each.low, high=each.high)
            value = value + with_partials(of, means[..., 0], variance)
        return value

    def log_probability_and_gradient(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Shaped[Tensor, " b"], Shaped[Tensor, "b d"]]:
        """The logarithm and its gradient, in closed form where the models have one."""
        value, gradient = X.new_zeros(len(X)), torch.zeros_like(X)
        for each, outcome in zip(self.constraints, self._outcomes, strict=True):
            means, variance, pull_back = outcome.moments_with_pull_back(X)
            log_p, by_mean, by_variance = log_probability_and_partials(
                means[:, 0], variance, each.low, each.high
            )
            value += log_p
            gradient += pull_back(by_mean.unsqueeze(-1), by_variance)
        return value, gradient

    def value_and_gradient(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Shaped[Tensor, " b"], Shaped[Tensor, "b d"]]:
        """Value and gradient at every candidate."""
        value, gradient = self.log_probability_and_gradient(X)
        return (value, gradient) if self.log else (value.exp(), gradient * value.exp()[:, None])

    def forward(self, X: Shaped[Tensor, "*b q d"]) -> Shaped[Tensor, "*b"]:
        """Value of every candidate.

        Raises
        ------
        ValueError
            If more than one point is asked jointly.
        """
        check_one_candidate(X)
        value = self.log_probability(X.squeeze(-2))
        return value if self.log else value.exp()
