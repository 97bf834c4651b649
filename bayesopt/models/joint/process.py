"""A Gaussian process on f over design and role columns, and the view of it as one of the target.

Notation
--------
n, d        observations, columns
X, Y        (n, d), (n, 1) points and scores
K, L        covariance of the observations, noise included, and its Cholesky factor
alpha       (n,) = K^-1 (Y - m(X))
s, A        a site (f at a point, or the target at a design), other sites
k(s)        (n,) its prior covariances with the observations

    mean(s)    = m(s) + k(s)' alpha                                     Frazier (2018), Section 3
    Cov(s, A)  = Cov_0(s, A) - k(s)' K^-1 k(A)

The target is a linear functional of f, so that both are one process.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from botorch.models.model import FantasizeMixin, Model
from botorch.posteriors import GPyTorchPosterior
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.models.joint.covariance import Columns, Covariance, Sites
from bayesopt.models.joint.tail import expected_tail
from bayesopt.models.joint.warp import Warp
from bayesopt.models.posterior import SMALLEST_VARIANCE, ExactPosterior, cholesky
from bayesopt.target import Target


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
        The process is of what it makes of scores; None: of the scores.
    """

    covariance: Covariance
    mean: float
    offsets: Shaped[Tensor, " k"]
    noise: Shaped[Tensor, " g"]
    warp: Warp | None = None


