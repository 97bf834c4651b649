"""Failure probabilities side by side: ``python -m benchmarks.reliability``.

Notation
--------
p           exact probability of failure
estimate    mean over the runs, over p
z           mean error over the runs, in standard errors of that mean
true cv     root mean squared error over p, with its standard error
said cv     root mean square of the standard errors that the runs give, over p
cover       share of the 95 % intervals that hold p
missed by   the worst factor p / high or low / p of an interval that does not hold p, else 1
no result   runs that broke down, and runs without an interval; the former are left out of all else,
            the latter of what is said of standard errors and intervals
"""

import argparse
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import uq
from benchmarks import reliability_peers as peers
from benchmarks.many_runs import play_all, read_all
from benchmarks.reliability_cases import CASES, NINE, ReliabilityCase
from benchmarks.reliability_peers import CountedRuns, Outcome, Solver
from benchmarks.report import header, markdown

Array = NDArray[np.float64]
OUTPUT = Path(__file__).parent / "output"


@dataclass(frozen=True)
class Run:
    """What one run says, the evaluations that it took and its seconds."""

    case: str
    solver: str
    budget: int
    seed: int
    estimate: float
    standard_error: float
    low: float
    high: float
    n_evaluations: int
    seconds: float
    message: str = ""

    @property
    def exact(self) -> float:
        """Exact probability of the case."""
        return CASES[self.case].exact

    @property
    def broke_down(self) -> bool:
        """Whether there is no estimate."""
        return math.isnan(self.estimate)

    @property
    def has_interval(self) -> bool:
        """Whether there is an interval, be it one without an upper end."""
        return not (math.isnan(self.low) or math.isnan(self.high))

    @property
    def miss(self) -> float:
        """Factor by which the interval misses: 1 where it holds the exact value."""
        if self.low > self.exact:
            return self.low / self.exact
        if self.high < self.exact:
            return self.exact / self.high if self.high > 0.0 else math.inf
        return 1.0


def ours(**options: object) -> Solver:
    """`uq.failure_probability` with options."""

    def solve(case: ReliabilityCase, budget: int, seed: int) -> Outcome:
        runs = CountedRuns(case)
        try:
            r = uq.failure_probability(runs, case.inputs, budget=budget, rng=seed, **options)
            interval = r.confidence_interval(0.95)
        except Exception as raised:
            return peers.failed(runs, raised)
        message = r.message
        if r.n_evaluations != runs.count:
            message = f"SAYS {r.n_evaluations} EVALUATIONS. {message}"
        ends = float(interval.low), float(interval.high)
        return Outcome(float(r.estimate), float(r.standard_error), *ends, runs.count, message)

    return solve


SOLVERS: dict[str, Solver] = {
    "uq": ours(progress=False),
    "uq_no_surrogate": ours(progress=False, surrogate=None),
    "ot_subset": peers.ot_subset,
    "ot_nais": peers.ot_nais,
    "ot_cross_entropy": peers.ot_cross_entropy,
    "ot_form_is": peers.ot_form_is,
}


def play(task: tuple[str, str, int, int]) -> Run:
    """One run."""
    case, solver, budget, seed = task
    start = time.perf_counter()
    o = SOLVERS[solver](CASES[case], budget, seed)
    seconds = time.perf_counter() - start
    return Run(
        case, solver, budget, seed, o.estimate, o.standard_error, o.low, o.high, o.n_evaluations,
        seconds, o.message,
    )  # fmt: skip


def _place(names: Sequence[str], name: str) -> int:
    return names.index(name) if name in names else len(names)


