"""An exact Gaussian process with given hyperparameters: one Cholesky factor, closed forms.

Notation
--------
n, q, d     observations, points asked jointly, columns
X, Y        (*B, n, d), (*B, n, 1) observations, scores to be maximised
noise       (*B, n) variances of the noise in Y
m(x), a     prior mean (a constant and maybe a trend), signal variance
K           (*B, n, n) = a k(X, X) + diag(noise),   L L' = K
alpha       (*B, n, 1) = K^-1 (Y - m(X))
k*          (*b, q, n) = a k(x*, X)

    mean       = m(x*) + k* alpha                                Frazier (2018), Section 3
    covariance = a k(x*, x*) - V' V,    V = L^-1 k*'             (with noise: Section 5)

The batch shape B is empty for a fitted model; fantasies (a sampler's imagined observations)
give it one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from botorch.models.model import FantasizeMixin, Model
from botorch.posteriors import GPyTorchPosterior
from jaxtyping import Float as Shaped
from jaxtyping import Int as Indices
from torch import Tensor

from bayesopt.models.kernels import Features, correlate, kernel_named
from bayesopt.models.marginals import (
    Factors,
    by_distance,
    differentiable_moments,
    joined,
    moments,
    pull_back,
)
from bayesopt.models.posterior import ExactPosterior, cholesky
from bayesopt.models.trend import Trend


@dataclass(frozen=True)
class Hyperparameters:
    """What `fit` chooses.

    Parameters
    ----------
    lengthscale
        (d,) in units of the unit cube; for a category in units of "another choice".
    noise
        Variance of the noise of an observation whose own is not known.
    mean
        Constant prior mean.
    signal
        Prior variance.
    kernel
        Name of the kernel, as in `GaussianProcess`.
    shape
        nu or p of a kernel that has one.
    trend
        Coefficients (k,) of a polynomial that the prior mean has beside the constant (see
        `bayesopt.models.trend`): as many as there are columns that hold numbers, or twice as many;
        None for no trend.
    """

    lengthscale: Shaped[Tensor, " d"]
    noise: float
    mean: float
    signal: float = 1.0
    kernel: str = "matern52"
    shape: float | None = None
    trend: Shaped[Tensor, " k"] | None = None


class ExactGaussianProcess(Model, FantasizeMixin):  # type: ignore[misc]
    """Gaussian process regression with fixed hyperparameters, as a botorch Model.

    Any botorch acquisition works on it, and every output is differentiable in X.

    Parameters
    ----------
    X
        (*B, n, d) points of the unit cube.
    Y
        (*B, n, 1) scores.
    Yvar
        (*B, n, 1) noise variances; NaN takes the one of `hyperparameters`.
    hyperparameters
        Usually from `bayesopt.models.fit`.
    categories
        (column, number of choices) of the categorical columns.
    L
        The Cholesky factor of K when it is known already; computed when None.
    count
        (n, 1) how often each point was observed, where Y are means: the noise that
        `hyperparameters` give is divided by it. None: once.

    Raises
    ------
    SingularCovariance
        If K is not positive definite, whatever the jitter.

    Examples
    --------
    >>> X = torch.tensor([[0.1], [0.5], [0.9]], dtype=torch.float64)
    >>> h = Hyperparameters(torch.tensor([0.3], dtype=torch.float64), noise=0.0, mean=0.0)
    >>> model = ExactGaussianProcess(X, torch.sin(6 * X), torch.zeros(3, 1).double(), h)
    >>> round(float(model.posterior(X[:1]).mean), 6) == round(float(torch.sin(6 * X[0])), 6)
    True
    """

    def __init__(
        self,
        X: Shaped[Tensor, "*B n d"],
        Y: Shaped[Tensor, "*B n 1"],
        Yvar: Shaped[Tensor, "*B n 1"],
        hyperparameters: Hyperparameters,
        categories: tuple[tuple[int, int], ...] = (),
        L: Shaped[Tensor, "*B n n"] | None = None,
        count: Shaped[Tensor, "n 1"] | None = None,
    ) -> None:
        super().__init__()
        self.count = count
        self.features = Features(X.shape[-1], categories)
        self.hyperparameters = hyperparameters
        self.X, self.Y, self.Yvar = X, Y, Yvar
        self.kernel = kernel_named(hyperparameters.kernel, hyperparameters.shape)
        beta = hyperparameters.trend
        self.trend = None if beta is None else Trend(self.features.plain, beta)
        self.inverse_scale = 1.0 / hyperparameters.lengthscale[self.features.column_of]
        self.Z = self._scaled(X)
        self.L = self._factor() if L is None else L
        residual = torch.linalg.solve_triangular(self.L, Y - self._prior_mean(X), upper=False)
        self.alpha = torch.linalg.solve_triangular(self.L.mT, residual, upper=True).squeeze(-1)
        # With constant data the triangular inverse makes each of many small posteriors two
        # products; with a graph or a batch behind the data only the solves are differentiable.
        constant = X.dim() == 2 and not (X.requires_grad or Y.requires_grad)
        self.factors = self._factors() if constant else None
        self.eval()

    def _factor(self) -> Tensor:
        signal = self.hyperparameters.signal
        k = correlate(self.kernel, self.Z, self.Z)
        return cholesky(signal * k + torch.diag_embed(self._noise().squeeze(-1)), signal)

    def _noise(self) -> Tensor:
        """Variances (*B, n, 1) of the noise in Y, the inferred ones filled in."""
        inferred = self.hyperparameters.noise
        if self.count is None:
            return torch.where(self.Yvar.isnan(), inferred, self.Yvar)
        return torch.where(self.Yvar.isnan(), inferred / self.count, self.Yvar)

    def _factors(self) -> Factors:
        eye = torch.eye(len(self.X), dtype=self.X.dtype)
        L_inverse = torch.linalg.solve_triangular(self.L, eye, upper=False).contiguous()
        h = self.hyperparameters
        return Factors(self.kernel, h.signal, h.mean, self.Z, self.alpha, L_inverse)

    def _constant_factors(self) -> Factors:
        if self.factors is None:
            raise ValueError("Closed-form gradients need observations without batch and graph.")
        return self.factors

    def _prior_mean(self, X: Tensor) -> Tensor | float:
        """Prior mean (*b, n, 1), or the constant alone."""
        mean = self.hyperparameters.mean
        return mean if self.trend is None else mean + self.trend(X).unsqueeze(-1)

    def _scaled(self, X: Tensor) -> Tensor:
        return self.features.of(X) * self.inverse_scale

    @property
    def num_outputs(self) -> int:
        """One output."""
        return 1

    @property
    def batch_shape(self) -> torch.Size:
        """Batch shape B of the observations."""
        return self.X.shape[:-2]

    @property
    def likelihood(self) -> None:
        """No likelihood module: the noise is part of the model."""
        return None

    @property
    def train_inputs(self) -> tuple[Tensor]:
        """The observed points, under the name that some botorch acquisitions look for."""
        return (self.X,)

    @property
    def train_targets(self) -> Tensor:
        """The scores (*B, n), under the name that some botorch acquisitions look for."""
        return self.Y.squeeze(-1)

    @property
    def new_noise(self) -> Tensor:
        """Noise variance of the next observation: inferred, else the mean of the known."""
        if bool(self.Yvar.isnan().any()):
            return torch.as_tensor(self.hyperparameters.noise, dtype=self.Y.dtype)
        return self.Yvar.mean()

    def posterior(
        self,
        X: Shaped[Tensor, "*b q d"],
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: Any = None,
    ) -> GPyTorchPosterior:
        """Joint posterior at the q points of every batch; see botorch's `Model.posterior`."""
        if X.shape[-2] == 1 and self.factors is not None:
            mean, variance = self.marginals(X)
            covariance = variance.unsqueeze(-1)
        else:
            mean, covariance = self._joint(X)
        if observation_noise is not False:
            noise = self.new_noise if observation_noise is True else observation_noise.squeeze(-1)
            covariance = covariance + torch.diag_embed(noise.expand(mean.shape))
        posterior = ExactPosterior(mean, covariance, self.hyperparameters.signal)
        if posterior_transform is not None:
            return posterior_transform(posterior=posterior, X=X)
        return posterior

    def _joint(self, X: Tensor) -> tuple[Tensor, Tensor]:
        signal = self.hyperparameters.signal
        Z = self._scaled(X)
        k = signal * correlate(self.kernel, Z, self.Z)
        mean = (self._prior_mean(X) + k @ self.alpha.unsqueeze(-1)).squeeze(-1)
        V = torch.linalg.solve_triangular(self.L, k.mT, upper=False)
        covariance = signal * correlate(self.kernel, Z, Z) - V.mT @ V
        return mean, covariance

    def marginals(
        self, X: Shaped[Tensor, "*b d"]
    ) -> tuple[Shaped[Tensor, "*b"], Shaped[Tensor, "*b"]]:
        """Posterior mean and variance at every point on its own, with closed-form gradients."""
        if self.factors is None:
            mean, covariance = self._joint(X.unsqueeze(-2))
            return mean.squeeze(-1), covariance.squeeze(-1, -2)
        Z = self._scaled(X)
        flat = Z.reshape(-1, Z.shape[-1])
        nothing = flat.new_empty(len(self.X), 0)
        mean, variance, _ = differentiable_moments(flat, nothing, self.factors)
        mean, variance = mean.reshape(X.shape[:-1]), variance.reshape(X.shape[:-1])
        if self.trend is not None:
            mean = mean + self.trend(X)
        return mean, variance

    def marginals_with_gradients(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """`marginals` (b,), (b,), and their gradients (b, d), (b, d), without building a graph.

        Raises
        ------
        ValueError
            If the observations have a batch shape or a graph; differentiate `marginals` then.
        """
        factors, Z = self._constant_factors(), self._scaled(X)
        mean, variance, slope, V, _ = moments(Z, factors)
        P = torch.cat((slope * factors.alpha, slope * (V @ factors.L_inverse) * -2.0))
        gradient = self._by_column(pull_back(P, torch.cat((Z, Z)), factors))
        b = len(X)
        if self.trend is not None:
            mean = mean + self.trend(X)
            gradient[:b, self.trend.columns] += self.trend.slope(X)
        return mean, variance, gradient[:b], gradient[b:]

    def _by_column(self, by_feature: Tensor) -> Tensor:
        """Gradients (m, d) in the unit cube from those (m, F) in scaled features."""
        by_feature = by_feature * self.inverse_scale
        if not self.features.categories:
            return by_feature
        gradient = torch.zeros(len(by_feature), self.features.d, dtype=by_feature.dtype)
        plain = self.features.plain
        gradient[:, plain] = by_feature[:, : len(plain)]
        return gradient

    def covariance_weights(self, rows: Indices[Tensor, " r"]) -> Shaped[Tensor, "n r"]:
        """M with Cov_n(f(x), f(X_rows)) = k* M for any x, for some of the observed points.

        K^-1 diag(noise), where k* - k* K^-1 (K - diag(noise)) would cancel.
        """
        noise = self._noise()
        unit = torch.zeros(len(self.X), len(rows), dtype=self.X.dtype)
        unit[rows, torch.arange(len(rows))] = noise[rows, 0]
        return torch.cholesky_solve(unit, self.L)

    def beside(self, A: Shaped[Tensor, "r d"]) -> tuple[Factors, Shaped[Tensor, "p r"]]:
        """Factors and weights that covariances with any points are asked with.

        Those of observed points are as in `covariance_weights`; the others join the factors.
        """
        factors = self._constant_factors()
        same = (A.unsqueeze(1) == self.X).all(-1)
        known = same.any(1)
        wider, of_new = joined(factors, self._scaled(A[~known]))
        weights = of_new.new_zeros(len(of_new), len(A))
        weights[:, ~known] = of_new
        weights[: len(self.X), known] = self.covariance_weights(same[known].double().argmax(1))
        return wider, weights

    def marginals_and_covariances(
        self,
        X: Shaped[Tensor, "b d"],
        weights: Shaped[Tensor, "p r"],
        factors: Factors | None = None,
    ) -> tuple[Shaped[Tensor, " b"], Shaped[Tensor, " b"], Shaped[Tensor, "b r"]]:
        """`marginals`, and the posterior covariances with other points.

        Parameters
        ----------
        X
            (b, d) points.
        weights, factors
            (p, r) from `beside`, or (n, r) from `covariance_weights` and None.
        """
        factors, Z = factors or self._constant_factors(), self._scaled(X)
        mean, variance, covariance = differentiable_moments(Z, weights, factors)
        if self.trend is not None:
            mean = mean + self.trend(X)
        return mean, variance, covariance

    def moments_with_pull_back(
        self,
        X: Shaped[Tensor, "b d"],
        weights: Shaped[Tensor, "p r"],
        factors: Factors | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Callable[[Tensor, Tensor, Tensor], Tensor]]:
        """`marginals_and_covariances` without a graph, and how their derivatives become one in X.

        The last one maps the derivatives of any function in the moments, (b,), (b,) and (b, r),
        to its gradient (b, d).
        """
        Z = self._scaled(X)
        known, trend = factors or self._constant_factors(), self.trend
        mean, variance, slope, V, k = moments(Z, known)
        if trend is not None:
            mean = mean + trend(X)

        def to_gradient(by_mean: Tensor, by_variance: Tensor, by_covariance: Tensor) -> Tensor:
            P = by_distance(known, slope, V, by_mean, by_variance, by_covariance, weights)
            gradient = self._by_column(pull_back(P, Z, known))
            if trend is not None:
                gradient[:, trend.columns] += by_mean.unsqueeze(-1) * trend.slope(X)
            return gradient

        return mean, variance, k @ weights, to_gradient

    def condition_on_observations(
        self, X: Tensor, Y: Tensor, noise: Tensor | None = None, **kwargs: Any
    ) -> "ExactGaussianProcess":
        """The same process after more observations, by extending the Cholesky factor.

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
        m = X.shape[-2]
        inferred = bool(self.Yvar.isnan().any())
        if noise is None:
            noise = torch.full_like(Y, torch.nan) if inferred else self.new_noise
        Yvar = noise.expand(*batch, m, 1)
        resolved = torch.where(Yvar.isnan(), self.hyperparameters.noise, Yvar).squeeze(-1)

        signal = self.hyperparameters.signal
        Z = self._scaled(X)
        S = signal * correlate(self.kernel, self.Z, Z)
        C = signal * correlate(self.kernel, Z, Z) + torch.diag_embed(resolved)
        lower = torch.linalg.solve_triangular(self.L, S, upper=False).mT
        corner = cholesky(C - lower @ lower.mT, signal)

        n = self.X.shape[-2]
        L = torch.zeros(*batch, n + m, n + m, dtype=self.L.dtype)
        L[..., :n, :n], L[..., n:, :n], L[..., n:, n:] = self.L, lower, corner
        X, Y, Yvar = (
            torch.cat(
                (old.expand(*batch, *old.shape[-2:]), new.expand(*batch, *new.shape[-2:])), -2
            )
            for old, new in ((self.X, X), (self.Y, Y), (self.Yvar, Yvar))
        )
        count = None if self.count is None else torch.cat((self.count, self.count.new_ones(m, 1)))
        return ExactGaussianProcess(
            X, Y, Yvar, self.hyperparameters, self.features.categories, L, count
        )