class _Regression(Model, FantasizeMixin):  # type: ignore[misc]
    """What is known of sites after some observations; which sites, a kind of it says."""

    hyperparameters: JointHyperparameters
    columns: Columns
    observed: Sites
    L: Tensor
    L_inverse: Tensor
    alpha: Tensor

    def _sites(self, X: Tensor) -> Sites:
        raise NotImplementedError

    @property
    def factors(self) -> Sites:
        """What moments of points on their own are made of; that there is something says that
        `beside` answers."""
        return self.observed

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

    def noise_at(self, X: Shaped[Tensor, "*b d"]) -> Shaped[Tensor, "*b"]:
        """Noise variance of the next observation at points."""
        raise NotImplementedError

    def noise_with_pull_back(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Shaped[Tensor, " b"], Callable[[Tensor], Tensor]]:
        """`noise_at` (b,) without a graph, and the map from derivatives in it to gradients."""
        with torch.enable_grad():
            variable = X.detach().requires_grad_(True)
            noise = self.noise_at(variable)

        def pull_back(by_noise: Tensor) -> Tensor:
            if not noise.requires_grad:
                return torch.zeros_like(X)
            (gradient,) = torch.autograd.grad(noise, variable, by_noise)
            return gradient

        return noise.detach(), pull_back

    def marginals(
        self, X: Shaped[Tensor, "*b d"]
    ) -> tuple[Shaped[Tensor, "*b"], Shaped[Tensor, "*b"]]:
        """Posterior mean and variance at every point on its own, differentiable."""
        nothing = self.alpha.new_empty(len(self.alpha), 0)
        mean, variance, _ = self.marginals_and_covariances(X.reshape(-1, X.shape[-1]), nothing)
        return mean.reshape(X.shape[:-1]), variance.reshape(X.shape[:-1])

    def marginals_with_gradients(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """`marginals` (b,), (b,), and their gradients (b, d), (b, d)."""
        with torch.enable_grad():
            variable = X.detach().requires_grad_(True)
            mean, variance = self.marginals(variable)
            slopes = [
                torch.autograd.grad(moment.sum(), variable, retain_graph=True)[0]
                for moment in (mean, variance)
            ]
        return mean.detach(), variance.detach(), slopes[0], slopes[1]

    def beside(self, A: Shaped[Tensor, "r d"]) -> tuple[Sites, Shaped[Tensor, "n r"]]:
        """Sites and weights that covariances with the same at other points are asked with."""
        return self._beside(self._sites(A))

    def _beside(self, sites: Sites) -> tuple[Sites, Tensor]:
        k = self.hyperparameters.covariance.between(self.observed, sites)
        return sites, torch.cholesky_solve(k, self.L)

    def marginals_and_covariances(
        self,
        X: Shaped[Tensor, "b d"],
        weights: Shaped[Tensor, "n r"],
        factors: Sites | None = None,
    ) -> tuple[Shaped[Tensor, " b"], Shaped[Tensor, " b"], Shaped[Tensor, "b r"]]:
        """`marginals`, and the posterior covariances with other sites, differentiable.

        Parameters
        ----------
        X
            (b, d) points.
        weights, factors
            (n, r) and the sites, from `beside` and its like; none where r = 0.
        """
        sites, of = self._sites(X), self.hyperparameters.covariance
        k = of.between(sites, self.observed)
        mean = self._mean(X, sites, k)
        prior = of.variance(sites)
        V = k @ self.L_inverse.T
        least = SMALLEST_VARIANCE * prior.detach().amax()
        variance = (prior - torch.linalg.vecdot(V, V)).clamp_min(least)
        if factors is None:
            return mean, variance, k @ weights
        return mean, variance, of.between(sites, factors) - k @ weights


class JointGaussianProcess(_Regression):
    """f at points of all columns.

    Parameters
    ----------
    X, Y
        (n, d) points and (n, 1) scores.
    Yvar
        (n, 1) noise variances; NaN takes those of `hyperparameters`.
    hyperparameters
        Usually from `bayesopt.models.joint.fit`.
    columns
        Which ones are the design.
    sought
        The target.

    Raises
    ------
    SingularCovariance
        If K is not positive definite, whatever the jitter.
    """

    def __init__(
        self,
        X: Shaped[Tensor, "n d"],
        Y: Shaped[Tensor, "n 1"],
        Yvar: Shaped[Tensor, "n 1"],
        hyperparameters: JointHyperparameters,
        columns: Columns,
        sought: Target,
    ) -> None:
        super().__init__()
        self.X, self.Y, self.Yvar = X, Y, Yvar
        self.hyperparameters, self.columns, self.sought = hyperparameters, columns, sought
        self.observed = columns.points(X)
        of = hyperparameters.covariance
        noise = torch.where(Yvar.isnan().squeeze(-1), self.noise_at(X), Yvar.squeeze(-1))
        K = of.between(self.observed, self.observed) + torch.diag_embed(noise)
        self.L = cholesky(K, of.variance(self.observed))
        warp, y = hyperparameters.warp, Y.squeeze(-1)
        latent = y if warp is None else warp.latent(y)
        self.latent = latent
        residual = (latent - self._prior_mean(self.observed)).unsqueeze(-1)
        self.alpha = torch.cholesky_solve(residual, self.L).squeeze(-1)
        eye = torch.eye(len(X), dtype=X.dtype)
        self.L_inverse = torch.linalg.solve_triangular(self.L, eye, upper=False)
        self.eval()

    @property
    def new_noise(self) -> Tensor:
        """Median noise variance of the observations."""
        return self.noise_at(self.X).median()

    @property
    def lengthscales(self) -> dict[int, float]:
        """Length-scale of f at the target by column; of role columns where they have one."""
        of = self.hyperparameters.covariance
        by_feature = (1.0 / of.inverse_scale[0].squeeze(-2)).tolist()
        features = self.columns.features
        found = {
            self.columns.design[column]: by_feature[feature]
            for feature, column in enumerate(features.column_of)
        }
        for j, scale in enumerate(of.structure.lengthscales(of.role[0, 0])):
            found[self.columns.role[j]] = float(scale)
        return found

    @property
    def target(self) -> "TargetProcess":
        """The same process, asked for the target."""
        return TargetProcess(self)

    def _sites(self, X: Tensor) -> Sites:
        return self.columns.points(X)

    def beside_target(self, A: Shaped[Tensor, "m d"]) -> tuple[Sites, Shaped[Tensor, "n m"]]:
        """`beside` the target at the designs of A."""
        return self._beside(self.target._sites(A))

    def with_target(self, X: Shaped[Tensor, "b d"]) -> Shaped[Tensor, " b"]:
        """Posterior covariance of f at every point with the target at its design."""
        one = X.unsqueeze(-2)
        sites, of = self._sites(one), self.hyperparameters.covariance
        targets = self.target._sites(one)
        prior = of.between(sites, targets)[:, 0, 0]
        k1, k2 = (of.between(s, self.observed)[:, 0] for s in (sites, targets))
        explained: Tensor = torch.linalg.vecdot(k1 @ self.L_inverse.T, k2 @ self.L_inverse.T)
        return prior - explained

    def noise_at(self, X: Shaped[Tensor, "*b d"]) -> Shaped[Tensor, "*b"]:
        """Noise variance of the next observation at points: inferred, else the mean of the known
        ones."""
        h = self.hyperparameters
        of, r = h.covariance.structure, X[..., self.columns.role]
        if not bool(self.Yvar.isnan().any()):
            return self.Yvar.mean().expand(X.shape[:-1])
        own: Tensor = h.noise[of.group(r)] + of.extra_noise(h.covariance.role[..., 0, :], r)
        return own

    def condition_on_observations(
        self, X: Tensor, Y: Tensor, noise: Tensor | None = None, **kwargs: Any
    ) -> "JointGaussianProcess":
        """The same process after more observations (m, d) and (m, 1).

        Parameters
        ----------
        X, Y
            The observations.
        noise
            (m, 1) noise variances; None: those of `noise_at`.
        **kwargs
            Ignored; botorch's fantasies pass options of other models.
        """
        unknown = bool(self.Yvar.isnan().any())
        if noise is None:
            noise = torch.full_like(Y, torch.nan) if unknown else self.noise_at(X).unsqueeze(-1)
        return JointGaussianProcess(
            torch.cat((self.X, X)),
            torch.cat((self.Y, Y)),
            torch.cat((self.Yvar, noise.expand(len(X), 1))),
            self.hyperparameters,
            self.columns,
            self.sought,
        )

    def believing(self, X: Shaped[Tensor, "m d"]) -> "JointGaussianProcess":
        """The same process after observations that were what it expects of them."""
        with torch.no_grad():
            expected, warp = self.marginals(X)[0], self.hyperparameters.warp
            Y = expected if warp is None else warp.scores(expected)
            return self.condition_on_observations(X, Y.unsqueeze(-1))


class TargetProcess(_Regression):
    """The target at the designs of points; their role columns are not looked at.

    A mean of the worst, or a mean of what a warp gives back, is no linear functional: its mean is
    what is expected of it, its variances and covariances are those of the first order.

    Parameters
    ----------
    of
        The process of f.
    """

    def __init__(self, of: JointGaussianProcess) -> None:
        super().__init__()
        self.joint = of
        for name in ("hyperparameters", "columns", "observed", "L", "L_inverse", "alpha"):
            object.__setattr__(self, name, getattr(of, name))
        self.eval()

    @property
    def X(self) -> Tensor:
        """The observed points."""
        return self.joint.X

    def _sites(self, X: Tensor) -> Sites:
        sought = self.joint.sought
        if self._is_linear:
            return self.columns.targets(X, sought.nodes, sought.weights.unsqueeze(0))
        with torch.no_grad():
            weights = self._mean_and_weights(X.detach())[1]
        return self.columns.targets(X, sought.nodes, weights)

    def _mean(self, X: Tensor, sites: Sites, k: Tensor) -> Tensor:
        return super()._mean(X, sites, k) if self._is_linear else self._mean_and_weights(X)[0]

    @property
    def _is_linear(self) -> bool:
        return self.hyperparameters.warp is None and self.joint.sought.level is None

    def _mean_and_weights(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """E F (*b,), differentiable, and its derivatives in the means at the nodes (*b, K)."""
        sought, warp = self.joint.sought, self.hyperparameters.warp
        at_nodes = self.at_nodes(X)
        if warp is not None:
            mean, slope = warp.mean_and_slope(*self.joint.marginals(at_nodes))
            return mean @ sought.weights, slope * sought.weights
        posterior = self.joint.posterior(at_nodes)
        scale = self.hyperparameters.covariance.variance(self.observed).amax()
        L = cholesky(posterior.covariance, scale)
        return expected_tail(posterior.mean.squeeze(-1), L, sought.weights, sought.level)

    def beside_values(self, P: Shaped[Tensor, "p d"]) -> tuple[Sites, Shaped[Tensor, "n p"]]:
        """`beside` f at full points."""
        return self._beside(self.columns.points(P))

    def at_nodes(self, X: Shaped[Tensor, "*b d"]) -> Shaped[Tensor, "*b K d"]:
        """Designs at every node of the target."""
        nodes = self.joint.sought.nodes
        full = X.unsqueeze(-2).repeat(*[1] * (X.dim() - 1), len(nodes), 1)
        full[..., self.columns.role] = nodes
        return full

    def noise_at(self, X: Shaped[Tensor, "*b d"]) -> Shaped[Tensor, "*b"]:
        """Noise variance of the next observation, where the target is f at one node; else none."""
        if not self.joint.sought.is_one:
            return X.new_zeros(X.shape[:-1])
        return self.joint.noise_at(self.at_nodes(X)[..., 0, :])

    def condition_on_observations(self, X: Tensor, Y: Tensor, **kwargs: Any) -> "TargetProcess":
        """The target after more observations of f; see `JointGaussianProcess`."""
        return self.joint.condition_on_observations(X, Y, **kwargs).target
