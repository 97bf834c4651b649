"""What evaluations cost, as a search looks at it: known, or learnt from the trials so far.

No formula lives here.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesopt import optimize
from bayesopt.acquisition.per_cost import LogCost
from bayesopt.budget import Account, KnownPrices, Prices
from bayesopt.cost import Cost
from bayesopt.known_log_cost import KnownLogCost
from bayesopt.models.log_cost import LearntCost, learn_cost
from bayesopt.parameter import Array
from bayesopt.region import Region
from bayesopt.space import Space
from bayesopt.trial import Trial

_ROUNDING = 1e-12  # of a logarithm
_LARGEST = 700.0  # of an exponent: beyond it a float64 is infinite


def _exp(value: float) -> float:
    return math.exp(min(value, _LARGEST))


class LearntPrices:
    """Costs that were learnt: what was told, the mean where nothing was, and the 95 % quantile.

    Parameters
    ----------
    learnt, space
        What was learnt, and the parameters.
    """

    def __init__(self, learnt: LearntCost, space: Space) -> None:
        self.learnt, self.space = learnt, space

    def paid(self, trial: Trial) -> float:
        """What an ended trial told that it has cost, else what is expected at its point."""
        if trial.evaluation is not None and trial.evaluation.cost is not None:
            return trial.evaluation.cost
        return self._at(self.learnt.log_mean, trial.params)

    def upper(self, params: Mapping[str, Any]) -> float:
        """What an evaluation at a point hardly exceeds."""
        return self._at(self.learnt.log_upper, params)

    def _at(self, log_cost: LogCost, params: Mapping[str, Any]) -> float:
        with torch.no_grad():
            value = float(log_cost(torch.from_numpy(self.space.to_unit(params))[None]))
        return _exp(value)


@dataclass(frozen=True)
class ExpectedCost:
    """What evaluations cost at points of the unit cube and by their parameters.

    Parameters
    ----------
    log_cost
        What an acquisition is divided by: the known cost, or the mean of the learnt one.
    log_upper
        What a cost hardly exceeds: the known cost, or the 95 % quantile.
    prices
        For the account of a budget.
    known
        Whether costs are known.
    """

    log_cost: LogCost
    log_upper: LogCost
    prices: Prices
    known: bool

    def account(self, budget: float, trials: Sequence[Trial]) -> Account:
        """What is spent, held and left of a budget."""
        return Account.of(budget, trials, self.prices)

    def can_be_paid(self, X: Array, account: Account) -> NDArray[np.bool_]:
        """Which points (k, d) what is left pays for, each of them alone: (k,)."""
        with torch.no_grad():
            log_upper = self.log_upper(torch.from_numpy(X).unsqueeze(-2)).numpy()
        paid: NDArray[np.bool_] = log_upper <= account.log_left + _ROUNDING
        return paid

    def cheapest(self, region: Region, rng: np.random.Generator) -> tuple[Array, float]:
        """The point (d,) of a region whose cost is bounded the lowest, and that bound."""

        def negative(X: Tensor) -> Tensor:
            return -self.log_upper(X)

        centre = region.space.snap(np.full((1, len(region.space)), 0.5))
        X, v = optimize.maximize(negative, region, centre, rng)
        return X[0], _exp(-float(v[0]))


def expected_cost(cost: Cost, space: Space, trials: Sequence[Trial]) -> ExpectedCost:
    """What is known of costs, or learnt of them from the trials.

    Parameters
    ----------
    cost, space, trials
        What the user says of costs, the parameters, and what is known.
    """
    if not cost.is_learnt:
        log_cost = KnownLogCost(cost, space)
        return ExpectedCost(log_cost, log_cost, KnownPrices(cost), known=True)
    learnt = learn_cost(space, trials)
    prices = LearntPrices(learnt, space)
    return ExpectedCost(learnt.log_mean, learnt.log_upper, prices, known=False)
