"""All that was observed: every objective, every outcome constraint, and where nothing came.

Notation
--------
n, d    complete trials, parameters
m       objectives
k       failed trials
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.data import Dataset, Direction, Noise, complete, dataset
from bayesopt.outcome_constraints import OutcomeConstraints
from bayesopt.space import Space
from bayesopt.trial import Trial, TrialState


@dataclass(frozen=True)
class ConstraintData:
    """What was observed of an outcome constraint, and what is allowed.

    Parameters
    ----------
    data
        Its values as scores, in their own direction.
    low, high
        The bounds in the same scores, infinite where there is none.
    """

    data: Dataset
    low: float
    high: float


@dataclass(frozen=True)
class Observations:
    """The complete and the failed trials of a study.

    Parameters
    ----------
    objectives
        m datasets, one row for each complete trial, at the same points.
    constraints
        Likewise for every outcome constraint.
    met
        (n,) which trials met all of the outcome constraints, as they were observed.
    X_failed
        (k, d) points of the failed trials.
    """

    objectives: tuple[Dataset, ...]
    constraints: tuple[ConstraintData, ...]
    met: Bool[Tensor, " n"]
    X_failed: Shaped[Tensor, "k d"]

    @property
    def X(self) -> Shaped[Tensor, "n d"]:
        """Points of the complete trials."""
        return self.objectives[0].X

    @property
    def exact(self) -> bool:
        """Whether nothing is noisy, neither an objective nor an outcome constraint."""
        everything = (*self.objectives, *(each.data for each in self.constraints))
        return all(bool((data.Yvar == 0).all()) for data in everything)

    def violation(self) -> Shaped[Tensor, " n"]:
        """By how much the observed values miss the outcome constraints, at worst, in scores."""
        worst = torch.zeros(len(self.met), dtype=torch.float64)
        for constraint in self.constraints:
            value = constraint.data.Y.squeeze(-1)
            missed = torch.maximum(constraint.low - value, value - constraint.high)
            worst = torch.maximum(worst, missed)
        return worst

    def at(self, rows: Tensor) -> "Observations":
        """Some of the complete trials, by a mask or by their numbers."""
        return replace(
            self,
            objectives=tuple(data.at(rows) for data in self.objectives),
            constraints=tuple(replace(c, data=c.data.at(rows)) for c in self.constraints),
            met=self.met[rows],
        )


def observations(
    space: Space,
    trials: Sequence[Trial],
    directions: Sequence[Direction],
    noise: Noise,
    limits: OutcomeConstraints,
    truncate: float | None = None,
) -> Observations:
    """Gather the complete and the failed trials.

    Parameters
    ----------
    space, trials
        The study; at least one trial must be complete.
    directions
        One for each objective.
    noise
        Of the objectives; see `data.dataset`. Outcome constraints are exact if it is False, else
        their noise is inferred where a value has no standard error of its own.
    limits
        The outcome constraints.
    truncate
        See `data.dataset`. With several objectives nothing is truncated: what is poor in one of
        them may be the best in another.
    """
    evaluations = [trial.evaluation for trial in complete(trials) if trial.evaluation]
    met = limits.holds(limits.observed(evaluations))
    if len(directions) > 1:
        truncate = None
    allowed = met if limits else None
    failed = [trial.params for trial in trials if trial.state is TrialState.FAILED]
    return Observations(
        objectives=tuple(
            dataset(space, trials, direction, noise, truncate, outcome=i, allowed=allowed)
            for i, direction in enumerate(directions)
        ),
        constraints=tuple(
            _constraint(space, trials, noise, name, low, high)
            for name, low, high in zip(limits.names, limits.low, limits.high, strict=True)
        ),
        met=torch.from_numpy(met),
        X_failed=torch.from_numpy(space.to_units(failed)),
    )


def _constraint(
    space: Space, trials: Sequence[Trial], noise: Noise, name: str, low: float, high: float
) -> ConstraintData:
    known: Noise = False if noise is False else "auto"
    data = dataset(space, trials, "maximize", known, outcome=name)
    bounds = data.scaling.score(np.array([low, high]))
    return ConstraintData(data, float(bounds[0]), float(bounds[1]))
