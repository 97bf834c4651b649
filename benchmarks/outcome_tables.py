"""The tables of `python -m benchmarks.constrained`: each from the runs of its part."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from benchmarks import constrained_problems, several_objectives_problems
from benchmarks.crash_runs import CrashRun
from benchmarks.outcome_traces import OutcomeRun
from benchmarks.paired_differences import interval
from benchmarks.record import Run
from benchmarks.report import markdown

OURS = "ours"
_NO_PAIR = 2  # an interval needs at least so many pairs
Measure = Callable[[OutcomeRun], float]


class Searched(Protocol):
    """What every kind of run says."""

    @property
    def problem(self) -> str: ...

    @property
    def solver(self) -> str: ...

    @property
    def seed(self) -> int: ...

    @property
    def error(self) -> str: ...


def best_value(run: OutcomeRun) -> float:
    """The best feasible value; infinite where no point was feasible. Smaller is better."""
    best = run.best[-1]
    return np.inf if best is None else best


def missing_hypervolume(run: OutcomeRun) -> float:
    """How much of the largest hypervolume is missing. Smaller is better."""
    problem = several_objectives_problems.get(run.problem)
    assert problem.largest_hypervolume is not None
    return problem.largest_hypervolume - run.hypervolumes(problem.reference)[-1]


def best_values(runs: Sequence[OutcomeRun]) -> str:
    """Every method on every problem with constraints."""
    return _table(runs, best_value, "best feasible value", constrained_problems.get)


def hypervolumes(runs: Sequence[OutcomeRun]) -> str:
    """Every method on every problem with several objectives."""
    return _table(runs, missing_hypervolume, "missing hypervolume", None)


def _table(
    runs: Sequence[OutcomeRun],
    measure: Measure,
    title: str,
    get: Callable[[str], constrained_problems.OutcomeProblem] | None,
) -> str:
    rows = []
    for problem in _problems(runs):
        known = f"{get(problem).optimum:.8g}" if get else "-"
        for solver in _solvers(runs):
            if not (some := _of(runs, problem, solver)):
                continue
            after = [ok for run in some for ok in run.feasible[run.n_initial :]]
            found = sum(any(run.feasible) for run in some)
            rows.append(
                [
                    problem,
                    known,
                    solver,
                    f"{some[0].n_initial} + {len(some[0].seconds)}",
                    str(len(some)),
                    _quartiles([measure(run) for run in some]),
                    f"{found}/{len(some)}",
                    f"{np.mean(after):.0%}",
                    str(sum(run.outside for run in some)),
                    f"{np.median([s for run in some for s in run.seconds]):.2g}",
                ]
            )
    titles = ["problem", "optimum", "method", "evaluations", "runs", title, "runs feasible"]
    return markdown([*titles, "feasible suggestions", "outside the space", "seconds"], rows)


def no_worse(runs: Sequence[OutcomeRun], measure: Measure) -> str:
    """Ours less the others', seed by seed; smaller is better.

    No worse: the median of ours is no larger, on the seeds that both have.
    """
    rows = []
    for problem in _problems(runs):
        mine = {run.seed: measure(run) for run in _of(runs, problem, OURS)}
        for solver in _solvers(runs):
            theirs = {run.seed: measure(run) for run in _of(runs, problem, solver)}
            seeds = sorted(mine.keys() & theirs.keys())
            if solver == OURS or len(seeds) < _NO_PAIR:
                continue
            a, b = (np.array([found[s] for s in seeds]) for found in (mine, theirs))
            both = np.isfinite(a) & np.isfinite(b)
            difference = interval(a[both] - b[both], np.median) if both.any() else "-"
            rows.append(
                [
                    problem,
                    solver,
                    str(len(seeds)),
                    f"{np.median(a):.8g}",
                    f"{np.median(b):.8g}",
                    str(difference),
                    f"{int((a < b).sum())}",
                    "yes" if np.median(a) <= np.median(b) else "no",
                ]
            )
    titles = ["problem", "other", "pairs", "median of ours", "median of the other"]
    return markdown([*titles, "median difference", "ours lower", "no worse"], rows)


def of_workers(runs: Sequence[Run], serial: str) -> str:
    """Regret after some numbers of evaluations, and how many times that of one worker."""
    checkpoints = sorted({round(runs[0].n_evals * part) for part in (0.5, 2 / 3, 5 / 6, 1.0)})
    rows = []
    for problem in dict.fromkeys(run.problem for run in runs):
        alone = {run.seed: run for run in runs if (run.problem, run.solver) == (problem, serial)}
        for solver in dict.fromkeys(run.solver for run in runs):
            some = [run for run in runs if (run.problem, run.solver) == (problem, solver)]
            regrets = [[_regret(run, n) for run in some] for n in checkpoints]
            first = [[_regret(alone[run.seed], n) for run in some] for n in checkpoints]
            last = np.median(regrets[-1]) / np.median(first[-1])
            equal = sum(run.error.startswith("SameRunningPoint") for run in some)
            cells = [_quartiles(r, "{:.2g}") for r in regrets]
            seconds = f"{np.median([s for run in some for s in run.seconds]):.2g}"
            rows.append(
                [problem, solver, str(len(some)), *cells, f"{last:.2f}", str(equal), seconds]
            )
    after = [f"regret at {n}" for n in checkpoints]
    titles = ["problem", "search", "runs", *after, "times serial", "equal trials", "seconds"]
    return markdown(titles, rows)


def of_crashes(runs: Sequence[CrashRun], n_last: int) -> str:
    """How many of the last suggestions crashed, and the regret of the best point seen."""
    rows = []
    for problem in dict.fromkeys(run.problem for run in runs):
        for solver in dict.fromkeys(run.solver for run in runs):
            some = [run for run in runs if (run.problem, run.solver) == (problem, solver)]
            if not some:
                continue
            last = [run.failed(n_last) / n_last for run in some]
            every = [run.failed(k) / k for run in some if (k := len(run.values) - run.n_initial)]
            seconds = f"{np.median([s for run in some for s in run.seconds]):.2g}"
            rows.append(
                [
                    problem,
                    solver,
                    str(len(some)),
                    f"{np.mean(last):.1%}",
                    f"{np.max(last):.0%}",
                    f"{np.mean(every):.1%}",
                    _quartiles([run.regret for run in some], "{:.2g}"),
                    seconds,
                ]
            )
    share = [f"failed of the last {n_last}", "most in a run", "failed after the start"]
    return markdown(["problem", "method", "runs", *share, "regret", "seconds"], rows)


def broken(runs: Sequence[Searched]) -> str:
    """The runs that broke down; they count with what they had found by then."""
    seeds: dict[str, list[int]] = {}
    for run in runs:
        if run.error:
            seeds.setdefault(f"{run.solver}, {run.problem}: {run.error}", []).append(run.seed)
    lines = [f"- {what} (seeds {', '.join(map(str, which))})" for what, which in seeds.items()]
    return "\n".join(["### Runs that broke down\n", *lines]) if lines else ""


def versions(runs: Sequence[OutcomeRun]) -> str:
    """What the methods were, as their runs say."""
    kinds = sorted({(run.solver, run.version) for run in runs})
    return "\n".join(f"- {solver}: {version}" for solver, version in kinds)


def _regret(run: Run, n: int) -> float:
    return min(run.values[:n]) - (run.optimum or 0.0)


def _problems(runs: Sequence[OutcomeRun]) -> list[str]:
    order = [*constrained_problems.PROBLEMS, *several_objectives_problems.PROBLEMS]
    return sorted({run.problem for run in runs}, key=order.index)


def _solvers(runs: Sequence[OutcomeRun]) -> list[str]:
    return sorted({run.solver for run in runs}, key=lambda s: (s != OURS, s))


def _of(runs: Sequence[OutcomeRun], problem: str, solver: str) -> list[OutcomeRun]:
    return [run for run in runs if (run.problem, run.solver) == (problem, solver)]


def _quartiles(values: Sequence[float], number: str = "{:.7g}") -> str:
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75], method="nearest")
    low, median, high = (number.format(v) for v in (low, np.median(values), high))
    return f"{median} [{low}, {high}]"
