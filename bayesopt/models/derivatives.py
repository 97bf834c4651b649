"""A Gaussian process on values and partial derivatives together, with given hyperparameters.

Notation
--------
n, N, d     points, rows (a value or one partial derivative each), columns
y, noise    (*B, N) observations and variances of their noise
w, D        (N,), (N, d): a row observes w f(x) + D' grad f(x); a value is w = 1, D = 0, the partial
            derivative in column j is w = 0, D = e_j
c, a        prior mean of a value (that of a slope is 0), signal variance
K           (*B, N, N) = a Cov(rows, rows) + diag(noise),   L L' = K     (see `derivative_kernels`)
alpha       (*B, N) = K^-1 (y - c w)
k*          (*b, m, N) = a Cov(what is asked, rows)

    mean       = c w* + k* alpha                                        Wu et al. (2017), Section 3
    covariance = a Cov(*, *) - V' V,    V = L^-1 k*'

Slopes are in units of the unit cube. Columns of categories have none.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from botorch.models.model import FantasizeMixin, Model
from botorch.posteriors import GPyTorchPosterior
from jaxtyping import Float as Shaped
from jaxtyping import Int as Indices
from torch import Tensor

from bayesopt.models.derivative_kernels import SMOOTH, Functionals, covariances
from bayesopt.models.derivative_marginals import (
    DerivativeFactors,
    by_covariances,
    differentiable_moments,
    moments,
    with_others,
)
from bayesopt.models.derivative_next import Told
from bayesopt.models.derivative_rows import (
    HyperparametersWithSlopes,
    Rows,
    expected_rows,
    joined,
    values_and_slopes_at,
    values_at,
    values_only,
)
from bayesopt.models.kernels import Features
from bayesopt.models.posterior import ExactPosterior, cholesky

OfNext = Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor, Tensor]]


class DerivativeGaussianProcess(Model, FantasizeMixin):  # type: ignore[misc]
    """Regression on values and slopes with fixed hyperparameters, as a botorch Model of the value.

    It answers what `ExactGaussianProcess` answers, and with the law of slopes. The posteriors
    are differentiable in X once.

    Parameters
    ----------
    observations
        Usually from `rows`.
    hyperparameters
        Usually from `bayesopt.models.derivative_fit`; the kernel is one that has slopes, "rbf" or
        "matern52", and there is no trend.
    categories
        (column, number of choices) of the categorical columns.
    L
        The Cholesky factor of K when it is known already; computed when None.

    Raises
    ------
    ValueError
        If the kernel has no slopes, or there is a trend.
    SingularCovariance
        If K is not positive definite, whatever the jitter.

    Examples
    --------
    >>> from bayesopt.models.derivative_rows import rows
    >>> X = torch.tensor([[0.2], [0.8]], dtype=torch.float64)
    >>> nothing = torch.zeros(2, 1, dtype=torch.float64)
    >>> seen = rows(X, torch.sin(6 * X), nothing, 6 * torch.cos(6 * X), nothing)
    >>> h = HyperparametersWithSlopes(torch.tensor([0.3]).double(), 0.0, 0.0, kernel="rbf")
    >>> mean, _ = DerivativeGaussianProcess(seen, h).values_and_slopes(X[:1])
    >>> [round(number, 6) for number in mean[0].tolist()]
    [0.932039, 2.174147]
    """

    def __init__(
        self,
        observations: Rows,
        hyperparameters: HyperparametersWithSlopes,
        categories: tuple[tuple[int, int], ...] = (),
        L: Shaped[Tensor, "*B N N"] | None = None,
    ) -> None:
        super().__init__()
        if hyperparameters.kernel not in SMOOTH or hyperparameters.trend is not None:
            raise ValueError(
                f"A process with slopes has a kernel of {', '.join(map(repr, SMOOTH))} and a "
                f"constant mean, but got the kernel {hyperparameters.kernel!r}"
                + (" and a trend." if hyperparameters.trend is not None else ".")
            )
        self.rows, self.hyperparameters = observations, hyperparameters
        self.features = Features(observations.X.shape[-1], categories)
        self.correlation = SMOOTH[hyperparameters.kernel]
        self.inverse_scale = 1.0 / hyperparameters.lengthscale[self.features.column_of]
        self.observed = observations.functionals(self.features, self.inverse_scale)
        self.noise = observations.resolved_noise(hyperparameters)
        self.L = self._factor() if L is None else L
        residual = observations.y - hyperparameters.mean * observations.weight
        self.alpha = torch.cholesky_solve(residual.unsqueeze(-1), self.L).squeeze(-1)
        # With constant data the triangular inverse makes each of many small posteriors two
        # products; with a graph or a batch behind the data only the solves are differentiable.
        constant = observations.X.dim() == 2 and not self.L.requires_grad
        self.factors = self._factors() if constant and not self.alpha.requires_grad else None
        self.eval()

    def _factor(self) -> Tensor:
        K = self._covariances(self.observed, self.observed)
        return cholesky(K + torch.diag_embed(self.noise), K.diagonal(dim1=-2, dim2=-1))

    def _factors(self) -> DerivativeFactors:
        eye = torch.eye(len(self.L), dtype=self.L.dtype)
        L_inverse = torch.linalg.solve_triangular(self.L, eye, upper=False).contiguous()
        h = self.hyperparameters
        return DerivativeFactors(
            self.correlation, h.signal, h.mean, self.observed, self.alpha, L_inverse
        )

    def _constant_factors(self) -> DerivativeFactors:
        if self.factors is None:
            raise ValueError("Closed-form gradients need observations without batch and graph.")
        return self.factors

    def _covariances(self, A: Functionals, B: Functionals) -> Tensor:
        k: Tensor = self.hyperparameters.signal * covariances(self.correlation, A, B)
        return k

    def _values(self, X: Tensor) -> Functionals:
        return values_at(X, self.features, self.inverse_scale)

    def _with_slopes(self, X: Tensor, directions: Tensor | None = None) -> Functionals:
        if directions is None:
            directions = torch.eye(X.shape[-1], dtype=X.dtype)
        return values_and_slopes_at(X, directions, self.features, self.inverse_scale)

    def _solve(self, k: Tensor) -> Tensor:
        """V' (*b, m, N) from k* (*b, m, N)."""
        if self.factors is not None:
            return k @ self.factors.L_inverse.T
        V: Tensor = torch.linalg.solve_triangular(self.L, k.mT, upper=False)
        return V.mT

    @property
    def num_outputs(self) -> int:
        """One output, the value."""
        return 1

    @property
    def batch_shape(self) -> torch.Size:
        """Batch shape B of the observations."""
        return self.rows.X.shape[:-2]

    @property
    def likelihood(self) -> None:
        """No likelihood module: the noise is part of the model."""
        return None

    @property
    def X(self) -> Shaped[Tensor, "*B n d"]:
        """The points whose values are observed."""
        return self.rows.X[..., self.rows.of_values, :]

    @property
    def train_inputs(self) -> tuple[Tensor]:
        """The same, under the name that some botorch acquisitions look for."""
        return (self.X,)

    @property
    def train_targets(self) -> Tensor:
        """The scores (*B, n), under the name that some botorch acquisitions look for."""
        return self.rows.y[..., self.rows.of_values]

    @property
    def new_noise(self) -> Tensor:
        """Noise variance of the next value: inferred, else the mean of the known."""
        return self._new_noise(self.rows.weight > 0.0, self.hyperparameters.noise)

    @property
    def new_slope_noise(self) -> Tensor:
        """Noise variance of the next partial derivative, likewise; 0 where none was observed."""
        return self._new_noise(self.rows.weight == 0.0, self.hyperparameters.slope_noise)

    def _new_noise(self, kind: Tensor, inferred: float) -> Tensor:
        noise = self.rows.noise[..., kind]
        if noise.shape[-1] == 0 or bool(noise.isnan().any()):
            return torch.as_tensor(inferred, dtype=noise.dtype)
        return noise.mean()

    def posterior(
        self,
        X: Shaped[Tensor, "*b q d"],
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: Any = None,
    ) -> GPyTorchPosterior:
        """Joint posterior of the values at q points of every batch; see botorch's `posterior`."""
        if X.shape[-2] == 1 and self.factors is not None:
            mean, variance = self.marginals(X)
            covariance = variance.unsqueeze(-1)
        else:
            mean, covariance = self._joint(self._values(X))
        if observation_noise is not False:
            noise = self.new_noise if observation_noise is True else observation_noise.squeeze(-1)
            covariance = covariance + torch.diag_embed(noise.expand(mean.shape))
        posterior = ExactPosterior(mean, covariance, self.hyperparameters.signal)
        if posterior_transform is not None:
            return posterior_transform(posterior=posterior, X=X)
        return posterior

    def _joint(self, asked: Functionals) -> tuple[Tensor, Tensor]:
        """Mean (*b, m) and covariance (*b, m, m) of any functionals."""
        k = self._covariances(asked, self.observed)
        prior_mean = self.hyperparameters.mean * asked.weight
        mean = prior_mean + (k @ self.alpha.unsqueeze(-1)).squeeze(-1)
        V = self._solve(k)
        return mean, self._covariances(asked, asked) - V @ V.mT

    def values_and_slopes(
        self, X: Shaped[Tensor, "*b d"], directions: Shaped[Tensor, "*#b k d"] | None = None
    ) -> tuple[Shaped[Tensor, "*b r"], Shaped[Tensor, "*b r r"]]:
        """Joint posterior of the value and the slopes at every point on its own.

        Parameters
        ----------
        X
            (*b, d) points.
        directions
            theta, (k, d) or (*b, k, d): the slopes are theta' grad f. None: all d partials.

        Returns
        -------
        mean, covariance
            (*b, r) and (*b, r, r), the value first, r = 1 + k.
        """
        return self._joint(self._with_slopes(X, directions))

    def joint_values_and_slopes(
        self, X: Shaped[Tensor, "*b q d"]
    ) -> tuple[Shaped[Tensor, "*b m"], Shaped[Tensor, "*b m m"]]:
        """Joint posterior of the values and all slopes at q points, m = q (1 + d), by points."""
        return self._joint(joined(self._with_slopes(X), keep=X.dim() - 2))

    def marginals(
        self, X: Shaped[Tensor, "*b d"]
    ) -> tuple[Shaped[Tensor, "*b"], Shaped[Tensor, "*b"]]:
        """Posterior mean and variance of the value at every point on its own, differentiable."""
        if self.factors is None:
            mean, covariance = self._joint(self._values(X.unsqueeze(-2)))
            return mean.squeeze(-1), covariance.squeeze(-1, -2)
        nothing = self.alpha.new_empty(len(self.alpha), 0)
        mean, variance, _ = self.marginals_and_covariances(X.reshape(-1, X.shape[-1]), nothing)
        return mean.reshape(X.shape[:-1]), variance.reshape(X.shape[:-1])

    def marginals_with_gradients(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """`marginals` (b,), (b,), and their gradients (b, d), (b, d), without building a graph.

        Raises
        ------
        ValueError
            If the observations have a batch shape or a graph; differentiate `marginals` then.
        """
        nothing = self.alpha.new_empty(len(self.alpha), 0)
        mean, variance, none, to_gradient = self.moments_with_pull_back(X, nothing)
        one, zero = torch.ones_like(mean), torch.zeros_like(mean)
        return mean, variance, to_gradient(one, zero, none), to_gradient(zero, one, none)

    def covariance_weights(self, points: Indices[Tensor, " r"]) -> Shaped[Tensor, "N r"]:
        """M with Cov_n(f(x), f(X_points)) = k* M for any x, for some of the points `X`.

        K^-1 diag(noise), where k* - k* K^-1 (K - diag(noise)) would cancel.
        """
        index = self.rows.of_values[points]
        unit = torch.zeros(len(self.alpha), len(index), dtype=self.alpha.dtype)
        unit[index, torch.arange(len(index))] = self.noise[index]
        return torch.cholesky_solve(unit, self.L)

    def beside(self, A: Shaped[Tensor, "m d"]) -> tuple[DerivativeFactors, Shaped[Tensor, "p m"]]:
        """Factors and weights that covariances with the values at any points are asked with.

        Those of observed points are as in `covariance_weights`; the others join the factors.
        """
        same = (A.unsqueeze(1) == self.X).all(-1)
        known = same.any(1)
        wider, of_new = with_others(self._constant_factors(), self._values(A[~known]))
        weights = of_new.new_zeros(len(of_new), len(A))
        weights[:, ~known] = of_new
        of_known = self.covariance_weights(same[known].double().argmax(1))
        weights[: len(self.alpha), known] = of_known
        return wider, weights

    def beside_slopes(
        self, A: Shaped[Tensor, "m d"], directions: Shaped[Tensor, "*#m k d"] | None = None
    ) -> tuple[DerivativeFactors, Shaped[Tensor, "p s"]]:
        """The same for values and slopes at points, s = m (1 + k), point by point.

        Parameters
        ----------
        A
            (m, d) points.
        directions
            As in `values_and_slopes`; None: the partials in all columns where there was one.
        """
        directions = self._next_directions if directions is None else directions
        return with_others(self._constant_factors(), joined(self._with_slopes(A, directions)))

    def marginals_and_covariances(
        self,
        X: Shaped[Tensor, "b d"],
        weights: Shaped[Tensor, "p r"],
        factors: DerivativeFactors | None = None,
    ) -> tuple[Shaped[Tensor, " b"], Shaped[Tensor, " b"], Shaped[Tensor, "b r"]]:
        """`marginals`, and the posterior covariances with other points.

        Parameters
        ----------
        X
            (b, d) points.
        weights, factors
            (p, r) from `beside` or `beside_slopes`, or (N, r) from `covariance_weights` and None.
        """
        return differentiable_moments(self._values(X), weights, factors or self._constant_factors())

    def moments_with_pull_back(
        self,
        X: Shaped[Tensor, "b d"],
        weights: Shaped[Tensor, "p r"],
        factors: DerivativeFactors | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Callable[[Tensor, Tensor, Tensor], Tensor]]:
        """`marginals_and_covariances` without a graph, and how their derivatives become one in X.

        The last one maps the derivatives of any function in the moments, (b,), (b,) and (b, r),
        to its gradient (b, d).

        Raises
        ------
        ValueError
            As `marginals_with_gradients` does.
        """
        known = factors or self._constant_factors()
        pair, mean, variance, V, k = moments(self._values(X), known)

        def to_gradient(by_mean: Tensor, by_variance: Tensor, by_covariance: Tensor) -> Tensor:
            by_k = by_covariances(known, V, by_mean, by_variance, by_covariance, weights)
            return self._by_column(pair.pull_back(by_k)[0])

        return mean, variance, k @ weights, to_gradient

    def _by_column(self, by_feature: Tensor) -> Tensor:
        """Gradients (m, d) in the unit cube from those (m, F) in scaled features."""
        by_feature = by_feature * self.inverse_scale
        if not self.features.categories:
            return by_feature
        gradient = torch.zeros(len(by_feature), self.features.d, dtype=by_feature.dtype)
        plain = self.features.plain
        gradient[:, plain] = by_feature[:, : len(plain)]
        return gradient

    @property
    def _next_directions(self) -> Tensor:
        """Directions (k, d) of the partials that the next observation is expected to have."""
        return torch.eye(self.rows.X.shape[-1], dtype=self.alpha.dtype)[self.rows.columns]

    def moments_with_next(
        self,
        A: Shaped[Tensor, "m d"],
        noise: float | None = None,
        slope_noise: float | None = None,
    ) -> OfNext:
        """What the next observation with slopes tells about the values at fixed points A.

        Parameters
        ----------
        A
            (m, d) points.
        noise, slope_noise
            Variances of the noise of the next value and of each of its partial derivatives; None:
            `new_noise` and `new_slope_noise`. They count as at least 1e-8 of the prior variances:
            without any, C and S are rounding errors at a point that is known.

        Returns
        -------
        of_next
            Maps X (*b, d) and directions (see `values_and_slopes`; None: the partials in all
            columns where there was one) to the posterior mean (*b,) of the value at X, to the
            posterior covariances C (*b, m + 1, r) of f(A) and f(X) with what is observed at X, and
            to the covariance S (*b, r, r) of those observations, noise included; differentiable in
            both.

        Raises
        ------
        ValueError
            As `marginals_with_gradients` does.
        """
        directions = self._next_directions
        of_value = self.new_noise if noise is None else torch.as_tensor(noise)
        of_slope = self.new_slope_noise if slope_noise is None else torch.as_tensor(slope_noise)
        told = Told(self._constant_factors(), self._values(A), of_value, of_slope)

        def of_next(X: Tensor, along: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
            along = directions if along is None else along
            return told.by(self._with_slopes(X, along), along)

        return of_next

    def after_next(
        self,
        X: Shaped[Tensor, "m d"],
        Z: Shaped[Tensor, "s p"],
        noise: float | None = None,
        slope_noise: float | None = None,
    ) -> list["DerivativeGaussianProcess"]:
        """The process after each of s draws of the observations with slopes at m points.

        Parameters
        ----------
        X
            (m, d) points.
        Z
            (s, m r) standard normal numbers, r = 1 + k as for `beside_slopes`; zeros stand for
            what is expected.
        noise, slope_noise
            As in `moments_with_next`.
        """
        of_value = float(self.new_noise if noise is None else noise)
        of_slope = float(self.new_slope_noise if slope_noise is None else slope_noise)
        new = expected_rows(X, self._next_directions, of_value, of_slope)
        asked = new.functionals(self.features, self.inverse_scale)
        mean, covariance = self._joint(asked)
        scale = self._covariances(asked, asked).diagonal()
        of_draws = cholesky(covariance + torch.diag(new.noise), scale)
        L = self._extended(asked, new.noise, ())
        return [
            DerivativeGaussianProcess(
                self.rows.followed_by(replace(new, y=y), ()),
                self.hyperparameters,
                self.features.categories,
                L,
            )
            for y in mean + Z @ of_draws.T
        ]

    def condition_on_observations(
        self, X: Tensor, Y: Tensor, noise: Tensor | None = None, **kwargs: Any
    ) -> "DerivativeGaussianProcess":
        """The same process after more values, by extending the Cholesky factor.

        Parameters
        ----------
        X, Y
            (*b, m, d) points and (*B, m, 1) scores; batch shapes broadcast.
        noise
            (*b, m, 1) noise variances; None takes the inferred noise, or the mean of the known.
        **kwargs
            Ignored; botorch's fantasies pass options of other models.
        """
        # By NumPy: torch's own function loads sympy on its first call, for half a second.
        batch = np.broadcast_shapes(X.shape[:-2], Y.shape[:-2], self.batch_shape)
        old, m = self.rows, X.shape[-2]
        if noise is None:
            inferred = bool(old.noise[..., old.of_values].isnan().any())
            noise = torch.full_like(Y, torch.nan) if inferred else self.new_noise
        new = values_only(X, Y, noise.expand(*batch, m, 1), batch)
        both = old.followed_by(new, batch)
        L = self._extended(self._values(X), new.resolved_noise(self.hyperparameters), batch)
        return DerivativeGaussianProcess(both, self.hyperparameters, self.features.categories, L)

    def _extended(self, new: Functionals, noise: Tensor, batch: tuple[int, ...]) -> Tensor:
        """The Cholesky factor with rows more, (*batch, N + m, N + m)."""
        N, m = self.L.shape[-1], len(new.weight)
        lower = self._solve(self._covariances(new, self.observed))
        prior = self._covariances(new, new)
        L = torch.zeros(*batch, N + m, N + m, dtype=self.L.dtype)
        L[..., :N, :N], L[..., N:, :N] = self.L, lower
        corner = prior + torch.diag_embed(noise) - lower @ lower.mT
        L[..., N:, N:] = cholesky(corner, prior.diagonal(dim1=-2, dim2=-1))
        return L
