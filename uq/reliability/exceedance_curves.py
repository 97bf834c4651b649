"""Intervals of probabilities, and the curve of a limit state below every level.

Notation
--------
Q           events; the levels of the curves are further ones, after those that are asked for
J, L        limit states, levels of each
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from uq.reliability.combined_rounds import Combined
from uq.reliability.events import Events
from uq.reliability.unseen import upper_bound

Array = NDArray[np.float64]

LARGE_CV = 0.1
"""Relative error beyond which an interval is symmetric in the logarithm."""
_OUTSIDE = 0.05  # of the intervals of a curve
_LARGEST_LOGARITHM = 700.0


class ExceedanceCurve(NamedTuple):
    """Probability of a limit state below each level, from the same runs.

    The levels are quantiles of the first round, which the intervals do not know.

    Parameters
    ----------
    levels
        (L,), increasing.
    probability, low, high
        (L,) estimates and ends of pointwise 95 % intervals.
    """

    levels: Array
    probability: Array
    low: Array
    high: Array


def interval(estimates: Combined, outside: float) -> tuple[Array, Array]:
    """Ends (Q,), inside [0, 1], of Student intervals.

    Parameters
    ----------
    estimates
        Q events.
    outside
        One less the confidence level.
    """
    quantile = stats.t.isf(outside / 2.0, estimates.n_free)
    error = np.sqrt(estimates.variance)
    low, high = estimates.low - quantile * error, estimates.high + quantile * error
    mean = np.maximum(estimates.mean, np.finfo(float).tiny)
    large = (error > LARGE_CV * mean) & (estimates.mean > 0.0)
    factor = np.exp(np.minimum(quantile * error / mean, _LARGEST_LOGARITHM))
    low = np.where(large, np.maximum(estimates.low, 0.0) / factor, low)
    high = np.where(large, np.minimum(estimates.high, 1.0) * factor, high)
    return np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0)


def curves(
    estimates: Combined, events: Events, levels: Array, by_law: float
) -> list[ExceedanceCurve]:
    """J exceedance curves, made monotone; the estimates of their levels follow those of the events.

    Parameters
    ----------
    estimates
        Q + J L numbers.
    events
        Q events.
    levels
        (J, L).
    by_law
        Runs that count as draws of the inputs' law: the bound of what was never met.
    """
    found = []
    n = levels.shape[1]
    for j, row in enumerate(levels):
        first = events.n_events + j * n
        own = estimates.some(slice(first, first + n))
        at, kept = np.unique(row, return_index=True)
        low, high = interval(own, _OUTSIDE)
        high = np.where(own.mean > 0.0, high, upper_bound(by_law, 0, _OUTSIDE))
        ends = own.mean, low, high
        parts = [np.clip(one[kept], 0.0, 1.0) for one in ends]
        found.append(ExceedanceCurve(at, *(np.maximum.accumulate(part) for part in parts)))
    return found
