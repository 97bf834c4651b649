"""What a process says of a candidate once its values at some points are taken from samples.

Notation
--------
b, r, S     candidates, points, samples
A           (r, d) the points: evaluated with noise, or being evaluated
f_s         (r,) sample s of f(A)
mu, Sigma   posterior mean and covariance,    Sigma(A, A) = L L'
Z_s         (r,) standard normal

    f_s      = mu(A) + L Z_s
    mean_s   = mu(x) + Sigma(x, A) L^-T Z_s                        Letham et al. (2019), Section 3.3
    variance = Sigma(x, x) - |V|^2,    V = Sigma(x, A) L^-T        (the same for every sample)

What is expected of x given f(A) is then exact in every sample, and only f(A) is sampled. Several
processes (an objective, constraints) that are asked at the same A take columns of one quasi-Monte
Carlo sample that are each their own: sample s of all of them is one possible world.
"""

from collections.abc import Callable
from functools import lru_cache

import torch
from botorch.models.model import Model
from botorch.utils.sampling import draw_sobol_normal_samples
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.acquisition.observed import Observed

_N_SAMPLES = 32
_COLUMNS = 64
_SMALLEST_VARIANCE = 1e-15
_JITTERS = tuple(10.0**exponent for exponent in range(-9, 4))  # relative to the largest variance

PullBack = Callable[[Tensor, Tensor], Tensor]
"""Maps derivatives in the means (b, S) and the variance (b,) to a gradient (b, d)."""


@lru_cache(maxsize=8)
def _wide_sample(n: int, columns: int) -> Tensor:
    sample: Tensor = draw_sobol_normal_samples(columns, n, dtype=torch.float64, seed=0)
    return sample


