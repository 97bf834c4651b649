"""When to stop: rules over what the stages of a procedure have spent and reached.

A rule is any callable `rule(progress) -> bool`. `STOPPING_RULES` holds those that are used by name.

Notation
--------
N           budget
n_k         evaluations spent before the points of stage k were drawn
S_k         weighted variance per evaluation of stage k, sum_j w_j n Var(I_j)
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Progress:
    """What a rule may look at.

    Parameters
    ----------
    budget
        N, evaluations in all.
    n_evaluations
        Evaluations spent so far.
    spent, variances
        n_k and S_k of all stages so far, the oldest first: an estimate that used the proposal of
        stage k would have had N - n_k points.
    estimate, standard_error
        (J,) where there are any.
    """

    budget: int
    n_evaluations: int
    spent: tuple[int, ...] = ()
    variances: tuple[float, ...] = ()
    estimate: Array | None = None
    standard_error: Array | None = None


StoppingRule = Callable[[Progress], bool]


def predicted_variance_rises(
    old: float, spent_old: int, new: float, spent_new: int, budget: int
) -> bool:
    """S_old / (N - n_old) <= S_new / (N - n_new): the last stage did not pay for itself.

    Criterion (7) of Demange-Chryst, Bachoc & Morio (2023). A stage that leaves nothing to spend
    never pays.
    """
    if spent_new >= budget:
        return True
    return old / (budget - spent_old) <= new / (budget - spent_new)  # (7)


def variance_rule(progress: Progress) -> bool:
    """Criterion (7) on the last two stages; never before there are two."""
    if len(progress.variances) < 2:
        return False
    (spent_old, spent_new), (old, new) = progress.spent[-2:], progress.variances[-2:]
    return predicted_variance_rises(old, spent_old, new, spent_new, progress.budget)


def budget_rule(progress: Progress) -> bool:
    """The budget is spent."""
    return progress.n_evaluations >= progress.budget


@dataclass(frozen=True)
class RelativeErrorRule:
    """All standard errors are at most `target` times the size of their estimate, or no budget.

    An expectation that is estimated as zero has no relative error and never stops.
    """

    target: float

    def __post_init__(self) -> None:
        if not 0.0 < self.target < np.inf:
            raise ValueError(f"`target` must be positive and finite, but got {self.target!r}.")

    def __call__(self, progress: Progress) -> bool:
        """Whether to stop."""
        if budget_rule(progress):
            return True
        if progress.estimate is None or progress.standard_error is None:
            return False
        size = np.abs(progress.estimate)
        return bool(np.all((size > 0.0) & (progress.standard_error <= self.target * size)))


STOPPING_RULES: dict[str, StoppingRule] = {
    "predicted_variance": variance_rule,
    "budget": budget_rule,
}
