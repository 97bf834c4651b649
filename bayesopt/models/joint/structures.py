"""How the role columns enter a covariance: a sum of products, one factor for them in each.

Notation
--------
x, r        design columns, role columns of a point
n, m, c     points, points, role columns
S, T        hyperparameter vectors that are evaluated together, terms of the sum
G_t         (*S, n, m) factor of the role columns in term t, positive semidefinite
k_t         covariance of the design columns in term t
u           distance of r from the target, 1 at the farthest
p, l        learnt: a power, length-scales of role columns
lambda, c   learnt: variance of the noise at the target, and what it gains far from it
d_t         learnt: shift of the designs of task t, 0 for the task that is sought, 0 for categories

    Cov(f(x, r), f(x', r')) = sum_t G_t(r, r') k_t(x, x')

    sources      G_0 = 1,  G_s = 1{r = r' = s} for every source but the target
                                                     Poloczek, Wang & Frazier (2017), Section 3
                 and G_g = 1{r and r' in g} for groups g of sources whose biases are alike
    increments   G_0 = 1,  G_j = 1{both at least j steps from the target}
                                                     Frazier (2018), Section 5.4, model (B)
    decay        G_0 = 1,  G_1 = (u u')^p exp(-(r - r')^2 / 2 l^2)
                 for a fidelity of many levels: the bias is gone at the target
    accuracy     G_0 = 1;  observations have the more noise, the farther r is from the target:
                 lambda(r) = lambda + c u^2                        ibid., model (A)
    tasks        G_0 = D C D,  C the correlations of tasks and D their scales: the intrinsic model
                 of coregionalisation                              Bonilla, Chai & Williams (2008)
                 where one is sought with k_0(x + d_t, x' + d_t'): the designs of the others are
                 shifted to its, as of a machine that was set up again
                                                     after the displaced kernels of Boyle & Frean
                                                     (2005)
    environment  G_0 = exp(-sum_j (r_j - r'_j)^2 / 2 l_j^2)

A correlation matrix C = L L' is made of any numbers v below the diagonal: row i of L is
(v_i1, .., v_i,i-1, 1), divided by its length.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot, pad

from bayesopt.models.joint.structure import Learnt, Plain, ones
from bayesopt.models.kernels import Features

_SCALE = Learnt(0.0, 1.0, -4.0, 4.0)  # logarithms of the scales of tasks, in scores
_CORRELATION = Learnt(1.0, 1.5, -8.0, 8.0)
_ALIKE = Learnt(3.0, 2.0, -8.0, 20.0)  # where one is sought; if they are not, it is learnt alone
_SHIFT = Learnt(0.0, 0.05, -0.3, 0.3)  # in the unit cube
_POWER = Learnt(0.3, 0.3, 0.0, 1.4)
_ALONG = Learnt(math.log(1.0), 1.0, math.log(0.1), math.log(100.0))
_INACCURACY = Learnt(-2.0, 2.0, -12.0, 4.0)
_ENVIRONMENT = Learnt(math.log(0.35), 1.0, math.log(0.01), math.log(100.0))


class _Choices(Plain):
    """Role columns with one of `size` choices, each with a noise of its own."""

    size: int

    @property
    def n_noises(self) -> int:  # type: ignore[override]
        """Each has its own."""
        return self.size

    @property
    def values(self) -> tuple[float, ...]:  # type: ignore[override]
        """Of all of them."""
        return tuple(i / max(self.size - 1, 1) for i in range(self.size))

    def index(self, r: Tensor) -> Tensor:
        """The choice."""
        return torch.round(r[..., 0] * max(self.size - 1, 1)).long()

    def group(self, r: Tensor) -> Tensor:
        """The choice."""
        return self.index(r)


@dataclass(frozen=True)
class Sources(_Choices):
    """Sources of information with independent biases.

    Parameters
    ----------
    size
        Number of sources.
    target
        Which one is the truth.
    groups
        Sets of others whose biases have a part in common.
    """

    size: int
    target: int
    groups: tuple[tuple[int, ...], ...] = ()

    @cached_property
    def _sets(self) -> Tensor:
        """(T - 1, size) which sources a bias belongs to."""
        own = [[s] for s in range(self.size) if s != self.target]
        rows = torch.zeros(len(own) + len(self.groups), self.size, dtype=torch.float64)
        for row, members in enumerate([*own, *map(list, self.groups)]):
            rows[row, members] = 1.0
        return rows

    @property
    def n_terms(self) -> int:
        """The truth and every bias."""
        return 1 + len(self._sets)

    def factors(self, h: Tensor, r1: Tensor, r2: Tensor) -> list[Tensor]:
        """1, and 1 where both have the bias."""
        in1, in2 = self._sets[:, self.group(r1)], self._sets[:, self.group(r2)]
        return [
            ones(r1, r2),
            *(a.unsqueeze(-1) * b.unsqueeze(-2) for a, b in zip(in1, in2, strict=True)),
        ]

    def offsets(self, r: Tensor) -> Tensor:
        """A constant bias for each."""
        others = [s for s in range(self.size) if s != self.target]
        return one_hot(self.group(r), self.size).to(r.dtype)[..., others]


@dataclass(frozen=True)
class Increments(Plain):
    """Fidelities whose differences from one level to the next are independent.

    Parameters
    ----------
    levels
        Unit coordinates from the target to the farthest.
    """

    levels: tuple[float, ...]

    @property
    def n_terms(self) -> int:
        """The target and every step away from it."""
        return len(self.levels)

    @property
    def values(self) -> tuple[float, ...]:  # type: ignore[override]
        """The levels."""
        return self.levels

    def index(self, r: Tensor) -> Tensor:
        """How many levels (*b, n) from the target."""
        return (r - torch.tensor(self.levels, dtype=r.dtype)).abs().argmin(-1)

    def factors(self, h: Tensor, r1: Tensor, r2: Tensor) -> list[Tensor]:
        """1 where both are at least j steps away."""
        common = torch.minimum(self.index(r1).unsqueeze(-1), self.index(r2).unsqueeze(-2))
        return [(common >= j).to(r1.dtype) for j in range(self.n_terms)]

    def offsets(self, r: Tensor) -> Tensor:
        """A mean step, the same for all."""
        return self.index(r).to(r.dtype).unsqueeze(-1) / (self.n_terms - 1)


@dataclass(frozen=True)
class Decay(Plain):
    """Fidelities whose bias is the smaller, the nearer they are to the target.

    Parameters
    ----------
    target
        Its unit coordinate.
    """

    target: float
    learnt = (_POWER, _ALONG)
    n_terms = 2

    def distance(self, r: Tensor) -> Tensor:
        """u (*b, n), at most 1."""
        return (r[..., 0] - self.target).abs() / max(self.target, 1.0 - self.target)

    def factors(self, h: Tensor, r1: Tensor, r2: Tensor) -> list[Tensor]:
        """1, and the decay of the bias."""
        power, along = h[..., 0].exp(), h[..., 1].exp()
        u1, u2 = self.distance(r1).unsqueeze(-1), self.distance(r2).unsqueeze(-2)
        apart = (r1[..., 0].unsqueeze(-1) - r2[..., 0].unsqueeze(-2)) / along
        return [ones(r1, r2), (u1 * u2).pow(power) * torch.exp(-0.5 * apart.square())]

    def offsets(self, r: Tensor) -> Tensor:
        """A constant bias that decays."""
        return self.distance(r).unsqueeze(-1)


@dataclass(frozen=True)
class Accuracy(Plain):
    """Fidelities that observe the target with noise of their own.

    Parameters
    ----------
    target
        Its unit coordinate.
    """

    target: float
    learnt = (_INACCURACY,)
    n_terms = 1

    @property
    def values(self) -> tuple[float, ...]:  # type: ignore[override]
        """The target, which all of them observe."""
        return (self.target,)

    def factors(self, h: Tensor, r1: Tensor, r2: Tensor) -> list[Tensor]:
        """1: what is observed is the target."""
        return [ones(r1, r2)]

    def extra_noise(self, h: Tensor, r: Tensor) -> Tensor | float:
        """c u^2."""
        u = (r[..., 0] - self.target) / max(self.target, 1.0 - self.target)
        return h[..., 0].exp() * u.square()


@dataclass(frozen=True)
class Tasks(_Choices):
    """Tasks with any correlations.

    Parameters
    ----------
    size
        Number of tasks.
    scales
        (size,) typical size of the values of each, in scores.
    sought
        The one that is sought, to whose designs those of the others are shifted; None: no shifts.
    n_shifted
        Number of the first features of the design, which hold numbers.
    """

    size: int
    scales: tuple[float, ...]
    sought: int | None = None
    n_shifted: int = 0
    n_terms = 1
    unit_signal = True

    @property
    def learnt(self) -> tuple[Learnt, ...]:  # type: ignore[override]
        """Scales, then the numbers below the diagonal, row by row, then shifts, task by task."""
        scales = [
            Learnt(math.log(s), _SCALE.sd, math.log(s) + _SCALE.low, math.log(s) + _SCALE.high)
            for s in self.scales
        ]
        below = [_CORRELATION if self.sought is None else _ALIKE] * (
            self.size * (self.size - 1) // 2
        )
        return (*scales, *below, *[_SHIFT] * self._n_shifts)

    @property
    def has_many_optima(self) -> bool:  # type: ignore[override]
        """A shift may be mistaken for another."""
        return self._n_shifts > 0

    @property
    def _n_shifts(self) -> int:
        return 0 if self.sought is None else (self.size - 1) * self.n_shifted

    def covariance(self, h: Tensor) -> Tensor:
        """D C D (*b, size, size) from h (*b, p)."""
        n = self.size
        rows, columns = np.tril_indices(n, -1)
        L = torch.diag_embed(torch.ones_like(h[..., :n]))
        L[..., rows, columns] = h[..., n : n + len(rows)]
        L = L / L.norm(dim=-1, keepdim=True) * h[..., :n].exp().unsqueeze(-1)
        covariance: Tensor = L @ L.mT
        return covariance

    def factors(self, h: Tensor, r1: Tensor, r2: Tensor) -> list[Tensor]:
        """The covariances of the tasks."""
        B = self.covariance(h[..., 0, 0, :])
        one, two = self.group(r1), self.group(r2)
        shape = np.broadcast_shapes(B.shape[:-2], one.shape[:-1], two.shape[:-1])
        B = B.expand(*shape, *B.shape[-2:])
        one, two = one.expand(*shape, one.shape[-1]), two.expand(*shape, two.shape[-1])
        rows = B.gather(-2, one.unsqueeze(-1).expand(*one.shape, self.size))
        return [rows.gather(-1, two.unsqueeze(-2).expand(*shape, one.shape[-1], two.shape[-1]))]

    def moved(self, h: Tensor, F: Tensor, r: Tensor) -> Tensor:
        """Shifted by d_t."""
        if self.sought is None or self._n_shifts == 0:
            return F
        of_others = h[..., 0, 0, -self._n_shifts :]
        d = of_others.reshape(*of_others.shape[:-1], self.size - 1, self.n_shifted)
        at = self.sought
        d = torch.cat((d[..., :at, :], torch.zeros_like(d[..., :1, :]), d[..., at:, :]), dim=-2)
        return F + pad(d[..., self.group(r), :], (0, F.shape[-1] - self.n_shifted))

    def offsets(self, r: Tensor) -> Tensor:
        """A mean for each but the first."""
        return one_hot(self.group(r), self.size).to(r.dtype)[..., 1:]


@dataclass(frozen=True)
class Environment(Plain):
    """Conditions that nobody chooses.

    Parameters
    ----------
    features
        How the role columns become features.
    """

    features: Features
    n_terms = 1

    @property
    def learnt(self) -> tuple[Learnt, ...]:  # type: ignore[override]
        """A length-scale for each column."""
        return (_ENVIRONMENT,) * self.features.d

    def factors(self, h: Tensor, r1: Tensor, r2: Tensor) -> list[Tensor]:
        """A Gaussian kernel."""
        scale = h[..., 0, :, self.features.column_of].exp()
        Z1, Z2 = self.features.of(r1) / scale, self.features.of(r2) / scale
        s = (Z1.unsqueeze(-2) - Z2.unsqueeze(-3)).square().sum(-1)
        return [torch.exp(-0.5 * s)]

    def lengthscales(self, h: Tensor) -> Tensor:
        """Those of the kernel."""
        return h.exp()
