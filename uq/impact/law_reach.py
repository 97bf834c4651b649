"""Whether a weighted sample carries what is said of a law, and if not why.

Notation
--------
n, L        runs, laws
log_weights (n, L) log f_l - log g at the runs
tail        runs beyond a quantile or threshold, on the side that is the rarer one

A law is out of reach where few runs carry its weight, or its weights do not average 1. Of a
quantile or a failure probability the tail is what counts: a density drawn for it leaves few
effective runs to the rest of the law, and needs no more.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from uq.estimates import FEW, FEW_RUNS
from uq.impact.compared_estimates import ComparedEstimates
from uq.impact.law_quantities import Quantities
from uq.importance_sampling import effective_sample_size

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


def reach(
    quantities: Quantities, estimates: Sequence[ComparedEstimates], y: Array, log_weights: Array
) -> list[OutOfReach | None]:
    """For each law why the sample does not carry all quantities, or None where it does.

    Parameters
    ----------
    quantities, estimates
        Q of them, under L laws.
    y
        (n,) outputs, NaN where a run failed.
    log_weights
        (n, L).
    """
    ess = effective_sample_size(log_weights)
    if not {"mean", "variance", "sd"} & set(quantities.names):
        tails = [
            _effective_tail(quantities, name, one, y, log_weights)
            for name, one in zip(quantities.names, estimates, strict=True)
        ]
        ess = np.maximum(ess, np.min(tails, axis=0))
    n = len(log_weights)
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


def reach_flags(
    quantities: Quantities,
    estimates: Sequence[ComparedEstimates],
    y: Array,
    log_weights: Array,
    reasons: Sequence[OutOfReach | None],
    names: Sequence[str],
) -> list[str]:
    """What to be careful about.

    Parameters
    ----------
    quantities, estimates, y, log_weights
        As in `reach`; the first law is the reference.
    reasons
        What `reach` gave.
    names
        Of the laws.
    """
    by_kind: dict[str, list[str]] = {}
    for name, reason in zip(names, reasons, strict=True):
        if reason:
            by_kind.setdefault(reason.kind, []).append(f"{name} ({reason.figure:.3g})")
    flags = [
        f"{kind}: {', '.join(laws)}. What is said of them is not to be trusted."
        for kind, laws in by_kind.items()
    ]
    for name, one in zip(quantities.names, estimates, strict=True):
        if not abs(one.values[0]) > _CLEAR * one.standard_error[0]:
            flags.append(
                f"{name}: under the reference it is not clear of 0, or its error is not known; "
                "look at the differences and not at the indices."
            )
        if name in ("quantile", "failure_probability"):
            tail = _effective_tail(quantities, name, one, y, log_weights)
            few = np.flatnonzero(tail < FEW_RUNS).tolist()
            if few:
                flags.append(
                    f"{name}: fewer than {FEW_RUNS} effective runs lie beyond it under "
                    f"{', '.join(names[k] for k in few)}; its error may be larger than it looks."
                )
    return flags


def _effective_tail(
    quantities: Quantities, name: str, one: ComparedEstimates, y: Array, log_weights: Array
) -> Array:
    """(L,) effective runs on the rarer side of a quantile or threshold."""
    if name == "quantile":
        ends, upper = one.values, np.full(len(one.values), quantities.level >= 0.5)
    else:
        ends, upper = np.full(len(one.values), quantities.threshold), one.values <= 0.5
    tail = np.where(upper, y[:, None] > ends, y[:, None] <= ends)  # NaN lies on neither side
    return effective_sample_size(np.where(tail, log_weights, -np.inf))
