"""An acquisition times probabilities, all as logarithms: of a success, of a constraint that is met.

Notation
--------
q, d        points of one candidate, columns
v           logarithm of an acquisition
P_c         probability of factor c at one point
rho, L      least probability that is worth a try, slope of the barrier below it

    value    = v(x_1 .. x_q) + sum_c sum_i log P_c(x_i)             Gardner et al. (2014), q = 1
    cautious = log P + L min(0, log P - log rho)
    mean     = log 1/J sum_j P_j, over J draws of hyperparameters

The product is the expected improvement of one more evaluation, when improvement and success are
independent. A search that has nearly converged expects next to nothing of any sure point, and the
product is largest deep in a region where evaluations fail: P = 1e-3 there, but an improvement that
is 1e6 times as large. Below rho the barrier grows faster than any improvement.
"""

import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from botorch.acquisition import AcquisitionFunction
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.optimize import value_and_gradient

_STEEP = 100.0


@runtime_checkable  # the tests check types as they run
class LogProbability(Protocol):
    """A probability at every point of the unit cube, as its logarithm."""

    def log_probability(self, X: Shaped[Tensor, "*b d"]) -> Shaped[Tensor, "*b"]:
        """Its logarithm, differentiable."""

    def log_probability_and_gradient(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Shaped[Tensor, " b"], Shaped[Tensor, "b d"]]:
        """The logarithm and its gradient."""


class Cautious:
    """A probability as it is where it is large, with a barrier below.

    Parameters
    ----------
    factor
        The probability.
    least
        rho, above 0 and up to 1.

    Raises
    ------
    ValueError
        If `least` is no such number.
    """

    def __init__(self, factor: LogProbability, least: float) -> None:
        if not 0.0 < least <= 1.0:
            raise ValueError(f"`least` must be a probability above 0, but got {least!r}.")
        self.factor, self.log_least = factor, math.log(least)

    def log_probability(self, X: Shaped[Tensor, "*b d"]) -> Shaped[Tensor, "*b"]:
        """Logarithm with the barrier, differentiable."""
        value = self.factor.log_probability(X)
        return value + _STEEP * (value - self.log_least).clamp_max(0.0)

    def log_probability_and_gradient(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Shaped[Tensor, " b"], Shaped[Tensor, "b d"]]:
        """The same and its gradient, in closed form."""
        value, gradient = self.factor.log_probability_and_gradient(X)
        short = value - self.log_least
        slope = torch.where(short < 0.0, 1.0 + _STEEP, 1.0)
        return value + _STEEP * short.clamp_max(0.0), gradient * slope.unsqueeze(-1)


class MeanProbability:
    """The mean of one probability under several models of the same.

    Parameters
    ----------
    factors
        The probability under each model, at least one.

    Raises
    ------
    ValueError
        If there is none.
    """

    def __init__(self, factors: Sequence[LogProbability]) -> None:
        if not factors:
            raise ValueError("A mean needs at least one probability, but got none.")
        self.factors = tuple(factors)

    def log_probability(self, X: Shaped[Tensor, "*b d"]) -> Shaped[Tensor, "*b"]:
        """Logarithm of the mean, differentiable."""
        values = torch.stack([factor.log_probability(X) for factor in self.factors])
        return torch.logsumexp(values, dim=0) - math.log(len(values))

    def log_probability_and_gradient(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Shaped[Tensor, " b"], Shaped[Tensor, "b d"]]:
        """The same and its gradient, in closed form where the factors have one."""
        pairs = [factor.log_probability_and_gradient(X) for factor in self.factors]
        values = torch.stack([value for value, _ in pairs])
        share = torch.softmax(values, dim=0).unsqueeze(-1)
        gradient = (share * torch.stack([slope for _, slope in pairs])).sum(0)
        return torch.logsumexp(values, dim=0) - math.log(len(values)), gradient


class WithProbability(AcquisitionFunction):  # type: ignore[misc]
    """Log acquisition plus log probabilities.

    Parameters
    ----------
    acquisition
        Its value is a logarithm; any number of points q that it takes.
    factors
        Probabilities of one point each; those of q points are multiplied.
    """

    def __init__(self, acquisition: AcquisitionFunction, factors: Sequence[LogProbability]) -> None:
        super().__init__(acquisition.model)
        self.acquisition, self.factors = acquisition, tuple(factors)

    def value_and_gradient(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Shaped[Tensor, " b"], Shaped[Tensor, "b d"]]:
        """Value and gradient at every candidate, q = 1, in closed form where the parts have one."""
        value, gradient = value_and_gradient(self.acquisition, X)
        for factor in self.factors:
            log_p, slope = factor.log_probability_and_gradient(X)
            value, gradient = value + log_p, gradient + slope
        return value, gradient

    def forward(self, X: Shaped[Tensor, "*b q d"]) -> Shaped[Tensor, "*b"]:
        """Value of every candidate."""
        value: Tensor = self.acquisition(X)
        for factor in self.factors:
            value = value + factor.log_probability(X).sum(-1)
        return value


class Certain(AcquisitionFunction):  # type: ignore[misc]
    """log 1 everywhere: what is left where nothing but probabilities counts.

    Parameters
    ----------
    model
        A botorch Model, which is not asked.
    """

    def forward(self, X: Shaped[Tensor, "*b q d"]) -> Shaped[Tensor, "*b"]:
        """Zero."""
        return 0.0 * X.sum((-1, -2))
