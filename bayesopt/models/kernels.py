"""Stationary kernels with one length-scale a column, and the features they measure distance in.

Notation
--------
n, m, d     points, points, columns
F           number of features: a real or integer column is one, a category of c choices is c
Z           (*b, n, F) features divided by the length-scales of their columns
s           (*b, n, m) squared scaled distances  s = sum_j |x_j - x'_j|^2 / l_j^2
k, slope    correlation k(s) and dk/ds

Two different choices of one category are at the distance 1, whatever their order: a choice is a
corner of a regular simplex (one-hot / sqrt 2), so that every kernel here stays positive definite.
Formulas: Rasmussen & Williams (2006), Eqs. (4.9) and (4.17).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float as Shaped
from torch import Tensor
from torch.nn.functional import one_hot

Correlation = Callable[[Tensor], tuple[Tensor, Tensor]]

_SQRT5 = math.sqrt(5.0)


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


CORRELATIONS: dict[str, Correlation] = {"matern52": matern52, "rbf": rbf}


class _Radial(torch.autograd.Function):
    """Attach the slope of a correlation by hand: the derivative of sqrt(s) at s = 0 is infinite."""

    @staticmethod
    def forward(ctx, s: Tensor, correlation: Correlation) -> Tensor:  # type: ignore[no-untyped-def]
        k, slope = correlation(s)
        ctx.save_for_backward(slope)
        return k

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[no-untyped-def]
        if torch.is_grad_enabled():  # create_graph=True: they would come out wrong
            raise RuntimeError("Second derivatives of a kernel are not implemented.")
        (slope,) = ctx.saved_tensors
        return grad * slope, None


def correlate(correlation: Correlation, Z1: Tensor, Z2: Tensor) -> Tensor:
    """Correlations (*b, n, m) between scaled features (*b, n, F) and (*b, m, F), differentiable."""
    k: Tensor = _Radial.apply(squared_distance(Z1, Z2), correlation)  # type: ignore[no-untyped-call]
    return k


def squared_distance(Z1: Tensor, Z2: Tensor) -> Tensor:
    """Squared Euclidean distances (*b, n, m) between the rows of (*b, n, F) and (*b, m, F)."""
    norm1: Tensor = torch.linalg.vecdot(Z1, Z1).unsqueeze(-1)
    norm2: Tensor = torch.linalg.vecdot(Z2, Z2).unsqueeze(-2)
    return (norm1 + norm2).sub(Z1 @ Z2.mT, alpha=2.0).clamp_min(0.0)


@dataclass(frozen=True)
class Features:
    """How columns of the unit cube become features.

    Parameters
    ----------
    d
        Number of columns.
    categories
        (column, number of choices) of the categorical ones.
    """

    d: int
    categories: tuple[tuple[int, int], ...] = ()

    @property
    def plain(self) -> list[int]:
        """Columns that are features as they are."""
        taken = {column for column, _ in self.categories}
        return [column for column in range(self.d) if column not in taken]

    @property
    def column_of(self) -> list[int]:
        """The column (F,) that each feature comes from."""
        return self.plain + [column for column, size in self.categories for _ in range(size)]

    def of(self, X: Shaped[Tensor, "*b n d"]) -> Shaped[Tensor, "*b n F"]:
        """Features of points of the unit cube."""
        if not self.categories:
            return X
        parts = [X[..., self.plain]]
        for column, size in self.categories:
            index = torch.round(X[..., column] * (size - 1)).long()
            parts.append(one_hot(index, size).to(X.dtype) / math.sqrt(2.0))
        return torch.cat(parts, dim=-1)
