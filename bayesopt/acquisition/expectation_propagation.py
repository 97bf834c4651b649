"""A normal law for values of which one is known to be the largest: expectation propagation.

Notation
--------
f, m, V     (r,) values, their mean (r,) and covariance (r, r); in batches of S
e_s         number of the value that is the largest one, in law s
c_k         e_s - k: c_k' f = f_{e_s} - f_k >= 0 is the k-th constraint
t_k, n_k    its site, exp(n_k c_k' f - t_k (c_k' f)^2 / 2) up to a factor
alpha       mean of c_k' f over its standard deviation, without the site
R           phi(alpha) / Phi(alpha), the inverse Mills ratio

    without: 1/v = 1/(c' V c) - t,    u/v = c' m / (c' V c) - n
    with:    mean u + R sqrt(v), variance v (1 - R (alpha + R))      of a truncated normal law
    site:    what turns the first into the second                     Minka (2001)

Sites are visited one after the other, each a change of V of rank one. All t_k >= 0, since the
constraint is log-concave.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesopt.acquisition.normal_tail import inverse_mills
from bayesopt.parameter import Array

_N_SWEEPS = 6
_KNOWN = 1e-12  # a difference whose variance is a smaller share of the largest one is known
_LOWEST = -50.0  # of alpha
_LEAST_PRECISION = 1e-8  # of what is left without a site, as a share of that with it


@dataclass(frozen=True)
class Sites:
    """What the constraints came to, for every law.

    Parameters
    ----------
    precision, linear
        (S, r, r) and (S, r): exp(linear' f - f' precision f / 2) stands for all constraints.
    mean, covariance
        (S, r) and (S, r, r) of f with them.
    """

    precision: Array
    linear: Array
    mean: Array
    covariance: Array


def largest_of_all(mean: Array, covariance: Array, largest: NDArray[np.int64]) -> Sites:
    """Normal laws of f (r,) for each of which another value is the largest.

    Parameters
    ----------
    mean, covariance
        (r,) and (r, r) of f; the covariance may be singular.
    largest
        (S,) number of the value that is the largest one.
    """
    S, r = len(largest), len(mean)
    of_law = np.arange(S)
    m, V = np.tile(mean, (S, 1)), np.tile(covariance, (S, 1, 1))
    t, n = np.zeros((S, r)), np.zeros((S, r))
    known = _KNOWN * float(covariance.diagonal().max()) or 1.0
    for _ in range(_N_SWEEPS):
        for k in range(r):
            Vc = V[of_law, largest] - V[:, k]
            now, at = Vc[of_law, largest] - Vc[:, k], m[of_law, largest] - m[:, k]
            now = np.maximum(now, known)
            without = 1.0 / now - t[:, k]
            # Rounding may leave no law without the site: it stays as it is then.
            free = (largest != k) & (now > known) & (without > _LEAST_PRECISION / now)
            without = np.where(free, without, 1.0 / now)
            new_t, new_n = _site(without, at / now - n[:, k])
            by_t, by_n = (np.where(free, x, 0.0) for x in (new_t - t[:, k], new_n - n[:, k]))
            weight = 1.0 / (1.0 + by_t * now)
            m += Vc * ((by_n - by_t * at) * weight)[:, None]
            V -= Vc[:, :, None] * (Vc * (by_t * weight)[:, None])[:, None, :]
            t[:, k] += by_t
            n[:, k] += by_n
    C = -np.tile(np.eye(r), (S, 1, 1))  # (S, k, r)
    C[of_law, :, largest] += 1.0
    return Sites((C.transpose(0, 2, 1) * t[:, None, :]) @ C, (n[:, None, :] @ C)[:, 0], m, V)


def _site(precision: Array, linear: Array) -> tuple[Array, Array]:
    """Site of a constraint x >= 0, where x has this normal law without it."""
    sd = 1.0 / np.sqrt(precision)
    alpha = np.clip(linear * sd, _LOWEST, None)
    R = inverse_mills(alpha)
    shrinks = np.clip(R * (alpha + R), 0.0, 1.0 - 1e-6)
    t = precision * shrinks / (1.0 - shrinks)
    mean = (alpha + R) * sd
    return t, mean * (precision + t) - linear
