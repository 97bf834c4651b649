"""A polynomial prior mean in the columns that hold numbers.

Notation
--------
n, d, c     points, columns, columns that hold numbers (those of categories have no slope)
u           (*b, n, c) coordinates centred to [-1, 1]:  u = 2 x - 1
h           basis: u for a linear trend; u and u^2 for a quadratic one
beta        coefficients of h

    m(x) = c0 + h(x)' beta                                        Frazier (2018), Section 3.1

Coefficients but the constant have the prior N(0, 2^2), weak but enough for few observations.
Products of two coordinates are left to the process: with them a quadratic trend in d columns
would have about d^2 / 2 coefficients, more than there are observations.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float as Shaped
from torch import Tensor

PRIOR_SD = 2.0  # of a coefficient; scores are standardised, and a slope of 1.7 alone does that
DEGREES = {"constant": 0, "linear": 1, "quadratic": 2}


def polynomial_basis(
    X: Shaped[Tensor, "*b n d"], columns: Sequence[int], degree: int
) -> Shaped[Tensor, "*b n k"]:
    """u, or u and u^2, at points of the unit cube; nothing for degree 0.

    Parameters
    ----------
    X
        Points.
    columns
        The columns that hold numbers.
    degree
        0, 1 or 2.
    """
    u = 2.0 * X[..., columns] - 1.0
    return torch.cat([u**power for power in range(1, degree + 1)] or [u[..., :0]], dim=-1)


@dataclass(frozen=True)
class Trend:
    """A polynomial without its constant.

    Parameters
    ----------
    columns
        The columns that hold numbers.
    beta
        (k,) coefficients: one for every such column, or two, those of the squares last.

    Raises
    ------
    ValueError
        If there are more or fewer coefficients.
    """

    columns: Sequence[int]
    beta: Shaped[Tensor, " k"]

    def __post_init__(self) -> None:
        c, k = len(self.columns), len(self.beta)
        if k not in (c, 2 * c):
            raise ValueError(f"A trend in {c} columns has {c} or {2 * c} coefficients, not {k}.")

    @property
    def degree(self) -> int:
        """1 for a linear trend, 2 for a quadratic one."""
        return len(self.beta) // max(len(self.columns), 1)

    def __call__(self, X: Shaped[Tensor, "*b n d"]) -> Shaped[Tensor, "*b n"]:
        """Values h(x)' beta at points of the unit cube."""
        return polynomial_basis(X, self.columns, self.degree) @ self.beta

    def slope(self, X: Shaped[Tensor, "*b n d"]) -> Shaped[Tensor, "*b n c"]:
        """Gradients in the columns that hold numbers."""
        u = 2.0 * X[..., self.columns] - 1.0
        slope = 2.0 * self.beta[: len(self.columns)].expand(u.shape)
        if self.degree == 2:
            slope = slope + 4.0 * u * self.beta[len(self.columns) :]
        return slope
