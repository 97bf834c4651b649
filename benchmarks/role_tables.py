"""The tables of `python -m benchmarks.roles`: each from the runs of its part."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import isfinite

import numpy as np

from benchmarks.cost_to_reach import (
    ROUNDING,
    Steps,
    cost_of_median,
    cost_to_reach,
    median_at,
    regret_at,
)
from benchmarks.environment_problems import MINIMUM, N_CONDITIONS
from benchmarks.report import markdown
from benchmarks.role_traces import RoleRun

WITHIN = (0.10, 0.01)
OF_INTEGRATION = (60, 120, 240, 480)
OF_SEARCH = (30, 45, 60)


@dataclass(frozen=True)
class Level:
    """A regret to reach, and what the search without roles spends until there."""

    name: str
    regret: float
    cost: float


def of_regrets(
    runs: Sequence[RoleRun], without: str, n_evals: Sequence[int], shares: Mapping[str, float]
) -> str:
    """Levels: the median regrets that the search without roles has after some evaluations."""
    tables = {}
    for problem in _problems(runs):
        plain = _of(runs, problem, without)
        levels = []
        for n in n_evals if plain else ():
            cost = float(np.median([sum(run.costs[:n]) for run in plain]))
            regret = median_at([run.steps for run in plain], cost)
            levels.append(Level(f"after {n}", regret, cost))
        tables[problem] = levels
    return _reached(runs, without, tables, shares)


def of_levels(
    runs: Sequence[RoleRun], without: str, regrets: Sequence[float], shares: Mapping[str, float]
) -> str:
    """Levels: given regrets, and what the median of the search without roles spends for them."""
    tables = {}
    for problem in _problems(runs):
        plain = [run.steps for run in _of(runs, problem, without)]
        tables[problem] = [
            Level("given", regret, cost_of_median(plain, regret)) for regret in regrets if plain
        ]
    return _reached(runs, without, tables, shares)


def _reached(
    runs: Sequence[RoleRun],
    without: str,
    levels: Mapping[str, Sequence[Level]],
    shares: Mapping[str, float],
) -> str:
    rows = []
    for problem in _problems(runs):
        for solver, share in shares.items():
            some = [run.steps for run in _of(runs, problem, solver)]
            for level in levels[problem] if some else ():
                measured = _measured(some, level, share)
                rows.append([problem, solver, str(len(some)), *measured])
    titles = ["problem", "method", "runs", f"level of `{without}`", "regret", "its cost"]
    titles += ["cost of the median", "share", "wanted", "cost of each run", "runs in time"]
    return markdown([*titles, "regret at the wanted share"], rows) if rows else ""


def _measured(runs: Sequence[Steps], level: Level, share: float) -> list[str]:
    """What a method spends for a level; nothing in time where the search without is never there."""
    costs = [cost_to_reach(steps, level.regret) for steps in runs]
    reached = cost_of_median(runs, level.regret)
    known = isfinite(level.cost)
    allowed = share * level.cost * (1.0 + ROUNDING)
    in_time = sum(cost <= allowed for cost in costs)
    return [
        level.name,
        f"{level.regret:.3g}",
        _number(level.cost),
        _number(reached),
        _number(reached / level.cost, "{:.2f}") if known else "-",
        f"{share:.2g}",
        quartiles(costs, "{:.4g}"),
        f"{in_time}/{len(costs)}" if known else "-",
        quartiles([regret_at(steps, allowed) for steps in runs]) if known else "-",
    ]


def regrets_by_cost(runs: Sequence[RoleRun], solvers: Sequence[str], n_evals: Sequence[int]) -> str:
    """Regret of methods whose evaluations all cost the same, after some of them."""
    rows = []
    for problem, solver in product(_problems(runs), solvers):
        some = _of(runs, problem, solver)
        for n in n_evals if some else ():
            if n > min(len(run.costs) for run in some):
                continue
            cost = float(np.median([sum(run.costs[:n]) for run in some]))
            regrets = [regret_at(run.steps, sum(run.costs[:n])) for run in some]
            rows.append([problem, solver, str(n), f"{cost:.4g}", quartiles(regrets)])
    titles = ["problem", "method", "evaluations", "cost", "regret, median [quartiles]"]
    return markdown(titles, rows) if rows else ""


def shares_within(runs: Sequence[RoleRun]) -> str:
    """How many runs come near the minimum of the mean over the environment."""
    rows = []
    for problem in _problems(runs):
        for solver in _solvers(runs):
            some = [run.steps for run in _of(runs, problem, solver)]
            for cost in OF_INTEGRATION if solver == "integration" else OF_SEARCH:
                if not some:
                    continue
                excess = np.array([regret_at(steps, cost) / MINIMUM for steps in some])
                counts = [f"{np.sum(excess <= part)}/{len(some)}" for part in WITHIN]
                at = str(cost // N_CONDITIONS if solver == "integration" else cost)
                value = quartiles((MINIMUM * (1.0 + excess)).tolist(), "{:.4f}")
                rows.append([problem, solver, str(cost), at, value, *counts])
    titles = ["problem", "method", "evaluations of f", "points", "true mean, median [quartiles]"]
    return markdown([*titles, *(f"within {part:.0%}" for part in WITHIN)], rows)


def visits(runs: Sequence[RoleRun]) -> str:
    """How often the target was evaluated, and what a suggestion took."""
    rows = []
    for problem in _problems(runs):
        for solver in _solvers(runs):
            some = _of(runs, problem, solver)
            if not some:
                continue
            counts = [len(run.costs) for run in some]
            of_target = [sum(run.at_target) for run in some]
            spent = [sum(run.costs) for run in some]
            seconds = np.median([s for run in some for s in run.seconds])
            cells = [f"{np.median(v):.4g}" for v in (counts, of_target, spent)]
            largest = f"{max(spent):.6g}"
            rows.append([problem, solver, str(len(some)), *cells, largest, f"{seconds:.2g}"])
    titles = ["problem", "method", "runs", "evaluations", "of the target", "cost"]
    return markdown([*titles, "largest cost", "CPU seconds a suggestion"], rows)


def quartiles(values: Sequence[float], number: str = "{:.3g}") -> str:
    """Median [quartiles]; a dash for what is not finite."""
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75], method="nearest")
    low, median, high = (_number(v, number) for v in (low, np.median(values), high))
    return f"{median} [{low}, {high}]"


def _number(value: float, number: str = "{:.4g}") -> str:
    return number.format(value) if isfinite(value) else "-"


def _problems(runs: Sequence[RoleRun]) -> list[str]:
    return list(dict.fromkeys(run.problem for run in runs))


def _solvers(runs: Sequence[RoleRun]) -> list[str]:
    return list(dict.fromkeys(run.solver for run in runs))


def _of(runs: Sequence[RoleRun], problem: str, solver: str) -> list[RoleRun]:
    return [run for run in runs if (run.problem, run.solver) == (problem, solver)]
