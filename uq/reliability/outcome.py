"""From the procedure to its result: events, regions, history, and words."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from uq.importance_sampling import effective_sample_size
from uq.inputs import Inputs
from uq.reliability.combined_rounds import combined
from uq.reliability.events import Events
from uq.reliability.exceedance_curves import curves
from uq.reliability.failure_density import joined
from uq.reliability.failure_probabilities import (
    FailureProbability,
    ReliabilityStage,
    Sample,
)
from uq.reliability.failure_regions import found_design_points, input_importance
from uq.reliability.final_runs import NAMES
from uq.reliability.procedure import Procedure
from uq.reliability.unseen import Unseen, law_share_of_rounds, unseen

Array = NDArray[np.float64]

_FEW = 20.0
"""Effective failures below which an estimate is flagged."""
_FEW_RUNS = 500
"""Runs below which intervals without a cheap limit state are flagged."""


def outcome(
    procedure: Procedure,
    inputs: Inputs,
    shape: tuple[int, ...],
    again: Callable[[int], FailureProbability] | None,
) -> FailureProbability:
    """The result of a procedure with at least one round.

    Parameters
    ----------
    procedure
        Runs and rounds.
    inputs
        Law of the inputs.
    shape
        Of the results.
    again
        Extends the result; None where its owner does.
    """
    events = procedure.events
    estimates = combined(procedure)
    sample = _sample(procedure, inputs)
    margins = events.margins(sample.values)
    ok = np.asarray(np.isfinite(margins).all(axis=1))
    met = (margins < 0.0) & ok[:, None]
    averaged = np.asarray(np.isfinite(sample.weights))
    n_averaged = met[averaged].sum(axis=0)
    rarest = int(np.argmin(np.where(n_averaged > 0, estimates.mean[: events.n_events], np.inf)))
    fails = met[averaged, rarest]
    z, W = sample.z[averaged], sample.weights[averaged]
    explored = procedure.explored
    assert explored is not None
    mixture = joined(explored.found.mixtures)  # whatever the event
    points = found_design_points(z, fails, W, mixture, inputs)
    nearest = min((point.beta for point in points), default=None)
    seen = unseen(procedure.learning.batches, inputs.dimension, nearest)
    return FailureProbability(
        inputs=inputs,
        events=events,
        shape=shape,
        estimates=estimates.some(slice(events.n_events)),
        curves=curves(estimates, events, procedure.rounds[0].levels, seen.by_law),
        n_met=met.sum(axis=0),
        n_safe=((margins >= 0.0) & ok[:, None]).sum(axis=0),
        n_averaged=n_averaged,
        rarest=rarest,
        by_law_averaged=law_share_of_rounds(procedure.learning.batches),
        sample=sample,
        rounds=tuple(procedure.rounds),
        design_points=points,
        importance=input_importance(z[fails], W[fails], inputs),
        history=_history(procedure, events),
        unseen=seen,
        message=_message(procedure, events),
        flags=_flags(procedure, sample, met, W, estimates.mean, seen),
        cheap=explored.cheap,
        _again=again,
    )


def _sample(procedure: Procedure, inputs: Inputs) -> Sample:
    """All runs in order, with weights where they are averaged."""
    weights = [
        procedure.weighted_runs(batch).W
        if procedure.is_averaged(batch)
        else np.full(len(batch.z), np.nan)
        for batch in procedure.learning.batches
    ]
    z = procedure.learning.z
    return Sample(inputs.from_normal(z), z, procedure.learning.g, np.concatenate(weights))


def _n_learning(procedure: Procedure) -> int:
    return sum(len(batch.z) for batch in procedure.learning.batches if not batch.averaged)


def _history(procedure: Procedure, events: Events) -> list[ReliabilityStage]:
    stages = []
    for batch in procedure.learning.batches:
        with np.errstate(invalid="ignore"):
            n_met = (events.margins(batch.g) < 0.0).sum(axis=0)
        stages.append(ReliabilityStage(len(batch.z), batch.source, n_met, batch.averaged))
    return stages


def _message(procedure: Procedure, events: Events) -> str:
    learning = _n_learning(procedure)
    averaged = sum(len(one.runs.z) for one in procedure.rounds)
    also = sum(
        len(batch.z)
        for batch in procedure.learning.batches
        if procedure.is_averaged(batch) and not batch.averaged
    )
    used = procedure.rounds[-1].estimate.used[: events.n_events]
    names = "; ".join(f"{NAMES[k]} for {(used == k).sum()}" for k in np.unique(used))
    rounds = len(procedure.rounds)
    return (
        f"{learning} runs to find failures{f', {also} of them averaged as well' if also else ''}; "
        f"{averaged} averaged in {rounds} round{'s' if rounds > 1 else ''}. "
        f"Control variate: {names} of {events.n_events} events."
    )


def _flags(
    procedure: Procedure,
    sample: Sample,
    met: NDArray[np.bool_],
    W: Array,
    estimate: Array,
    seen: Unseen,
) -> list[str]:
    """What to be careful about."""
    flags = list(procedure.notes)
    n_failed = int((~np.isfinite(sample.values).all(axis=1)).sum())
    if n_failed:
        flags.append(
            f"{n_failed} of {len(sample.z)} runs failed: the intervals count them either way, the "
            "estimates leave them out."
        )
    averaged = np.asarray(np.isfinite(sample.weights))
    ok = np.asarray(np.isfinite(sample.values).all(axis=1))
    always = np.asarray(met[ok].all(axis=0))
    for e, own in enumerate(met[averaged].T):
        with np.errstate(divide="ignore"):
            effective = float(effective_sample_size(np.log(np.where(own, W, 0.0))))
        if not own.any():
            seldom = "was met by no run that is averaged" if met[:, e].any() else "was never met"
            flags.append(f"Event {e} {seldom}: its interval is an upper bound.")
        elif always[e]:
            flags.append(f"Event {e} was never missed: its interval is a lower bound.")
        elif effective < _FEW:
            flags.append(f"Event {e} rests on {effective:.1f} effective failures.")
    least = float(estimate[: met.shape[1]][met[averaged].any(axis=0)].min(initial=np.inf))
    if seen.probability > least:
        flags.append(
            "The runs elsewhere would not have met every further region of failure: a cone beyond "
            f"the distance {seen.distance:.3g} in standard normal space may fill "
            f"{seen.share_of_directions:.2g} of all directions, and add {seen.probability:.2g}."
        )
    if procedure.models is None and len(sample.z) < _FEW_RUNS:
        flags.append(
            f"{len(sample.z)} runs without a cheap limit state: intervals from less than "
            f"{_FEW_RUNS} are rough."
        )
    return flags
