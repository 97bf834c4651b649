"""The posterior mean of points that are feasible and succeed likely enough.

Notation
--------
mu(x)   posterior mean
p_i(x)  probabilities, such as that all outcome constraints are met, or that anything is given
rho_i   least ones that are accepted
W       penalty

    maximise mu(x) subject to p_i(x) >= rho_i                      Gelbart, Snoek & Adams (2014)

by the exact penalty mu(x) + W sum_i min(0, log p_i(x) - log rho_i): both terms have a usable
gradient far from where the limits are kept.
"""

import math
from collections.abc import Sequence

from botorch.acquisition import AcquisitionFunction
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.acquisition.posterior_mean import PosteriorMeanWithGradient
from bayesopt.acquisition.with_probability import LogProbability

_PENALTY = 10.0  # scores for a factor e of probability


class FeasibleMean(AcquisitionFunction):  # type: ignore[misc]
    """Posterior mean, less a penalty where a probability is too small.

    Parameters
    ----------
    mean
        The posterior mean.
    limits
        Probabilities, and the least of each that is accepted, above 0 and up to 1.
    """

    def __init__(
        self, mean: PosteriorMeanWithGradient, limits: Sequence[tuple[LogProbability, float]]
    ) -> None:
        super().__init__(mean.model)
        self.mean = mean
        self.limits = [(factor, math.log(least)) for factor, least in limits]

    def value_and_gradient(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Shaped[Tensor, " b"], Shaped[Tensor, "b d"]]:
        """Value and gradient at every candidate."""
        value, gradient = self.mean.value_and_gradient(X)
        for factor, least in self.limits:
            log_p, slope = factor.log_probability_and_gradient(X)
            outside = (log_p < least).to(X.dtype) * _PENALTY
            value = value + outside * (log_p - least)
            gradient = gradient + outside.unsqueeze(-1) * slope
        return value, gradient

    def forward(self, X: Shaped[Tensor, "*b 1 d"]) -> Shaped[Tensor, "*b"]:
        """Value at every candidate."""
        value: Tensor = self.mean(X)
        for factor, least in self.limits:
            missing = factor.log_probability(X.squeeze(-2)) - least
            value = value + _PENALTY * missing.clamp_max(0.0)
        return value
