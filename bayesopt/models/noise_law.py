"""How large the noise is at any point: a Gaussian process on the logarithm of its variance.

Notation
--------
k, d        points that the noise was learnt at, columns
lambda(x)   variance of the noise of one observation at x
g(x)        log lambda(x), a process with mean m and kernel C (a small nugget on its diagonal)
alpha, R    of its posterior:  mean = m + C(x, X) alpha,   variance = C(x, x) - |R C(X, x)|^2

    lambda(x) = E[exp g(x)] = exp(mean + variance / 2)

What is not known of g makes noise larger: where nothing was observed it is that of the level m
times exp(C(x, x) / 2).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.models.kernels import Features, correlate, kernel_named
from bayesopt.models.marginals import (
    Factors,
    by_distance,
    differentiable_moments,
    moments,
    pull_back,
)

SPREAD = 1.5
"""Standard deviation of g a priori: by a factor of 20 to either side of the level."""

_LENGTHSCALE = 0.3  # times sqrt d, somewhat shorter than that of f a priori
_NUGGET = 1e-4
_KERNEL = "matern52"


@dataclass(frozen=True)
class NoiseLaw:
    """lambda at any point of the unit cube.

    Parameters
    ----------
    features
        Columns as the kernel sees them.
    factors
        The posterior of g, in scaled features.
    """

    features: Features
    factors: Factors

    @property
    def typical(self) -> Tensor:
        """Median of lambda over the points that it was learnt at, without a shape."""
        with torch.no_grad():
            mean, variance, *_ = moments(self.factors.Z, self.factors)
        return (mean + 0.5 * variance).exp().median()

    def at(self, X: Shaped[Tensor, "*b d"]) -> Shaped[Tensor, "*b"]:
        """lambda at every point, differentiable."""
        Z = (self.features.of(X) * self._inverse_scale).reshape(-1, self.factors.Z.shape[-1])
        nothing = Z.new_empty(len(self.factors.Z), 0)
        mean, variance, _ = differentiable_moments(Z, nothing, self.factors)
        return (mean + 0.5 * variance).exp().reshape(X.shape[:-1])

    def with_pull_back(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Shaped[Tensor, " b"], Callable[[Tensor], Tensor]]:
        """lambda (b,) without a graph, and the map from derivatives in it (b,) to gradients."""
        Z, factors = self.features.of(X) * self._inverse_scale, self.factors
        mean, variance, slope, V, _ = moments(Z, factors)
        value = (mean + 0.5 * variance).exp()

        def to_gradient(by_value: Tensor) -> Tensor:
            by_mean = by_value * value
            nothing = by_mean.new_empty(len(by_mean), 0)
            weights = by_mean.new_empty(len(factors.Z), 0)
            P = by_distance(factors, slope, V, by_mean, 0.5 * by_mean, nothing, weights)
            by_feature = pull_back(P, Z, factors) * self._inverse_scale
            gradient, plain = torch.zeros_like(X), self.features.plain
            gradient[:, plain] = by_feature[:, : len(plain)]
            return gradient

        return value, to_gradient

    @property
    def _inverse_scale(self) -> float:
        return _inverse_scale(self.features)


def _inverse_scale(features: Features) -> float:
    return 1.0 / (_LENGTHSCALE * math.sqrt(features.d))


class LatentNoise:
    """What g may be at k points, before anything is known of it.

    With C + nugget = L L' its values are m + B u there, B = C L'^-1, and u is standard normal.

    Parameters
    ----------
    X
        (k, d) distinct points of the unit cube.
    categories
        (column, number of choices) of the categorical columns.
    """

    def __init__(self, X: Shaped[Tensor, "k d"], categories: tuple[tuple[int, int], ...]) -> None:
        self.features = Features(X.shape[-1], categories)
        self.Z = self.features.of(X) * _inverse_scale(self.features)
        self.kernel = kernel_named(_KERNEL, None)
        self.eye = torch.eye(len(X), dtype=X.dtype)
        C = SPREAD**2 * correlate(self.kernel, self.Z, self.Z)
        self.L = torch.linalg.cholesky(C + SPREAD**2 * _NUGGET * self.eye)
        self.B = torch.linalg.solve_triangular(self.L, C, upper=False).T

    def known(self, g: Shaped[Tensor, " k"]) -> NoiseLaw:
        """The law where g is known at all points, up to the nugget."""
        m = float(g.mean())
        u = torch.linalg.solve_triangular(self.L, (g - m).unsqueeze(-1), upper=False).squeeze(-1)
        return self._law(m, u, self.eye)

    def found(
        self, m: float, u: Shaped[Tensor, " k"], information: Shaped[Tensor, "k k"]
    ) -> NoiseLaw:
        """The law around the most likely g, by Laplace's method.

        u has the variance (I + B' F B)^-1. Its mean is above its mode: with k residuals behind a
        variance, that is known from above better than from below. The third derivative of the
        likelihood in g, which is about the diagonal of F, says by how much.

        Parameters
        ----------
        m, u
            The level, and where u is most likely.
        information
            F, that of the observations on g at all points.
        """
        value, Q = torch.linalg.eigh(self.B.T @ information @ self.B)
        value = value.clamp_min(0.0)
        learnt = (value / (1.0 + value)).sqrt().unsqueeze(-1) * Q.T  # I less the variance of u
        variance_of_u = (Q / (1.0 + value)) @ Q.T
        variance = ((self.B @ variance_of_u) * self.B).sum(-1)
        shift = 0.5 * variance_of_u @ (self.B.T @ (information.diagonal() * variance))
        return self._law(m, u + shift, learnt)

    def _law(self, m: float, u: Tensor, learnt: Tensor) -> NoiseLaw:
        """`learnt` (k, k): its square is what is known of u."""
        inverse = torch.linalg.solve_triangular(self.L, self.eye, upper=False)
        alpha, R = inverse.T @ u, (learnt @ inverse).contiguous()
        return NoiseLaw(self.features, Factors(self.kernel, SPREAD**2, m, self.Z, alpha, R))
