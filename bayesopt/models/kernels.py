"""Stationary kernels with one length-scale a column, and the features they measure distance in.

Notation
--------
n, m, d     points, points, columns
F           number of features: a real or integer column is one, a category of c choices is c
Z           (*b, n, F) features divided by the length-scales of their columns
s           (*b, n, m) what the correlation falls with: the squared distance |z - z'|^2 of a radial
            kernel, sum_j |z_j - z'_j|^p of the power exponential one
k, slope    correlation k(s) and dk/ds

    power exponential   k = exp(-s),   0 < p <= 2          Sacks et al. (1989); Frazier, Section 3.1

A kernel is called as ``k, slope = kernel(Z1, Z2)``; `pull_back` carries the derivative in s on to
the points, and `by_shape` is the derivative in nu or p. Two different choices of one category are
at the distance 1, whatever their order: a choice is a corner of a regular simplex (one-hot /
sqrt 2), so that every kernel here stays positive definite. (To the power exponential kernel they
are s = 2^(1 - p/2) / l^p apart, which a length-scale of the category makes up for.)
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float as Shaped
from torch import Tensor
from torch.nn.functional import one_hot

from bayesopt.models.correlations import (
    Correlation,
    matern,
    matern12,
    matern32,
    matern52,
    matern_by_nu,
    rbf,
)

_NEXT_TO = 1e-10  # a slope that grows without limit stops growing at this difference


@dataclass(frozen=True)
class Radial:
    """A kernel of the Euclidean distance.

    Parameters
    ----------
    correlation
        k and dk/ds from s.
    rough
        Whether k has a kink at s = 0, or something close to one. Distances are then taken from
        differences: the rounding error of the faster way, about 1e-16 |z|^2 in s, would show.
    shape_slope
        Derivative of k in the shape parameter from s; None when there is none to learn.
    """

    correlation: Correlation
    rough: bool = False
    shape_slope: Callable[[Tensor], Tensor] | None = None

    def __call__(self, Z1: Tensor, Z2: Tensor) -> tuple[Tensor, Tensor]:
        """Correlations (*b, n, m), and their derivatives in s."""
        return self.correlation(self._s(Z1, Z2))

    def pull_back(self, P: Tensor, Z1: Tensor, Z2: Tensor) -> Tensor:
        """Gradient in Z1 (*b, n, F) of the sum of P * s, for P of the shape (*b, n, m)."""
        if self.rough:
            return 2.0 * _by_feature(P, Z1, Z2, lambda difference: difference)
        return 2.0 * (Z1 * P.sum(-1, keepdim=True) - P @ Z2)

    def by_shape(self, Z1: Tensor, Z2: Tensor) -> Tensor:
        """Derivative (*b, n, m) of the correlations in the shape parameter."""
        if self.shape_slope is None:
            raise ValueError("This kernel has no shape parameter.")
        return self.shape_slope(self._s(Z1, Z2))

    def _s(self, Z1: Tensor, Z2: Tensor) -> Tensor:
        if self.rough:
            return torch.cdist(Z1, Z2, compute_mode="donot_use_mm_for_euclid_dist").square_()
        return squared_distance(Z1, Z2)


@dataclass(frozen=True)
class PowerExponential:
    """exp(-sum_j |z_j - z'_j|^p): no function of the Euclidean distance unless p = 2.

    Parameters
    ----------
    power
        p, above 0 and up to 2; a tensor broadcasts over the batch. 2 is a smooth kernel (the RBF
        one with length-scales sqrt 2 times as long), 1 one of rough paths.
    """

    power: float | Tensor

    def __call__(self, Z1: Tensor, Z2: Tensor) -> tuple[Tensor, Tensor]:
        """Correlations (*b, n, m), and their derivatives in s."""
        s: Tensor | float = 0.0
        for difference in _differences(Z1, Z2):
            s = s + difference.abs_().pow(self.power)
        k = torch.exp(-torch.as_tensor(s))
        return k, -k

    def pull_back(self, P: Tensor, Z1: Tensor, Z2: Tensor) -> Tensor:
        """Gradient in Z1 (*b, n, F) of the sum of P * s, for P of the shape (*b, n, m).

        A kink (p <= 1) has the gradient zero in its centre, by symmetry.
        """

        def slope(difference: Tensor) -> Tensor:
            size = difference.abs()
            slope = size.clamp_min(_NEXT_TO).pow(self.power - 1.0) * self.power
            return slope * difference.sign()

        return _by_feature(P, Z1, Z2, slope)

    def by_shape(self, Z1: Tensor, Z2: Tensor) -> Tensor:
        """Derivative (*b, n, m) of the correlations in p: -k sum_j |dz_j|^p log |dz_j|."""
        total: Tensor | float = 0.0
        for difference in _differences(Z1, Z2):
            size = difference.abs_().clamp_min(1e-300)
            total = total + size.pow(self.power) * size.log()
        k, _ = self(Z1, Z2)
        return -k * total


Kernel = Radial | PowerExponential


def _differences(Z1: Tensor, Z2: Tensor) -> Iterator[Tensor]:
    """z_j - z'_j (*b, n, m), feature after feature: n m entries at a time, and not n m F."""
    for z1, z2 in zip(Z1.unbind(-1), Z2.unbind(-1), strict=True):
        yield z1.unsqueeze(-1) - z2.unsqueeze(-2)


def _by_feature(P: Tensor, Z1: Tensor, Z2: Tensor, of: Callable[[Tensor], Tensor]) -> Tensor:
    """sum_i P_i of(z_j - Z2_ij) (*b, n, F), one feature after the other."""
    return torch.stack([(P * of(gap)).sum(-1) for gap in _differences(Z1, Z2)], dim=-1)


def kernel_named(name: str, shape: float | Tensor | None = None) -> Kernel:
    """The kernel of a name of `bayesopt.models.gaussian_process.KernelName`.

    Parameters
    ----------
    name
        One of those names.
    shape
        nu of "matern", p of "power_exponential"; a tensor broadcasts over the batch.
    """
    if name == "power_exponential":
        assert shape is not None
        return PowerExponential(shape)
    if name != "matern":
        return _OF_NAME[name]
    assert shape is not None
    if not isinstance(shape, Tensor) and shape in _CLOSED_FORMS:
        return _OF_NAME[_CLOSED_FORMS[shape]]
    rough = isinstance(shape, Tensor) or shape < 1.5
    return Radial(partial(matern, nu=shape), rough, partial(matern_by_nu, nu=shape))


_OF_NAME = {
    "matern52": Radial(matern52),
    "rbf": Radial(rbf),
    "matern12": Radial(matern12, rough=True),
    "matern32": Radial(matern32),
}
_CLOSED_FORMS = {0.5: "matern12", 1.5: "matern32", 2.5: "matern52"}


class _Correlate(torch.autograd.Function):
    """Attach the slope of a kernel by hand: the derivative of sqrt(s) at s = 0 is infinite."""

    @staticmethod
    def forward(ctx, Z1: Tensor, Z2: Tensor, kernel: Kernel) -> Tensor:  # type: ignore[no-untyped-def]
        k, slope = kernel(Z1, Z2)
        ctx.save_for_backward(Z1, Z2, slope)
        ctx.kernel = kernel
        return k

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:  # type: ignore[no-untyped-def]
        if torch.is_grad_enabled():  # create_graph=True: they would come out wrong
            raise RuntimeError("Second derivatives of a kernel are not implemented.")
        Z1, Z2, slope = ctx.saved_tensors
        P = grad * slope
        by_Z1 = by_Z2 = None
        if ctx.needs_input_grad[0]:
            by_Z1 = ctx.kernel.pull_back(P, Z1, Z2).sum_to_size(Z1.shape)
        if ctx.needs_input_grad[1]:
            by_Z2 = ctx.kernel.pull_back(P.mT, Z2, Z1).sum_to_size(Z2.shape)
        return by_Z1, by_Z2, None


def correlate(kernel: Kernel, Z1: Tensor, Z2: Tensor) -> Tensor:
    """Correlations (*b, n, m) between scaled features (*b, n, F) and (*b, m, F), differentiable."""
    k: Tensor = _Correlate.apply(Z1, Z2, kernel)  # type: ignore[no-untyped-call]
    return k


def squared_distance(Z1: Tensor, Z2: Tensor) -> Tensor:
    """Squared Euclidean distances (*b, n, m) between the rows of (*b, n, F) and (*b, m, F)."""
    norm1: Tensor = torch.linalg.vecdot(Z1, Z1).unsqueeze(-1)
    norm2: Tensor = torch.linalg.vecdot(Z2, Z2).unsqueeze(-2)
    return (norm1 + norm2).sub_(Z1 @ Z2.mT, alpha=2.0).clamp_min_(0.0)


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
