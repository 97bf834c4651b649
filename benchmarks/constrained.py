"""Constraints, several objectives, several workers and crashes, beside the plain loops of peers.

python -m benchmarks.constrained                          # everything
python -m benchmarks.constrained --part parallel --part failures
python -m benchmarks.constrained --read benchmarks/output/outcomes-*.jsonl   # tables again

The traces of the peers come with the repository (`benchmarks.outcome_peers` makes them).
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import asynchronous, crash_problems, crashes, run, several_objectives_problems
from benchmarks import constrained_problems as constrained
from benchmarks import outcome_tables as tables
from benchmarks import outcome_traces as traces
from benchmarks.crash_runs import CrashRun
from benchmarks.many_runs import play_all, read_all
from benchmarks.outcome_peers import BUDGETS, CONSTRAINED, SEVERAL, get
from benchmarks.outcome_traces import OutcomeRun
from benchmarks.record import Run
from benchmarks.report import header
from benchmarks.solvers import OURS, Spec
from benchmarks.solvers.bayesopt_outcomes import OutcomeStudy

OUTPUT = Path(__file__).parent / "output"
N_SEEDS = 10
WORKERS = 4
PARALLEL_PROBLEM, PARALLEL_EVALS = "hartmann6", 60
BATCHES = ("greedy", "constant_liar")


def play_outcomes(task: tuple[str, int]) -> OutcomeRun:
    """Ours on a problem with constraints or several objectives, on one thread."""
    import torch

    torch.set_num_threads(1)
    name, seed = task
    version = f"bayesopt {Spec(OURS, OURS).version}"
    return traces.trace(get(name), tables.OURS, OutcomeStudy, seed, BUDGETS[name], version)


def _with_peers(path: Path, measure: tables.Measure) -> Callable[[Sequence[OutcomeRun]], list[str]]:
    def made(runs: Sequence[OutcomeRun]) -> list[str]:
        there = {(r.problem, r.seed) for r in runs}
        everything = [*runs, *(r for r in traces.read(path) if (r.problem, r.seed) in there)]
        kind = tables.best_values if path == CONSTRAINED else tables.hypervolumes
        return [
            tables.versions(everything),
            kind(everything),
            tables.no_worse(everything, measure),
            tables.broken(everything),
        ]

    return made


@dataclass(frozen=True)
class Part:
    """Searches and what is said of them."""

    title: str
    text: str
    kind: Callable[..., Any]
    play: Callable[[Any], Any]
    tasks: Callable[[int], list[Any]]
    tables: Callable[[Sequence[Any]], list[str]]

    def report(self, runs: Sequence[Any]) -> str:
        """Title, text and tables."""
        seeds = max(run.seed for run in runs)
        text = f"## {self.title}\n\n{self.text} Seeds 0 to {seeds}."
        return "\n\n".join([text, *(table for table in self.tables(runs) if table)])


PARTS = {
    "constrained": Part(
        "Constraints",
        "Best feasible value (median [quartiles]) after a common start of 2 (d + 1) points, at "
        "most 20, and the evaluations after it. Feasible is what meets every constraint exactly. "
        "Outside the space: suggestions that leave the box or are no integers where these are "
        "asked for. "
        "CPU seconds of a suggestion: median, those of the peers of the day of their traces.",
        OutcomeRun,
        play_outcomes,
        lambda n: [(name, seed) for seed in range(n) for name in constrained.PROBLEMS],
        _with_peers(CONSTRAINED, tables.best_value),
    ),
    "objectives": Part(
        "Several objectives",
        "The largest hypervolume there is less that of the feasible points evaluated (median "
        "[quartiles]); all are told the reference point where they take one.",
        OutcomeRun,
        play_outcomes,
        lambda n: [
            (name, seed) for seed in range(n) for name in several_objectives_problems.PROBLEMS
        ],
        _with_peers(SEVERAL, tables.missing_hypervolume),
    ),
    "parallel": Part(
        "Several workers",
        f"{PARALLEL_PROBLEM}, {PARALLEL_EVALS} evaluations in all, exact values; a simulation in "
        "which a worker drawn from the seed ends next and asks at once. Regret of the best value "
        "told: median [quartiles]. Times serial: ratio of the medians at the end.",
        Run,
        asynchronous.play,
        lambda n: [
            (PARALLEL_PROBLEM, batch, workers, PARALLEL_EVALS, seed)
            for seed in range(n)
            for batch, workers in [(asynchronous.SERIAL, 1), *((b, WORKERS) for b in BATCHES)]
        ],
        lambda runs: [tables.of_workers(runs, asynchronous.SERIAL), tables.broken(runs)],
    ),
    "failures": Part(
        "Crashes",
        f"12 % of the box crashes; {crashes.N_EVALS} evaluations in all. `branin-corner`: a corner "
        "with one of the three minima in it; `hartmann6-ball`: a ball in the middle whose edge "
        "passes the minimum at 0.03. Shares of failed suggestions; regret of the best point seen: "
        "median [quartiles].",
        CrashRun,
        crashes.play,
        lambda n: [
            (name, method, crashes.N_EVALS, seed)
            for seed in range(n)
            for name in crash_problems.PROBLEMS
            for method in crashes.METHODS
        ],
        lambda runs: [tables.of_crashes(runs, crashes.N_EVALS // 2), tables.broken(runs)],
    ),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run, or read, and write the tables."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.constrained",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--part", action="append", choices=list(PARTS), help="default: all")
    parser.add_argument("--seeds", type=int, default=N_SEEDS, help="how many, from 0")
    parser.add_argument("--problems", default="", help="of the parts, by commas; default: all")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--read", nargs="+", type=Path, default=[], help="files of saved runs")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of the saved runs")
    parser.add_argument("--report", type=Path, help="file for the tables; default: print them")
    args = parser.parse_args(argv)
    os.environ.update(dict.fromkeys(run.THREAD_VARIABLES, "1"))
    sections = [header("Constraints, several objectives, several workers, crashes")]
    wanted = args.problems.split(",") if args.problems else []
    for name in args.part or PARTS:
        part = PARTS[name]
        saved = [path for path in args.read if path.name.startswith(f"outcomes-{name}-")]
        runs = read_all(part.kind, saved)
        if not args.read:
            tasks = [t for t in part.tasks(args.seeds) if not wanted or t[0] in wanted]
            runs = play_all(part.play, tasks, args.jobs, args.output, f"outcomes-{name}")
        if runs:
            sections.append(part.report(runs))
    text = "\n\n".join(sections) + "\n"
    if args.report:
        args.report.write_text(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
