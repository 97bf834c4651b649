"""Cheap sources, fidelities, random environments and earlier tasks, beside the search without.

python -m benchmarks.roles                                  # everything
python -m benchmarks.roles --part miso --seeds 5 --methods roles
python -m benchmarks.roles --part fidelity --read benchmarks/output/roles-fidelity.jsonl

Each run is a line of its part's file in the output folder; what is there already, or among the
traces that come with the repository (the searches without roles), is not done again. Another
version of the search needs another folder. The traces of BoTorch are shown where there are some
(`benchmarks.role_peers` makes them).
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import (
    environment_problems,
    fidelity_problems,
    outcome_tables,
    role_tables,
    run,
    source_problems,
    transfer_problems,
)
from benchmarks.many_runs import read_all
from benchmarks.report import header
from benchmarks.role_traces import PEER, ROLES, RoleRun, Task, play

OUTPUT = Path(__file__).parent / "output"
TRACES = Path(__file__).parent / "traces" / "roles_without.jsonl"
PEERS = Path(__file__).parent / "traces" / "roles_peers.jsonl"
N_SEEDS = 20


@dataclass(frozen=True)
class Limits:
    """When a search ends."""

    n_evals: int
    cost_budget: float | None = None


@dataclass(frozen=True)
class Part:
    """Searches and what is said of them."""

    title: str
    text: str
    limits: dict[str, dict[str, Limits]]  # by problem and method
    tables: Callable[[Sequence[RoleRun]], list[str]]

    def tasks(self, n_seeds: int, methods: Sequence[str]) -> list[Task]:
        """Seed after seed, so that what is there is always of the same seeds."""
        return [
            Task(problem, method, seed, limit.n_evals, limit.cost_budget)
            for seed in range(n_seeds)
            for problem, by_method in self.limits.items()
            for method, limit in by_method.items()
            if not methods or method in methods
        ]

    def report(self, runs: Sequence[RoleRun]) -> str:
        """Title, text and tables."""
        seeds = max(run.seed for run in runs)
        text = f"## {self.title}\n\n{self.text} Seeds 0 to {seeds}."
        tables = [*self.tables(runs), role_tables.visits(runs), outcome_tables.broken(runs)]
        return "\n\n".join([text, *(table for table in tables if table)])


_RECOMMENDED = (
    "Regret: the true one, without noise, of the point that is recommended after every evaluation "
    "of the target, else after every third. Cost of the median: where the median regret of the "
    "runs is first no larger than the level; share: that by the cost of the search without; cost "
    "of each run: where its regret is (median [quartiles], - for never)."
)
_MISO_EVALS = (10, 15, 20, 25, 30)
_TRANSFER_EVALS = (10, 15, 20, 25)
_LEVELS = (0.3, 0.05)
_WANTED_OF_TRANSFER = {"related": 1 / 2, "unrelated": 1.2}
PARTS = {
    "miso": Part(
        "A cheap source with a bias",
        "Rosenbrock's function in two dimensions. " + _RECOMMENDED,
        {
            name: {"truth": Limits(40), ROLES: Limits(150, budget)}
            for name, budget in zip(source_problems.PROBLEMS, (8_100.0, 405.0), strict=True)
        },
        lambda runs: [
            role_tables.of_regrets(runs, "truth", _MISO_EVALS, {ROLES: 1 / 5, PEER: 1 / 5}),
            role_tables.regrets_by_cost(runs, ["truth"], (*_MISO_EVALS, 40)),
        ],
    ),
    "fidelity": Part(
        "A continuous fidelity",
        "Hartmann's function in six dimensions; an evaluation costs 0.02 + 0.98 s, 1 at the "
        "target. " + _RECOMMENDED,
        {
            name: {"truth": Limits(100), ROLES: Limits(200, 16.0)}
            for name in fidelity_problems.PROBLEMS
        },
        lambda runs: [
            role_tables.of_levels(runs, "truth", _LEVELS, {ROLES: 1 / 3}),
            role_tables.regrets_by_cost(runs, ["truth"], (20, 30, 40, 50, 60)),
        ],
    ),
    "environment": Part(
        "A random environment",
        "The product of two Branin functions; sought is the mean over twelve conditions. Full "
        "integration evaluates all of them at a point and so searches the exact mean.",
        {
            name: {"integration": Limits(40), ROLES: Limits(60)}
            for name in environment_problems.PROBLEMS
        },
        lambda runs: [role_tables.shares_within(runs)],
    ),
    "transfer": Part(
        "An earlier task",
        "Thirty evaluations of an earlier search are known, of a related task or of an unrelated "
        "one; they cost nothing here, and an evaluation of the new task costs 1. " + _RECOMMENDED,
        {
            f"{name}-shifted": {method: Limits(n) for method in ("new", *transfer_problems.KINDS)}
            for name, n in (("branin", 30), ("hartmann3", 40))
        },
        lambda runs: [
            role_tables.of_regrets(runs, "new", _TRANSFER_EVALS, _WANTED_OF_TRANSFER),
            role_tables.regrets_by_cost(
                runs, ["new", *transfer_problems.KINDS], (2, 5, *_TRANSFER_EVALS, 30)
            ),
        ],
    ),
}


def kept(*paths: Path) -> list[RoleRun]:
    """The runs of those of the files that there are."""
    return read_all(RoleRun, [path for path in paths if path.exists()])


def play_missing(tasks: Sequence[Task], path: Path) -> list[RoleRun]:
    """The runs of the tasks: those that are kept, and the others, each written down at once."""
    there = {r.key: r for r in kept(TRACES, path)}
    path.parent.mkdir(parents=True, exist_ok=True)
    for task in tasks:
        if task.key not in there:
            done = there[task.key] = play(task)
            with path.open("a") as file:
                file.write(json.dumps(asdict(done)) + "\n")
    return [there[task.key] for task in tasks]


def main(argv: Sequence[str] | None = None) -> None:
    """Run, or read, and write the tables."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.roles",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--part", action="append", choices=list(PARTS), help="default: all")
    parser.add_argument("--seeds", type=int, default=N_SEEDS, help="how many, from 0")
    parser.add_argument("--methods", default="", help="by commas; default: all")
    parser.add_argument("--read", nargs="+", type=Path, default=[], help="files of saved runs")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of the saved runs")
    parser.add_argument("--report", type=Path, help="file for the tables; default: print them")
    args = parser.parse_args(argv)
    os.environ.update(dict.fromkeys(run.THREAD_VARIABLES, "1"))
    sections = [header("Cheap sources, fidelities, random environments, earlier tasks")]
    methods = args.methods.split(",") if args.methods else []
    for name in args.part or PARTS:
        part = PARTS[name]
        tasks = part.tasks(args.seeds, methods)
        if args.read:
            wanted = {task.key for task in tasks}
            runs = [r for r in kept(TRACES, *args.read) if r.key in wanted]
        else:
            runs = play_missing(tasks, args.output / f"roles-{name}.jsonl")
        there = {(r.problem, r.seed) for r in runs}
        runs += [r for r in kept(PEERS) if (r.problem, r.seed) in there]
        if runs:
            sections.append(part.report(runs))
    text = "\n\n".join(sections) + "\n"
    if args.report:
        args.report.write_text(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
