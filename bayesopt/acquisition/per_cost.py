"""An acquisition per unit cost, and only where the cost can be paid, as logarithms.

Notation
--------
q, d        points of one candidate, columns
v           logarithm of an acquisition
c, c_hi     cost of one evaluation, and what it hardly exceeds (the same where it is known)
B           what is left of the budget

    per cost   = v(x_1 .. x_q) - log sum_i c(x_i)              Poloczek, Wang & Frazier (2017)
    affordable = v(x_1 .. x_q) where sum_i c_hi(x_i) <= B, else -inf

Value per cost is what a budget gains: many cheap evaluations that each show a little, or a dear one
that shows more.
"""

from typing import Protocol, runtime_checkable

import torch
from botorch.acquisition import AcquisitionFunction
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.optimize import value_and_gradient

_ROUNDING = 1e-12  # of a logarithm: a cost that is all that is left can be paid


@runtime_checkable  # the tests check types as they run
class LogCost(Protocol):
    """The logarithm of the cost of an evaluation, at every point of the unit cube."""

    def __call__(self, X: Shaped[Tensor, "*b 1 d"]) -> Shaped[Tensor, "*b"]:
        """Its value, differentiable."""

    def value_and_gradient(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Shaped[Tensor, " b"], Shaped[Tensor, "b d"]]:
        """Its value and its gradient."""


def log_total(log_cost: LogCost, X: Shaped[Tensor, "*b q d"]) -> Shaped[Tensor, "*b"]:
    """Logarithm of the cost of q points together, differentiable."""
    return torch.logsumexp(log_cost(X.unsqueeze(-2)), dim=-1)


class PerCost(AcquisitionFunction):  # type: ignore[misc]
    """Log acquisition minus log cost.

    Parameters
    ----------
    acquisition
        Its value is a logarithm; any number of points q that it takes.
    log_cost
        Of one point; the costs of q points are added.
    """

    def __init__(self, acquisition: AcquisitionFunction, log_cost: LogCost) -> None:
        super().__init__(acquisition.model)
        self.acquisition, self.log_cost = acquisition, log_cost

    def value_and_gradient(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Shaped[Tensor, " b"], Shaped[Tensor, "b d"]]:
        """Value and gradient at every candidate, q = 1, in closed form where the parts have one."""
        value, gradient = value_and_gradient(self.acquisition, X)
        log_c, slope = self.log_cost.value_and_gradient(X)
        return value - log_c, gradient - slope

    def forward(self, X: Shaped[Tensor, "*b q d"]) -> Shaped[Tensor, "*b"]:
        """Value of every candidate."""
        value: Tensor = self.acquisition(X)
        return value - log_total(self.log_cost, X)


class Affordable(AcquisitionFunction):  # type: ignore[misc]
    """An acquisition where what is left can pay, and minus infinity elsewhere.

    Parameters
    ----------
    acquisition
        Any; any number of points q that it takes.
    log_upper_cost
        Of one point, what its cost hardly exceeds; those of q points are added.
    log_left
        Logarithm of what is left; minus infinity where that is nothing.
    """

    def __init__(
        self, acquisition: AcquisitionFunction, log_upper_cost: LogCost, log_left: float
    ) -> None:
        super().__init__(acquisition.model)
        self.acquisition, self.log_upper_cost = acquisition, log_upper_cost
        self.log_left = log_left + _ROUNDING

    def value_and_gradient(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Shaped[Tensor, " b"], Shaped[Tensor, "b d"]]:
        """Value and gradient at every candidate, q = 1; no slope where it cannot be paid."""
        value, gradient = value_and_gradient(self.acquisition, X)
        paid = self._can_be_paid(X.unsqueeze(-2))
        return value.where(paid, -torch.inf), gradient.where(paid.unsqueeze(-1), 0.0)

    def forward(self, X: Shaped[Tensor, "*b q d"]) -> Shaped[Tensor, "*b"]:
        """Value of every candidate."""
        value: Tensor = self.acquisition(X)
        return value.where(self._can_be_paid(X), -torch.inf)

    def _can_be_paid(self, X: Tensor) -> Tensor:
        with torch.no_grad():
            return log_total(self.log_upper_cost, X) <= self.log_left
