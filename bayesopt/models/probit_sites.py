"""A latent Gaussian process that is seen through labels +1 and -1 alone: expectation propagation.

Notation
--------
S, n        priors that are treated together, observations
y           (n,) labels, +1 or -1
K, c        (S, n, n) prior covariance of the latent f, (S,) its prior mean
g           f - c
tau, nu     (S, n) site i: exp(nu_i g_i - tau_i g_i^2 / 2) stands for the likelihood of y_i
m, v        (S, n) mean and variance of g_i with all sites; m-, v- without the i-th ("cavity")
Z_i         (S, n) E[P(y_i | f_i)] under the cavity,    r = phi(z_i) / Phi(z_i)

    P(y | f) = Phi(y f)
    Z_i      = Phi(z_i),   z_i = y_i (c + m-) / sqrt(1 + v-)            R&W (2006), Eq. (3.58)
    u        = d log Z_i / dm- = y_i r / sqrt(1 + v-)
    w        = d u / dm-       = -r (z_i + r) / (1 + v-)
    tilted     mean m- + v- u, variance v- + v-^2 w
    site       tau = -w / (1 + v- w),   nu = u + tau (m- + v- u): what turns the cavity into the
               tilted law                                               R&W, Eq. (3.59)
    log Z    = nu' m / 2 - log|B| / 2 + sum_i log Z_i + G(m-, v-) - G(m, v),
               B = I + T^1/2 K T^1/2,  T = diag(tau),  G(m, v) = m^2 / (2 v) + log(v) / 2
               (Eq. 3.65 in another order)
    d log Z / dK = (b b' - R) / 2,   R = (K + T^-1)^-1,   b = (I - R K) nu          R&W, Eq. (5.27)
    d log Z / dc = sum_i u_i

All sites change at once, by 0.7 of the step, which costs one Cholesky factor a sweep and takes
about 20. At the fixed point log Z is stationary in the sites, so that what stands here is its whole
derivative. Phi is log-concave: tau > 0, and all cavities are proper.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float as Shaped
from torch import Tensor

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)
_MAX_SWEEPS = 100
_STEP = 0.7  # whole steps swing where many sites lie close together
_TOLERANCE = 1e-5
_SMALLEST = 1e-10  # of what rounding may leave at nothing
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
    start: tuple[Tensor, Tensor] | None = None,
) -> Sites:
    """Expectation propagation until no site changes any more.

    Parameters
    ----------
    K, c, y
        Prior and labels.
    start
        tau and nu (S, n) of a similar prior; None begins with sites that say nothing.
    """
    shape = K.shape[:-1]
    tau, nu = (
        start if start is not None else (K.new_full(shape, LEAST_PRECISION), K.new_zeros(shape))
    )
    c = c.unsqueeze(-1)
    for sweep in range(_MAX_SWEEPS):
        step = _STEP if sweep < _MAX_SWEEPS // 2 else 0.5 * _STEP
        m, v, *_ = _posterior(K, tau, nu)
        m_cavity, v_cavity = _cavity(m, v, tau, nu)
        _, u, w = _log_tilted(m_cavity + c, v_cavity, y)
        new_tau = (-w / (1.0 + v_cavity * w).clamp_min(_SMALLEST)).clamp_min(LEAST_PRECISION)
        new_nu = u + new_tau * (m_cavity + v_cavity * u)
        change = max(_change(tau, new_tau), _change(nu, new_nu))
        tau, nu = torch.lerp(tau, new_tau, step), torch.lerp(nu, new_nu, step)
        if not change > _TOLERANCE:
            break
    return _with_evidence(K, c, y, tau, nu)


def _cavity(m: Tensor, v: Tensor, tau: Tensor, nu: Tensor) -> tuple[Tensor, Tensor]:
    """m- and v-, R&W Eq. (3.56)."""
    v_cavity = v / (1.0 - tau * v).clamp_min(_SMALLEST)
    return v_cavity * (m / v - nu), v_cavity


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


def _log_tilted(mean: Tensor, variance: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log Z_i for a cavity, and its first two derivatives in the mean."""
    scale = y / (1.0 + variance).sqrt()
    z = mean * scale
    log_Z = torch.special.log_ndtr(z)
    r = (-0.5 * z * z - _LOG_SQRT_2PI - log_Z).exp()
    return log_Z, r * scale, -r * (z + r) * scale * scale


def _with_evidence(K: Tensor, c: Tensor, y: Tensor, tau: Tensor, nu: Tensor) -> Sites:
    m, v, L, root = _posterior(K, tau, nu)
    m_cavity, v_cavity = _cavity(m, v, tau, nu)
    log_Z, u, _ = _log_tilted(m_cavity + c, v_cavity, y)
    difference = m_cavity * m_cavity / v_cavity - m * m / v + (v_cavity / v).log()
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
