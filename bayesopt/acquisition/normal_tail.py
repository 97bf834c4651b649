"""The expected excess and the inverse Mills ratio of the normal law, far into the tail.

Notation
--------
phi, Phi    density and distribution function of the standard normal law
zeta(z)     E[(Z + z)^+] = phi(z) + z Phi(z),    zeta' = Phi
M(u)        Mills' ratio Phi(-u) / phi(u) = sqrt(pi/2) erfcx(u / sqrt 2)
r(z)        phi(z) / Phi(z) = 1 / M(-z), its inverse

    log zeta = -z^2/2 - log sqrt(2 pi) + log(1 - |z| M(|z|))         for z < -1
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfcx, log_ndtr, ndtr

Array = NDArray[np.float64]

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)
_SQRT_HALF = math.sqrt(0.5)
_SQRT_HALF_PI = math.sqrt(0.5 * math.pi)
_FAR = -100.0  # left of it 1 - |z| M(|z|) cancels too much; its asymptotic series takes over


def log_zeta_and_ratios(z: Array) -> tuple[Array, Array, Array]:
    """log zeta(z), Phi(z) / zeta(z) and phi(z) / zeta(z), all finite for finite z."""
    near = np.maximum(z, -1.0)
    phi = np.exp(-0.5 * near * near - _LOG_SQRT_2PI)
    Phi = ndtr(near)
    zeta = phi + near * Phi
    is_near = z >= -1.0
    if is_near.all():
        return np.log(zeta), Phi / zeta, phi / zeta
    far = np.minimum(z, -1.0)
    mills = erfcx(far * -_SQRT_HALF) * _SQRT_HALF_PI
    tail = 1.0 + far * mills
    if (far < _FAR).any():
        w = 1.0 / (far * far)
        series = w * (1.0 - w * (3.0 - w * (15.0 - 105.0 * w)))
        tail = np.where(far < _FAR, series, tail)
    log_zeta = np.where(is_near, np.log(zeta), -0.5 * far * far - _LOG_SQRT_2PI + np.log(tail))
    # Left of -1 the factor phi stands in zeta, Phi and phi alike, and cancels.
    zeta = np.where(is_near, zeta, tail)
    return log_zeta, np.where(is_near, Phi, mills) / zeta, np.where(is_near, phi, 1.0) / zeta


def log_inverse_mills(z: Array) -> Array:
    """log r(z) = log phi(z) - log Phi(z)."""
    log_ratio: Array = -0.5 * z * z - _LOG_SQRT_2PI - log_ndtr(z)
    return log_ratio


def inverse_mills(z: Array) -> Array:
    """r(z), to full accuracy on the left too, where it is close to -z."""
    left = 1.0 / (_SQRT_HALF_PI * erfcx(np.minimum(z, 0.0) * -_SQRT_HALF))
    ratio: Array = np.where(z < 0.0, left, np.exp(log_inverse_mills(np.maximum(z, 0.0))))
    return ratio
