"""The points to choose from when there are several objectives, and how far they got.

Notation
--------
k, m    points of the front, objectives
n       evaluations that have ended

Values are observed ones where nothing is noisy, else posterior means: the luckiest observations
would make a front that no points have.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float as Shaped

from bayesopt import pareto
from bayesopt.composition import Composition
from bayesopt.data import complete, observed_values
from bayesopt.parameter import Array
from bayesopt.trial import Trial, TrialState


@dataclass(frozen=True)
class ParetoFront:
    """Evaluated points that no other one dominates, in the user's units.

    That is, none is as good in every objective and better in one. Only points that satisfy all
    constraints; outcome constraints under noise with a probability of at least 95 %. The best in
    the first objective comes first.

    Parameters
    ----------
    params
        k points, parameter values by name.
    values, sd
        (k, m) their values, and how unsure these are; observed and 0 where nothing is noisy.
    reference_point
        (m,) what counts has to be better than it in every objective; chosen by the front where the
        user has given none.
    hypervolume
        Volume between the front and the reference point.
    hypervolume_trace
        (n,) the same after every evaluation, with the values as they are judged now.
    """

    params: tuple[Mapping[str, Any], ...]
    values: Shaped[np.ndarray, "k m"]
    sd: Shaped[np.ndarray, "k m"]
    reference_point: Shaped[np.ndarray, " m"]
    hypervolume: float
    hypervolume_trace: Shaped[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.params)

    def __repr__(self) -> str:
        return f"<ParetoFront of {len(self)} points, hypervolume {self.hypervolume:.6g}>"


def pareto_front(
    found: Composition, trials: Sequence[Trial], reference_point: Sequence[float] | None
) -> ParetoFront:
    """Find the front.

    Parameters
    ----------
    found
        The study, and the models that were fitted to it.
    trials
        All of its trials.
    reference_point
        The user's, in the user's units, or None.
    """
    done = complete(trials)
    value, sd = _judged(found, done)
    sign = np.array([data.scaling.sign for data in found.seen.objectives])
    allowed = found.region.holds(found.seen.X.numpy()) & found.feasible().numpy()
    score = np.where(allowed[:, None], sign * value, np.nan)
    if reference_point is not None:
        reference = sign * np.asarray(reference_point, dtype=np.float64)
    else:
        reference = pareto.reference_point(score if allowed.any() else sign * value)
    rows = np.flatnonzero(pareto.non_dominated(score))
    rows = rows[np.argsort(-score[rows, 0], kind="stable")]
    trace = _trace(score, done, trials, reference)
    return ParetoFront(
        params=tuple(dict(done[row].params) for row in rows),
        values=value[rows],
        sd=sd[rows],
        reference_point=sign * reference,
        hypervolume=float(trace[-1]),
        hypervolume_trace=trace,
    )


def _judged(found: Composition, done: Sequence[Trial]) -> tuple[Array, Array]:
    """Values (n, m) of the complete trials and their standard deviations."""
    columns = []
    for i, (model, data) in enumerate(
        zip(found.models.objectives, found.seen.objectives, strict=True)
    ):
        observed = observed_values(done, i)
        if bool((data.Yvar == 0).all()):
            columns.append((observed, np.zeros_like(observed)))
            continue
        with torch.no_grad():
            mean, variance = model.marginals(data.X)
        sd = data.scaling.value_sd(variance.sqrt().numpy())
        columns.append((data.scaling.value(mean.numpy()), sd))
    values, sds = zip(*columns, strict=True)
    return np.stack(values, axis=1), np.stack(sds, axis=1)


def _trace(score: Array, done: Sequence[Trial], trials: Sequence[Trial], reference: Array) -> Array:
    """Hypervolume after each trial that has ended; failed ones add nothing."""
    of_number = {trial.number: row for row, trial in zip(score, done, strict=True)}
    nothing = np.full(score.shape[1], np.nan)
    ended = [trial for trial in trials if trial.state is not TrialState.RUNNING]
    rows = [of_number.get(trial.number, nothing) for trial in ended]
    return pareto.hypervolume_trace(np.array(rows), reference)
