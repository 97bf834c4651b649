"""Covariances of f at points, and of the target that is made of it.

Notation
--------
n, m, K     sites, sites, nodes of the target
x, r        design columns and role columns of a site
a_t, k_t    prior variance and correlation of the design columns in term t
G_t         factor of the role columns in term t (see `structures`)
P           (1, K) or (*b, n, K) weights of the nodes, the same for all targets or of each

    F(x)                    = sum_k P_k f(x, r_k)                        Frazier (2018), Section 5.5
    Cov(f(x, r), f(x', r')) = sum_t a_t G_t(r, r') k_t(x, x')             (see `structures`)
    Cov(F(x), f(x', r'))    = sum_t a_t [P G_t(nodes, r')] k_t(x, x')
    Cov(F(x), F(x'))        = sum_t a_t [P G_t(nodes, nodes) P'] k_t(x, x')

Integrals in closed form take the place of the sums over nodes where there are some.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.models.joint.structure import Structure
from bayesopt.models.kernels import Features, Kernel, correlate


@dataclass(frozen=True)
class Sites:
    """Where f is asked, or its target.

    Parameters
    ----------
    F
        (*b, n, F) features of the design columns.
    r
        (*b, n, c) role columns; of targets the nodes (K, c).
    weights
        None for points, P for targets.
    """

    F: Tensor
    r: Tensor
    weights: Tensor | None = None


@dataclass(frozen=True)
class Columns:
    """Which columns of a point are its design, and which have a role.

    Parameters
    ----------
    design, role
        Columns of the unit cube.
    features
        How the design columns become features.
    """

    design: list[int]
    role: list[int]
    features: Features

    def points(self, X: Shaped[Tensor, "*b n d"]) -> Sites:
        """f at points."""
        return Sites(self.features.of(X[..., self.design]), X[..., self.role])

    def targets(
        self, X: Shaped[Tensor, "*b n d"], nodes: Tensor, weights: Shaped[Tensor, "*p K"]
    ) -> Sites:
        """The target at the designs of points, whose role columns are not looked at."""
        return Sites(self.features.of(X[..., self.design]), nodes, weights)

    def by_column(self, by_feature: Shaped[Tensor, "b F"], d: int) -> Shaped[Tensor, "b d"]:
        """Gradients in all d columns of points from those in features of their design."""
        plain = self.features.plain
        gradient = by_feature.new_zeros(len(by_feature), d)
        gradient[:, [self.design[column] for column in plain]] = by_feature[:, : len(plain)]
        return gradient


Integrals = tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Tensor], Tensor]]
"""Integrals of G_0 over the law of the target: one maps hyperparameters (p,) and role columns
(*b, n, c) to (*b, n); the other, over both of its arguments, maps hyperparameters to a number."""


@dataclass(frozen=True)
class Covariance:
    """The sum of products, for some values of its hyperparameters.

    Parameters
    ----------
    kernel, structure
        Of the design columns, and of the role columns.
    inverse_scale
        (T, *S, 1, F) one over the length-scales.
    signal
        (T, *S, 1, 1) prior variances.
    role
        (*S, 1, 1, p) hyperparameters of the structure.
    integrals
        The integral of G_0 over the law of the target, and its double integral (*S); None: sums.
    """

    kernel: Kernel
    structure: Structure
    inverse_scale: Tensor
    signal: Tensor
    role: Tensor
    integrals: Integrals | None = None

    def between(self, one: Sites, other: Sites) -> Tensor:
        """Covariances (*b, n, m)."""
        F1, F2 = self.features(one), self.features(other)
        total: Tensor | float = 0.0
        for G, scale, a in zip(
            self.factors(one, other), self.inverse_scale, self.signal, strict=True
        ):
            total = total + a * G * correlate(self.kernel, F1 * scale, F2 * scale)
        assert isinstance(total, Tensor)
        return total

    def features(self, sites: Sites) -> Tensor:
        """(*b, n, F) features, where the role columns move them to."""
        return self.structure.moved(self.role, sites.F, sites.r)

    def factors(self, one: Sites, other: Sites) -> list[Tensor]:
        """G_t of every term, or their weighted sums; the row of a target stands for any of them."""
        shared = [s.weights is not None and len(s.weights) == 1 for s in (one, other)]
        if self.integrals is not None and any(shared):
            mean, double = self.integrals
            h = self.role[..., 0, 0, :]
            if all(shared):
                return [double(h)[..., None, None]]
            if shared[0]:
                return [_weigh(None, mean(h, other.r).unsqueeze(-2), other.weights)]
            return [_weigh(one.weights, mean(h, one.r).unsqueeze(-1), None)]
        factors = self.structure.factors(self.role, one.r, other.r)
        return [_weigh(one.weights, G, other.weights) for G in factors]

    def variance(self, sites: Sites) -> Tensor:
        """Prior variances (*b, n)."""
        if sites.weights is None:
            r = sites.r.unsqueeze(-2)
            factors = [G[..., 0, 0] for G in self.structure.factors(self.role, r, r)]
        elif self.integrals is not None and len(sites.weights) == 1:
            factors = [self.integrals[1](self.role[..., 0, 0, :])[..., None]]
        else:
            P = sites.weights
            factors = [
                (P @ G * P).sum(-1) for G in self.structure.factors(self.role, sites.r, sites.r)
            ]
        total = sum(a[..., 0] * G for a, G in zip(self.signal, factors, strict=True))
        assert isinstance(total, Tensor)
        return total.expand(np.broadcast_shapes(total.shape, sites.F.shape[:-1]))


def _weigh(P: Tensor | None, G: Tensor, Q: Tensor | None) -> Tensor:
    G = G if P is None else P @ G
    return G if Q is None else G @ Q.mT
