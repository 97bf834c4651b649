"""Nodes and weights of the standard normal law in one variable.

Notation
--------
z, w        (n,) nodes and weights of sum 1:    E[g(Z)] = sum_k w_k g(z_k),    Z ~ N(0, 1)
"""

import numpy as np

from bayesopt.parameter import Array


def gauss_hermite(n: int) -> tuple[Array, Array]:
    """z and w (n,), exact for polynomials of degree below 2 n."""
    z, w = np.polynomial.hermite_e.hermegauss(n)
    return z, w / w.sum()


def evenly_spaced(n: int, reach: float) -> tuple[Array, Array]:
    """z (n,) from -reach to reach, and log w (n,): for a function with kinks."""
    z = np.linspace(-reach, reach, n)
    log_w = -0.5 * z * z
    return z, log_w - np.log(np.exp(log_w).sum())