def normal_sample(n: int, r: int, after: int = 0) -> Shaped[Tensor, "n r"]:
    """Columns of the fixed standard normal sample: r of them after the first ones."""
    end = after + r
    return _wide_sample(n, _COLUMNS * (1 + max(end - 1, 0) // _COLUMNS))[:, after:end]


def cholesky_of_posterior(covariance: Shaped[Tensor, "r r"]) -> Shaped[Tensor, "r r"]:
    """Lower factor, with as little jitter as it takes.

    Where the noise is tiny, all that is left of the variances may be rounding.
    """
    largest = float(covariance.diagonal().max().clamp_min(_SMALLEST_VARIANCE))
    eye = torch.eye(len(covariance), dtype=covariance.dtype)
    L: Tensor
    for jitter in _JITTERS:
        L, info = torch.linalg.cholesky_ex(covariance + jitter * largest * eye)
        if not info.any():
            return L
    raise ArithmeticError("The posterior covariance of the evaluated points is no covariance.")


class GivenSamples:
    """Moments of f(x) given each of S samples of f(A).

    Parameters
    ----------
    model
        A botorch Model with one output; of draws of hyperparameters, one of its members.
    A
        (r, d) points; a point may stand there twice. Without any there is one sample of nothing,
        and the moments are those of the posterior.
    n_samples
        Size S of the fixed quasi-Monte Carlo sample.
    number
        Which process this is, from 0 on, of those that are sampled at the same A.

    Attributes
    ----------
    values
        (S, r) the samples of f(A), in the order of A.
    """

    values: Shaped[Tensor, "S r"]

    def __init__(
        self,
        model: Model,
        A: Shaped[Tensor, "r d"],
        *,
        n_samples: int = _N_SAMPLES,
        number: int = 0,
    ) -> None:
        self.model, self.A = model, A
        self.n_samples = n_samples if len(A) > 0 else 1
        if len(A) == 0:
            self.values = A.new_zeros(1, 0)
            return
        with torch.no_grad():
            unique, which = torch.unique(A, dim=0, return_inverse=True)
            posterior = model.posterior(unique)
            L = cholesky_of_posterior(posterior.distribution.covariance_matrix)
            Z = normal_sample(n_samples, len(unique), after=number * len(unique))
            self.values = (posterior.mean.squeeze(-1) + Z @ L.T)[:, which]
            # Sigma^-1 (f_s - mu) = L^-T Z_s
            self._pull = torch.linalg.solve_triangular(L.T, Z.T, upper=True)
            eye = torch.eye(len(unique), dtype=A.dtype)
            self._L_inverse = torch.linalg.solve_triangular(L, eye, upper=False)
            self._observed = Observed(model, unique)

    def moments(
        self, X: Shaped[Tensor, "*b 1 d"]
    ) -> tuple[Shaped[Tensor, "*b S"], Shaped[Tensor, "*b"]]:
        """Means given every sample, and the variance that is left, differentiable."""
        if len(self.A) == 0:
            posterior = self.model.posterior(X)
            variance = posterior.variance[..., 0, 0].clamp_min(_SMALLEST_VARIANCE)
            return posterior.mean[..., 0, :1], variance
        mean, variance, covariance = self._observed.moments(X)
        V = covariance @ self._L_inverse.T
        left = (variance - torch.linalg.vecdot(V, V)).clamp_min(_SMALLEST_VARIANCE)
        return mean.unsqueeze(-1) + covariance @ self._pull, left

    def joint_moments(
        self, X: Shaped[Tensor, "*b q d"]
    ) -> tuple[Shaped[Tensor, "*b S q"], Shaped[Tensor, "*b q q"]]:
        """Means of f(X) given every sample, and the covariance that is left, differentiable."""
        posterior = self.model.posterior(X)
        among = posterior.distribution.covariance_matrix
        if len(self.A) == 0:
            return posterior.mean.mT, among
        *batch, q, d = X.shape
        mean, _, covariance = self._observed.moments(X.reshape(-1, 1, d))
        V = (covariance @ self._L_inverse.T).reshape(*batch, q, -1)
        shift = (covariance @ self._pull).reshape(*batch, q, -1)
        return (mean.reshape(*batch, q, 1) + shift).mT, among - V @ V.mT

    def moments_with_pull_back(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Shaped[Tensor, "b S"], Shaped[Tensor, " b"], PullBack]:
        """`moments` of (b, d) points, and the map from derivatives in them to gradients in X.

        In closed form where the model has one, else by automatic differentiation.
        """
        if len(self.A) == 0:
            return self._plain_with_pull_back(X)
        mean, variance, covariance, to_gradient = self._observed.moments_with_pull_back(X)
        V = covariance @ self._L_inverse.T
        left = variance - torch.linalg.vecdot(V, V)
        seen = left >= _SMALLEST_VARIANCE  # no slope where it is rounding

        def pull_back(by_means: Tensor, by_variance: Tensor) -> Tensor:
            by_variance = torch.where(seen, by_variance, 0.0)
            by_covariance = by_means @ self._pull.T
            by_covariance -= 2.0 * by_variance.unsqueeze(-1) * (V @ self._L_inverse)
            return to_gradient(by_means.sum(-1), by_variance, by_covariance)

        means = mean.unsqueeze(-1) + covariance @ self._pull
        return means, left.clamp_min(_SMALLEST_VARIANCE), pull_back

    def _plain_with_pull_back(self, X: Tensor) -> tuple[Tensor, Tensor, PullBack]:
        """The same for r = 0."""
        if getattr(self.model, "factors", None) is not None:
            mean, variance, by_x, variance_by_x = self.model.marginals_with_gradients(X)

            def closed(by_means: Tensor, by_variance: Tensor) -> Tensor:
                gradient: Tensor = by_means * by_x + by_variance.unsqueeze(-1) * variance_by_x
                return gradient

            return mean.unsqueeze(-1), variance.clamp_min(_SMALLEST_VARIANCE), closed
        with torch.enable_grad():
            variable = X.detach().requires_grad_(True)
            moments = self.moments(variable.unsqueeze(-2))

        def by_autograd(by_means: Tensor, by_variance: Tensor) -> Tensor:
            (gradient,) = torch.autograd.grad(moments, variable, (by_means, by_variance))
            return gradient

        means, left = (moment.detach() for moment in moments)
        return means, left, by_autograd
