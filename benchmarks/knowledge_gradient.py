"""Knowledge gradient, entropy search, lookahead and gradients: do they earn their cost?

python -m benchmarks.knowledge_gradient                           # everything
python -m benchmarks.knowledge_gradient --part noisy --part time
python -m benchmarks.knowledge_gradient --read benchmarks/output/knowledge-gradient-*.jsonl

The last one makes the tables again from saved runs. The traces of BoTorch under noise come with
the repository (`benchmarks.knowledge_gradient_peers` makes them).
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import recommendation_traces as traces
from benchmarks import record, run
from benchmarks.knowledge_gradient_tables import (
    against_random,
    gains_of_gradients,
    no_worse,
    regrets_after,
)
from benchmarks.many_runs import play_all, read_all
from benchmarks.recommendation_traces import Task
from benchmarks.record import Run
from benchmarks.report import failures, header

OUTPUT = Path(__file__).parent / "output"
NOISY = ("kg", "auto", "noisy_ei")
GRADIENTS = ("ei", "d-ei", "kg", "d-kg")
ENTROPY = ("random", "es", "pes", "mes", "jes", "ei")
LOOKAHEAD = ("lookahead", "ei")

# Evaluations after the start of 2 (d + 1) points.
GRADIENT_BUDGETS = {
    "branin": 14,
    "rosenbrock2-box2": 14,
    "rosenbrock4-box2": 20,
    "rosenbrock6-box2": 26,
    "levy2-box5": 14,
    "levy4-box5": 20,
    "levy6-box5": 26,
    "rosenbrock4": 20,
    "levy4": 20,
}
ENTROPY_BUDGETS = {"branin": 30, "rosenbrock4-int": 30, "svm-digits": 15}
LOOKAHEAD_BUDGETS = {"branin": 20, "hartmann3": 25}


@dataclass(frozen=True)
class Part:
    """Searches and what is said of them."""

    title: str
    text: str
    budgets: dict[str, int]
    methods: Sequence[str]
    n_seeds: int
    tables: Callable[[Sequence[Run]], Sequence[str]]

    def tasks(
        self,
        methods: Sequence[str] = (),
        n_seeds: int | None = None,
        problems: Sequence[str] = (),
    ) -> list[Task]:
        """The searches, all of them where nothing is chosen, seed after seed."""
        return [
            (problem, method, self.budgets[problem], seed)
            for seed in range(n_seeds or self.n_seeds)
            for problem in problems or self.budgets
            for method in methods or self.methods
        ]

    def report(self, runs: Sequence[Run]) -> str:
        """Title, text and tables."""
        seeds = max(run.seed for run in runs)
        text = f"## {self.title}\n\n{self.text} Seeds 0 to {seeds}."
        return "\n\n".join([text, *(t for t in self.tables(runs) if t), *_broken(runs)])


def _noisy_tables(runs: Sequence[Run]) -> list[str]:
    seeds = {r.seed for r in runs}
    peers = [r for r in record.read(traces.TRACES) if r.seed in seeds]
    names, n = list(dict.fromkeys(r.solver for r in peers)), traces.N_AFTER_START
    versions = "\n".join(f"- {name}: {_version(peers, name)}" for name in names)
    ours = [m for m in NOISY if any(r.solver == m for r in runs)]
    everything = [*peers, *runs]
    return [
        versions,
        regrets_after(everything, (n // 2, 3 * n // 4, n)),
        no_worse(everything, ours, names, n),
    ]


def _version(runs: Sequence[Run], solver: str) -> str:
    return next(r.version for r in runs if r.solver == solver)


def _broken(runs: Sequence[Run]) -> list[str]:
    text = failures(runs)
    return [f"#{text}"] if text else []


PARTS = {
    "noisy": Part(
        "Under noise",
        "Regret of the maximiser of the posterior mean, which all report, after some numbers of "
        "evaluations after a start of 2 (d + 1) points: median [quartiles]; median CPU seconds of "
        "a suggestion, those of the peers of the day of their traces. Below, ours less the other's "
        "after all of them, seed by seed, with 95 % bootstrap intervals; no worse: that of the "
        "mean difference does not lie above zero.",
        dict.fromkeys(traces.PROBLEMS, traces.N_AFTER_START),
        NOISY,
        len(traces.SEEDS),
        _noisy_tables,
    ),
    "derivatives": Part(
        "With gradients",
        "Regret of the best point seen, exact values, with all partial derivatives and without, at "
        "equal numbers of evaluations after a start of 2 (d + 1) points: median [quartiles]. "
        "Ratios are with over without, regrets below 1e-8 count as that; lower: pairs in which the "
        "regret with gradients is lower. The boxes of `-box2` and `-box5` are those of Wu et al. "
        "(2017), the other ones are wider: [-5, 10]^4 and [-10, 10]^4.",
        GRADIENT_BUDGETS,
        GRADIENTS,
        8,
        lambda runs: [gains_of_gradients(runs, GRADIENT_BUDGETS)],
    ),
    "entropy": Part(
        "Entropy search",
        "Regret of the best point seen, exact values: median [quartiles], and how many times lower "
        "its median is than that of random search. `rosenbrock4-int` has two integers of four "
        "parameters, `svm-digits` a category and an integer; of the latter it is the error itself.",
        ENTROPY_BUDGETS,
        ENTROPY,
        10,
        lambda runs: [against_random(runs, ENTROPY_BUDGETS)],
    ),
    "lookahead": Part(
        "Two-step lookahead",
        "Regret of the best point seen, exact values: median [quartiles]; below, paired.",
        LOOKAHEAD_BUDGETS,
        LOOKAHEAD,
        10,
        lambda runs: [
            table
            for problem, n in LOOKAHEAD_BUDGETS.items()
            if (some := [r for r in runs if r.problem == problem])
            for table in (
                regrets_after(some, (n // 2, n)),
                no_worse(some, ["lookahead"], ["ei"], n),
            )
        ],
    ),
}


def belongs(done: Run, part: Part) -> bool:
    """Whether a saved run is one of a part: budgets tell the parts of a problem apart."""
    n_after = part.budgets.get(done.problem)
    return done.solver in part.methods and n_after == done.n_evals - done.n_initial


def main(argv: Sequence[str] | None = None) -> None:
    """Run, or read, and write the tables."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.knowledge_gradient",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--part", action="append", choices=[*PARTS, "time"], help="default: all")
    parser.add_argument("--methods", type=_names, default=[], help="of a part, by commas")
    parser.add_argument("--problems", type=_names, default=[], help="of a part, by commas")
    parser.add_argument("--seeds", type=int, help="how many, from 0")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--read", nargs="+", type=Path, default=[], help="files of saved runs")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of the saved runs")
    parser.add_argument("--report", type=Path, help="file for the tables; default: print them")
    args = parser.parse_args(argv)
    os.environ.update(dict.fromkeys(run.THREAD_VARIABLES, "1"))
    sections = [header("Knowledge gradient, entropy search, lookahead, gradients")]
    saved = read_all(Run, args.read)
    for name in args.part or [*PARTS, "time"]:
        if name == "time":
            sections.append(_time_section())
            continue
        part = PARTS[name]
        runs = [r for r in saved if belongs(r, part)]
        if not args.read:
            tasks = part.tasks(args.methods, args.seeds, args.problems)
            runs = play_all(
                traces.play, tasks, args.jobs, args.output, f"knowledge-gradient-{name}"
            )
        if runs:
            sections.append(part.report(runs))
    text = "\n\n".join(sections) + "\n"
    if args.report:
        args.report.write_text(text)
    else:
        sys.stdout.write(text)


def _names(text: str) -> list[str]:
    return text.split(",")


def _time_section() -> str:
    import torch

    from benchmarks.knowledge_gradient_time import PROBLEM, N, measure

    torch.set_num_threads(1)
    return f"## CPU seconds of a suggestion\n\n{PROBLEM}, {N} values, one thread.\n\n{measure()}"


if __name__ == "__main__":
    main()
