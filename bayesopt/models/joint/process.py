"""A Gaussian process on f over design and role columns, and the view of it as one of the target.

Notation
--------
n, d, K     observations, columns, nodes of the target
X, Y        (n, d), (n, 1) points, and what was observed there
C, L        covariance of the observations, noise included, and its Cholesky factor
w           (K,) or (*b, K) weights of the nodes

The target is a linear functional of f, so that both are one process (see `regression`). Of one that
is not, such as a mean of the worst, the mean is what is expected of it; its variances and
covariances are those of the first order, with w the derivatives in the means at the nodes.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float as Shaped
from torch import Tensor
from torch.nn.functional import one_hot

from bayesopt.models.joint.conditions import Conditions
from bayesopt.models.joint.covariance import Columns, Sites
from bayesopt.models.joint.cross import Fixed
from bayesopt.models.joint.regression import JointHyperparameters, PullBack, Regression
from bayesopt.models.posterior import cholesky
from bayesopt.target import Target


class JointGaussianProcess(Regression):
    """f at points of all columns.

    Parameters
    ----------
    X, Y
        (n, d) points, and (n, 1) what was observed: scores, or what the warp makes of them.
    Yvar
        (n, 1) noise variances of Y; NaN takes those of `hyperparameters`.
    hyperparameters
        Usually from `bayesopt.models.joint.fit`.
    columns
        Which ones are the design.
    sought
        The target.

    Raises
    ------
    SingularCovariance
        If C is not positive definite, whatever the jitter.
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
        C = of.between(self.observed, self.observed) + torch.diag_embed(noise)
        self.L = cholesky(C, of.variance(self.observed))
        residual = Y - self._prior_mean(self.observed).unsqueeze(-1)
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

    @cached_property
    def target(self) -> "TargetProcess":
        """The same process, asked for the target."""
        return TargetProcess(self)

    def _sites(self, X: Tensor) -> Sites:
        return self.columns.points(X)

    @cached_property
    def _few(self) -> Sites | None:
        values = self.hyperparameters.covariance.structure.values
        if values is None:
            return None
        r = torch.tensor(values, dtype=self.X.dtype).unsqueeze(-1)
        return Sites(r[:, :0], r)

    def _which(self, sites: Sites) -> Tensor | None:
        return self.hyperparameters.covariance.structure.index(sites.r)

    def beside_target(self, A: Shaped[Tensor, "m d"]) -> tuple[Fixed, Shaped[Tensor, "n m"]]:
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
        ones of the same group, or of all where it has none."""
        h = self.hyperparameters
        of, r = h.covariance.structure, X[..., self.columns.role]
        group = of.group(r)
        own: Tensor
        if bool(self.Yvar.isnan().any()):
            own = h.noise[group] + of.extra_noise(h.covariance.role[0, 0], r)
        else:
            own = self._mean_of_known()[group]
        return own

    def _mean_of_known(self) -> Shaped[Tensor, " g"]:
        Yvar, of = self.Yvar.squeeze(-1), self.hyperparameters.covariance.structure
        is_in = one_hot(of.group(self.observed.r), of.n_noises).to(Yvar.dtype)
        count = is_in.sum(0)
        return torch.where(count > 0, Yvar @ is_in / count.clamp_min(1.0), Yvar.mean())

    def condition_on_observations(
        self, X: Tensor, Y: Tensor, noise: Tensor | None = None, **kwargs: Any
    ) -> "JointGaussianProcess":
        """The same process after more observations (m, d) and (m, 1).

        Parameters
        ----------
        X, Y, noise
            As those of the process; no noise: that of `noise_at`.
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


