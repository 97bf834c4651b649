"""Integrals of an RBF factor over a normal or uniform law, in closed form.

Notation
--------
w, w'       coordinates in [0, 1]
l           length-scale:   k(w, w') = exp(-(w - w')^2 / (2 l^2))
m, s        mean and standard deviation of a normal law
a, b, L     ends of a uniform law and their distance,    r = L / l
Phi         distribution function of the standard normal law

    mean        E k(W, w')
    normal      l / sqrt(l^2 + s^2) exp(-(w' - m)^2 / (2 (l^2 + s^2)))
    uniform     l sqrt(2 pi) / L [Phi((b - w') / l) - Phi((a - w') / l)]

    double mean E k(W, W')                                    W, W' independent, of the same law
    normal      l / sqrt(l^2 + 2 s^2)
    uniform     2 / r^2 [sqrt(pi / 2) r erf(r / sqrt 2) - (1 - exp(-r^2 / 2))]

All of them are Bayesian quadrature's (O'Hagan 1991). Where r is small the differences of the
uniform law cancel; Gauss-Legendre nodes are then as exact as a float64, down to L = 0.
"""

import math

import numpy as np
import torch
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.unit_law import ClosedForm, UnitNormal

_SHORT = 0.5  # below this r the nodes take over
_NODES, _WEIGHTS = (
    torch.from_numpy(part / 2.0 + half)
    for part, half in zip(np.polynomial.legendre.leggauss(8), (0.5, 0.0), strict=True)
)


def mean_over_law(
    law: ClosedForm, w: Shaped[Tensor, "*b n"], lengthscale: Shaped[Tensor, "*b"]
) -> Shaped[Tensor, "*b n"]:
    """E k(W, w), differentiable in coordinates and length-scales.

    Parameters
    ----------
    law
        Of W.
    w
        (*b, n) coordinates.
    lengthscale
        (*b,) positive; each is that of its n coordinates.
    """
    l = lengthscale.unsqueeze(-1)  # noqa: E741
    if isinstance(law, UnitNormal):
        spread = l * l + law.sd**2
        return l / spread.sqrt() * torch.exp(-0.5 * (w - law.mean) ** 2 / spread)
    length = law.high - law.low
    short = length < _SHORT * l
    wide = torch.where(short, max(length, 1e-300), l)  # a value for what is not taken
    scale = math.sqrt(2.0) * wide
    between = torch.erf((law.high - w) / scale) - torch.erf((law.low - w) / scale)
    far = math.sqrt(0.5 * math.pi) * wide / max(length, 1e-300) * between
    inside = law.low + length * _NODES.to(w)
    gaps = (w.unsqueeze(-1) - inside) / l.unsqueeze(-1)
    near = torch.exp(-0.5 * gaps * gaps) @ _WEIGHTS.to(w)
    return torch.where(short, near, far)


def double_mean_over_law(
    law: ClosedForm, lengthscale: Shaped[Tensor, "*b"]
) -> Shaped[Tensor, "*b"]:
    """E k(W, W') of independent W and W' of a law, differentiable in the length-scales (*b,)."""
    if isinstance(law, UnitNormal):
        return lengthscale / (lengthscale**2 + 2.0 * law.sd**2).sqrt()
    r = (law.high - law.low) / lengthscale
    short = r < _SHORT
    safe = torch.where(short, 1.0, r)
    part = math.sqrt(0.5 * math.pi) * safe * torch.erf(safe / math.sqrt(2.0))
    far = 2.0 / safe**2 * (part + torch.expm1(-0.5 * safe * safe))
    t = _NODES.to(r)
    # The distance of two uniform numbers has the density 2 (1 - t) on (0, 1).
    near = torch.exp(-0.5 * (r.unsqueeze(-1) * t) ** 2) @ (2.0 * (1.0 - t) * _WEIGHTS.to(r))
    return torch.where(short, near, far)
