"""One estimate from several rounds.

Notation
--------
I_k, v_k    estimates of round k, their variances, nu_k degrees of freedom of these
c_k         weights that sum to one, fixed before round k was drawn

    I = sum_k c_k I_k,    v = sum_k c_k^2 v_k,    nu = v^2 / sum_k (c_k^2 v_k)^2 / nu_k

the last by Satterthwaite (1946). Weights that knew I_k would make I biased.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uq.reliability.final_runs import RoundEstimate
from uq.reliability.procedure import FinishedRound, Procedure

Array = NDArray[np.float64]

_OF_NETS = 4.0  # by so much one point of a net is worth more than a random one, in trials


@dataclass(frozen=True, eq=False)
class Combined:
    """Estimates of all events.

    Parameters
    ----------
    mean, low, high
        (Q,) failed runs left out, counted as no failure, counted as one.
    variance, n_free
        (Q,) of the means, and degrees of freedom.
    """

    mean: Array
    low: Array
    high: Array
    variance: Array
    n_free: Array

    def some(self, which: slice) -> "Combined":
        """Those of some events."""
        return Combined(*(one[which] for one in vars(self).values()))


def combined(procedure: Procedure) -> Combined:
    """All rounds, and where there is no cheap model the learning runs that were drawn as well."""
    estimates = [one.estimate for one in procedure.rounds]
    shares = [_OF_NETS * len(one.runs.z) / _at_least(one.foretold) for one in procedure.rounds]
    if procedure.models is None:
        for estimate, share in _of_learning_runs(procedure):
            estimates.append(estimate)
            shares.append(share)
    return _weighted(estimates, np.array(shares))


def _at_least(foretold: float) -> float:
    """Variances that were foretold too small would make one round rule all others."""
    return float(np.clip(foretold, 0.5, 1e6))


def _weighted(estimates: Sequence[RoundEstimate], shares: Array) -> Combined:
    c = shares / shares.sum()
    mean, low, high = (
        np.tensordot(c, np.stack([getattr(one, name) for one in estimates]), 1)
        for name in ("mean", "low", "high")
    )
    parts = np.square(c)[:, None] * np.stack([one.variance for one in estimates])
    variance = parts.sum(axis=0)
    n_free = np.stack([one.n_free for one in estimates])
    below = (np.square(parts) / n_free).sum(axis=0)
    free = np.where(below > 0.0, np.square(variance) / np.where(below > 0.0, below, 1.0), np.inf)
    free = np.where(np.isfinite(free), free, n_free.max(axis=0))
    return Combined(mean, low, high, variance, free)


def _of_learning_runs(procedure: Procedure) -> list[tuple[RoundEstimate, float]]:
    """Plain estimates of the stages whose density was chosen, with single-run variances."""
    found = []
    first: FinishedRound = procedure.rounds[0]
    for batch in procedure.learning.batches:
        foretold = batch.foretold
        if batch.averaged or batch.density is None or not np.isfinite(foretold):
            continue
        runs = procedure.weighted_runs(batch)
        found.append(
            (procedure.plain_estimate(runs, first.levels), len(batch.z) / _at_least(foretold))
        )
    return found


def running(finished: FinishedRound, e: int) -> tuple[Array, Array]:
    """Estimates and standard errors (R - 1,) of event e after two folds, three, ... all."""
    by_fold = finished.estimate.by_fold[:, e]
    counts = np.arange(1, len(by_fold) + 1)
    means = np.cumsum(by_fold) / counts
    error = np.sqrt(finished.estimate.variance[e] * len(by_fold) / counts)
    return means[1:], error[1:]
