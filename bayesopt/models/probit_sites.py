"""A latent Gaussian process that is seen through labels +1 and -1 alone: expectation propagation.

Notation
--------
S, n        priors that are treated together, observations
y           (n,) labels, +1 or -1
K, c        (S, n, n) prior covariance of the latent f, (S,) its prior mean
eps         share of labels that are wrong, whatever f is
g           f - c
tau, nu     (S, n) site i: exp(nu_i g_i - tau_i g_i^2 / 2) stands for the likelihood of y_i
m, v        (S, n) mean and variance of g_i with all sites; m-, v- without the i-th ("cavity")
Z_i         (S, n) E[P(y_i | f_i)] under the cavity

    P(y | f) = eps + (1 - 2 eps) Phi(y f)
    Z_i      = eps + (1 - 2 eps) Phi(z_i),   z_i = y_i (c + m-) / sqrt(1 + v-)     R&W (2006), (3.58)
    tilted:    mean m- + v- u,  variance v- + v-^2 w,   u = d log Z_i / dm-,  w = du / dm-
    site:      what turns the cavity into the tilted law                           R&W, Eq. (3.59)
    log Z    = nu' m / 2 - log|B| / 2 + sum_i log Z_i + G(m-, v-) - G(m, v),
               B = I + T^1/2 K T^1/2,  T = diag(tau),  G(m, v) = m^2 / (2 v) + log(v) / 2
               (Eq. 3.65 in another order)
    d log Z / dK = (b b' - R) / 2,   R = (K + T^-1)^-1,   b = (I - R K) nu          R&W, Eq. (5.27)
    d log Z / dc = sum_i u_i

All sites change at once, which costs one Cholesky factor a sweep; half steps where that swings.
With eps > 0 a label that everything else speaks against has w > -u^2 that is positive: its site
keeps tau = 0, and only its mean is matched. Then log Z is stationary in nu, and its derivatives
above still hold.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float as Shaped
from torch import Tensor

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)
_MAX_SWEEPS = 100
_TOLERANCE = 1e-5
LEAST_PRECISION = 1e-8  # a site that says less is as good as none


@dataclass(frozen=True)
class Sites:
    """What the labels came to.

    Parameters
    ----------
    precision, linear
        (S, n) tau and nu.
    log_evidence
        (S,) log Z, the approximate log probability of all labels; -inf where K is singular.
    by_mean
        (S,) d log Z / dc.
    by_covariance
        (S, n, n) d log Z / dK.
    """

    precision: Shaped[Tensor, "S n"]
    linear: Shaped[Tensor, "S n"]
    log_evidence: Shaped[Tensor, " S"]
    by_mean: Shaped[Tensor, " S"]
    by_covariance: Shaped[Tensor, "S n n"]


def sites_of_labels(
    K: Shaped[Tensor, "S n n"],
    c: Shaped[Tensor, " S"],
    y: Shaped[Tensor, " n"],
    eps: float,
    start: tuple[Tensor, Tensor] | None = None,
) -> Sites:
    """Expectation propagation until no site changes any more.

    Parameters
    ----------
    K, c, y, eps
        Prior, labels and likelihood.
    start
        tau and nu (S, n) of a similar prior; None begins with sites that say nothing.
    """
    shape = K.shape[:-1]
    tau, nu = (
        start if start is not None else (K.new_full(shape, LEAST_PRECISION), K.new_zeros(shape))
    )
    step, before = 1.0, math.inf
    c = c.unsqueeze(-1)
    for _ in range(_MAX_SWEEPS):
        m, v, *_ = _posterior(K, tau, nu)
        free = 1.0 / (1.0 - tau * v).clamp_min(1e-10)
        v_cavity, m_cavity = v * free, (m - v * nu) * free
        _, u, w = _log_tilted(m_cavity + c, v_cavity, y, eps)
        new_tau = (-w / (1.0 + v_cavity * w).clamp_min(1e-10)).clamp_min(LEAST_PRECISION)
        new_nu = u + new_tau * (m_cavity + v_cavity * u)
        change = max(_change(tau, new_tau), _change(nu, new_nu))
        step = 1.0 if change < before else max(0.5 * step, 0.25)
        before = change
        tau, nu = torch.lerp(tau, new_tau, step), torch.lerp(nu, new_nu, step)
        if not change > _TOLERANCE:
            break
    return _with_evidence(K, c, y, eps, tau, nu)


def _change(old: Tensor, new: Tensor) -> float:
    return float(((new - old).abs() / (1.0 + old.abs())).max())


def _posterior(K: Tensor, tau: Tensor, nu: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """m, v, L and L^-1 T^1/2, where L L' = B: R&W, Eqs. (3.67-68)."""
    root = tau.sqrt().unsqueeze(-1)
    B = root * K * root.mT
    B.diagonal(dim1=-2, dim2=-1).add_(1.0)
    L, _ = torch.linalg.cholesky_ex(B)
    V = torch.linalg.solve_triangular(L, root * K, upper=False)
    v = K.diagonal(dim1=-2, dim2=-1) - V.square().sum(-2)
    column = nu.unsqueeze(-1)
    m = (K @ column - V.mT @ (V @ column)).squeeze(-1)
    return m, v, L, root


def _log_tilted(
    mean: Tensor, variance: Tensor, y: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """log Z_i for a cavity, and its first two derivatives in the mean."""
    scale = y / (1.0 + variance).sqrt()
    z = mean * scale
    log_Phi = torch.special.log_ndtr(z)
    log_Z = log_Phi
    if eps > 0.0:
        share = math.log1p(-2.0 * eps)
        log_Z = torch.logaddexp(log_Phi + share, torch.full_like(z, math.log(eps)))
        log_phi = share - 0.5 * z * z - _LOG_SQRT_2PI
    else:
        log_phi = -0.5 * z * z - _LOG_SQRT_2PI
    ratio = (log_phi - log_Z).exp()
    return log_Z, ratio * scale, -ratio * (z + ratio) * scale * scale


def _with_evidence(K: Tensor, c: Tensor, y: Tensor, eps: float, tau: Tensor, nu: Tensor) -> Sites:
    m, v, L, root = _posterior(K, tau, nu)
    free = 1.0 / (1.0 - tau * v).clamp_min(1e-10)
    v_cavity, m_cavity = v * free, (m - v * nu) * free
    log_Z, u, _ = _log_tilted(m_cavity + c, v_cavity, y, eps)
    difference = m_cavity * m_cavity / v_cavity - m * m / v + free.log()
    each = log_Z + 0.5 * (difference + nu * m)
    log_det = L.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    half = torch.linalg.solve_triangular(L, torch.diag_embed(root.squeeze(-1)), upper=False)
    R = half.mT @ half
    b = nu - (R @ (K @ nu.unsqueeze(-1))).squeeze(-1)
    value = each.sum(-1) - log_det
    return Sites(
        tau,
        nu,
        torch.where(value.isfinite(), value, -torch.inf),
        u.sum(-1),
        0.5 * (b.unsqueeze(-1) * b.unsqueeze(-2) - R),
    )
