"""Numbers that compare solvers: regrets, wins and losses, ratios with intervals, ranks.

Runs are paired: two solvers are compared on the same problem, seed and budget, where they had the
same starting points. Regrets below `FLOOR` count as `FLOOR`: both have solved the problem.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy.stats import binomtest, rankdata, wilcoxon

from benchmarks.record import Run

FLOOR = 1e-8
MARGIN = 0.05

Pair: TypeAlias = tuple[str, int, int]
Regrets: TypeAlias = dict[Pair, dict[str, float]]


@dataclass(frozen=True)
class Comparison:
    """A solver against the reference, over all paired runs."""

    solver: str
    n: int
    rank: float
    win: float
    loss: float
    p_value: float
    median: float
    mean: float
    low: float
    high: float


def regrets(runs: Sequence[Run]) -> Regrets:
    """Final simple regret of each solver for each (problem, budget, seed).

    Where the minimum is not known, the lowest value that any of these runs ends with stands in:
    such regrets can be put in order, but their ratios say nothing, as the best of them is zero.
    """
    lowest: dict[str, float] = {}
    for run in runs:
        lowest[run.problem] = min(lowest.get(run.problem, np.inf), run.final)
    table: Regrets = defaultdict(dict)
    for run in runs:
        optimum = lowest[run.problem] if run.optimum is None else run.optimum
        pair = (run.problem, run.n_evals, run.seed)
        table[pair][run.solver] = max(run.final - optimum, FLOOR)
    return dict(table)


def compare(runs: Sequence[Run], reference: str) -> list[Comparison]:
    """Each solver against the reference, in the order of the runs.

    A win is a regret at least 5 % lower, a loss one at least 5 % higher; the p-value is that of
    the two-sided sign test on wins and losses. Ratios are log10(regret / regret of the reference):
    below zero is better; only problems whose minimum is known have a share in them. `low` and
    `high` are a 95 % bootstrap interval of their mean.
    """
    table = regrets(runs)
    known = {run.problem for run in runs if run.optimum is not None}
    sure = {pair: row for pair, row in table.items() if pair[0] in known}
    ranks = _mean_ranks(table)
    result = []
    for solver in solvers_of(runs):
        logs = log_ratios(table, solver, reference)
        if not logs.size:
            continue
        win = int((logs <= np.log10(1 - MARGIN)).sum())
        loss = int((logs >= np.log10(1 + MARGIN)).sum())
        ratios = log_ratios(sure, solver, reference)
        low, high = _bootstrap(ratios)
        result.append(
            Comparison(
                solver=solver,
                n=logs.size,
                rank=ranks[solver],
                win=win / logs.size,
                loss=loss / logs.size,
                p_value=binomtest(win, win + loss).pvalue if win + loss else 1.0,
                median=float(np.median(ratios)) if ratios.size else np.nan,
                mean=float(ratios.mean()) if ratios.size else np.nan,
                low=low,
                high=high,
            )
        )
    return result


def against_the_best(table: Regrets) -> dict[str, float]:
    """For one problem: the solver of the lowest mean log regret has 1, each other its p-value.

    Wilcoxon's signed-rank test on paired log regrets, two-sided. The best one was chosen by the
    same runs, so that the others look worse beside it than they are.
    """
    solvers = {solver for row in table.values() for solver in row}
    logs = {
        s: np.array([np.log10(row[s]) if s in row else np.nan for _, row in sorted(table.items())])
        for s in sorted(solvers)
    }
    best = min(logs, key=lambda s: float(np.nanmean(logs[s])))
    p_values = {}
    for solver, log in logs.items():
        difference = (log - logs[best])[~np.isnan(log - logs[best])]
        differs = bool(np.any(difference != 0.0))
        p_values[solver] = float(wilcoxon(difference).pvalue) if differs else 1.0
    return p_values


def log_ratios(table: Regrets, solver: str, reference: str) -> np.ndarray:
    """log10 of regret over regret of the reference, for the pairs that both have run."""
    return np.array(
        [
            np.log10(row[solver] / row[reference])
            for _, row in sorted(table.items())
            if solver in row and reference in row
        ]
    )


def solvers_of(runs: Sequence[Run]) -> list[str]:
    """The solvers in order of first appearance."""
    return list(dict.fromkeys(run.solver for run in runs))


def without_instance(problem: str) -> str:
    """The problem's name with the BBOB instance left out: instances share a row of a table."""
    return re.sub(r"(?<=^bbob-f\d\d)-i\d+", "", problem)


def _mean_ranks(table: Regrets) -> dict[str, float]:
    ranks: dict[str, list[float]] = defaultdict(list)
    for row in table.values():
        for solver, rank in zip(row, rankdata(list(row.values())), strict=True):
            ranks[solver].append(float(rank))
    return {solver: float(np.mean(values)) for solver, values in ranks.items()}


def _bootstrap(values: np.ndarray, n: int = 2000) -> tuple[float, float]:
    """A 95 % percentile interval of the mean, always from the same resamples."""
    if not values.size:
        return np.nan, np.nan
    picks = np.random.default_rng(0).integers(values.size, size=(n, values.size))
    low, high = np.quantile(values[picks].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)
