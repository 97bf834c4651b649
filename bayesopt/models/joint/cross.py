"""Covariances of sites that move with sites that stay, and the way back to gradients.

Notation
--------
b, N, T     sites that move, sites that stay, terms of the covariance
L           number of values of the role columns, where these are few
F           number of features of the design columns
k_t, k_t'   (b, N) correlations of a term, and their slopes in s_t (see `bayesopt.models.kernels`)
a_t, s_t    prior variance of a term, scaled squared distances of its features
G_t         (b, N) or (1, N) factors of the role columns
P           (b, N) derivatives of a function in the covariances

    C               = sum_t a_t G_t k_t
    d / d s_t       = P a_t G_t k_t'      carried on to the features by the kernel
    d / d G_t       = P a_t k_t

No graph is built: G_t may have one, which is the caller's. Where role columns have few values the
factors of all of them are kept.
"""

from collections.abc import Callable
from functools import cached_property

import torch
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.models.joint.covariance import Covariance, Sites

PullBack = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Maps P to the gradients in the features (b, F) and in the factors (T, b, N)."""


class Fixed:
    """Sites that stay: what is the same for all that move is done once.

    Parameters
    ----------
    covariance
        Of one set of hyperparameters.
    *parts
        Points, or targets, one after the other.
    few
        Stand-ins (L,) for all sites that move, where their role columns have few values.
    """

    def __init__(self, covariance: Covariance, *parts: Sites, few: Sites | None = None) -> None:
        self.covariance, self.parts, self.few = covariance, parts, few
        features = torch.cat([covariance.features(part) for part in parts], dim=-2)
        self.Z = features * covariance.inverse_scale

    def and_also(self, sites: Sites) -> "Fixed":
        """More of them."""
        return Fixed(self.covariance, *self.parts, sites, few=self.few)

    def factors(self, sites: Sites) -> Shaped[Tensor, "T b N"]:
        """G_t of sites; one row for all targets of the same weights."""
        of_parts = [self.covariance.factors(sites, part) for part in self.parts]
        rows = max(G.shape[-2] for of_part in of_parts for G in of_part)
        wide = [
            torch.stack([G.expand(rows, len(part.F)) for G in of_part])
            for of_part, part in zip(of_parts, self.parts, strict=True)
        ]
        return torch.cat(wide, dim=-1)

    @cached_property
    def factors_of_few(self) -> Shaped[Tensor, "T L N"]:
        """G_t of the stand-ins."""
        assert self.few is not None
        return self.factors(self.few)

    def covariances(
        self, F: Shaped[Tensor, "b F"], G: Shaped[Tensor, "T *b N"]
    ) -> tuple[Shaped[Tensor, "b N"], PullBack]:
        """C at features of sites whose factors are known, and the way back."""
        kernel, scales = self.covariance.kernel, self.covariance.inverse_scale
        signals, Z = self.covariance.signal, F * scales
        k, slope = kernel(Z, self.Z)
        weights = signals * G.detach()

        def pull_back(P: Tensor) -> tuple[Tensor, Tensor]:
            by_Z = kernel.pull_back(P * weights * slope, Z, self.Z)
            return (by_Z * scales).sum(0), P * signals * k

        return (weights * k).sum(0), pull_back
