"""What the next observation of a value and slopes tells about the values at other points.

Notation
--------
m, k, r     fixed points; slopes that are observed, with the value r = 1 + k numbers
theta       (k, d) directions of the slopes, where they are not partial derivatives
C           (*b, m, r) = Cov_n(f(x'), (f, grad f)(x)), or with theta' grad f for grad f
S           (*b, r, r) = Cov_n((f, grad f)(x)) + diag(noise) = L L'
Z           (r,) standard normal

    mean_{n+1}(x') = mean_n(x') + C L^-T Z                      Wu et al. (2017), Section 3.2
"""

import torch
from torch import Tensor

from bayesopt.models.derivatives.kernels import Functionals, covariances
from bayesopt.models.derivatives.marginals import DerivativeFactors
from bayesopt.models.derivatives.rows import joined
from bayesopt.models.posterior import positive_definite

_LEAST_NOISE = 1e-8  # relative to the prior variances


class Told:
    """What observations at any points tell about fixed ones.

    Parameters
    ----------
    factors
        Of the process.
    reported
        The m values.
    noise, slope_noise
        Variances of the noise of the next value, and of a slope along a direction of length 1.
    """

    def __init__(
        self, factors: DerivativeFactors, reported: Functionals, noise: Tensor, slope_noise: Tensor
    ) -> None:
        self.factors, self.reported = factors, reported
        self.noise, self.slope_noise = noise, slope_noise
        between = self._covariances(factors.observed, reported)
        solved = factors.L_inverse.T @ (factors.L_inverse @ between)
        self.tied = torch.cat((factors.alpha.unsqueeze(-1), solved), dim=-1)

    def _covariances(self, A: Functionals, B: Functionals) -> Tensor:
        return self.factors.signal * covariances(self.factors.correlation, A, B)

    def by(self, seen: Functionals, directions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean (*b,) of the value that is observed; C (*b, m + 1, r), its row last; S (*b, r, r).

        Parameters
        ----------
        seen
            What is observed, from `values_and_slopes_at`.
        directions
            Of the slopes, (k, d) or (*b, k, d).
        """
        flat, (*batch, r) = joined(seen), seen.Z.shape[:-1]
        k = self._covariances(flat, self.factors.observed)
        known = (k @ self.tied).reshape(*batch, r, -1)
        C = self._covariances(flat, self.reported).reshape(*batch, r, -1) - known[..., 1:]
        V = (k @ self.factors.L_inverse.T).reshape(*batch, r, -1)
        prior = self._covariances(seen, seen)
        S = prior - V @ V.mT
        of_slopes = self.slope_noise.to(k.dtype) * directions.square().sum(-1)
        of_value = self.noise.to(k.dtype).expand(*of_slopes.shape[:-1], 1)
        noise = torch.cat((of_value, of_slopes), dim=-1)
        scale = prior.diagonal(dim1=-2, dim2=-1)
        noise = noise.maximum(_LEAST_NOISE * scale)
        with_own = torch.cat((C, S[..., :1]), dim=-1).mT
        # Rounding is proportional to the prior variances, also where hardly any variance is left.
        S = positive_definite(S + torch.diag_embed(noise), scale.detach())
        return known[..., 0, 0] + self.factors.mean, with_own, S
