"""A process of the logarithm of scores, for a target that is a mean of scores that span decades.

Notation
--------
y, n        (n,) scores, larger is better
z           how far a score is below the best one seen, y_max - y
c           what is added to it, learnt: large c leave the scores as they are
t, s        mean and standard deviation of -log(1 + z / c) over the data
h           (n,) what the process is of:    h = (-log(1 + z / c) - t) / s
m, v        mean and variance of h somewhere, by the process

    y       = y_max + c - c exp(-(t + s h))
    E[y]    = y_max + c - c e,    e = exp(-(t + s m) + s^2 v / 2)
    dE/dm   = c s e
    dh/dy   = 1 / (s (c + z)), which the likelihood is multiplied by      Snelson, Rasmussen &
                                                                          Ghahramani (2004)
              noise of the variance lambda in y is one of (dh/dy)^2 lambda in h, to first order
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float as Shaped
from torch import Tensor

_MOST = 40.0  # of an exponent
_LEAST_SD = 1e-9


@dataclass(frozen=True)
class Warp:
    """The map between scores and h.

    Parameters
    ----------
    best
        y_max.
    c, t, s
        (*S, 1) or numbers.
    """

    best: float
    c: Tensor
    t: Tensor
    s: Tensor

    @classmethod
    def of(cls, y: Shaped[Tensor, " n"], log_c: Shaped[Tensor, "*S 1"]) -> "Warp":
        """For values of log c, with t and s of these scores."""
        best = float(y.max())
        c = log_c.exp()
        raw = -torch.log1p((best - y) / c)
        s = raw.var(-1, correction=0, keepdim=True).clamp_min(_LEAST_SD**2).sqrt()
        return cls(best, c, raw.mean(-1, keepdim=True), s)

    def latent(self, y: Shaped[Tensor, " n"]) -> Shaped[Tensor, "*S n"]:
        """h of scores; what is above the largest is as good as it."""
        return (-torch.log1p((self.best - y).clamp_min(0.0) / self.c) - self.t) / self.s

    def slope(self, y: Shaped[Tensor, " n"]) -> Shaped[Tensor, "*S n"]:
        """dh/dy of scores that are not above the largest."""
        return 1.0 / (self.s * (self.c + self.best - y))

    def log_jacobian(self, y: Shaped[Tensor, " n"]) -> Shaped[Tensor, "*S"]:
        """sum of log dh/dy."""
        return self.slope(y).log().sum(-1)

    def mean_and_slope(self, m: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """E[y] and its derivative in m, of the shape of m and v."""
        exponent = -(self.t + self.s * m) + 0.5 * self.s.square() * v
        e = self.c * exponent.clamp_max(_MOST).exp()
        return self.best + self.c - e, self.s * e
