"""Entropy search: how much better the optimum will be located after the next observation.

Notation
--------
A           (m, d) points among which the best one is looked for
f_s         (m,) one of N samples of f(A) = mu(A) + L u_s, with Sigma(A, A) = L L'
x, v        a candidate, posterior variance of f(x)
lambda      variance of the noise of the next observation
z           the next observation, standardised: a standard normal variable
beta        (m,) = Sigma(A, x) / sqrt(v + lambda),    h = L^-1 beta
z_s         = h' u_s + sqrt(1 - |h|^2) eps_s, what would be observed beside f_s
p(z)        (m,) probabilities that each point of A is the best one, given z
T           temperature
w_k, z_k    weights and nodes of Gauss-Hermite quadrature

    ES     = H(p) - E[H(p(z))]                          Hennig & Schuler (2012); Frazier (2018), 4.3
    f | z  ~ f_s + beta (z - z_s)                       Matheron's rule: samples move along lines
    p(z)   = 1/N sum_s softmax((f_s + beta (z - z_s)) / T)
    ES     = H(sum_k w_k p(z_k)) - sum_k w_k H(p(z_k))

All samples serve every z, and all of u_s and eps_s are drawn once: this is a smooth function of the
candidate. It is never negative, since the entropy is concave. A softmax at a low temperature stands
for the best point, so that a small change of the lines tells something too.
"""

import numpy as np
import torch
from botorch.acquisition import AcquisitionFunction
from botorch.models.model import Model
from botorch.utils.sampling import draw_sobol_normal_samples
from jaxtyping import Float as Shaped
from scipy.linalg import solve_triangular
from torch import Tensor

from bayesopt.acquisition.information import (
    LEAST_INFORMATION,
    averaged_over_pending,
    resolved_noise,
)
from bayesopt.acquisition.normal_quadrature import gauss_hermite
from bayesopt.acquisition.observed import FunctionOfMoments, Observed, check_one_candidate
from bayesopt.acquisition.optimal_samples import optimal_samples, sampled_at
from bayesopt.acquisition.pending import same_noise
from bayesopt.data import Dataset
from bayesopt.parameter import Array
from bayesopt.region import Region

_N_OPTIMA = 64
_LARGEST_SET = 48
_N_SAMPLES = 64
_N_NODES = 7
_TEMPERATURE = 0.05  # relative to the mean standard deviation of a sample over A
_CHUNK = 64
_LEAST_RESIDUAL = 1e-6
_SMALLEST = 1e-300


