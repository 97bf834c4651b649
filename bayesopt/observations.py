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
from numpy.typing import NDArray
from torch import Tensor

from bayesopt.data import Dataset, Direction, Noise, complete, dataset, observed_values
from bayesopt.outcome_constraints import OutcomeConstraints
from bayesopt.parameter import Array
from bayesopt.space import Space
from bayesopt.trial import Trial, TrialState

_FARTHEST = (
    20.0  # medians; an engineer's spring: 4.1 g for 4.5 g after 30 tests, harmless elsewhere
)


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
        m datasets, one row for each complete trial, at the same points. The rows of the traces of
        the only objective follow after these, where they are asked for.
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
    def of_trials(self) -> "Observations":
        """The complete trials alone, without the rows of their traces."""
        n = len(self.met)
        return self if len(self.X) == n else self.at(torch.arange(n))

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

    def moved(self, X: Shaped[Tensor, "n d"], stays: Bool[Tensor, " n"]) -> "Observations":
        """The same at other points X: what does not stay where it was says nothing exact there."""

        def of(data: Dataset) -> Dataset:
            Yvar = torch.where(stays.unsqueeze(-1), data.Yvar, torch.nan)
            return replace(data, X=X, Yvar=Yvar)

        return replace(
            self,
            objectives=tuple(of(data) for data in self.objectives),
            constraints=tuple(replace(c, data=of(c.data)) for c in self.constraints),
        )

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
    *,
    traces: bool = False,
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
        See `data.dataset`. With several objectives these are not truncated: what is poor in one of
        them may be the best in another. Values of a constraint that are much farther from its
        bound than most count as less far: where they span decades, they would hide which of the
        others meet it.
    traces
        Whether the rows of the objective's traces follow after those of the trials.
    """
    evaluations = [trial.evaluation for trial in complete(trials) if trial.evaluation]
    met = limits.holds(limits.observed(evaluations))
    group = _tasks(space, complete(trials))
    of_objectives = truncate if len(directions) == 1 else None
    allowed = met if limits else None
    failed = [trial.params for trial in trials if trial.state is TrialState.FAILED]
    return Observations(
        objectives=tuple(
            dataset(
                space,
                trials,
                direction,
                noise,
                of_objectives,
                outcome=i,
                allowed=allowed,
                group=group,
                traces=traces and space.role == "fidelity",
            )
            for i, direction in enumerate(directions)
        ),
        constraints=tuple(
            _constraint(space, trials, noise, name, (low, high), truncate)
            for name, low, high in zip(limits.names, limits.low, limits.high, strict=True)
        ),
        met=torch.from_numpy(met),
        X_failed=torch.from_numpy(space.to_units(failed)),
    )


def _tasks(space: Space, done: Sequence[Trial]) -> NDArray[np.int64] | None:
    """Which task (n,) was evaluated, where there are tasks: each has values of its own size."""
    if space.role != "task":
        return None
    (column,) = space.role_columns
    return np.unique(
        space.to_units([trial.params for trial in done])[:, column], return_inverse=True
    )[1]


def _constraint(
    space: Space,
    trials: Sequence[Trial],
    noise: Noise,
    name: str,
    bounds: tuple[float, float],
    truncate: float | None,
) -> ConstraintData:
    known: Noise = False if noise is False else "auto"
    within = None if truncate is None else _near(bounds, observed_values(trials, name))
    data = dataset(space, trials, "maximize", known, outcome=name, within=within)
    scores = data.scaling.score_bound(np.array(bounds))
    if not scores[0] < scores[1]:  # both round to one score where values are huge
        scores = np.nextafter(scores, [-np.inf, np.inf])
    return ConstraintData(data, float(scores[0]), float(scores[1]))


def _near(bounds: tuple[float, float], value: Array) -> tuple[float, float] | None:
    """What lies within 20 medians of the distances of values (n,) from the nearest bound."""
    low, high = (bounds[i] if np.isfinite(bounds[i]) else bounds[1 - i] for i in range(2))
    quarter = 0.25 * value  # differences of these cannot overflow
    each = np.minimum(np.abs(quarter - 0.25 * low), np.abs(quarter - 0.25 * high))
    with np.errstate(over="ignore"):  # what is beyond all floats is no limit
        far = 4.0 * _FARTHEST * np.median(each)
        return (float(low - far), float(high + far)) if 0.0 < far < np.inf else None
