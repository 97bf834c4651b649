"""What is known of some sites after observations of f: points, or the target at designs.

Notation
--------
n, b, r     observations, sites asked for, other sites
m(s)        prior mean of a site s
Cov_0       prior covariance of sites
A           other sites
X, Y        sites that were observed, (n,) what was observed there
K           (n, n) covariance of the observations, noise included, = L L'
alpha       (n,) = K^-1 (Y - m(X))
k(s)        (n,) prior covariances of a site with the observations
V           (b, n) = k(s)' L^-T

    mean(s)    = m(s) + k(s)' alpha                                     Frazier (2018), Section 3
    Cov(s, A)  = Cov_0(s, A) - k(s)' K^-1 k(A)

    d mean / d k(s) = alpha,    d Var / d k(s) = -2 K^-1 k(s),    d Cov / d k(s) = -K^-1 k(A)
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from botorch.models.model import FantasizeMixin, Model
from botorch.posteriors import GPyTorchPosterior
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.models.joint.covariance import Columns, Covariance, Sites
from bayesopt.models.joint.cross import Fixed
from bayesopt.models.joint.warp import Warp
from bayesopt.models.posterior import SMALLEST_VARIANCE, ExactPosterior

PullBack = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Maps derivatives in mean (b,), variance (b,) and covariances (b, r) to a gradient (b, d)."""


@dataclass(frozen=True)
class JointHyperparameters:
    """What a fit chooses.

    Parameters
    ----------
    covariance
        Of f.
    mean, offsets
        Prior mean, and coefficients (k,) of what differs from it by role.
    noise
        (g,) noise variances of the groups of observations.
    warp
        What turns the process into scores again; None: it is of scores.
    """

    covariance: Covariance
    mean: float
    offsets: Shaped[Tensor, " k"]
    noise: Shaped[Tensor, " g"]
    warp: Warp | None = None


