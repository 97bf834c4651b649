"""The posterior of values and slopes, given values and partial derivatives.

Notation
--------
n, N, d     points, rows (a value or one partial derivative each), columns
y, noise    (*B, N) observations and variances of their noise
w, D        (N,), (N, d): a row observes w f(x) + D' grad f(x); a value is w = 1, D = 0, the partial
            derivative in column j is w = 0, D = e_j
c, a        prior mean of a value (that of a slope is 0), signal variance
K           (*B, N, N) = a Cov(rows, rows) + diag(noise),   L L' = K     (see `kernels`)
alpha       (*B, N) = K^-1 (y - c w)
k*          (*b, m, N) = a Cov(what is asked, rows)

    mean       = c w* + k* alpha                                        Wu et al. (2017), Section 3
    covariance = a Cov(*, *) - V' V,    V = L^-1 k*'

Slopes are in units of the unit cube. Columns of categories have none.
"""

import torch
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.models.derivatives.kernels import SMOOTH, Functionals, covariances
from bayesopt.models.derivatives.marginals import DerivativeFactors
from bayesopt.models.derivatives.rows import (
    HyperparametersWithSlopes,
    Rows,
    expected_rows,
    joined,
    values_and_slopes_at,
    values_at,
)
from bayesopt.models.kernels import Features
from bayesopt.models.posterior import cholesky


class RowsPosterior:
    """What rows of values and partial derivatives say of any values and slopes.

    The half of `DerivativeGaussianProcess` that botorch does not ask for.
    """

    def _condition(
        self,
        observations: Rows,
        hyperparameters: HyperparametersWithSlopes,
        categories: tuple[tuple[int, int], ...],
        L: Shaped[Tensor, "*B N N"] | None,
    ) -> None:
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

    def _joint(self, asked: Functionals) -> tuple[Tensor, Tensor]:
        """Mean (*b, m) and covariance (*b, m, m) of any functionals."""
        k = self._covariances(asked, self.observed)
        prior_mean = self.hyperparameters.mean * asked.weight
        mean = prior_mean + (k @ self.alpha.unsqueeze(-1)).squeeze(-1)
        V = self._solve(k)
        return mean, self._covariances(asked, asked) - V @ V.mT

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

    @property
    def _next_directions(self) -> Tensor:
        """Directions (k, d) of the partials that the next observation is expected to have."""
        return torch.eye(self.rows.X.shape[-1], dtype=self.alpha.dtype)[self.rows.columns]

    def law_of_next(
        self, X: Shaped[Tensor, "m d"], noise: float, slope_noise: float
    ) -> tuple[Shaped[Tensor, " p"], Shaped[Tensor, "p p"]]:
        """Mean and Cholesky factor of the covariance of the observations with slopes at m points.

        There are p = m r of them, r = 1 + k as for `beside_slopes`, point by point; the noise
        counts.
        """
        new = expected_rows(X, self._next_directions, noise, slope_noise)
        asked = new.functionals(self.features, self.inverse_scale)
        mean, covariance = self._joint(asked)
        prior = self._covariances(asked, asked).diagonal()
        return mean, cholesky(covariance + torch.diag(new.noise), prior)
