"""A Gaussian process on values and partial derivatives together, with given hyperparameters.

The formulas are in `posterior`, those of many points on their own in `marginals`. Slopes are in
units of the unit cube; columns of categories have none.
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

from bayesopt.models.derivatives.marginals import (
    DerivativeFactors,
    by_covariances,
    differentiable_moments,
    moments,
    with_others,
)
from bayesopt.models.derivatives.next import Told
from bayesopt.models.derivatives.posterior import RowsPosterior
from bayesopt.models.derivatives.rows import (
    HyperparametersWithSlopes,
    Rows,
    expected_rows,
    joined,
    values_only,
)
from bayesopt.models.posterior import ExactPosterior

OfNext = Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor, Tensor]]


class DerivativeGaussianProcess(RowsPosterior, Model, FantasizeMixin):  # type: ignore[misc]
    """Regression on values and slopes with fixed hyperparameters, as a botorch Model of the value.

    It answers what `ExactGaussianProcess` answers, and with the law of slopes. The posteriors
    are differentiable in X once.

    Parameters
    ----------
    observations
        Usually from `rows`.
    hyperparameters
        Usually from `bayesopt.models.derivatives.fit`; the kernel is one that has slopes, "rbf" or
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
    >>> from bayesopt.models.derivatives.rows import rows
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
        self._condition(observations, hyperparameters, categories, L)
        self.eval()

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
        self, X: Shaped[Tensor, "m d"], Y: Shaped[Tensor, "s p"], noise: float, slope_noise: float
    ) -> list["DerivativeGaussianProcess"]:
        """The process after each of s results at m points, numbers as in `law_of_next`."""
        new = expected_rows(X, self._next_directions, noise, slope_noise)
        L = self._extended(new.functionals(self.features, self.inverse_scale), new.noise, ())
        h, categories = self.hyperparameters, self.features.categories
        after = (self.rows.followed_by(replace(new, y=y), ()) for y in Y)
        return [DerivativeGaussianProcess(both, h, categories, L) for both in after]

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
