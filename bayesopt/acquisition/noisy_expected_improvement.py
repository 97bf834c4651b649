"""Decision-theoretic noisy expected improvement, and the knowledge gradient for continuous points.

Notation
--------
A           (r, d) points that may be reported: those evaluated, and pending ones
x, X_q      a candidate, q candidates that are evaluated together
mu, Sigma   posterior mean and covariance after n evaluations
lambda      variance of the noise of the next observation, at x where it varies
a, b        (r + 1,) lines of A and x (see `expected_max`)

    mu_{n+1}(p) = mu(p) + s(p) Z,    s(p) = Sigma(p, x) / sqrt(Sigma(x, x) + lambda)
    mu**        = max over A of mu
    noisy EI    = E[max over A and x of mu_{n+1}] - mu**             Frazier (2018), Eq. (13)
                = h(a, b) + [mu(x) - mu**]^+,    a = mu(p), b = s(p) for p in A and x
    KGCP        = h(a, b)                                            Scott et al. (2011)

Only a point that was evaluated may be reported, and it is judged by its mean. Measuring x teaches
about the old points too: where the best one is uncertain, measuring it again is worth something.
KGCP takes x to be reportable already before it is measured, so that the bracket falls away.

For q > 1 the q-dimensional Z is a fixed quasi-Monte Carlo sample, with the gradient of the lines
that win. Of every sample the line of the best old point is subtracted, whose mean is mu**:
what is left is never negative.
"""

from typing import Literal

import numpy as np
import torch
from botorch.acquisition import AcquisitionFunction
from botorch.models.model import Model
from botorch.utils.sampling import draw_sobol_normal_samples
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.acquisition.average import Average
from bayesopt.acquisition.expected_max import Array, log_gain_and_partials
from bayesopt.acquisition.observed import FunctionOfMoments, Observed
from bayesopt.acquisition.pending import fantasies, noise_at, noise_of_next
from bayesopt.data import Dataset

Baseline = Literal["observed", "observed_and_candidate"]

_N_SAMPLES = 256
_N_FANTASIES = 16
_BEYOND = 8.5  # Phi(-8.5) is below 1e-16: what happens farther out cannot be seen
_SMALLEST = 1e-300
_JITTER = 1e-10  # points that are asked twice at once, without noise


