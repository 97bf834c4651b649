"""Whether a weighted sample carries what is said of a law, and if not why.

Notation
--------
n, L        runs, laws
log_weights (n, L) log f_l - log g at the runs
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from uq.compared_estimates import ComparedEstimates
from uq.estimates import FEW, FEW_RUNS
from uq.importance_sampling import effective_sample_size
from uq.law_quantities import Quantities

Array = NDArray[np.float64]

_CLEAR = 3.0  # standard errors of the reference from 0, below which it is no good divisor


class OutOfReach(NamedTuple):
    """Why a sample does not carry a law.

    Parameters
    ----------
    kind
        In words.
    figure
        What was found: effective points, or the mean weight.
    """

    kind: str
    figure: float


def reach_flags(
    quantities: Quantities,
    estimates: Sequence[ComparedEstimates],
    y: Array,
    log_weights: Array,
    names: Sequence[str],
) -> list[str]:
    """What to be careful about.

    Parameters
    ----------
    quantities, estimates
        Q of them, under the reference and L laws.
    y
        (n,) outputs, NaN where a run failed.
    log_weights
        (n, 1 + L).
    names
        1 + L, of the reference and the laws.
    """
    by_reason: dict[str, list[str]] = {}
    for name, reason in zip(names, out_of_reach(log_weights), strict=True):
        if reason:
            by_reason.setdefault(reason.kind, []).append(f"{name} ({reason.figure:.3g})")
    flags = [
        f"{kind}: {', '.join(laws)}. What is said of them is not to be trusted."
        for kind, laws in by_reason.items()
    ]
    for name, one in zip(quantities.names, estimates, strict=True):
        if not abs(one.values[0]) > _CLEAR * one.standard_error[0]:
            flags.append(
                f"{name}: under the reference it is not clear of 0, or its error is not known; "
                "look at the differences and not at the indices."
            )
        if name in ("quantile", "failure_probability"):
            ends = one.values if name == "quantile" else np.full(len(names), quantities.threshold)
            few = np.flatnonzero(few_runs_beyond(y, ends, log_weights)).tolist()
            if few:
                flags.append(
                    f"{name}: fewer than {FEW_RUNS} effective runs lie on one side of it under "
                    f"{', '.join(names[k] for k in few)}; its error may be larger than it looks."
                )
    return flags


def out_of_reach(log_weights: Array) -> list[OutOfReach | None]:
    """For each law why the sample does not carry it, or None where it does."""
    n = len(log_weights)
    ess = effective_sample_size(log_weights)
    with np.errstate(over="ignore", invalid="ignore"):
        W = np.exp(log_weights)
        mean, error = W.mean(axis=0), W.std(axis=0) / np.sqrt(n)
        apart = ~(np.abs(mean - 1.0) <= np.maximum(6.0 * error, 0.05))
    reasons: list[OutOfReach | None] = []
    for k in range(log_weights.shape[1]):
        if ess[k] < min(FEW, n / 4):
            reasons.append(OutOfReach(f"Few effective points of {n}", float(ess[k])))
        elif apart[k]:
            kind = "Weights that do not average 1, for want of points or a density not normalised"
            reasons.append(OutOfReach(kind, float(mean[k])))
        else:
            reasons.append(None)
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
