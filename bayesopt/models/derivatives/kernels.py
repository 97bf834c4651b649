"""Covariances between values and slopes of a Gaussian process with a smooth radial kernel.

Notation
--------
N, M, F     linear functionals of f, of another set, scaled features
A, B        functionals  w f(z) + u' grad f(z):  a value is w = 1, u = 0; a slope is w = 0, and u
            says in which direction and unit
Delta, s    z_A - z_B and its squared length, both in scaled features
k, k_i      correlation k(s) and its i-th derivative in s
p, q, t     u_A' Delta, u_B' Delta, u_A' u_B

    d k / d z_A          =  2 k_1 Delta,    d k / d z_B = -2 k_1 Delta
    d^2 k / d z_A d z_B' = -2 k_1 I - 4 k_2 Delta Delta'
    Cov(A, B) = w_A w_B k + 2 k_1 (w_B p - w_A q - t) - 4 k_2 p q                               (1)

s, p, q and t carry the derivatives of a function with those P in Cov(A, B) to z and u: with
P_s = P dCov/ds and so on for p, q, t,

    by z_A:  2 (z_A P_s 1 - P_s z_B) + u_A P_p 1 + P_q u_B
    by u_A:  z_A P_p 1 - P_p z_B + P_t u_B                                                      (2)

    RBF           k_i = (-1/2)^i k
    Matern-5/2    k_1 = -5/6 (1 + sqrt5 r) e,   k_2 = 25/12 e,   k_3 = -25 sqrt5 / (24 r) e,
                  e = exp(-sqrt5 r), r = sqrt s;   k_3 comes with p q = O(s), so that (2) is finite

Rougher kernels have no slopes, or slopes whose covariance has no derivative.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.models.correlations import rbf
from bayesopt.models.kernels import squared_distance

_SQRT5 = math.sqrt(5.0)
_NEXT_TO = 1e-10  # k_3 of the Matern kernel stops growing at this distance

Derivatives = tuple[Tensor, Tensor, Tensor, Tensor]
SmoothCorrelation = Callable[[Tensor], Derivatives]


def smooth_rbf(s: Shaped[Tensor, "*b n m"]) -> Derivatives:
    """The squared exponential kernel, and three derivatives in s."""
    k, k_1 = rbf(s)
    return k, k_1, k * 0.25, k * -0.125


def smooth_matern52(s: Shaped[Tensor, "*b n m"]) -> Derivatives:
    """The Matern kernel with nu = 5/2, and three derivatives in s."""
    root = s.sqrt().mul_(_SQRT5)
    decay = torch.exp(-root)
    k_2 = decay * (25.0 / 12.0)
    k_3 = (k_2 / root.clamp_min(_NEXT_TO)).mul_(-2.5)
    k_1 = decay * root.add_(1.0)
    k = torch.addcmul(k_1, s, decay, value=5.0 / 3.0)
    return k, k_1.mul_(-5.0 / 6.0), k_2, k_3


SMOOTH: dict[str, SmoothCorrelation] = {"rbf": smooth_rbf, "matern52": smooth_matern52}
"""Kernels that have slopes, by their names in `bayesopt.models.gaussian_process`."""


@dataclass(frozen=True)
class Functionals:
    """Values and slopes of a function at points, w f(z) + u' grad f(z).

    Parameters
    ----------
    Z
        (*b, N, F) scaled features of the points.
    weight
        (N,) w.
    direction
        u, (N, F) or of the shape of Z, in scaled features; None where all of them are values.
    distinct
        Where several are at one point: the first one (P,) at each point, and which of these points
        (N,) each one is at. The kernel then is computed once a point.
    """

    Z: Shaped[Tensor, "*b N F"]
    weight: Shaped[Tensor, " N"]
    direction: Tensor | None = None
    distinct: tuple[Tensor, Tensor] | None = None

    @property
    def points(self) -> Tensor:
        """The points (*b, P, F), each of them once where that is known."""
        return self.Z if self.distinct is None else self.Z[..., self.distinct[0], :]

    def followed_by(self, other: "Functionals") -> "Functionals":
        """These functionals and then those of another set, both without batch."""
        N, both = len(self.weight), (self, other)
        first, at = zip(*(part._distinct for part in both), strict=True)
        directions = None
        if self.direction is not None or other.direction is not None:
            directions = torch.cat(
                [part.Z * 0.0 if part.direction is None else part.direction for part in both]
            )
        return Functionals(
            torch.cat([part.Z for part in both]),
            torch.cat([part.weight for part in both]),
            directions,
            (torch.cat((first[0], first[1] + N)), torch.cat((at[0], at[1] + len(first[0])))),
        )

    @property
    def _distinct(self) -> tuple[Tensor, Tensor]:
        every = torch.arange(len(self.weight))
        return (every, every) if self.distinct is None else self.distinct


class CrossCovariance:
    """Cov(A, B) for a signal variance of 1, and the way back from its derivatives to z and u.

    Parameters
    ----------
    correlation
        One of `SMOOTH`.
    A, B
        N and M functionals.

    Attributes
    ----------
    value
        (*b, N, M), Equation (1).
    """

    def __init__(self, correlation: SmoothCorrelation, A: Functionals, B: Functionals) -> None:
        self.A, self.B = A, B
        self.by_points = correlation(squared_distance(A.points, B.points))
        self.w_A, self.w_B = A.weight.unsqueeze(-1), B.weight
        # In place where it can be: for these sizes fresh memory costs more than arithmetic.
        self.p = None if A.direction is None else _along(A.direction, A.Z, B.Z)
        self.q = None if B.direction is None else _along(B.direction, B.Z, A.Z).mT.neg()
        self.pq = None if self.p is None or self.q is None else self.p * self.q
        self.bracket = self._bracket()
        self.value = self._value()

    @cached_property
    def k(self) -> Tensor:
        """The correlations (*b, N, M)."""
        return self._for_all(0)

    @cached_property
    def k_1(self) -> Tensor:
        """Their first derivatives."""
        return self._for_all(1)

    @cached_property
    def k_2(self) -> Tensor:
        """Their second derivatives."""
        return self._for_all(2)

    def _for_all(self, order: int) -> Tensor:
        of_points = self.by_points[order]
        if self.B.distinct is not None:
            of_points = of_points[..., self.B.distinct[1]]
        if self.A.distinct is not None:
            of_points = of_points[..., self.A.distinct[1], :]
        return of_points

    def _bracket(self) -> Tensor | None:
        """w_B p - w_A q - t; None where all are values."""
        of_p = None if self.p is None else self.w_B * self.p
        if self.q is None:
            return of_p
        of_q = self.w_A * self.q
        if of_p is None or self.A.direction is None or self.B.direction is None:
            return of_q.neg_()
        return of_p.sub_(of_q).sub_(self.A.direction @ self.B.direction.mT)

    def _value(self) -> Tensor:
        value = (self.w_A * self.k).mul_(self.w_B)
        if self.bracket is not None:
            value = value.addcmul_(self.k_1, self.bracket, value=2.0)
        if self.pq is not None:
            value = value.addcmul_(self.k_2, self.pq, value=-4.0)
        return value

    def pull_back(self, P: Tensor) -> tuple[Tensor, Tensor | None]:
        """Gradients of sum(P * value) in z_A (*b, N, F) and u_A, Equation (2)."""
        by_s, by_p, by_q, by_t = self._by_products(P)
        return _toward(by_s, by_p, by_q, by_t, self.A, self.B)

    def pull_back_to_second(self, P: Tensor) -> tuple[Tensor, Tensor | None]:
        """The same in z_B and u_B: A and B change places, and Delta its sign."""
        by_s, by_p, by_q, by_t = self._by_products(P)
        by_p, by_q = (None if by is None else -by.mT for by in (by_q, by_p))
        return _toward(by_s.mT, by_p, by_q, by_t.mT, self.B, self.A)

    def _by_products(self, P: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor]:
        """P_s, P_p, P_q and P_t; None for those of values."""
        by_s = (self.w_A * self.k_1).mul_(self.w_B)
        by_t = (P * self.k_1).mul_(-2.0)
        by_p = None if self.p is None else (by_t * self.w_B).neg_()
        by_q = None if self.q is None else by_t * self.w_A
        if self.bracket is not None:
            by_s.addcmul_(self.k_2, self.bracket, value=2.0)
        if self.p is not None and self.q is not None and self.pq is not None:
            by_s.addcmul_(self._for_all(3), self.pq, value=-4.0)
            twice = (P * self.k_2).mul_(-4.0)
            by_p, by_q = (
                by if by is None else by.addcmul_(twice, other)
                for by, other in ((by_p, self.q), (by_q, self.p))
            )
        return by_s.mul_(P), by_p, by_q, by_t


def _along(direction: Tensor, Z: Tensor, other: Tensor) -> Tensor:
    """u_i' (z_i - z_j) for every pair (*b, N, M)."""
    own: Tensor = torch.linalg.vecdot(direction, Z).unsqueeze(-1)
    return own - direction @ other.mT


