"""What evaluations cost, known or learnt from the trials so far, and what a search may spend.

Acquisitions are taken per unit cost, and only points that what is left of a budget pays for.
No formula lives here.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from botorch.acquisition import AcquisitionFunction
from numpy.typing import NDArray
from torch import Tensor

from bayesopt import optimize
from bayesopt.acquisition.per_cost import Affordable, LogCost, PerCost
from bayesopt.budget import Account, BudgetSpent, KnownPrices, Prices
from bayesopt.cost import Cost
from bayesopt.known_log_cost import KnownLogCost
from bayesopt.models.log_cost import LearntCost, learn_cost
from bayesopt.parameter import Array
from bayesopt.region import Region
from bayesopt.settings import Settings
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

    @classmethod
    def of(cls, cost: Cost, space: Space, trials: Sequence[Trial]) -> "ExpectedCost":
        """What is known of costs, or learnt of them from the trials.

        Parameters
        ----------
        cost, space, trials
            What the user says of costs, the parameters, and what is known.
        """
        if not cost.is_learnt:
            log_cost = KnownLogCost(cost, space)
            return cls(log_cost, log_cost, KnownPrices(cost), known=True)
        learnt = learn_cost(space, trials)
        return cls(learnt.log_mean, learnt.log_upper, LearntPrices(learnt, space), known=False)

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


@dataclass(frozen=True)
class Spending:
    """Costs and the account of a study, where either is said.

    Parameters
    ----------
    costs
        None: each evaluation costs the same, and there is no budget.
    account
        None: there is no budget.
    varies
        Whether costs differ from point to point.
    """

    costs: ExpectedCost | None = None
    account: Account | None = None
    varies: bool = False

    @classmethod
    def of(cls, settings: Settings, trials: Sequence[Trial]) -> "Spending":
        """What is known after some trials."""
        if settings.cost.is_constant and settings.cost_budget is None:
            return cls()
        costs = ExpectedCost.of(settings.cost, settings.space, trials)
        budget = settings.cost_budget
        account = None if budget is None else costs.account(budget, trials)
        return cls(costs, account, not settings.cost.is_constant)

    def per_cost(self, wanted: AcquisitionFunction) -> AcquisitionFunction:
        """A log acquisition for what it costs."""
        if self.costs is None or not self.varies:
            return wanted
        return PerCost(wanted, self.costs.log_cost)

    def affordable(self, wanted: AcquisitionFunction) -> AcquisitionFunction:
        """An acquisition where it can be paid."""
        if self.costs is None or self.account is None or not self.varies:
            return wanted
        return Affordable(wanted, self.costs.log_upper, self.account.log_left)

    def payable(self, X: Array, region: Region, rng: np.random.Generator) -> Array:
        """The rows of X (k, d) that can be paid, or the cheapest point of the region.

        Raises
        ------
        BudgetSpent
            If not even that can be.
        """
        if self.costs is None or self.account is None:
            return X
        paid: Array = X[self.costs.can_be_paid(X, self.account)]
        if len(paid) > 0:
            return paid
        cheapest, cost = self.costs.cheapest(region, rng)
        if self.account.affords(cost):
            return cheapest[None]
        raise self.account.used_up(cost, known=self.costs.known)

    def can_pay(self, x: Array) -> bool:
        """Whether one point (d,) can be paid."""
        if self.costs is None or self.account is None:
            return True
        return bool(self.costs.can_be_paid(x[None], self.account)[0])

    def pays_for_both(self, x: Array, other: Array) -> bool:
        """Whether two points (d,) can be paid, one after the other."""
        if self.costs is None or self.account is None:
            return True
        with torch.no_grad():
            upper = self.costs.log_upper(torch.from_numpy(np.stack((x, other))).unsqueeze(-2))
        return self.account.affords(*upper.exp().tolist())

    def too_dear(self, x: Array) -> BudgetSpent:
        """The exception for one point (d,) that cannot be paid."""
        assert self.costs is not None and self.account is not None
        with torch.no_grad():
            upper = float(self.costs.log_upper(torch.from_numpy(x[None, None])).exp())
        return self.account.used_up(upper, cheapest=False, known=self.costs.known)

    def cost(self, x: Array) -> float:
        """What is expected of one point (d,); 1 where nothing is said."""
        if self.costs is None:
            return 1.0
        with torch.no_grad():
            return float(self.costs.log_cost(torch.from_numpy(x[None, None])).exp())

    def paid(self, trial: Trial) -> float:
        """What a trial has cost, or is expected to."""
        return 1.0 if self.costs is None else self.costs.prices.paid(trial)
