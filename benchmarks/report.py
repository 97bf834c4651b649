"""Markdown tables of runs, in an order that depends on the runs only."""

import os
import platform
import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from benchmarks.comparison import (
    MARGIN,
    Regrets,
    against_the_best,
    compare,
    log_ratios,
    regrets,
    solvers_of,
    without_instance,
)
from benchmarks.problems import bbob_group
from benchmarks.record import Run

_ENOUGH_PAIRS = 8
PACKAGES = (
    "bayesopt-uq",
    "optuna",
    "botorch",
    "gpytorch",
    "torch",
    "numpy",
    "scipy",
    "SALib",
    "openturns",
)


def report(runs: Sequence[Run], reference: str) -> str:
    """Everything there is to say about these runs."""
    parts = [
        f"Seeds {_ranges(sorted({run.seed for run in runs}))}.",
        comparison_table(runs, reference),
        group_table(runs, reference),
        seconds_table(runs),
        regret_table(runs),
        paired_table(runs),
        failures(runs),
    ]
    return "\n\n".join(part for part in parts if part)


def header(title: str, threads: str = "one thread per run") -> str:
    """When, where and with which versions."""
    machine = f"{_processor()}, {os.cpu_count()} cores, {threads}"
    packages = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    return (
        f"# {title}\n\n{date.today().isoformat()}; {machine}; "
        f"Python {platform.python_version()}; {packages}."
    )


def regret_table(runs: Sequence[Run]) -> str:
    """Median and quartiles of the final simple regret of each problem and solver."""
    regret = regrets(runs)
    groups: dict[tuple[str, int], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for (problem, n_evals, _), row in regret.items():
        for solver, value in row.items():
            groups[without_instance(problem), n_evals][solver].append(value)
    solvers = solvers_of(runs)
    rows = [
        [problem, str(n_evals), str(max(map(len, by_solver.values())))]
        + [_quartiles(by_solver.get(solver, [])) for solver in solvers]
        for (problem, n_evals), by_solver in sorted(groups.items())
    ]
    caption = (
        "## Final simple regret, median [quartiles]\n\nTrue value of the best point seen, or under"
        " noise of the recommended point, less the minimum; where the minimum is not known, less"
        " the lowest value of these runs.\n\n"
    )
    return caption + markdown(["problem", "evaluations", "runs", *solvers], rows)


def paired_table(runs: Sequence[Run]) -> str:
    """Problem by problem: who is best, and whom the runs can tell from the best."""
    solvers = solvers_of(runs)
    by_problem: dict[tuple[str, int], Regrets] = defaultdict(dict)
    for (problem, n_evals, seed), row in regrets(runs).items():
        by_problem[without_instance(problem), n_evals][problem, n_evals, seed] = row
    rows = []
    for (problem, n_evals), table in sorted(by_problem.items()):
        if len(table) < _ENOUGH_PAIRS:
            continue
        p_values = against_the_best(table)
        cells = [_p_value(p_values.get(solver)) for solver in solvers]
        rows.append([problem, str(n_evals), str(len(table)), *cells])
    caption = (
        "## Beside the best of each problem\n\n`best`: the lowest mean log regret. Others: p-value"
        " of Wilcoxon's signed-rank test on paired log regrets against it; a tie at the 5 % level"
        " is 0.05 or more.\n\n"
    )
    return caption + markdown(["problem", "evaluations", "pairs", *solvers], rows) if rows else ""


def comparison_table(runs: Sequence[Run], reference: str) -> str:
    """Each solver against the reference over all problems."""
    rows = [
        [
            c.solver,
            str(c.n),
            f"{c.rank:.2f}",
            f"{c.win:.2f}",
            f"{c.loss:.2f}",
            f"{c.p_value:.2g}",
            f"{c.median:+.2f}",
            f"{c.mean:+.2f} [{c.low:+.2f}, {c.high:+.2f}]",
        ]
        for c in compare(runs, reference)
    ]
    caption = (
        f"## Against {reference}\n\nWin / loss: final regret {MARGIN:.0%} lower / higher, with the"
        " p-value of the sign test. Ratios are log10(regret / regret of the reference), below zero"
        " is better, on problems whose minimum is known; mean with a 95 % bootstrap interval.\n\n"
    )
    titles = ["solver", "runs", "mean rank", "win", "loss", "p", "median ratio", "mean ratio"]
    return caption + markdown(titles, rows) if rows else ""


def group_table(runs: Sequence[Run], reference: str) -> str:
    """Median log10 regret ratio by group of BBOB functions; empty without them."""
    table = regrets(runs)
    groups = {bbob_group(run.problem) for run in runs} - {None}
    solvers = solvers_of(runs)
    if not groups or reference not in solvers:
        return ""
    rows = []
    for group in sorted(g for g in groups if g is not None):
        inside = {pair: row for pair, row in table.items() if bbob_group(pair[0]) == group}
        logs = [log_ratios(inside, solver, reference) for solver in solvers]
        rows.append([group] + [f"{np.median(x):+.2f}" if x.size else "-" for x in logs])
    caption = f"## Median log10 regret ratio to {reference}, by group of functions\n\n"
    return caption + markdown(["group", *solvers], rows)


def seconds_table(runs: Sequence[Run]) -> str:
    """Median CPU seconds of a suggestion, over the whole of the runs."""
    groups: dict[tuple[str, int], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        problem = re.sub(r"^bbob-f\d+-i\d+", "bbob", run.problem)
        groups[problem, run.n_evals][run.solver] += run.seconds
    solvers = solvers_of(runs)
    rows = [
        [problem, str(n_evals)]
        + [f"{np.median(s):.2g}" if (s := seconds.get(solver)) else "-" for solver in solvers]
        for (problem, n_evals), seconds in sorted(groups.items())
    ]
    caption = (
        "## CPU seconds per suggestion, median\n\nAsk and tell. Runs of peers may be read from the"
        " cache and so measured on another day; `--speed` measures all in one run.\n\n"
    )
    return caption + markdown(["problem", "evaluations", *solvers], rows)


def failures(runs: Sequence[Run]) -> str:
    """The runs that broke down; they count with what they had found by then."""
    lines = [f"- {r.solver}, {r.problem}, seed {r.seed}: {r.error}" for r in runs if r.error]
    return "\n".join([f"## {len(lines)} runs broke down\n", *lines]) if lines else ""


def markdown(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns are also aligned in a terminal."""
    columns = list(zip(titles, *rows, strict=True))
    widths = [max(len(cell) for cell in column) for column in columns]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |"
        for row in [titles, rule, *rows]
    )


def _quartiles(values: list[float]) -> str:
    if not values:
        return "-"
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    return f"{median:.2g} [{low:.2g}, {high:.2g}]"


def _p_value(p: float | None) -> str:
    return "-" if p is None else "best" if p == 1.0 else f"{p:.2g}"


def _ranges(numbers: Sequence[int]) -> str:
    """Consecutive numbers drawn together: 0-4, 7."""
    text: list[str] = []
    start = 0
    for i, number in enumerate(numbers):
        if i + 1 == len(numbers) or numbers[i + 1] != number + 1:
            first = numbers[start]
            text.append(str(first) if first == number else f"{first}-{number}")
            start = i + 1
    return ", ".join(text)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _processor() -> str:
    """The model of the processor, where the system says it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