def _toward(
    by_s: Tensor,
    by_p: Tensor | None,
    by_q: Tensor | None,
    by_t: Tensor,
    A: Functionals,
    B: Functionals,
) -> tuple[Tensor, Tensor | None]:
    by_Z = 2.0 * (A.Z * by_s.sum(-1, keepdim=True) - by_s @ B.Z)
    by_direction = None
    if by_p is not None and A.direction is not None:
        row_sums = by_p.sum(-1, keepdim=True)
        by_Z = by_Z + A.direction * row_sums
        by_direction = A.Z * row_sums - by_p @ B.Z
        if B.direction is not None:
            by_direction = by_direction + by_t @ B.direction
    if by_q is not None and B.direction is not None:
        by_Z = by_Z + by_q @ B.direction
    return by_Z, by_direction


class _Covariances(torch.autograd.Function):
    """Attach (2) by hand: automatic differentiation of sqrt(s) at s = 0 gives no number."""

    @staticmethod
    def forward(ctx, correlation, A, B, Z_A, u_A, Z_B, u_B):  # type: ignore[no-untyped-def]
        pair = CrossCovariance(
            correlation,
            replace(A, Z=Z_A, direction=u_A),
            replace(B, Z=Z_B, direction=u_B),
        )
        ctx.pair = pair
        return pair.value

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        if torch.is_grad_enabled():  # create_graph=True: they would come out wrong
            raise RuntimeError("Second derivatives of a covariance are not implemented.")
        pair, needs = ctx.pair, ctx.needs_input_grad
        first = pair.pull_back(grad) if needs[3] or needs[4] else (None, None)
        second = pair.pull_back_to_second(grad) if needs[5] or needs[6] else (None, None)
        inputs = (pair.A.Z, pair.A.direction, pair.B.Z, pair.B.direction)
        gradients = (
            by.sum_to_size(of.shape) if needed and by is not None else None
            for by, of, needed in zip((*first, *second), inputs, needs[3:], strict=True)
        )
        return None, None, None, *gradients


def covariances(
    correlation: SmoothCorrelation, A: Functionals, B: Functionals
) -> Shaped[Tensor, "*b N M"]:
    """Cov(A, B) for a signal variance of 1, differentiable in points and directions."""
    value: Tensor = _Covariances.apply(  # type: ignore[no-untyped-call]
        correlation, A, B, A.Z, A.direction, B.Z, B.direction
    )
    return value
