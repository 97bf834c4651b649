"""How much of a cost budget is spent, and what the rest can pay for.

The sum of known costs never exceeds the budget, whatever is running and however many processes
share a study: `CostBudget` says what may begin, and is asked again where a point becomes a trial
(`bayesopt.trial_rules.commit`). Costs that are learnt are known only when they were paid; running
trials then count with what they hardly exceed. What a search makes of it is in `bayesopt.spending`.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from bayesopt.arguments import checked_budget
from bayesopt.cost import Cost
from bayesopt.trial import Trial, TrialState

_ROUNDING = 1e-12  # of the budget: ten times 0.1 can be paid from 1


def _total(costs: Iterable[float]) -> float:
    """Their sum, infinite where it is beyond the largest float64."""
    try:
        return math.fsum(costs)
    except OverflowError:
        return math.inf


class BudgetSpent(Exception):
    """What is left of the cost budget does not pay for the next evaluation."""


class Prices(Protocol):
    """What evaluations cost, as far as it is known."""

    def paid(self, trial: Trial) -> float:
        """What a trial that has ended has cost."""

    def upper(self, params: Mapping[str, Any]) -> float:
        """What an evaluation at a point costs, or hardly exceeds."""


class KnownPrices:
    """Known costs; a function of the user's is called once for each point.

    Parameters
    ----------
    cost
        Not to be learnt.
    """

    def __init__(self, cost: Cost) -> None:
        self.cost = cost
        self._kept: dict[tuple[tuple[str, Any], ...], float] = {}

    def paid(self, trial: Trial) -> float:
        """The known cost of its point, also where it failed."""
        return self.upper(trial.params)

    def upper(self, params: Mapping[str, Any]) -> float:
        """The known cost of a point."""
        key = tuple(sorted(params.items()))  # by names: no two are alike
        if key not in self._kept:
            self._kept[key] = self.cost.of_params(params)
        return self._kept[key]


@dataclass(frozen=True)
class Account:
    """A budget and what it has to pay already.

    Parameters
    ----------
    budget
        All there is.
    spent
        What trials that have ended have cost: failed ones, those of other processes and results
        that the user brought along included.
    held
        What running trials cost, or hardly exceed.
    """

    budget: float
    spent: float
    held: float

    @classmethod
    def of(cls, budget: float, trials: Iterable[Trial], prices: Prices) -> "Account":
        """The account of a study."""
        ended, running = [], []
        for trial in trials:
            if trial.state is TrialState.RUNNING:
                running.append(prices.upper(trial.params))
            else:
                ended.append(prices.paid(trial))
        return cls(budget, _total(ended), _total(running))

    @property
    def left(self) -> float:
        """What is neither spent nor held, not below 0."""
        return max(self.budget - self.spent - self.held, 0.0)

    @property
    def log_left(self) -> float:
        """Its logarithm, with what rounding may have taken; minus infinity for nothing."""
        left = self.budget * (1.0 + _ROUNDING) - self.spent - self.held
        return math.log(left) if left > 0.0 else -math.inf

    def affords(self, *costs: float) -> bool:
        """Whether evaluations of these costs can all be paid."""
        total = _total((self.spent, self.held, *costs))
        return total <= self.budget * (1.0 + _ROUNDING)

    def used_up(self, cost: float, *, cheapest: bool = True, known: bool = True) -> BudgetSpent:
        """The exception that says so.

        Parameters
        ----------
        cost
            Of what cannot be paid any more.
        cheapest
            Whether that is the cheapest evaluation there is, or only the next one.
        known
            Whether it costs that much, or hardly more than that.
        """
        held = f"{self.held:.6g} held for running evaluations, " if self.held > 0.0 else ""
        which = "cheapest" if cheapest else "next"
        costs = "costs" if known else "costs up to (95 %)"
        return BudgetSpent(
            f"The cost budget of {self.budget:.6g} is used up: {self.spent:.6g} spent, {held}the "
            f"{which} evaluation {costs} {cost:.6g}."
        )


@dataclass(frozen=True)
class CostBudget:
    """What a search may pay for evaluations.

    Parameters
    ----------
    total
        All there is: what the study has cost already included.
    cost
        What an evaluation costs.

    Raises
    ------
    TypeError, ValueError
        If `total` is not a positive finite number.
    """

    total: float
    cost: Cost
    known: KnownPrices | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", checked_budget(self.total))
        known = None if self.cost.is_learnt else KnownPrices(self.cost)
        object.__setattr__(self, "known", known)

    def admits(self, trials: Iterable[Trial], params: Mapping[str, Any]) -> bool:
        """Whether an evaluation may begin beside all trials of a study, ended and running.

        Of costs that are learnt nobody knows, and it may.
        """
        if self.known is None:
            return True
        return Account.of(self.total, trials, self.known).affords(self.known.upper(params))

    def check(self, trials: Iterable[Trial], params: Mapping[str, Any]) -> None:
        """Raise BudgetSpent where `admits` says no."""
        if self.known is None:
            return
        account, cost = Account.of(self.total, trials, self.known), self.known.upper(params)
        if not account.affords(cost):
            raise account.used_up(cost, cheapest=False)
