"""Joint entropy search: what the next observation is expected to tell of the optimum and its value.

Notation
--------
x, f        a candidate, its value with posterior mean mu and variance v
y           its observation, with noise of variance lambda
x*_s, f*_s  maximisers and maxima of S sampled functions
c_s, v*_s   Sigma(x, x*_s), Sigma(x*_s, x*_s)
mu_s, v_s   mean and variance of f given f(x*_s) = f*_s
tau^2       (1/10)^2 v*_s, the variance that is left of f(x*_s)

    JES = H(y) - 1/S sum_s H(y | f(x*_s) = f*_s, f <= f*_s)            Hvarfner et al. (2022)
        = 1/S sum_s (log((v + lambda) / (v_s + lambda)) / 2 + what y loses when f*_s - f >= 0)
    mu_s = mu + c_s (f*_s - mu*_s) / (v*_s + tau^2),     v_s = v - c_s^2 / (v*_s + tau^2)

The second loss is in closed form (see `truncated_entropy`). Without noise and with tau = 0 a
candidate at one of the samples x*_s would tell all of one sample and be worth more than anything
else; tau stands for the other optima that lie around it.
"""

import numpy as np
import torch
from botorch.acquisition import AcquisitionFunction
from botorch.models.model import Model
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.acquisition.information import (
    LEAST_INFORMATION,
    averaged_over_pending,
    resolved_noise,
)
from bayesopt.acquisition.observed import FunctionOfMoments, Observed
from bayesopt.acquisition.optimal_samples import OptimalSamples, optimal_samples
from bayesopt.acquisition.pending import same_noise
from bayesopt.acquisition.truncated_entropy import log_entropy_lost
from bayesopt.data import Dataset
from bayesopt.region import Region

_N_SAMPLES = 32
_SHARE_LEFT = 1e-2  # tau^2 / v*
_ROUNDING = 1e-9  # share of a variance that cancellation may leave wrong


class JointEntropySearch(FunctionOfMoments):
    """Information of the next observation on the optimum and its value, one candidate at a time.

    Parameters
    ----------
    model
        A botorch Model with one output, to be maximised.
    samples
        Of maximisers and maxima.
    noise
        Variance of the noise of the next observation.
    log
        Return the logarithm, which has the same maximiser.
    share_left
        Variance that is left of f(x*_s), as a share of what it is now.
    """

    def __init__(
        self,
        model: Model,
        samples: OptimalSamples,
        noise: float,
        *,
        log: bool = True,
        share_left: float = _SHARE_LEFT,
    ) -> None:
        super().__init__(model)
        self.samples, self.noise, self.log = samples, noise, log
        self.observed = Observed(model, samples.X)
        with torch.no_grad():
            posterior = model.posterior(samples.X.unsqueeze(-2))
            mean, variance = posterior.mean[:, 0, 0], posterior.variance[:, 0, 0]
        self.inverse = 1.0 / (variance * (1.0 + share_left)).numpy()
        self.slope = (samples.f - mean).numpy() * self.inverse

    def _log_value_and_partials(
        self, mean: Tensor, variance: Tensor, covariance: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The logarithm (b,), and its derivatives in the moments (b,), (b,), (b, S)."""
        v, c, noise = variance.numpy()[:, None], covariance.numpy(), self.noise
        v_s = np.maximum(v - c * c * self.inverse, _ROUNDING * v)
        sd, noisy, left = np.sqrt(v_s), v + noise, v_s + noise
        gamma = (self.samples.f.numpy() - mean.numpy()[:, None] - c * self.slope) / sd
        log_lost, by_gamma, by_q = log_entropy_lost(gamma, v_s / left)
        lost = np.exp(log_lost)
        told = (0.5 * np.log(noisy / left) + lost).mean(1)
        value = np.maximum(told, LEAST_INFORMATION)
        scale = (told > LEAST_INFORMATION) / (len(self.samples.f) * value)
        by_gamma = lost * by_gamma
        by_v_s = lost * by_q * noise / left**2 - 0.5 * by_gamma * gamma / v_s - 0.5 / left
        by_c = -2.0 * c * self.inverse * by_v_s - by_gamma * self.slope / sd
        partials = (
            np.log(value),
            -(by_gamma / sd).sum(1) * scale,
            (by_v_s + 0.5 / noisy).sum(1) * scale,
            by_c * scale[:, None],
        )
        return tuple(torch.from_numpy(part) for part in partials)  # type: ignore[return-value]


def build(
    model: Model,
    data: Dataset,
    X_pending: Shaped[Tensor, "m d"] | None = None,
    *,
    region: Region | None = None,
) -> AcquisitionFunction:
    """Log joint entropy search on a fitted model.

    The parameters are those of `bayesopt.acquisition.max_value_entropy_search.build`.
    """

    def of_model(model: Model, region: Region) -> JointEntropySearch:
        noise = same_noise(model, data, "acquisition='jes'")
        samples = optimal_samples(model, data, region, _N_SAMPLES)
        return JointEntropySearch(model, samples, resolved_noise(samples, noise))

    return averaged_over_pending(model, data, X_pending, region, of_model)