class TargetProcess(Regression):
    """The target at the designs of points; their role columns are not looked at.

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
        with torch.no_grad():
            weights = None if self._is_linear else self._mean_and_weights(X.detach())[1]
        return self._sites_of(X, weights)

    def _sites_of(self, X: Tensor, weights: Tensor | None = None) -> Sites:
        weights = self._one_row_of_weights if weights is None else weights.detach()
        return self.columns.targets(X, self.joint.sought.nodes, weights)

    @cached_property
    def _few(self) -> Sites | None:
        nodes, weights = self.joint.sought.nodes, self._one_row_of_weights
        return Sites(nodes.new_zeros(1, 0), nodes, weights) if self._is_linear else None

    def _which(self, sites: Sites) -> Tensor | None:
        return None

    @cached_property
    def _one_row_of_weights(self) -> Tensor:
        return self.joint.sought.weights.unsqueeze(0)

    def _mean(self, X: Tensor, sites: Sites, k: Tensor) -> Tensor:
        return super()._mean(X, sites, k) if self._is_linear else self.marginals(X)[0]

    def _moments(
        self, X: Tensor, weights: Tensor, factors: Fixed | None
    ) -> tuple[Tensor, Tensor, Tensor, PullBack]:
        if self._is_linear:
            return super()._moments(X, weights, factors)
        mean, of_nodes, of_mean = self._mean_and_weights(X)
        sites = self._sites_of(X, of_nodes)
        _, variance, covariance, pull_back = self._moments_at(sites, X, weights, factors)

        def with_mean(by_mean: Tensor, by_variance: Tensor, by_covariance: Tensor) -> Tensor:
            others = pull_back(torch.zeros_like(by_mean), by_variance, by_covariance)
            return of_mean(by_mean) + others

        return mean, variance, covariance, with_mean

    @property
    def _is_linear(self) -> bool:
        return self.hyperparameters.warp is None and self.joint.sought.level is None

    def _mean_and_weights(self, X: Tensor) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
        """E F (*b,), its derivatives in the means at the nodes (*b, K), and the map from
        derivatives (b,) in E F to gradients (b, d)."""
        if self.hyperparameters.warp is not None:
            return self._warped(X)
        F = self.columns.features.of(X[..., self.columns.design])
        flat = F.reshape(-1, F.shape[-1])
        mean, weights, by_features = self._conditions.tail(flat)

        def to_gradient(by_mean: Tensor) -> Tensor:
            return self.columns.by_column(by_features(by_mean), X.shape[-1])

        batch = X.shape[:-1]
        return mean.reshape(batch), weights.reshape(*batch, -1), to_gradient

    def _warped(self, X: Tensor) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
        warp, p = self.hyperparameters.warp, self.joint.sought.weights
        assert warp is not None
        variable = X.detach().requires_grad_(True) if torch.is_grad_enabled() else X
        at_nodes = self.joint.marginals(self.at_nodes(variable))
        mean, slope = warp.mean_and_slope(*at_nodes)
        expected = mean @ p

        def to_gradient(by_mean: Tensor) -> Tensor:
            (gradient,) = torch.autograd.grad(expected, variable, by_mean, retain_graph=True)
            return gradient

        return expected.detach(), (slope * p).detach(), to_gradient

    @cached_property
    def _conditions(self) -> Conditions:
        h, sought = self.hyperparameters, self.joint.sought
        assert sought.level is not None
        no_design = sought.nodes.new_zeros(len(sought.nodes), 0)
        return Conditions(
            h.covariance,
            self.observed,
            self.alpha,
            self.L_inverse,
            sought.nodes,
            sought.weights,
            sought.level,
            self._prior_mean(Sites(no_design, sought.nodes)),
        )

    def beside_values(self, P: Shaped[Tensor, "p d"]) -> tuple[Fixed, Shaped[Tensor, "n p"]]:
        """`beside` f at full points."""
        return self._beside(self.columns.points(P))

    def at_nodes(self, X: Shaped[Tensor, "*b d"]) -> Shaped[Tensor, "*b K d"]:
        """Designs at every node of the target."""
        return self.joint.sought.at_nodes(X, self.columns.role)

    def noise_at(self, X: Shaped[Tensor, "*b d"]) -> Shaped[Tensor, "*b"]:
        """Noise variance of the next observation, where the target is f at one node; else none."""
        if not self.joint.sought.is_one:
            return X.new_zeros(X.shape[:-1])
        return self.joint.noise_at(self.at_nodes(X)[..., 0, :])

    def condition_on_observations(self, X: Tensor, Y: Tensor, **kwargs: Any) -> "TargetProcess":
        """The target after more observations of f; see `JointGaussianProcess`."""
        return self.joint.condition_on_observations(X, Y, **kwargs).target
