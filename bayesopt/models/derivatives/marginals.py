"""Moments of a process with slopes at many points on their own, and the way back to gradients.

Notation
--------
m, N, r     points, observed rows, functionals that covariances are asked with
k*          (m, N) = a Cov(values at the points, rows)
alpha, L    of the process (see `posterior`),    V = k* L^-T
M           (N, r) with Cov_n(f(x), the r functionals) = k* M
A, S        s functionals that were not observed, (N, s) = a Cov(rows, A)

    mean       = c + k* alpha,          d mean / d k*_i       = alpha_i
    variance   = a - |V|^2,             d variance / d k*_i   = -2 (K^-1 k*)_i
    covariance = k* M,                  d covariance_r / d k*_i = M_ir

Functionals without observation join the others, with alpha = 0 and M = (-K^-1 S; I).
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bayesopt.models.derivatives.kernels import (
    CrossCovariance,
    Functionals,
    SmoothCorrelation,
    covariances,
)
from bayesopt.models.posterior import SMALLEST_VARIANCE


@dataclass(frozen=True)
class DerivativeFactors:
    """What the moments are made of, constant in the points.

    Parameters
    ----------
    correlation
        One of `SMOOTH`.
    signal, mean
        a and c.
    observed
        The N rows.
    alpha, L_inverse
        (N,) and (N, N).
    """

    correlation: SmoothCorrelation
    signal: float
    mean: float
    observed: Functionals
    alpha: Tensor
    L_inverse: Tensor


def moments(
    asked: Functionals, factors: DerivativeFactors
) -> tuple[CrossCovariance, Tensor, Tensor, Tensor, Tensor]:
    """What k* comes from; mean (m,), variance (m,), k* L^-T and k* (m, N) of values."""
    pair = CrossCovariance(factors.correlation, asked, factors.observed)
    k = pair.value * factors.signal
    return pair, *_moments(k, factors), k


def differentiable_moments(
    asked: Functionals, weights: Tensor, factors: DerivativeFactors
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (m,), variance (m,) and covariances (m, r) of values, with a graph."""
    k = factors.signal * covariances(factors.correlation, asked, factors.observed)
    mean, variance, _ = _moments(k, factors)
    return mean, variance, k @ weights


def _moments(k: Tensor, factors: DerivativeFactors) -> tuple[Tensor, Tensor, Tensor]:
    signal = factors.signal
    mean = torch.mv(k, factors.alpha) + factors.mean
    V = k @ factors.L_inverse.T
    variance = signal - torch.linalg.vecdot(V, V)
    smallest = SMALLEST_VARIANCE * signal
    V = V.masked_fill((variance < smallest).unsqueeze(-1), 0.0)  # no slope where it is rounding
    return mean, variance.clamp_min(smallest), V


def by_covariances(
    factors: DerivativeFactors,
    V: Tensor,
    by_mean: Tensor,
    by_variance: Tensor,
    by_covariance: Tensor,
    weights: Tensor,
) -> Tensor:
    """Derivatives (m, N) in k* / a of a function of mean, variance and k* M."""
    by_k = (V @ factors.L_inverse) * (-2.0 * by_variance).unsqueeze(-1)
    by_k = by_k.addcmul_(by_mean.unsqueeze(-1), factors.alpha).addmm_(by_covariance, weights.T)
    return by_k.mul_(factors.signal)


def with_others(factors: DerivativeFactors, A: Functionals) -> tuple[DerivativeFactors, Tensor]:
    """Factors that know s functionals without observation, and their M (N + s, s)."""
    S = factors.signal * covariances(factors.correlation, factors.observed, A)
    N, s = S.shape
    nothing = S.new_zeros(N, s)
    wider = replace(
        factors,
        observed=factors.observed.followed_by(A),
        alpha=torch.cat((factors.alpha, nothing.new_zeros(s))),
        L_inverse=torch.cat((factors.L_inverse, nothing), dim=1),
    )
    solved = factors.L_inverse.T @ (factors.L_inverse @ S)
    return wider, torch.cat((-solved, torch.eye(s, dtype=S.dtype)))