def _groups(
    runs: Sequence[Run], key: Callable[[Run], tuple[str, int, str]]
) -> list[tuple[tuple[str, int, str], list[Run]]]:
    """Runs by (case, budget, solver), in the order of the cases, budgets and solvers."""
    groups: dict[tuple[str, int, str], list[Run]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    cases, solvers = list(CASES), list(SOLVERS)
    return sorted(
        groups.items(),
        key=lambda item: (_place(cases, item[0][0]), -item[0][1], _place(solvers, item[0][2])),
    )


def _no_result(runs: Sequence[Run]) -> str:
    broken = sum(run.broke_down for run in runs)
    bare = sum(not run.has_interval for run in runs) - broken
    return f"{broken}, {bare}" if broken or bare else ""


def _line(name: str, budget: int, solver: str, runs: Sequence[Run]) -> list[str]:
    case = CASES[name]
    some = [run for run in runs if not run.broke_down]
    seconds = f"{np.median([run.seconds for run in runs]):.2f}"
    used = f"{np.mean([run.n_evaluations for run in runs]):.0f}"
    bar = f"{case.bars[budget]:g}" if budget in case.bars else ""
    head, tail = [name, str(budget), solver, str(len(runs))], [used, seconds, _no_result(runs)]
    if not some:
        return [*head, "-", "-", "-", bar, "-", "-", "-", *tail]
    ratio = np.array([run.estimate for run in some]) / case.exact
    cv, cv_error = _true_cv(ratio)
    known = [run for run in some if run.has_interval]
    said = cover = missed = "-"
    if known:
        errors = np.array([run.standard_error for run in known]) / case.exact
        said = f"{np.sqrt(np.mean(errors**2)):.2g}"
        cover = f"{np.mean([run.miss == 1.0 for run in known]):.3f}"
        missed = f"{max(run.miss for run in known):.3g}"
    cells = [f"{ratio.mean():.4f}", _z(ratio - 1.0), f"{cv:.2g} ({cv_error:.1g})", bar]
    return [*head, *cells, said, cover, missed, *tail]


def _true_cv(ratio: Array) -> tuple[float, float]:
    """Root mean squared relative error and its standard error, by the delta method."""
    squares = (ratio - 1.0) ** 2
    cv = math.sqrt(squares.mean())
    if len(ratio) == 1 or cv == 0.0:
        return cv, math.nan
    return cv, float(squares.std(ddof=1)) / math.sqrt(len(ratio)) / (2.0 * cv)


def _z(errors: Array) -> str:
    if len(errors) == 1:
        return "-"
    sd = float(errors.std(ddof=1))
    if sd == 0.0:
        return "-"
    z = float(errors.mean()) / (sd / math.sqrt(len(errors)))
    return f"{z:+.1f}" if abs(z) < 100.0 else f"{z:+.0e}"


def table(runs: Sequence[Run]) -> str:
    """Markdown: one line a case, budget and solver."""
    titles = [
        "case", "budget", "solver", "runs", "estimate / p", "z", "true cv", "bar", "said cv",
        "cover", "missed by", "used", "seconds", "no result",
    ]  # fmt: skip
    rows = [
        _line(*key, some)
        for key, some in _groups(runs, lambda run: (run.case, run.budget, run.solver))
    ]
    return markdown(titles, rows)


def coverage_table(runs: Sequence[Run]) -> str:
    """Markdown: the intervals of all cases together, and of the nine alone."""
    titles = [
        "cases", "budget", "solver", "intervals", "cover", "lowest case", "missed by", "no result",
    ]  # fmt: skip
    rows = []
    for label, inside in (("the nine", NINE), ("all", tuple(CASES))):
        chosen = [run for run in runs if run.case in inside]
        for (_, budget, solver), some in _groups(chosen, lambda r: ("", r.budget, r.solver)):
            name = f"{label}: {len({run.case for run in some})} of {len(inside)}"
            rows.append([name, str(budget), solver, *_pooled(some), _no_result(some)])
    return markdown(titles, rows)


def _pooled(runs: Sequence[Run]) -> list[str]:
    """Number of intervals, their coverage, the lowest of one case and the worst miss."""
    known = [run for run in runs if run.has_interval and not run.broke_down]
    if not known:
        return ["0", "-", "-", "-"]
    total = Counter(run.case for run in known)
    held = Counter(run.case for run in known if run.miss == 1.0)
    lowest = min(total, key=lambda name: held[name] / total[name])
    return [
        str(len(known)),
        f"{held.total() / len(known):.3f}",
        f"{held[lowest] / total[lowest]:.3f} {lowest}",
        f"{max(run.miss for run in known):.3g}",
    ]


def breakdowns(runs: Sequence[Run]) -> str:
    """What the runs without an estimate said, and how often."""
    said = Counter((r.case, r.budget, r.solver, r.message) for r in runs if r.broke_down)
    lines = [f"- {c}, {b}, {s}, {n} runs: {text}" for (c, b, s, text), n in said.items()]
    return "\n".join([f"## {said.total()} runs broke down\n", *lines]) if lines else ""


def report(runs: Sequence[Run]) -> str:
    """Everything there is to say about these runs."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    how = f"{threads} thread(s) per run" if threads else "threads per run not limited"
    seeds = sorted({run.seed for run in runs})
    parts = [
        header("Failure probabilities", how),
        f"Seeds {seeds[0]} to {seeds[-1]}.",
        table(runs),
        f"## Coverage of the 95 % intervals, pooled\n\n{coverage_table(runs)}",
        breakdowns(runs),
    ]
    return "\n\n".join(part for part in parts if part)


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Reads names with commas between them."""

    def read(text: str) -> list[str]:
        names = text.split(",")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown} not among {', '.join(known)}")
        return names

    return read


def _budgets(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _seeds(text: str) -> range:
    """Seeds out of first:end, the end left out, as in slices."""
    first, colon, end = text.partition(":")
    return range(int(first), int(end)) if colon else range(int(first))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.reliability",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cases", type=_names(list(CASES)), default=list(CASES))
    parser.add_argument("--solvers", type=_names(list(SOLVERS)), default=list(SOLVERS))
    parser.add_argument("--budgets", type=_budgets, default=[4000, 2000, 500])
    parser.add_argument("--seeds", type=_seeds, default=range(40), help="0:40, or 40")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--read", nargs="+", type=Path, default=[], help="files of saved runs")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args(argv)
    runs = read_all(Run, args.read)
    if not args.read:
        tasks = [
            (case, solver, budget, seed)
            for budget in args.budgets
            for case in args.cases
            for solver in args.solvers
            for seed in args.seeds
        ]
        runs = play_all(play, tasks, args.jobs, args.output, "reliability")
    print(report(runs))


if __name__ == "__main__":
    main()
