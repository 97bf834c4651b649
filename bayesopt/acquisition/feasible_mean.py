"""The posterior mean of points that meet the outcome constraints likely enough.

Notation
--------
mu(x)   posterior mean
p(x)    probability that all outcome constraints are met, and that the evaluation gives anything
delta   accepted risk

    maximise mu(x) subject to p(x) >= 1 - delta        Gelbart, Snoek & Adams (2014), Section 2

by the exact penalty mu(x) + W min(0, log p(x) - log(1 - delta)): both terms have a usable gradient
far from where the constraints are met.
"""

import math

import torch
from botorch.acquisition import AcquisitionFunction
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.acquisition.posterior_mean import PosteriorMeanWithGradient
from bayesopt.optimize import value_and_gradient

_PENALTY = 10.0  # scores for a factor e of probability


class FeasibleMean(AcquisitionFunction):  # type: ignore[misc]
    """Posterior mean, less a penalty where the constraints are met too rarely.

    Parameters
    ----------
    mean
        The posterior mean.
    log_probability
        An acquisition: the logarithm of p.
    risk
        delta, between 0 and 1.
    """

    def __init__(
        self,
        mean: PosteriorMeanWithGradient,
        log_probability: AcquisitionFunction,
        risk: float,
    ) -> None:
        super().__init__(mean.model)
        self.mean, self.log_probability = mean, log_probability
        self.least = math.log1p(-risk)

    def value_and_gradient(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Shaped[Tensor, " b"], Shaped[Tensor, "b d"]]:
        """Value and gradient at every candidate."""
        mean, slope = self.mean.value_and_gradient(X)
        log_p, log_p_slope = value_and_gradient(self.log_probability, X)
        missing = log_p - self.least
        outside = (missing < 0.0).to(X.dtype) * _PENALTY
        return mean + outside * missing, slope + outside.unsqueeze(-1) * log_p_slope

    def forward(self, X: Shaped[Tensor, "*b 1 d"]) -> Shaped[Tensor, "*b"]:
        """Value at every candidate."""
        missing = self.log_probability(X) - self.least
        value: Tensor = self.mean(X) + _PENALTY * missing.clamp_max(0.0)
        return value

    def holds(self, X: Shaped[Tensor, "n d"]) -> Tensor:
        """At which points (n,) the constraints are met likely enough."""
        with torch.no_grad():
            likely: Tensor = self.log_probability(X.unsqueeze(-2)) >= self.least
        return likely