class EntropySearch(FunctionOfMoments):
    """Information of the next observation on which of some points is the best one.

    Parameters
    ----------
    model
        A botorch Model with one output, to be maximised.
    A
        (m, d) points, at least two.
    noise
        Variance of the noise of the next observation.
    log
        Return the logarithm, which has the same maximiser.
    n_samples, n_nodes
        N, and the number of nodes.
    temperature
        T, in units of the mean standard deviation of a sample over A.
    """

    def __init__(
        self,
        model: Model,
        A: Shaped[Tensor, "m d"],
        noise: float,
        *,
        log: bool = True,
        n_samples: int = _N_SAMPLES,
        n_nodes: int = _N_NODES,
        temperature: float = _TEMPERATURE,
    ) -> None:
        super().__init__(model)
        self.A, self.noise, self.log = A, noise, log
        self.observed = Observed(model, A)
        mean, L = sampled_at(model, A)
        normal = draw_sobol_normal_samples(len(A) + 1, n_samples, dtype=A.dtype, seed=0).numpy()
        self.u, self.eps, self.L = normal[:, :-1], normal[:, -1], L.numpy()
        f = mean.numpy() + self.u @ self.L.T
        self.T = temperature * float(f.std(axis=1).mean()) + _SMALLEST
        self.f = (f - f.max(axis=1, keepdims=True)) / self.T  # a constant changes no softmax
        self.z, self.w = gauss_hermite(n_nodes)

    def forward(self, X: Shaped[Tensor, "*b q d"]) -> Shaped[Tensor, "*b"]:
        """Value of every candidate.

        Raises
        ------
        ValueError
            If more than one point is asked jointly.
        """
        check_one_candidate(X)
        if torch.is_grad_enabled():
            return self.observed.value(self._log_value_and_partials, X, self.log)
        _, variance, covariance = self.observed.moments(X)
        flat = covariance.reshape(-1, len(self.A)).numpy()
        beta = flat / np.sqrt(variance.reshape(-1, 1).numpy() + self.noise)
        parts = [self._sampled(beta[i : i + _CHUNK])[0] for i in range(0, len(beta), _CHUNK)]
        value = torch.from_numpy(np.maximum(np.concatenate(parts), LEAST_INFORMATION)).reshape(
            variance.shape
        )
        return value.log() if self.log else value

    def _log_value_and_partials(
        self, mean: Tensor, variance: Tensor, covariance: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The logarithm (b,), and its derivatives in the moments (b,), (b,), (b, m)."""
        noisy = variance.numpy() + self.noise
        beta = covariance.numpy() / np.sqrt(noisy)[:, None]
        chunks = [self._value_and_slope(beta[i : i + _CHUNK]) for i in range(0, len(beta), _CHUNK)]
        value = np.concatenate([value for value, _ in chunks])
        slope = np.concatenate([slope for _, slope in chunks])
        told = value > LEAST_INFORMATION
        value = np.where(told, value, LEAST_INFORMATION)
        slope = np.where(told[:, None], slope / value[:, None], 0.0)
        partials = (
            np.log(value),
            np.zeros_like(value),
            -0.5 * (slope * beta).sum(1) / noisy,
            slope / np.sqrt(noisy)[:, None],
        )
        return tuple(torch.from_numpy(part) for part in partials)  # type: ignore[return-value]

    def _sampled(self, beta: Array) -> tuple[Array, Array, Array, Array, list[Array], list[Array]]:
        """ES (b,); h, the root beside it, z_s; softmax and slope of ES in its mean, by node."""
        h = solve_triangular(self.L, beta.T, lower=True).T
        # Rounding may make the candidate more than known, given f(A).
        h = h / np.maximum(1.0, np.linalg.norm(h, axis=1, keepdims=True))
        root = np.sqrt(np.maximum(1.0 - (h * h).sum(1), _LEAST_RESIDUAL))
        z_s = h @ self.u.T + root[:, None] * self.eps
        shares = [
            _softmax(self.f + (beta / self.T)[:, None, :] * (z - z_s)[:, :, None]) for z in self.z
        ]
        p = [share.mean(1) for share in shares]
        together = _log(np.tensordot(self.w, p, axes=1))
        ratios = [w * (_log(q) - together) for w, q in zip(self.w, p, strict=True)]
        value = np.sum([(q * ratio).sum(1) for q, ratio in zip(p, ratios, strict=True)], axis=0)
        return value, h, root, z_s, shares, ratios

    def _value_and_slope(self, beta: Array) -> tuple[Array, Array]:
        """ES (b,) and its derivatives (b, m) in beta (b, m)."""
        value, h, root, z_s, shares, ratios = self._sampled(beta)
        slope, by_z_s, at_T = np.zeros_like(beta), np.zeros_like(z_s), beta / self.T
        for z, ratio, share in zip(self.z, ratios, shares, strict=True):
            by_p = ratio / len(self.f)
            by_line = share * (by_p[:, None, :] - (share @ by_p[:, :, None]))
            slope += np.einsum("bsm,bs->bm", by_line, z - z_s) / self.T
            by_z_s -= (by_line @ at_T[:, :, None])[:, :, 0]
        by_h = by_z_s @ self.u - ((by_z_s @ self.eps) / root)[:, None] * h
        slope += solve_triangular(self.L, by_h.T, lower=True, trans=1).T
        return value, slope


def _softmax(line: Array) -> Array:
    share: Array = np.exp(line - line.max(-1, keepdims=True))
    share /= share.sum(-1, keepdims=True)
    return share


def _log(p: Array) -> Array:
    return np.log(np.maximum(p, _SMALLEST))


def build(
    model: Model,
    data: Dataset,
    X_pending: Shaped[Tensor, "m d"] | None = None,
    *,
    region: Region | None = None,
) -> AcquisitionFunction:
    """Log entropy search on a fitted model, over maximisers of sampled functions.

    The parameters are those of `bayesopt.acquisition.max_value_entropy_search.build`.
    """

    def of_model(model: Model, region: Region) -> EntropySearch:
        noise = same_noise(model, data, "acquisition='es'")
        samples = optimal_samples(model, data, region, _N_OPTIMA)
        A, shares = samples.distinct()
        often = torch.argsort(shares, descending=True, stable=True)[:_LARGEST_SET]
        return EntropySearch(model, A[often], resolved_noise(samples, noise))

    return averaged_over_pending(model, data, X_pending, region, of_model)
