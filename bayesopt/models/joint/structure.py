"""What a kind of role makes of the role columns: the terms of a covariance, means and noises.

Notation
--------
r           role columns of a point
n, m, c     points, points, role columns
b           batch, also of hyperparameter vectors that are evaluated together
p, T        number of hyperparameters, of terms
G_t         (*b, n, m) factor of the role columns in term t (see `structures`)
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Learnt:
    """A hyperparameter as it is learnt: a number theta with a normal prior, between bounds.

    Parameters
    ----------
    centre, sd
        Of the prior.
    low, high
        Where to search.
    """

    centre: float
    sd: float
    low: float
    high: float


@runtime_checkable
class Structure(Protocol):
    """What a kind of role makes of the role columns.

    An `index` is asked for only where there are `values`.
    """

    @property
    def learnt(self) -> tuple[Learnt, ...]:
        """Its hyperparameters."""

    @property
    def n_terms(self) -> int:
        """T."""

    @property
    def n_noises(self) -> int:
        """Number of groups of observations whose noise variance is one."""

    @property
    def unit_signal(self) -> bool:
        """Whether the prior variance of the first term is 1, since G_0 has a scale."""

    @property
    def has_many_optima(self) -> bool:
        """Whether a fit from where the last one ended may be caught in a poor optimum."""

    @property
    def values(self) -> tuple[float, ...] | None:
        """Coordinates that stand for all, where offsets and factors have few; None elsewhere."""

    def index(self, r: Tensor) -> Tensor:
        """Which of the values (*b, n) stands for role columns."""

    def factors(self, h: Tensor, r1: Tensor, r2: Tensor) -> list[Tensor]:
        """G_t (*b, n, m) of role columns (*b, n, c) and (*b, m, c), for h (*b, 1, 1, p)."""

    def offsets(self, r: Tensor) -> Tensor:
        """Basis (*b, n, k) of the prior mean beside its constant, all zero at the target."""

    def group(self, r: Tensor) -> Tensor:
        """Which noise variance (*b, n) an observation has."""

    def extra_noise(self, h: Tensor, r: Tensor) -> Tensor | float:
        """What is added to it (*b, n), for h (*b, 1, p) or (p,)."""

    def moved(self, h: Tensor, F: Tensor, r: Tensor) -> Tensor:
        """Features (*b, n, F) of the design, moved by what the role columns (*b, n, c) shift them;
        for h (*b, 1, 1, p)."""

    def lengthscales(self, h: Tensor) -> Tensor:
        """Of the role columns (c,), for h (p,); nothing where they have none."""


def ones(r1: Tensor, r2: Tensor) -> Tensor:
    """A factor (*b, n, m) that is 1 for all."""
    shape = np.broadcast_shapes(r1.shape[:-2], r2.shape[:-2])
    return r1.new_ones(*shape, r1.shape[-2], r2.shape[-2])


class Plain:
    """What most structures have in common."""

    learnt: tuple[Learnt, ...] = ()
    n_noises = 1
    unit_signal = False
    has_many_optima = False
    values: tuple[float, ...] | None = None

    def offsets(self, r: Tensor) -> Tensor:
        """None."""
        return r[..., :0]

    def group(self, r: Tensor) -> Tensor:
        """One for all."""
        return torch.zeros(r.shape[:-1], dtype=torch.long)

    def extra_noise(self, h: Tensor, r: Tensor) -> Tensor | float:
        """Nothing."""
        return 0.0

    def index(self, r: Tensor) -> Tensor:
        """One for all."""
        return torch.zeros(r.shape[:-1], dtype=torch.long)

    def moved(self, h: Tensor, F: Tensor, r: Tensor) -> Tensor:
        """Where they are."""
        return F

    def lengthscales(self, h: Tensor) -> Tensor:
        """None."""
        return h[:0]
