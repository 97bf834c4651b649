"""Covariances of sites that move with sites that stay, and the way back to gradients.

Notation
--------
b, N, T     sites that move, sites that stay, terms of the covariance
F           number of features of the design columns
k_t, k_t'   (b, N) correlations of a term, and their slopes in s_t (see `bayesopt.models.kernels`)
G_t         (b, N) or (1, N) factors of the role columns
P           (b, N) derivatives of a function in the covariances

    C               = sum_t a_t G_t k_t
    d / d s_t       = P a_t G_t k_t'      carried on to the features by the kernel
    d / d G_t       = P a_t k_t

No graph is built: G_t may have one, which is the caller's.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.models.joint.covariance import Covariance, Sites

PullBack = Callable[[Tensor], tuple[Tensor, list[Tensor]]]
"""Maps P to the gradients in the features (b, F) and in every G_t (b, N)."""


class Fixed:
    """Sites that stay: their features are scaled once.

    Parameters
    ----------
    covariance
        Of one set of hyperparameters.
    *parts
        Points, or targets, one after the other.
    """

    def __init__(self, covariance: Covariance, *parts: Sites) -> None:
        self.covariance, self.parts = covariance, parts
        F = torch.cat([part.F for part in parts], dim=-2)
        self.Z = [F * scale for scale in covariance.inverse_scale]

    def and_also(self, sites: Sites) -> "Fixed":
        """More of them."""
        return Fixed(self.covariance, *self.parts, sites)

    def factors(self, sites: Sites) -> list[Tensor]:
        """G_t of sites, (b, N) or (1, N)."""
        of_parts = [self.covariance.factors(sites, part) for part in self.parts]
        rows = max(G.shape[-2] for of_part in of_parts for G in of_part)
        return [
            torch.cat(
                [
                    G.expand(rows, len(part.F))
                    for G, part in zip(of_term, self.parts, strict=True)
                ],
                dim=-1,
            )
            for of_term in zip(*of_parts, strict=True)
        ]

    def covariances(
        self, F: Shaped[Tensor, "b F"], G: list[Tensor]
    ) -> tuple[Shaped[Tensor, "b N"], PullBack]:
        """C at features of sites whose factors are known, and the way back."""
        kernel, scales = self.covariance.kernel, self.covariance.inverse_scale
        Z = [F * scale for scale in scales]
        pairs = [kernel(z, fixed) for z, fixed in zip(Z, self.Z, strict=True)]
        signals = self.covariance.signal
        weights = [a * g.detach() for a, g in zip(signals, G, strict=True)]
        C = weights[0] * pairs[0][0]
        for w, (k, _) in zip(weights[1:], pairs[1:], strict=True):
            C.addcmul_(w, k)

        def pull_back(P: Tensor) -> tuple[Tensor, list[Tensor]]:
            by_F = torch.zeros_like(F)
            for t, (_, slope) in enumerate(pairs):
                by_Z = kernel.pull_back(P * weights[t] * slope, Z[t], self.Z[t])
                by_F.addcmul_(by_Z, scales[t])
            return by_F, [P * (a * k) for a, (k, _) in zip(signals, pairs, strict=True)]

        return C, pull_back
