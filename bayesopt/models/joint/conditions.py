"""What is expected of the worst conditions of designs, in closed form for each sample.

Notation
--------
b, n, K     designs, observations, conditions: the nodes r_k of the target
F           number of features of a design
a, k(x)     prior variance, and (n,) correlations of a design with those that were observed
G           factor of the role columns: (n, K) of the observed ones with the nodes, G_0 (K, K) of
            the nodes with one another, the same for all designs
U           (K, q) a root of G_0 of its true rank:    G_0 = U U',  U = Q diag(l)^1/2
c           (n, q) = G Q diag(l)^-1/2,  so that G = c U'; h role columns
L, alpha    Cholesky factor of the covariance of the observations, (n,) K^-1 (Y - m)
p, level    weights of the conditions, and the level of CVaR

    f(x, r_k)   = m_k + [U g(x)]_k,    g ~ N(0, a I) before the observations
    mean        = m + (a k(x) alpha)' G                                  Frazier (2018), Section 3
    V           = L^-1 diag(a k(x)) c                                    (n, q)
    S           = a I - V'V = T T'      the covariance of g after them, T its Cholesky factor
    R           = U T                   a root of the covariance over the conditions (see `tail`)

    d E / d mean = w,    d E / d T = N = U' M                            (see `tail`)
    d E / d S    = 1/2 (B + B'),   B = T^-T Phi(T'N) T^-1,    Phi the lower triangle of a matrix
                   with half of its diagonal                             Murray (2016)
    d E / d V    = -2 V d E / d S

A factor that is smooth in few role columns has a rank far below K: 7 to 12 for 64 conditions in one
column. What is left out of G_0 is below 1e-12 of its largest eigenvalue.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.models.joint.covariance import Covariance, Sites
from bayesopt.models.joint.cross import Fixed
from bayesopt.models.joint.tail import Tail, expected_tail
from bayesopt.models.posterior import cholesky

_RANK = 1e-12  # smallest eigenvalue of G_0 that counts, relative to the largest
_BLOCK = 64  # designs whose samples fit into a cache

PullBack = Callable[[Tensor], Tensor]
"""Maps derivatives (b,) in what is expected to gradients (b, F) in the features."""


class Conditions:
    """The posterior of f under all conditions of a design.

    Parameters
    ----------
    covariance
        Of f: of one term, whose role columns do not move the design.
    observed
        The n sites that were observed.
    alpha, L_inverse
        (n,) and (n, n), as above.
    nodes, p, level
        (K, h) role columns and (K,) weights of the conditions; the level of CVaR.
    prior_mean
        (K,) m.
    """

    def __init__(
        self,
        covariance: Covariance,
        observed: Sites,
        alpha: Shaped[Tensor, " n"],
        L_inverse: Shaped[Tensor, "n n"],
        nodes: Shaped[Tensor, "K h"],
        p: Shaped[Tensor, " K"],
        level: float,
        prior_mean: Shaped[Tensor, " K"],
    ) -> None:
        self.L_inverse, self.p, self.level = L_inverse, p, level
        self.prior_mean = prior_mean
        self.fixed, self.a = Fixed(covariance, observed), covariance.signal.squeeze()
        (G,) = covariance.structure.factors(covariance.role, observed.r, nodes)
        (G_0,) = covariance.structure.factors(covariance.role, nodes, nodes)
        l, Q = torch.linalg.eigh(G_0)  # noqa: E741
        kept = l > _RANK * l[-1]
        l, Q = l[kept].flip(0), Q[:, kept].flip(1)  # noqa: E741
        self.U, self.c = Q * l.sqrt(), G @ (Q / l.sqrt())
        self.of_mean = alpha.unsqueeze(-1) * G

    def moments(
        self, F: Shaped[Tensor, "b F"]
    ) -> tuple[Shaped[Tensor, "b K"], Shaped[Tensor, "b K q"]]:
        """Posterior means, and a root R of the posterior covariance, of f under the conditions."""
        mean, _, T = self._after(self._correlated(F)[0])
        return mean, self.U @ T

    def tail(
        self, F: Shaped[Tensor, "b F"]
    ) -> tuple[Shaped[Tensor, " b"], Shaped[Tensor, "b K"], PullBack]:
        """Expected CVaR, its derivatives w in the means under the conditions, and the way back."""
        blocks = [self._tail_of(block) for block in torch.split(F, _BLOCK)]
        expected, weights, back = zip(*blocks, strict=True)

        def pull_back(by_expected: Tensor) -> Tensor:
            pairs = zip(back, torch.split(by_expected, _BLOCK), strict=True)
            return torch.cat([of_block(slope) for of_block, slope in pairs])

        return torch.cat(expected), torch.cat(weights), pull_back

    def _correlated(self, F: Tensor) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, Tensor]]]:
        """a k(x) (b, n), and the way back."""
        return self.fixed.covariances(F, F.new_ones(1, 1, len(self.c)))

    def _after(self, k: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Posterior means (b, K), V (b, n, q) and T (b, q, q)."""
        V = self.L_inverse @ (k.unsqueeze(-1) * self.c)
        S = self.a * torch.eye(V.shape[-1], dtype=V.dtype) - V.mT @ V
        return self.prior_mean + k @ self.of_mean, V, cholesky(S, self.a)

    def _tail_of(self, F: Tensor) -> tuple[Tensor, Tensor, PullBack]:
        k, carried_back = self._correlated(F)
        mean, V, T = self._after(k)
        found = expected_tail(mean, self.U @ T, self.p, self.level)
        weights = found.weights

        def pull_back(by_expected: Tensor) -> Tensor:
            by_k = weights @ self.of_mean.T + self._by_root(found, T, V)
            by_F, _ = carried_back(by_k * by_expected.unsqueeze(-1))
            return by_F

        return found.expected, weights, pull_back

    def _by_root(self, found: Tail, T: Tensor, V: Tensor) -> Tensor:
        """d E / d (a k) (b, n), the means as they are."""
        P = (T.mT @ (self.U.T @ found.by_root)).tril()
        P.diagonal(dim1=-2, dim2=-1).mul_(0.5)
        P = torch.linalg.solve_triangular(T.mT, P, upper=True)
        P = torch.linalg.solve_triangular(T, P, upper=False, left=False)
        by_V = -(V @ (P + P.mT))
        by_k: Tensor = torch.linalg.vecdot(self.L_inverse.T @ by_V, self.c)
        return by_k