class Regression(Model, FantasizeMixin):  # type: ignore[misc]
    """The posterior of sites; which ones, a kind of it says."""

    hyperparameters: JointHyperparameters
    columns: Columns
    observed: Sites
    L: Tensor
    L_inverse: Tensor
    alpha: Tensor

    def _sites(self, X: Tensor) -> Sites:
        raise NotImplementedError

    @cached_property
    def _few(self) -> Sites | None:
        """Stand-ins for all sites, where their role columns have few values."""
        raise NotImplementedError

    def _which(self, sites: Sites) -> Tensor | None:
        """Numbers (b,) of the stand-ins of sites; None where there is one for all."""
        raise NotImplementedError

    def noise_at(self, X: Shaped[Tensor, "*b d"]) -> Shaped[Tensor, "*b"]:
        """Noise variance of the next observation at points."""
        raise NotImplementedError

    @cached_property
    def factors(self) -> Fixed:
        """The observations, as `beside` adds others to them."""
        return Fixed(self.hyperparameters.covariance, self.observed, few=self._few)

    @property
    def num_outputs(self) -> int:
        """One output."""
        return 1

    @property
    def batch_shape(self) -> torch.Size:
        """No batch."""
        return torch.Size([])

    @property
    def likelihood(self) -> None:
        """No likelihood module: the noise is part of the model."""
        return None

    def _prior_mean(self, sites: Sites) -> Tensor:
        h = self.hyperparameters
        of_role = h.covariance.structure.offsets(sites.r) @ h.offsets
        if sites.weights is not None:
            of_role = sites.weights @ of_role
        return h.mean + of_role

    def posterior(
        self,
        X: Shaped[Tensor, "*b q d"],
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: Any = None,
    ) -> GPyTorchPosterior:
        """Joint posterior at the q points of every batch; see botorch's `Model.posterior`."""
        sites, of = self._sites(X), self.hyperparameters.covariance
        k = of.between(sites, self.observed)
        mean = self._mean(X, sites, k)
        V = torch.linalg.solve_triangular(self.L, k.mT, upper=False)
        covariance = of.between(sites, sites) - V.mT @ V
        if observation_noise is not False:
            noise = self.noise_at(X) if observation_noise is True else observation_noise.squeeze(-1)
            covariance = covariance + torch.diag_embed(noise.expand(mean.shape))
        posterior = ExactPosterior(mean, covariance, of.variance(sites).detach().amax())
        if posterior_transform is not None:
            return posterior_transform(posterior=posterior, X=X)
        return posterior

    def _mean(self, X: Tensor, sites: Sites, k: Tensor) -> Tensor:
        return self._prior_mean(sites) + k @ self.alpha

    def marginals(
        self, X: Shaped[Tensor, "*b d"]
    ) -> tuple[Shaped[Tensor, "*b"], Shaped[Tensor, "*b"]]:
        """Posterior mean and variance at every point on its own, differentiable."""
        flat = X.reshape(-1, X.shape[-1])
        mean, variance, _ = self.marginals_and_covariances(flat, self._no_others())
        return mean.reshape(X.shape[:-1]), variance.reshape(X.shape[:-1])

    def marginals_with_gradients(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """`marginals` (b,), (b,), and their gradients (b, d), (b, d), without building a graph."""
        mean, variance, nothing, pull_back = self.moments_with_pull_back(X, self._no_others())
        one, zero = torch.ones_like(mean), torch.zeros_like(mean)
        return mean, variance, pull_back(one, zero, nothing), pull_back(zero, one, nothing)

    def _no_others(self) -> Tensor:
        return self.alpha.new_empty(len(self.alpha), 0)

    def beside(self, A: Shaped[Tensor, "r d"]) -> tuple[Fixed, Shaped[Tensor, "n r"]]:
        """Sites and weights that covariances with the same at other points are asked with."""
        return self._beside(self._sites(A))

    def _beside(self, sites: Sites) -> tuple[Fixed, Tensor]:
        k = self.hyperparameters.covariance.between(self.observed, sites)
        return self.factors.and_also(sites), torch.cholesky_solve(k, self.L)

    def marginals_and_covariances(
        self,
        X: Shaped[Tensor, "b d"],
        weights: Shaped[Tensor, "n r"],
        factors: Fixed | None = None,
    ) -> tuple[Shaped[Tensor, " b"], Shaped[Tensor, " b"], Shaped[Tensor, "b r"]]:
        """`marginals`, and the posterior covariances with other sites, differentiable.

        Parameters
        ----------
        X
            (b, d) points.
        weights, factors
            (n, r) and the sites, from `beside` and its like; none where r = 0.
        """
        if torch.is_grad_enabled() and X.requires_grad:
            found: tuple[Tensor, Tensor, Tensor]
            found = _Moments.apply(X, weights, factors, self)  # type: ignore[no-untyped-call]
            return found
        with torch.no_grad():
            return self._moments(X, weights, factors)[:3]

    def moments_with_pull_back(
        self,
        X: Shaped[Tensor, "b d"],
        weights: Shaped[Tensor, "n r"],
        factors: Fixed | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, PullBack]:
        """`marginals_and_covariances` without a graph, and how their derivatives become one in X.

        The last one maps the derivatives of any function in the moments, (b,), (b,) and (b, r),
        to its gradient (b, d).
        """
        with torch.enable_grad():
            return self._moments(X.detach(), weights, factors)

    def _moments(
        self, X: Tensor, weights: Tensor, factors: Fixed | None
    ) -> tuple[Tensor, Tensor, Tensor, PullBack]:
        """Those moments; the gradient in role columns needs `torch.enable_grad`."""
        sites = self._sites(X)
        if sites.weights is None and self._few is None and torch.is_grad_enabled():
            sites = Sites(sites.F, sites.r.requires_grad_(True))
        return self._moments_at(sites, X, weights, factors)

    def _by_role(self, sites: Sites, fixed: Fixed) -> tuple[Tensor, Tensor, Tensor]:
        """Prior means and variances (b,) and factors (T, b, N), with a graph if r has one.

        They have one row where one value stands for all.
        """
        if self._few is None or sites.weights is not self._few.weights:
            variance = self.hyperparameters.covariance.variance(sites)
            return self._prior_mean(sites), variance, fixed.factors(sites)
        mean, variance = self._prior_of_few
        which = self._which(sites)
        if which is None:
            return mean, variance, fixed.factors_of_few
        return mean[which], variance[which], fixed.factors_of_few[:, which]

    @cached_property
    def _prior_of_few(self) -> tuple[Tensor, Tensor]:
        assert self._few is not None
        variance = self.hyperparameters.covariance.variance(self._few)
        return self._prior_mean(self._few), variance

    def _moments_at(
        self, sites: Sites, X: Tensor, weights: Tensor, factors: Fixed | None
    ) -> tuple[Tensor, Tensor, Tensor, PullBack]:
        fixed, n = factors or self.factors, len(self.alpha)
        by_role = self._by_role(sites, fixed)
        prior_mean, prior, G = (part.detach() for part in by_role)
        C, carried_back = fixed.covariances(
            self.hyperparameters.covariance.features(sites).detach(), G
        )
        k = C[:, :n]
        mean = prior_mean + k @ self.alpha
        V = k @ self.L_inverse.T
        variance = prior - torch.linalg.vecdot(V, V)
        least = SMALLEST_VARIANCE * prior.amax()
        is_rounding = variance < least

        def pull_back(by_mean: Tensor, by_variance: Tensor, by_covariance: Tensor) -> Tensor:
            by_variance = by_variance.masked_fill(is_rounding, 0.0)
            P = (V @ self.L_inverse) * (-2.0 * by_variance).unsqueeze(-1)
            P.addcmul_(by_mean.unsqueeze(-1), self.alpha).addmm_(by_covariance, weights.T, alpha=-1)
            by_F, by_G = carried_back(torch.cat((P, by_covariance), dim=-1))
            gradient = self.columns.by_column(by_F, X.shape[-1])
            pairs = zip(by_role, (by_mean, by_variance, by_G), strict=True)
            smooth = [(part, slope) for part, slope in pairs if part.requires_grad]
            if smooth:
                parts, slopes = zip(*smooth, strict=True)
                (by_r,) = torch.autograd.grad(parts, sites.r, slopes, retain_graph=True)
                gradient[:, self.columns.role] = by_r
            return gradient

        return mean, variance.clamp_min(least), C[:, n:] - k @ weights, pull_back

    def noise_with_pull_back(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Shaped[Tensor, " b"], Callable[[Tensor], Tensor]]:
        """`noise_at`, and the map from derivatives (b,) in it to gradients (b, d)."""
        with torch.enable_grad():
            variable = X.detach().requires_grad_(True)
            noise = self.noise_at(variable)

        def to_gradient(by_noise: Tensor) -> Tensor:
            if not noise.requires_grad:
                return torch.zeros_like(X)
            (gradient,) = torch.autograd.grad(noise, variable, by_noise, retain_graph=True)
            return gradient

        return noise.detach(), to_gradient


class _Moments(torch.autograd.Function):
    @staticmethod
    def forward(ctx, X, weights, factors, model):  # type: ignore[no-untyped-def]
        mean, variance, covariance, ctx.pull_back = model.moments_with_pull_back(
            X, weights, factors
        )
        return mean, variance, covariance

    @staticmethod
    def backward(ctx, *slopes):  # type: ignore[no-untyped-def]
        if torch.is_grad_enabled():  # create_graph=True: they would come out wrong
            raise RuntimeError("Second derivatives of a posterior are not implemented.")
        return ctx.pull_back(*slopes), None, None, None
