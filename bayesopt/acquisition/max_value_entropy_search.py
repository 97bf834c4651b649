"""Max-value entropy search: what the next observation is expected to tell of the maximum.

Notation
--------
x, f        a candidate, its value with posterior mean mu and variance v
y           its observation, with noise of variance lambda
f*_s        maxima of S sampled functions
gamma_s     (f*_s - mu) / sqrt(v)
q           v / (v + lambda)

    MES = H(y) - 1/S sum_s H(y | f <= f*_s)                      Wang & Jegelka (2017), Section 3

Each term is the entropy that y loses when f*_s - f is positive: `truncated_entropy` has it in
closed form, with noise too. Far from the optimum it underflows, its logarithm does not.
"""

import numpy as np
import torch
from botorch.acquisition import AcquisitionFunction
from botorch.models.model import Model
from jaxtyping import Float as Shaped
from scipy.special import logsumexp
from torch import Tensor

from bayesopt.acquisition.information import averaged_over_pending, resolved_noise
from bayesopt.acquisition.observed import FunctionOfMoments, Observed
from bayesopt.acquisition.optimal_samples import optimal_samples
from bayesopt.acquisition.pending import same_noise
from bayesopt.acquisition.truncated_entropy import log_entropy_lost
from bayesopt.data import Dataset
from bayesopt.region import Region

_N_SAMPLES = 32


class MaxValueEntropySearch(FunctionOfMoments):
    """Information of the next observation on the maximum, one candidate at a time.

    Parameters
    ----------
    model
        A botorch Model with one output, to be maximised.
    maxima
        (S,) samples of the maximum.
    noise
        Variance of the noise of the next observation.
    log
        Return the logarithm, which has the same maximiser and a usable gradient everywhere.
    """

    def __init__(
        self, model: Model, maxima: Shaped[Tensor, " S"], noise: float, *, log: bool = True
    ) -> None:
        super().__init__(model)
        self.maxima, self.noise, self.log = maxima, noise, log
        self.observed = Observed(model, model.train_inputs[0][:0])

    def _log_value_and_partials(
        self, mean: Tensor, variance: Tensor, covariance: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The logarithm (b,), and its derivatives in the moments (b,), (b,), (b, 0)."""
        v = variance.numpy()[:, None]
        sd, noisy = np.sqrt(v), v + self.noise
        gamma = (self.maxima.numpy() - mean.numpy()[:, None]) / sd
        term, by_gamma, by_q = log_entropy_lost(gamma, np.broadcast_to(v / noisy, gamma.shape))
        value = logsumexp(term, axis=1)
        share = np.exp(term - value[:, None])
        by_mean = -(share * by_gamma / sd).sum(1)
        by_variance = share * (by_q * self.noise / noisy**2 - 0.5 * by_gamma * gamma / v)
        partials = (value - np.log(len(self.maxima)), by_mean, by_variance.sum(1))
        return *(torch.from_numpy(part) for part in partials), torch.zeros_like(covariance)  # type: ignore[return-value]


def build(
    model: Model,
    data: Dataset,
    X_pending: Shaped[Tensor, "m d"] | None = None,
    *,
    region: Region | None = None,
) -> AcquisitionFunction:
    """Log max-value entropy search on a fitted model.

    Parameters
    ----------
    model
        Fitted to `data`.
    data
        Its best points are where the search for maxima of the sampled functions looks first.
    X_pending
        Points that are being evaluated: what they return is averaged over.
    region
        Where the maximum may lie: the space and its constraints. None: anywhere in the unit cube,
        with the categories of `data`.
    """

    def of_model(model: Model, region: Region) -> MaxValueEntropySearch:
        noise = same_noise(model, data, "acquisition='mes'")
        samples = optimal_samples(model, data, region, _N_SAMPLES)
        return MaxValueEntropySearch(model, samples.f, resolved_noise(samples, noise))

    return averaged_over_pending(model, data, X_pending, region, of_model)
