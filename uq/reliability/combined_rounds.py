"""One estimate from several rounds.

Notation
--------
I_k         estimates of round k
v_k, nu_k   their variances, and degrees of freedom of these
n_k         runs of round k
f_k         variance of one of them over p^2, as foretold before they were drawn
c_k         weights that sum to one

    c_k is proportional to n_k / f_k                                                          (1)
    I  = sum_k c_k I_k,    v = sum_k c_k^2 v_k                                                (2)
    nu = v^2 / sum_k (c_k^2 v_k)^2 / nu_k            Satterthwaite (1946)                     (3)

Each I_k is unbiased given what was run before it, and f_k is known by then: no round gains weight
by what it found itself. With one round I is unbiased, with several nearly so: later f_j, and
whether there are any, have learnt from round k, and enter c_k by the sum of the weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uq.reliability.final_runs import RoundEstimate
from uq.reliability.procedure import FinishedRound, Procedure

Array = NDArray[np.float64]

_OF_NETS = 4.0  # random points that one of a net is worth, in trials
_FORETOLD = (0.5, 1e6)  # variances of one run that are believed


@dataclass(frozen=True, eq=False)
class Combined:
    """Estimates of all events.

    Parameters
    ----------
    mean, low, high
        (Q,) with failed runs left out, counted as no failure, counted as one.
    variance, n_free
        (Q,) v of the means, and its degrees of freedom nu.
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
    """I of all events, and of the levels of the curve after them.

    Where there is no cheap model, learning stages whose density was fitted count as rounds.
    """
    estimates = [one.estimate for one in procedure.rounds]
    shares = [_OF_NETS * _share(len(one.runs.z), one.foretold) for one in procedure.rounds]
    if procedure.models is None:
        for estimate, share in _of_learning_runs(procedure):
            estimates.append(estimate)
            shares.append(share)
    return _weighted(estimates, np.array(shares))


def _share(n: int, foretold: float) -> float:
    """n / f; an f that was foretold too small would make one round rule all others."""
    return n / float(np.clip(foretold, *_FORETOLD))  # (1)


def _weighted(estimates: Sequence[RoundEstimate], shares: Array) -> Combined:
    c = shares / shares.sum()
    mean, low, high = (
        np.tensordot(c, np.stack([getattr(one, name) for one in estimates]), 1)  # (2)
        for name in ("mean", "low", "high")
    )
    parts = np.square(c)[:, None] * np.stack([one.variance for one in estimates])
    variance = parts.sum(axis=0)  # (2)
    n_free = np.stack([one.n_free for one in estimates])
    below = (np.square(parts) / n_free).sum(axis=0)
    free = np.where(below > 0.0, np.square(variance) / np.where(below > 0.0, below, 1.0), np.inf)
    # (3). Where nothing varies it says nothing: the most of any round stands in.
    free = np.where(np.isfinite(free), free, n_free.max(axis=0))
    return Combined(mean, low, high, variance, free)


def _of_learning_runs(procedure: Procedure) -> list[tuple[RoundEstimate, float]]:
    """Plain estimates of the stages whose density was fitted, and their shares."""
    found = []
    levels = procedure.rounds[0].levels
    for batch in procedure.learning.batches:
        if batch.averaged or not procedure.is_averaged(batch):
            continue
        runs = procedure.weighted_runs(batch)
        share = _share(len(batch.z), batch.foretold)
        found.append((procedure.plain_estimate(runs, levels), share))
    return found


def running(finished: FinishedRound, e: int) -> tuple[Array, Array]:
    """Estimates and standard errors (R - 1,) of event e after two folds, three, ... all.

    Earlier errors are the last one, as if its variance had fallen like 1 / folds.
    """
    by_fold = finished.estimate.by_fold[:, e]
    counts = np.arange(1, len(by_fold) + 1)
    means = np.cumsum(by_fold) / counts
    error = np.sqrt(finished.estimate.variance[e] * len(by_fold) / counts)
    return means[1:], error[1:]
