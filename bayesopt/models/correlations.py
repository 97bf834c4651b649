"""Correlations that depend on the distance alone, and their slopes.

Notation
--------
n, m        points, points
r, s        (*b, n, m) scaled distances and their squares,  s = r^2 = sum_j (x_j - x'_j)^2 / l_j^2
nu          smoothness of a Matern kernel: sample paths have derivatives of every order below nu
z           sqrt(2 nu) r
k, slope    correlation k(s) and dk/ds

    Matern      k = 2^(1-nu) / Gamma(nu) z^nu K_nu(z)                         R&W (2006), Eq. (4.14)
                d[z^nu K_nu(z)]/dz = -z^nu K_(nu-1)(z),    dz/ds = nu / z
                dk/ds = -nu 2^(1-nu) / Gamma(nu) z^(nu-1) K_(nu-1)(z)
    nu = 1/2, 3/2, 5/2 have closed forms                                      R&W, Eqs. (4.17-18)
    RBF         k = exp(-s / 2), the limit of nu -> infinity                  R&W, Eq. (4.9)

Frazier (2018) weighs squared distances by alpha_j instead, and without the factor 1/2: his
alpha_j is 1 / (2 l_j^2) for the RBF kernel and 1 / l_j^2 for a Matern one.

For nu <= 1 the slope is infinite at r = 0, where k has a kink. By symmetry the gradient in the
centre of a kink is zero, and so is our slope there; right beside it the slope stops growing at
r = 1e-10, which keeps every gradient finite.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float as Shaped
from scipy.special import gammaln, kve
from torch import Tensor

from bayesopt.parameter import Array

Correlation = Callable[[Tensor], tuple[Tensor, Tensor]]

_SQRT3, _SQRT5 = math.sqrt(3.0), math.sqrt(5.0)
_KINK = 1e-10  # below this distance a slope that grows without limit stops growing
_FAR = 700.0  # exp(-z) is about to underflow
_STEP_IN_NU = 1e-4  # relative; the third root of machine precision and a little more


def matern12(
    s: Shaped[Tensor, "*b n m"],
) -> tuple[Shaped[Tensor, "*b n m"], Shaped[Tensor, "*b n m"]]:
    """Matern kernel with nu = 1/2: exp(-r), whose paths are those of a random walk."""
    r = s.sqrt()
    k = torch.exp(-r)
    slope = (k / r.clamp_min(_KINK)).mul_(-0.5)
    return k, slope.masked_fill_(s == 0.0, 0.0)


def matern32(
    s: Shaped[Tensor, "*b n m"],
) -> tuple[Shaped[Tensor, "*b n m"], Shaped[Tensor, "*b n m"]]:
    """Matern kernel with nu = 3/2, R&W Eq. (4.17): (1 + sqrt3 r) exp(-sqrt3 r)."""
    root = s.sqrt().mul_(_SQRT3)
    decay = torch.exp(-root)
    return decay * root.add_(1.0), decay * -1.5


def matern52(
    s: Shaped[Tensor, "*b n m"],
) -> tuple[Shaped[Tensor, "*b n m"], Shaped[Tensor, "*b n m"]]:
    """Matern kernel with nu = 5/2, R&W Eq. (4.17): (1 + sqrt5 r + 5/3 r^2) exp(-sqrt5 r)."""
    root = s.sqrt().mul_(_SQRT5)
    decay = torch.exp(-root)
    slope = decay * root.add_(1.0)
    k: Tensor = torch.addcmul(slope, s, decay, value=5.0 / 3.0)
    return k, slope.mul_(-5.0 / 6.0)


def rbf(
    s: Shaped[Tensor, "*b n m"],
) -> tuple[Shaped[Tensor, "*b n m"], Shaped[Tensor, "*b n m"]]:
    """Squared exponential kernel, R&W Eq. (4.9): exp(-r^2 / 2)."""
    k = torch.exp(s * -0.5)
    return k, k * -0.5


def matern(
    s: Shaped[Tensor, "*b n m"], nu: float | Tensor
) -> tuple[Shaped[Tensor, "*b n m"], Shaped[Tensor, "*b n m"]]:
    """Matern kernel of any smoothness, R&W Eq. (4.14).

    Parameters
    ----------
    s
        Squared distances.
    nu
        Smoothness above 0 and up to 50, one for all, or a tensor that broadcasts over the batch.
    """
    return _by_pair(_matern_value, s, nu), _by_pair(_matern_slope, s, nu)


def matern_by_nu(s: Shaped[Tensor, "*b n m"], nu: float | Tensor) -> Shaped[Tensor, "*b n m"]:
    """Derivative of `matern` in nu, which has no closed form: by central differences."""

    def slope(squared: Array, order: Array) -> Array:
        step = _STEP_IN_NU * order
        ahead, behind = (_matern_value(squared, order + sign * step) for sign in (1.0, -1.0))
        return (ahead - behind) / (2.0 * step)

    return _by_pair(slope, s, nu)


def _by_pair(of: Callable[[Array, Array], Array], s: Tensor, nu: float | Tensor) -> Tensor:
    """A function of s and nu, for every pair of points once: Bessel functions are slow."""
    squared, order = s.numpy(), np.atleast_1d(nu)
    if not (squared.shape[-1] == squared.shape[-2] and torch.equal(s, s.mT)):
        return torch.from_numpy(of(squared, order))
    i, j = np.triu_indices(squared.shape[-1])
    value = np.empty_like(squared)
    value[..., i, j] = of(squared[..., i, j], order if order.ndim == 1 else order[..., 0])
    value[..., j, i] = value[..., i, j]
    return torch.from_numpy(value)


def _scaled_bessel(s: Array, nu: Array, order: Array) -> Array:
    """2^(1-nu) / Gamma(nu) z^order K_|order|(z), through logarithms; NaN where K overflows.

    `kve` leaves out the factor exp(-z), so that nothing underflows before the end.
    """
    z = np.sqrt(2.0 * nu * s)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        logarithm = np.log(kve(np.abs(order), z)) + order * np.log(z) - z
        value = np.exp(logarithm + (1.0 - nu) * math.log(2.0) - gammaln(nu))
    return np.where(z > _FAR, 0.0, value)


def _matern_value(s: Array, nu: Array) -> Array:
    k = _scaled_bessel(s, nu, nu)
    # K_nu(z) overflows only where z is so small that k = 1 - z^2 / (4 (nu - 1)) + ... is exact.
    near = 1.0 - 0.5 * nu * s / np.maximum(nu - 1.0, 1e-3)
    value: Array = np.minimum(np.where(np.isfinite(k), k, near), 1.0)
    return np.where(s == 0.0, 1.0, value)


def _matern_slope(s: Array, nu: Array) -> Array:
    smooth = nu > 1.0
    slope = -nu * _scaled_bessel(np.maximum(s, np.where(smooth, 0.0, _KINK**2)), nu, nu - 1.0)
    limit = np.where(smooth, -0.5 * nu / np.where(smooth, nu - 1.0, 1.0), 0.0)
    slope = np.where(np.isfinite(slope), slope, limit)
    value: Array = np.where(s == 0.0, limit, slope)
    return value
