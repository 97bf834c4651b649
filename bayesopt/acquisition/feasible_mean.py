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
from collections.abc import Sequence

import torch
from botorch.acquisition import AcquisitionFunction
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.acquisition.posterior_mean import PosteriorMeanWithGradient
from bayesopt.acquisition.with_probability import LogProbability

_PENALTY = 10.0  # scores for a factor e of probability


class FeasibleMean(AcquisitionFunction):  # type: ignore[misc]
    """Posterior mean, less a penalty where the constraints are met too rarely.

    Parameters
    ----------
    mean
        The posterior mean.
    factors
        Probabilities whose product is p.
    risk
        delta, between 0 and 1.
    """

    def __init__(
        self,
        mean: PosteriorMeanWithGradient,
        factors: Sequence[LogProbability],
        risk: float,
    ) -> None:
        super().__init__(mean.model)
        self.mean, self.factors = mean, tuple(factors)
        self.least = math.log1p(-risk)

    def value_and_gradient(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Shaped[Tensor, " b"], Shaped[Tensor, "b d"]]:
        """Value and gradient at every candidate."""
        mean, slope = self.mean.value_and_gradient(X)
        pairs = [factor.log_probability_and_gradient(X) for factor in self.factors]
        missing = torch.stack([log_p for log_p, _ in pairs]).sum(0) - self.least
        log_p_slope = torch.stack([gradient for _, gradient in pairs]).sum(0)
        outside = (missing < 0.0).to(X.dtype) * _PENALTY
        return mean + outside * missing, slope + outside.unsqueeze(-1) * log_p_slope

    def forward(self, X: Shaped[Tensor, "*b 1 d"]) -> Shaped[Tensor, "*b"]:
        """Value at every candidate."""
        log_p = [factor.log_probability(X.squeeze(-2)) for factor in self.factors]
        missing = torch.stack(log_p).sum(0) - self.least
        value: Tensor = self.mean(X) + _PENALTY * missing.clamp_max(0.0)
        return value
