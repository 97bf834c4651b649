"""The tables of `python -m benchmarks.knowledge_gradient`: each from the runs of its part."""

from collections.abc import Sequence

import numpy as np

from benchmarks.comparison import solvers_of
from benchmarks.paired_differences import interval, log_ratios, of, paired_regrets
from benchmarks.recommendation_traces import WITH_GRADIENTS, regret_after
from benchmarks.record import Run
from benchmarks.report import markdown

_NO_PAIR = 2  # an interval needs at least so many pairs


def regrets_after(runs: Sequence[Run], checkpoints: Sequence[int]) -> str:
    """Median and quartiles of the regret of every method after some numbers of evaluations."""
    rows = []
    for problem in dict.fromkeys(run.problem for run in runs):
        for solver in solvers_of(runs):
            if not (some := of(runs, problem, solver)):
                continue
            cells = [_quartiles([regret_after(run, n) for run in some]) for n in checkpoints]
            seconds = np.median([s for run in some for s in run.seconds])
            rows.append([problem, solver, str(len(some)), *cells, f"{seconds:.2g}"])
    after = [f"after {n}" for n in checkpoints]
    return markdown(["problem", "method", "runs", *after, "seconds"], rows)


def no_worse(runs: Sequence[Run], ours: Sequence[str], others: Sequence[str], n: int) -> str:
    """Paired differences of regret, ours less the others', after n evaluations.

    No worse: the interval of the mean difference does not lie above zero.
    """
    rows = []
    for problem in dict.fromkeys(run.problem for run in runs):
        for our in ours:
            for other in others:
                mine, theirs = paired_regrets(runs, problem, our, other, n)
                if len(mine) < _NO_PAIR:
                    continue
                mean = interval(mine - theirs, np.mean)
                cells = [
                    str(mean),
                    str(interval(mine - theirs, np.median)),
                    str(interval(log_ratios(mine, theirs), np.mean)),
                    f"{int((mine < theirs).sum())}",
                    "no" if mean.low > 0.0 else "yes",
                ]
                rows.append([problem, our, other, str(len(mine)), *cells])
    titles = ["problem", "ours", "other", "pairs", "mean difference", "median difference"]
    return markdown([*titles, "mean log10 ratio", "lower", "no worse"], rows)


def gains_of_gradients(runs: Sequence[Run], budgets: dict[str, int]) -> str:
    """Each method with the gradient beside the same method without it, at equal evaluations."""
    rows = []
    for problem, n in budgets.items():
        for solver in solvers_of(runs):
            mine, theirs = paired_regrets(runs, problem, WITH_GRADIENTS + solver, solver, n)
            if len(mine) < _NO_PAIR:
                continue
            logs = log_ratios(mine, theirs)
            cells = [
                _quartiles(list(theirs)),
                _quartiles(list(mine)),
                f"{np.median(logs):+.2f}",
                str(interval(logs, np.mean)),
                f"{int((mine < theirs).sum())}/{len(mine)}",
            ]
            rows.append([problem, str(n), solver, *cells])
    titles = ["problem", "evaluations", "method", "values only", "with gradients"]
    return markdown([*titles, "median log10 ratio", "mean log10 ratio", "lower"], rows)


def against_random(runs: Sequence[Run], budgets: dict[str, int]) -> str:
    """Median regrets, and how many times lower they are than those of random search."""
    rows = []
    for problem, n in budgets.items():
        medians = {
            solver: np.median([regret_after(run, n) for run in some])
            for solver in solvers_of(runs)
            if (some := of(runs, problem, solver))
        }
        for solver, median in medians.items():
            some = of(runs, problem, solver)
            factor = medians["random"] / median if "random" in medians and median > 0 else np.nan
            cells = [_quartiles([regret_after(run, n) for run in some]), f"{factor:.3g}"]
            seconds = np.median([s for run in some for s in run.seconds])
            rows.append([problem, str(n), solver, str(len(some)), *cells, f"{seconds:.2g}"])
    titles = ["problem", "evaluations", "method", "runs", "regret", "times lower", "seconds"]
    return markdown(titles, rows)


def _quartiles(values: Sequence[float]) -> str:
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    return f"{median:.2g} [{low:.2g}, {high:.2g}]"
