"""Predictive entropy search: what the next observation is expected to tell of where the optimum is.

Notation
--------
x, f        a candidate, its value with posterior mean mu and variance v
y           its observation, with noise of variance lambda
x*_s, p_s   distinct maximisers of sampled functions, their shares
A           (r, d) all of them, and the best points so far
c           (r,) = Sigma(A, x)
Q_s, k_s    (r, r) and (r,), from the sites of "f(x*_s) >= f(a) for every a of A"
mu_s, v_s   mean and variance of f with these sites, e_s its covariance with f(x*_s)
d           f(x*_s) - f(x),    delta, w its mean and variance with the sites

    PES  = H(y) - sum_s p_s H(y | f(x*_s) >= f(a), f(x*_s) >= f(x))
    mu_s = mu + c' k_s,    v_s = v - c' Q_s c,    e_s = c' (I - Q_s Sigma(A, A))_s
                                    Hernandez-Lobato, Hoffman & Ghahramani (2014), Section 2

The constraints at A are a normal law by expectation propagation, made once; that at x is exact, by
what y loses when d >= 0 (see `truncated_entropy`): nothing is iterated while x moves. The
conditions of that paper on slope and curvature at x*_s are left out; A holds its rivals instead.
"""

import numpy as np
import torch
from botorch.acquisition import AcquisitionFunction
from botorch.models.model import Model
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.acquisition.expectation_propagation import largest_of_all
from bayesopt.acquisition.information import (
    LEAST_INFORMATION,
    averaged_over_pending,
    resolved_noise,
)
from bayesopt.acquisition.observed import FunctionOfMoments, Observed
from bayesopt.acquisition.optimal_samples import good_points, optimal_samples
from bayesopt.acquisition.pending import same_noise
from bayesopt.acquisition.truncated_entropy import log_entropy_lost
from bayesopt.data import Dataset
from bayesopt.region import Region

_N_SAMPLES = 32
_ROUNDING = 1e-9  # share of a variance that cancellation may leave wrong
_LEAST_SHARE = 1e-12


class PredictiveEntropySearch(FunctionOfMoments):
    """Information of the next observation on where the optimum is, one candidate at a time.

    Parameters
    ----------
    model
        A botorch Model with one output, to be maximised.
    A
        (r, d) points; the first ones may be the optimum.
    shares
        (S,) probabilities of the first S points.
    noise
        Variance of the noise of the next observation.
    log
        Return the logarithm, which has the same maximiser.
    """

    def __init__(
        self,
        model: Model,
        A: Shaped[Tensor, "r d"],
        shares: Shaped[Tensor, " S"],
        noise: float,
        *,
        log: bool = True,
    ) -> None:
        super().__init__(model)
        self.noise, self.log, self.shares = noise, log, shares.numpy()
        self.observed = Observed(model, A)
        with torch.no_grad():
            posterior = model.posterior(A)
            mean = posterior.mean[:, 0].numpy()
            covariance = posterior.distribution.covariance_matrix.numpy()
        which = np.arange(len(shares))
        sites = largest_of_all(mean, covariance, which)
        shrink = np.linalg.inv(np.eye(len(A)) + sites.precision @ covariance)
        self.Q = shrink @ sites.precision
        self.Q = 0.5 * (self.Q + self.Q.transpose(0, 2, 1))
        missed = sites.linear - sites.precision @ mean
        self.k = (shrink @ missed[:, :, None])[:, :, 0]
        self.g = np.eye(len(A))[which] - (self.Q @ covariance)[which, :, which]
        self.best = sites.mean[which, which]
        least = _ROUNDING * float(covariance.diagonal().max())
        self.best_variance = np.maximum(sites.covariance[which, which, which], 0.0) + least

    def _log_value_and_partials(
        self, mean: Tensor, variance: Tensor, covariance: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The logarithm (b,), and its derivatives in the moments (b,), (b,), (b, r)."""
        mu, v, c, noise = mean.numpy(), variance.numpy(), covariance.numpy(), self.noise
        Qc = (c @ self.Q).transpose(1, 0, 2)
        v_s = np.maximum(v[:, None] - (Qc * c[:, None, :]).sum(2), _ROUNDING * v[:, None])
        e_s, left = c @ self.g.T, v_s + noise
        w = np.maximum(self.best_variance + v_s - 2.0 * e_s, _ROUNDING * self.best_variance)
        gamma = (self.best - mu[:, None] - c @ self.k.T) / np.sqrt(w)
        with_d = e_s - v_s
        q = np.clip(with_d**2 / (left * w), _LEAST_SHARE, 1.0)
        log_lost, by_gamma, by_q = log_entropy_lost(gamma, q)
        lost = np.exp(log_lost)
        at_sites = 0.5 * np.log((v + noise)[:, None] / left)
        told = (at_sites + lost) @ self.shares
        value = np.maximum(told, LEAST_INFORMATION)
        of_term = (told > LEAST_INFORMATION)[:, None] * self.shares / value[:, None]
        by_gamma, by_q = lost * by_gamma * of_term, lost * by_q * of_term
        by_mean = -by_gamma / np.sqrt(w)
        by_w = -(0.5 * by_gamma * gamma + by_q * q) / w
        by_with_d = 2.0 * by_q * with_d / (left * w)
        by_v_s = by_w - by_with_d - (0.5 * of_term + by_q * q) / left
        by_e_s = by_with_d - 2.0 * by_w
        by_c = by_mean @ self.k + by_e_s @ self.g - 2.0 * (by_v_s[:, :, None] * Qc).sum(1)
        by_v = by_v_s.sum(1) + 0.5 * of_term.sum(1) / (v + noise)
        partials = (np.log(value), by_mean.sum(1), by_v, by_c)
        return tuple(torch.from_numpy(part) for part in partials)  # type: ignore[return-value]


def build(
    model: Model,
    data: Dataset,
    X_pending: Shaped[Tensor, "m d"] | None = None,
    *,
    region: Region | None = None,
) -> AcquisitionFunction:
    """Log predictive entropy search on a fitted model.

    The parameters are those of `bayesopt.acquisition.max_value_entropy_search.build`.
    """

    def of_model(model: Model, region: Region) -> PredictiveEntropySearch:
        noise = same_noise(model, data, "acquisition='pes'")
        samples = optimal_samples(model, data, region, _N_SAMPLES)
        X, shares = samples.distinct()
        rivals = good_points(model, data, region)
        apart = torch.cdist(rivals, X).amin(1) > 0.0
        return PredictiveEntropySearch(
            model,
            torch.cat((X, rivals[apart])),
            shares,
            resolved_noise(samples, noise),
        )

    return averaged_over_pending(model, data, X_pending, region, of_model)
