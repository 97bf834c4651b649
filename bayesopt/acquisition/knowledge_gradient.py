"""Knowledge gradient: what the best posterior mean is expected to gain from evaluating a candidate.

Notation
--------
A           (m, d) points that may be reported, the *report set*
x, X_q      a candidate, q candidates that are evaluated together
mu, Sigma   posterior mean and covariance after n evaluations
lambda      variance of the noise of the next observation, at x where it varies
v           Sigma(x, x) + lambda
a, b        (m,) lines of A, or (m + 1,) of A and x (see `expected_max`)

    mu_{n+1}(p) = mu(p) + s(p) Z,    s(p) = Sigma(p, x) / sqrt(v),    Z ~ N(0, 1)
    KG          = E[max over A of mu_{n+1}] - max over A of mu       Frazier (2018), Section 4.2
                = h(a, b),    a = mu(p), b = s(p)         Frazier, Powell & Dayanik (2009), Eq. (14)

On a finite space A is the space and this is exact. On a continuous one A is a sample of the points
where the maximum may come to lie (see `report_set`), which stays as it is while x moves: by the
envelope theorem that is also the gradient of the maximum over the whole space, wherever A holds
its maximisers. The candidate is reportable too, with the line that moves along with it.

For q > 1, Z has q dimensions and s(p) = L^-1 Sigma(X_q, p), L L' = Sigma(X_q, X_q) + lambda I. The
expectation is the mean over a fixed quasi-Monte Carlo sample. Of every sample the line that is
highest now is subtracted, whose mean is known: what is left is never negative.
"""

from collections.abc import Callable

import numpy as np
import torch
from botorch.acquisition import AcquisitionFunction
from botorch.models.model import Model
from botorch.utils.sampling import draw_sobol_normal_samples
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.acquisition.average import Average
from bayesopt.acquisition.default_region import cube_of
from bayesopt.acquisition.expected_max import log_gain_and_partials
from bayesopt.acquisition.observed import FunctionOfMoments, Observed
from bayesopt.acquisition.pending import believe, fantasies, noise_at, noise_of_next
from bayesopt.acquisition.report_set import (
    cholesky_with_noise,
    coefficients,
    extended,
    report_set,
)
from bayesopt.data import Dataset
from bayesopt.region import Region

_N_SAMPLES = 128
_N_FANTASIES = 8
_SMALLEST = 1e-300


