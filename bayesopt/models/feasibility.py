"""Where evaluations fail: a Gaussian process classifier of failed and complete trials.

Notation
--------
n, d        trials, columns
y           (n,) labels: +1 success, -1 failure
f           latent process with the prior mean c and the covariance a k, a Matern-5/2 kernel
p0          (successes + 1) / (n + 2), the base rate of success
z(x)        mean of f(x) / sqrt(1 + variance of f(x)), both given the labels
theta       (S, d + 1) logarithms of d length-scales and a

    P(success | x) = Phi(z(x))                                            R&W (2006), Eq. (3.82)
    c              = Phi^-1(p0) sqrt(1 + a),    so that P = p0 far from all trials
    MAP            = argmax log Z(theta) + log priors          log Z of `probit_sites`, R&W 5.5

Where failures have a region, its border is sharp, and `a` is large. An accident (a node that died)
digs a hole of its own, which successes beside it fill. What the labels come to is a normal law of
f, that of a process whose n observations are c + nu / tau, of the noise variance 1 / tau.
"""

import math

import numpy as np
import torch
from jaxtyping import Bool
from jaxtyping import Float as Shaped
from scipy.special import ndtri
from torch import Tensor

from bayesopt.models.exact import ExactGaussianProcess, Hyperparameters
from bayesopt.models.kernels import Features, kernel_named
from bayesopt.models.prior import JointPrior, LogNormal
from bayesopt.models.probit_sites import Sites, sites_of_labels
from bayesopt.parameter import Array
from bayesopt.quasi_newton import minimize_from

_SIGNAL = LogNormal(math.log(100.0), 1.0)
_BOUNDS = {"lengthscale": (0.02, 1e2), "signal": (0.1, 1e5)}
_LARGEST_FIT = 250  # trials that hyperparameters are learnt from
_JITTER = 1e-8
_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)


class Feasibility:
    """Probability that an evaluation succeeds.

    Parameters
    ----------
    latent
        The process f given the labels.
    """

    def __init__(self, latent: ExactGaussianProcess) -> None:
        self.latent = latent

    def probability(self, X: Shaped[Tensor, "*b d"]) -> Shaped[Tensor, "*b"]:
        """P(success) at every point."""
        return self.log_probability(X).exp()

    def log_probability(self, X: Shaped[Tensor, "*b d"]) -> Shaped[Tensor, "*b"]:
        """Its logarithm, differentiable."""
        mean, variance = self.latent.marginals(X)
        log_p: Tensor = torch.special.log_ndtr(mean / (1.0 + variance).sqrt())
        return log_p

    def log_probability_and_gradient(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Shaped[Tensor, " b"], Shaped[Tensor, "b d"]]:
        """Its logarithm and the gradient of that, in closed form."""
        mean, variance, by_mean, by_variance = self.latent.marginals_with_gradients(X)
        scale = (1.0 + variance).rsqrt()
        z = mean * scale
        value = torch.special.log_ndtr(z)
        ratio = (-0.5 * z * z - _LOG_SQRT_2PI - value).exp()  # phi / Phi
        by_z = by_mean * scale.unsqueeze(-1)
        by_z = by_z - by_variance * (0.5 * z * scale * scale).unsqueeze(-1)
        return value, ratio.unsqueeze(-1) * by_z


