"""Moments of an exact process at many points on their own, and the way back to their gradients.

Notation
--------
m, n, r     points, observations, observed points that covariances are asked with
Z           (m, F) scaled features of the points
s           (m, n) what the kernel falls with (see `kernels`)
k*          (m, n) = a k(s),    slope = a dk/ds
alpha, L    of the process (see `exact`),    V = k* L^-T
M           (n, r) with Cov_n(f(x), f(X_r)) = k* M
A, S        m points that were not observed, (n, m) = a k(X, A)

    mean       = c + k* alpha,          d mean / d s_i       = alpha_i slope_i
    variance   = a - |V|^2,             d variance / d s_i   = -2 (K^-1 k*)_i slope_i
    covariance = k* M,                  d covariance_r / d s_i = M_ir slope_i

Points without observation join the others, with alpha = 0 and M = (-K^-1 S; I).
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bayesopt.models.kernels import Kernel
from bayesopt.models.posterior import SMALLEST_VARIANCE


@dataclass(frozen=True)
class Factors:
    """What the moments are made of, constant in the points.

    Parameters
    ----------
    kernel
        Its call gives correlation and slope.
    signal, mean
        a and c.
    Z
        (n, F) scaled features of the observations.
    alpha, L_inverse
        (n,) and (n, n).
    """

    kernel: Kernel
    signal: float
    mean: float
    Z: Tensor
    alpha: Tensor
    L_inverse: Tensor


def moments(Z: Tensor, factors: Factors) -> tuple[Tensor, ...]:
    """Mean and variance at scaled features (m, F); a dk/ds, k* L^-T and k* (m, n) beside.

    The mean is that without the trend, which is no function of features.
    """
    signal = factors.signal
    k, slope = factors.kernel(Z, factors.Z)
    if signal != 1.0:
        k, slope = k * signal, slope * signal
    mean = torch.mv(k, factors.alpha) + factors.mean
    V = k @ factors.L_inverse.T
    variance = signal - torch.linalg.vecdot(V, V)
    smallest = SMALLEST_VARIANCE * signal
    V = V.masked_fill((variance < smallest).unsqueeze(-1), 0.0)  # no slope where it is rounding
    return mean, variance.clamp_min(smallest), slope, V, k


def pull_back(P: Tensor, Z: Tensor, factors: Factors) -> Tensor:
    """Gradient in z (m, F) of sum_i P_i s_i, where s_i is what the kernel falls with."""
    return factors.kernel.pull_back(P, Z, factors.Z)


def joined(factors: Factors, Z: Tensor) -> tuple[Factors, Tensor]:
    """Factors that know points (m, F) without observation, and their M (n + m, m)."""
    S = factors.kernel(factors.Z, Z)[0] * factors.signal
    n, m = S.shape
    nothing = S.new_zeros(n, m)
    wider = replace(
        factors,
        Z=torch.cat((factors.Z, Z)),
        alpha=torch.cat((factors.alpha, nothing.new_zeros(m))),
        L_inverse=torch.cat((factors.L_inverse, nothing), dim=1),
    )
    solved = factors.L_inverse.T @ (factors.L_inverse @ S)
    return wider, torch.cat((-solved, torch.eye(m, dtype=S.dtype)))


def by_distance(
    factors: Factors,
    slope: Tensor,
    V: Tensor,
    by_mean: Tensor,
    by_variance: Tensor,
    by_covariance: Tensor,
    weights: Tensor,
) -> Tensor:
    """Derivatives (m, n) in s_i of a function of mean, variance and k* M."""
    P = (V @ factors.L_inverse) * (-2.0 * by_variance).unsqueeze(-1)
    P = P.addcmul_(by_mean.unsqueeze(-1), factors.alpha).addmm_(by_covariance, weights.T)
    return P.mul_(slope)


def differentiable_moments(
    Z: Tensor, weights: Tensor, factors: Factors
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (m,), variance (m,) and covariances (m, r) at scaled features (m, F), with a graph."""
    of_graph: tuple[Tensor, Tensor, Tensor]
    of_graph = _Moments.apply(Z, weights, factors)  # type: ignore[no-untyped-call]
    return of_graph


class _Moments(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx, Z: Tensor, weights: Tensor, factors: Factors
    ) -> tuple[Tensor, Tensor, Tensor]:
        mean, variance, slope, V, k = moments(Z, factors)
        ctx.save_for_backward(Z, slope, V, weights)
        ctx.factors = factors
        return mean, variance, k @ weights

    @staticmethod
    def backward(  # type: ignore[no-untyped-def]
        ctx, grad_mean: Tensor, grad_variance: Tensor, grad_covariance: Tensor
    ) -> tuple[Tensor, None, None]:
        if torch.is_grad_enabled():  # create_graph=True: they would come out wrong
            raise RuntimeError("Second derivatives of a posterior are not implemented.")
        Z, slope, V, weights = ctx.saved_tensors
        P = by_distance(ctx.factors, slope, V, grad_mean, grad_variance, grad_covariance, weights)
        return pull_back(P, Z, ctx.factors), None, None