class KnowledgeGradient(FunctionOfMoments):
    """Expected gain of the best mean over a finite report set.

    Parameters
    ----------
    model
        A botorch Model with one output, to be maximised.
    A
        (m, d) points that may be reported.
    noise
        Variance of the noise of the next observation, or of each of the q; None: it varies, and the
        model says it (``noise_at``).
    with_candidate
        Whether the candidates may be reported too, as on a continuous space. A report set that is
        the whole of a finite space holds them already.
    log
        Return the logarithm, which has the same maximiser and a usable gradient everywhere.
    n_samples
        Size of the quasi-Monte Carlo sample for q > 1; q = 1 is exact.
    """

    def __init__(
        self,
        model: Model,
        A: Shaped[Tensor, "m d"],
        noise: float | None,
        *,
        with_candidate: bool = True,
        log: bool = True,
        n_samples: int = _N_SAMPLES,
    ) -> None:
        super().__init__(model)
        self.A, self.noise, self.with_candidate = A, noise, with_candidate
        self.log, self.n_samples = log, n_samples
        with torch.no_grad():
            self.mean = model.posterior(A.unsqueeze(-2)).mean[:, 0, 0]
            self.observed = Observed(model, A, with_noise=noise is None)

    def forward(self, X: Shaped[Tensor, "*b q d"]) -> Shaped[Tensor, "*b"]:
        """Value of every candidate, or of every q of them."""
        if X.shape[-2] == 1:
            return self.observed.value(self._log_value_and_partials, X, self.log)
        log_value = self._log_sampled(X)
        return log_value if self.log else log_value.exp()

    def _log_value_and_partials(
        self, mean: Tensor, variance: Tensor, covariance: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """The logarithm (b,), its derivatives in the moments (b,), (b,), (b, m), and in lambda."""
        v = variance.numpy() + (self.noise if noise is None else noise.numpy())
        root = np.sqrt(v)
        a = np.broadcast_to(self.mean.numpy(), covariance.shape)
        b = covariance.numpy() / root[:, None]
        if self.with_candidate:
            a = np.concatenate((a, mean.numpy()[:, None]), axis=1)
            b = np.concatenate((b, (variance.numpy() / root)[:, None]), axis=1)
        value, by_a, by_b = log_gain_and_partials(a, b)
        by_v = by_variance = -0.5 * (by_b * b).sum(axis=1) / v
        by_mean = np.zeros_like(by_variance)
        if self.with_candidate:
            by_mean, by_variance = by_a[:, -1], by_variance + by_b[:, -1] / root
        by_covariance = by_b[:, : len(self.A)] / root[:, None]
        partials = (value, by_mean, by_variance, by_covariance, by_v)
        n = 4 if noise is None else 5
        return tuple(torch.from_numpy(np.ascontiguousarray(x)) for x in partials[:n])

    def _log_sampled(self, X: Tensor) -> Tensor:
        """log mean over samples of the highest line less the one that is highest now."""
        *batch, q, d = X.shape
        mean, _, with_A = self.observed.moments(X.reshape(-1, 1, d))
        a, C = self.mean.expand(*batch, -1), with_A.reshape(*batch, q, -1)
        among = self.model.posterior(X).distribution.covariance_matrix
        if self.with_candidate:
            a = torch.cat((a, mean.reshape(*batch, q)), dim=-1)
            C = torch.cat((C, among), dim=-1)
        L = cholesky_with_noise(among, noise_at(self.model, self.noise, X))
        Z = draw_sobol_normal_samples(q, self.n_samples, dtype=X.dtype, seed=0)
        lines = a.unsqueeze(-2) + Z @ torch.linalg.solve_triangular(L, C, upper=False)
        now = a.argmax(-1)[..., None, None].expand(*batch, self.n_samples, 1)
        gain = (lines.amax(-1) - lines.gather(-1, now).squeeze(-1)).mean(-1)
        log_gain: Tensor = gain.clamp_min(_SMALLEST).log()
        return log_gain


def build(
    model: Model,
    data: Dataset,
    X_pending: Shaped[Tensor, "m d"] | None = None,
    *,
    region: Region | None = None,
) -> AcquisitionFunction:
    """Log knowledge gradient on a fitted model, over a report set that is found first.

    The report set is made once, from a fixed seed: what is returned is a smooth function of the
    candidate, for any search (see `report_set`).

    Parameters
    ----------
    model
        Fitted to `data`.
    data
        Its points are where the search for reportable ones looks first.
    X_pending
        Points that are being evaluated: what they return is averaged over.
    region
        Where a point may be reported: the space and its constraints. None: anywhere in the unit
        cube, with the categories of `data`.
    """
    region = region or cube_of(data)
    noise = noise_of_next(model, data)

    def of_reports(model: Model) -> Callable[[Tensor], KnowledgeGradient]:
        return lambda A: KnowledgeGradient(model, A, noise)

    if X_pending is None or len(X_pending) == 0:
        A = report_set(model, noise, data, region, of_reports(model))
        return KnowledgeGradient(model, A, noise)
    believed = believe(model, data, X_pending)
    A = report_set(believed, noise, data, region, of_reports(believed))
    W = coefficients(model, noise, X_pending, _N_FANTASIES)
    A = extended(model, X_pending, W, region, A)
    models = fantasies(model, data, X_pending, _N_FANTASIES)
    return Average([KnowledgeGradient(m, A, noise) for m in models])