class NegativeLogEvidence:
    """Minus the log posterior density of theta, up to a constant, with its gradient.

    Parameters
    ----------
    X, y, categories
        Points, labels and categorical columns.
    base_rate
        p0.
    """

    def __init__(
        self,
        X: Shaped[Tensor, "n d"],
        y: Shaped[Tensor, " n"],
        categories: tuple[tuple[int, int], ...],
        base_rate: float,
    ) -> None:
        self.y, self.d = y, X.shape[-1]
        features = Features(self.d, categories)
        self.F, self.column_of = features.of(X), torch.tensor(features.column_of)
        self.kernel = kernel_named("matern52")
        self.quantile = float(ndtri(base_rate))
        of_lengthscale = LogNormal(math.log(0.35) + 0.5 * math.log(self.d), 1.0)
        self.prior = JointPrior([of_lengthscale] * self.d + [_SIGNAL])
        limits = [_BOUNDS["lengthscale"]] * self.d + [_BOUNDS["signal"]]
        self.low, self.high = np.log(limits).T
        self._last: Sites | None = None

    def prior_mean(self, signal: Shaped[Tensor, " S"]) -> Shaped[Tensor, " S"]:
        """c."""
        return self.quantile * (1.0 + signal).sqrt()

    def sites(self, theta: Array) -> Sites:
        """What the labels come to under theta (S, d + 1)."""
        return self._sites(torch.from_numpy(np.exp(theta)))[0]

    def _sites(self, h: Tensor) -> tuple[Sites, Tensor, Tensor, Tensor]:
        Z, a = self.F / h[:, None, self.column_of], h[:, -1, None, None]
        k, slope = self.kernel(Z, Z)
        K = a * k
        K.diagonal(dim1=-2, dim2=-1).add_(_JITTER * h[:, -1:])
        last = self._last
        start = None
        if last is not None and last.precision.shape == K.shape[:-1]:
            start = last.precision, last.linear
        sites = sites_of_labels(K, self.prior_mean(h[:, -1]), self.y, start)
        self._last = sites if bool(sites.log_evidence.isfinite().all()) else None
        return sites, Z, K, a * slope

    def __call__(self, theta: Array) -> tuple[Array, Array]:
        """Values (S,) and gradients (S, d + 1) at theta (S, d + 1)."""
        h = torch.from_numpy(np.exp(theta))
        sites, Z, K, aslope = self._sites(h)
        W = sites.by_covariance
        by_feature = -2.0 * (self.kernel.pull_back(W * aslope, Z, Z) * Z).sum(-2)
        gradient = torch.zeros_like(h)
        gradient[:, : self.d].index_add_(1, self.column_of, by_feature)
        by_signal = sites.by_mean * 0.5 * self.quantile * h[:, -1] / (1.0 + h[:, -1]).sqrt()
        gradient[:, -1] = (W * K).sum((-2, -1)) + by_signal
        of_prior, slope = self.prior.negative_log_density(theta)
        value = of_prior - sites.log_evidence.numpy()
        return value, slope - gradient.nan_to_num().numpy()


def fit_feasibility(
    X: Shaped[Tensor, "n d"],
    success: Bool[Tensor, " n"],
    categories: tuple[tuple[int, int], ...] = (),
    start: tuple[float, ...] | None = None,
) -> tuple[Feasibility, tuple[float, ...]]:
    """Learn from trials where evaluations fail.

    Parameters
    ----------
    X
        (n, d) points of at least one trial, in the unit cube.
    success
        (n,) whether each evaluation succeeded.
    categories
        (column, number of choices) of the categorical columns.
    start
        theta of an earlier fit of this study: where the search for the next one begins.

    Returns
    -------
    model, theta
        The classifier, and the logarithms of d length-scales and of the signal variance.
    """
    n = len(X)
    y = 2.0 * success.to(X.dtype) - 1.0
    base_rate = (float(success.sum()) + 1.0) / (n + 2.0)
    rows = torch.linspace(0, n - 1, min(n, _LARGEST_FIT)).round().long()
    objective = NegativeLogEvidence(X[rows], y[rows], categories, base_rate)
    begin = objective.prior.centre if start is None else np.array(start)
    theta, _ = minimize_from(
        objective,
        begin[None],
        objective.low,
        objective.high,
        first_step=1.0,
        max_calls=50,
        value_tolerance=1e-2,
        gradient_tolerance=2e-2,
    )
    if n > _LARGEST_FIT:
        objective = NegativeLogEvidence(X, y, categories, base_rate)
    sites = objective.sites(theta)
    h = torch.from_numpy(np.exp(theta[0]))
    c = float(objective.prior_mean(h[-1:]))
    process = Hyperparameters(h[:-1], noise=0.0, mean=c, signal=float(h[-1]))
    tau, nu = sites.precision[0].unsqueeze(-1), sites.linear[0].unsqueeze(-1)
    latent = ExactGaussianProcess(X, c + nu / tau, 1.0 / tau, process, categories)
    return Feasibility(latent), tuple(theta[0].tolist())