class NoisyExpectedImprovement(FunctionOfMoments):
    """What the best reportable mean is expected to gain from evaluating a candidate.

    Parameters
    ----------
    model
        A botorch Model with one output, to be maximised.
    A
        (r, d) points that may be reported, usually all that were evaluated.
    noise
        Variance of the noise of the next observation, or of each of the q; None: it varies, and the
        model says it (``noise_at``).
    baseline
        "observed": Eq. (13). "observed_and_candidate": KGCP.
    log
        Return the logarithm, which has the same maximiser and a usable gradient everywhere.
    n_samples
        Size of the quasi-Monte Carlo sample for q > 1; q = 1 is exact.
    """

    def __init__(
        self,
        model: Model,
        A: Shaped[Tensor, "r d"],
        noise: float | None,
        *,
        baseline: Baseline = "observed",
        log: bool = True,
        n_samples: int = _N_SAMPLES,
    ) -> None:
        super().__init__(model)
        self.noise, self.baseline, self.log, self.n_samples = noise, baseline, log, n_samples
        with torch.no_grad():
            posterior = model.posterior(A.unsqueeze(-2))
            mean, sd = posterior.mean[:, 0, 0], posterior.variance[:, 0, 0].sqrt()
            top = int(mean.argmax())
            # |s(p)| is at most sd(p): the others overtake the best one nowhere within reach.
            within = mean[top] - mean <= _BEYOND * (sd + sd[top])
            self.mean = mean[within].numpy()
            self.top = int(self.mean.argmax())
            self.observed = Observed(model, A[within], with_noise=noise is None)

    def forward(self, X: Shaped[Tensor, "*b q d"]) -> Shaped[Tensor, "*b"]:
        """Value of every candidate, or of every q of them."""
        if X.shape[-2] == 1:
            return self.observed.value(self._log_value_and_partials, X, self.log)
        log_value = self._log_sampled(X)
        return log_value if self.log else log_value.exp()

    def _log_value_and_partials(
        self, mean: Tensor, variance: Tensor, covariance: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """The logarithm (b,), its derivatives in the moments (b,), (b,), (b, r), and in lambda."""
        v = variance.numpy() + (self.noise if noise is None else noise.numpy())
        root, m = np.sqrt(v), mean.numpy()
        a = np.concatenate((np.broadcast_to(self.mean, covariance.shape), m[:, None]), axis=1)
        b = np.concatenate((covariance.numpy(), variance.numpy()[:, None]), axis=1) / root[:, None]
        value, by_a, by_b = log_gain_and_partials(a, b)
        by_mean = by_a[:, -1]
        if self.baseline == "observed":
            value, of_gain, of_lead = _add_lead(value, m - self.mean[self.top])
            by_mean, by_b = of_gain * by_mean + of_lead, of_gain[:, None] * by_b
        by_v = -0.5 * (by_b * b).sum(axis=1) / v
        by_variance = (by_b[:, -1] / root) + by_v
        by_covariance = by_b[:, :-1] / root[:, None]
        partials = (value, by_mean, by_variance, by_covariance, by_v)
        n = 4 if noise is None else 5
        return tuple(torch.from_numpy(np.ascontiguousarray(x)) for x in partials[:n])

    def _log_sampled(self, X: Tensor) -> Tensor:
        """log mean over samples of the highest line less that of the best old point."""
        q, r = X.shape[-2], len(self.mean)
        mean, covariance = self.observed.joint(X)
        noise = noise_at(self.model, self.noise, X)
        diagonal = noise + _JITTER * covariance.diagonal(dim1=-2, dim2=-1).amax(-1, keepdim=True)
        among = covariance[..., r:, r:] + torch.diag_embed(diagonal.expand(*X.shape[:-2], q))
        slopes = torch.linalg.solve_triangular(
            torch.linalg.cholesky(among), covariance[..., r:, :], upper=False
        )
        Z = draw_sobol_normal_samples(q, self.n_samples, dtype=X.dtype, seed=0)
        lines = mean.unsqueeze(-2) + Z @ slopes
        gain = (lines.amax(-1) - lines[..., self.top]).mean(-1)
        if self.baseline == "observed_and_candidate":
            best = mean[..., r:].amax(-1)
            gain = gain - (best - mean[..., self.top]).clamp_min(0.0)
        log_gain: Tensor = gain.clamp_min(_SMALLEST).log()
        return log_gain


def _add_lead(log_gain: Array, lead: Array) -> tuple[Array, Array, Array]:
    """log(h + lead^+), and its derivatives in log h and in the lead."""
    with np.errstate(divide="ignore"):
        total = np.logaddexp(log_gain, np.log(np.maximum(lead, 0.0)))
    finite = np.where(np.isfinite(total), total, 0.0)
    return total, np.exp(log_gain - finite), np.exp(np.where(lead > 0.0, -finite, -np.inf))


def build(
    model: Model,
    data: Dataset,
    X_pending: Shaped[Tensor, "m d"] | None = None,
    *,
    baseline: Baseline = "observed",
) -> AcquisitionFunction:
    """Log noisy expected improvement on a fitted model.

    Parameters
    ----------
    model
        Fitted to `data`.
    data
        Its points may be reported.
    X_pending
        Points that are being evaluated: they may be reported too, and what they return is
        averaged over.
    baseline
        "observed": Eq. (13). "observed_and_candidate": KGCP.
    """
    noise = noise_of_next(model, data)
    if X_pending is None or len(X_pending) == 0:
        return NoisyExpectedImprovement(model, data.X, noise, baseline=baseline)
    A = torch.cat((data.X, X_pending))
    models = fantasies(model, data, X_pending, _N_FANTASIES)
    return Average([NoisyExpectedImprovement(m, A, noise, baseline=baseline) for m in models])
