"""What a search may spend: acquisitions per unit cost, and points that what is left pays for.

No formula lives here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from botorch.acquisition import AcquisitionFunction

from bayesopt.acquisition.per_cost import Affordable, PerCost
from bayesopt.budget import Account, BudgetSpent
from bayesopt.expected_cost import ExpectedCost, expected_cost
from bayesopt.parameter import Array
from bayesopt.region import Region
from bayesopt.settings import Settings
from bayesopt.trial import Trial


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
        costs = expected_cost(settings.cost, settings.space, trials)
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
        """What a trial has cost, or may."""
        return 1.0 if self.costs is None else self.costs.prices.paid(trial)
