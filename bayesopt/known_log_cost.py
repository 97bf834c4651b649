"""The logarithm of a known cost at points of the unit cube, with its gradient.

Notation
--------
d           columns
X           (..., d) points of the unit cube
c           cost of the parameters that a point stands for
h           step of a central difference in one column

    d log c / dx_j = (log c(x + h e_j) - log c(x - h e_j)) / 2 h

The step stays inside the cube, and one at its border is one-sided. Integers and categories have no
slope.
"""

import math
from collections import OrderedDict

import numpy as np
import torch
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.cost import Cost
from bayesopt.parameter import Array
from bayesopt.space import Space

_STEP = 1e-5
_MOST_KEPT = 50_000


class KnownLogCost:
    """log c on (*b, 1, d) points; a function of the user's is called once for each point.

    Parameters
    ----------
    cost
        Known: not to be learnt.
    space
        The parameters.

    Raises
    ------
    ValueError
        If costs are learnt; when it is asked, if the user's function raises or gives what is no
        cost.
    """

    def __init__(self, cost: Cost, space: Space) -> None:
        if cost.is_learnt:
            raise ValueError("Costs that are learnt have no known logarithm.")
        self.cost, self.space = cost, space
        self._kept: OrderedDict[bytes, float] = OrderedDict()

    def __call__(self, X: Shaped[Tensor, "*b 1 d"]) -> Shaped[Tensor, "*b"]:
        """Its value, differentiable."""
        if not (torch.is_grad_enabled() and X.requires_grad):
            return self._values(X.detach().squeeze(-2))
        flat = X.squeeze(-2).reshape(-1, X.shape[-1])
        value: Tensor = _WithGradient.apply(flat, self)  # type: ignore[no-untyped-call]
        return value.reshape(X.shape[:-2])

    def value_and_gradient(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Shaped[Tensor, " b"], Shaped[Tensor, "b d"]]:
        """Its value and its gradient."""
        X = X.detach()
        value, gradient = self._values(X), torch.zeros_like(X)
        if self.cost.function is None:
            return value, gradient
        for column in self.space.columns("float"):
            above, below = X.clone(), X.clone()
            above[:, column] = (above[:, column] + _STEP).clamp_max(1.0)
            below[:, column] = (below[:, column] - _STEP).clamp_min(0.0)
            apart = above[:, column] - below[:, column]
            gradient[:, column] = (self._values(above) - self._values(below)) / apart
        return value, gradient

    def _values(self, X: Tensor) -> Tensor:
        """(*b,) logarithms at (*b, d) points."""
        if self.cost.is_constant:
            return torch.full(X.shape[:-1], math.log(self.cost.number), dtype=X.dtype)
        points = X.reshape(-1, X.shape[-1]).numpy()
        if self.cost.function is None:
            values = self._by_value(points)
        else:
            values = np.array([self._at(x) for x in points], dtype=np.float64)
        return torch.from_numpy(values).reshape(X.shape[:-1])

    def _by_value(self, points: Array) -> Array:
        assert self.cost.name is not None
        column = points[:, self.space.names.index(self.cost.name)]
        units, rows = np.unique(column, return_inverse=True)
        parameter, cost = self.space[self.cost.name], dict(self.cost.by_value)
        log_costs = np.log([cost[parameter.from_unit(unit)] for unit in units.tolist()])
        chosen: Array = log_costs[rows]
        return chosen

    def _at(self, x: Array) -> float:
        """At one point; those that were asked for last are remembered."""
        key = x.tobytes()
        if key not in self._kept:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.popitem(last=False)
            self._kept[key] = math.log(self.cost.of_params(self.space.from_unit(x)))
        return self._kept[key]


class _WithGradient(torch.autograd.Function):
    """A log cost that comes with its gradient."""

    @staticmethod
    def forward(ctx, X, log_cost):  # type: ignore[no-untyped-def]
        value, gradient = log_cost.value_and_gradient(X)
        ctx.save_for_backward(gradient)
        return value

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        (gradient,) = ctx.saved_tensors
        return grad.unsqueeze(-1) * gradient, None
