"""Regrets of one method less those of another, pair by pair, with bootstrap intervals.

Two searches are a pair where problem, seed and budget are the same: they had the same starting
points and saw the same noise. Regrets below `comparison.FLOOR` count as that in ratios.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.comparison import FLOOR
from benchmarks.recommendation_traces import regret_after
from benchmarks.record import Run

Array = NDArray[np.float64]
_N_RESAMPLES = 10_000


@dataclass(frozen=True)
class Interval:
    """A statistic of a sample and its 95 % percentile bootstrap interval."""

    estimate: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.estimate:+.2g} [{self.low:+.2g}, {self.high:+.2g}]"


def interval(sample: Array, statistic: Callable[..., Array]) -> Interval:
    """The statistic, `np.mean` or `np.median`; always from the same resamples."""
    picks = np.random.default_rng(0).integers(sample.size, size=(_N_RESAMPLES, sample.size))
    low, high = np.quantile(statistic(sample[picks], axis=1), [0.025, 0.975])
    return Interval(float(statistic(sample)), float(low), float(high))


def of(runs: Sequence[Run], problem: str, solver: str) -> list[Run]:
    """The runs of a method on a problem that did not break down, in the order of their seeds."""
    chosen = [r for r in runs if (r.problem, r.solver) == (problem, solver) and not r.error]
    return sorted(chosen, key=lambda run: run.seed)


def paired_regrets(
    runs: Sequence[Run], problem: str, ours: str, other: str, n_after: int
) -> tuple[Array, Array]:
    """Regrets of both methods for the seeds that both have run."""
    mine, theirs = (
        {run.seed: regret_after(run, n_after) for run in of(runs, problem, solver)}
        for solver in (ours, other)
    )
    seeds = sorted(mine.keys() & theirs.keys())
    return np.array([mine[s] for s in seeds]), np.array([theirs[s] for s in seeds])


def log_ratios(mine: Array, theirs: Array) -> Array:
    """log10 of mine over theirs: below zero is better."""
    ratios: Array = np.log10(np.maximum(mine, FLOOR) / np.maximum(theirs, FLOOR))
    return ratios
