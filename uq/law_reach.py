"""Whether a weighted sample carries what is said of a law, and if not why.

Notation
--------
n, L        runs, laws
log_weights (n, L) log f_l - log g at the runs
"""

import numpy as np
from numpy.typing import NDArray

from uq.importance_sampling import effective_sample_size

Array = NDArray[np.float64]

FEW, FEW_RUNS = 50, 20
"""Below so many effective points of a law, and effective runs of a quantity, it is flagged."""


def out_of_reach(log_weights: Array) -> list[str]:
    """For each law why the sample does not carry it, or "" where it does."""
    n = len(log_weights)
    ess = effective_sample_size(log_weights)
    with np.errstate(over="ignore", invalid="ignore"):
        W = np.exp(log_weights)
        mean, error = W.mean(axis=0), W.std(axis=0) / np.sqrt(n)
        apart = ~(np.abs(mean - 1.0) <= np.maximum(6.0 * error, 0.05))
    reasons = []
    for k in range(log_weights.shape[1]):
        if ess[k] < min(FEW, n / 4):
            reasons.append(f"only {ess[k]:.1f} effective points of {n}.")
        elif apart[k]:
            reasons.append(
                f"its weights average {mean[k]:.3g} and not 1, so that the sample does not cover "
                "it or its density is not normalised."
            )
        else:
            reasons.append("")
    return reasons


def few_runs_beyond(y: Array, ends: Array, log_weights: Array) -> NDArray[np.bool_]:
    """(L,) laws under which few effective runs lie above `ends` (L,), or few below.

    Parameters
    ----------
    y
        (n,) outputs; NaN, a failed run, lies on neither side.
    ends
        (L,) a quantile or threshold under each law.
    log_weights
        (n, L).
    """
    least = np.full(len(ends), np.inf)
    for side in (y[:, None] > ends, y[:, None] <= ends):
        least = np.minimum(least, effective_sample_size(np.where(side, log_weights, -np.inf)))
    few: NDArray[np.bool_] = least < FEW_RUNS
    return few
